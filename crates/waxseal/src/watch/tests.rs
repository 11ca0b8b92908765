use std::{collections::BTreeSet, time::Duration};

use waxseal_core::{assess::Delivery, domain::Domain, time::UnixTime};

use super::{
    Glance, History, Sight, Whose,
    looks::{Looks, Room},
    schedule::Schedule,
};
use crate::config::Config;

const NOW: UnixTime = UnixTime(1_795_341_600);
const DAY: Duration = Duration::from_hours(24);

fn config(checks: &str) -> Config {
    let text = format!(
        "[[domain]]\nname = \"one.example\"\ninside = \"mail.one.example:25\"\n\
         [[domain]]\nname = \"two.example\"\ninside = \"mail.one.example:25\"\n[checks]\n{checks}"
    );
    Config::parse(&text, "waxseal.toml".as_ref()).unwrap()
}

fn partners(count: usize) -> Vec<Domain> {
    let names = (0..count).map(|n| format!("partner{n}.example"));
    names.map(|name| Domain::parse(&name).unwrap()).collect()
}

/// All whose turn comes until then, in order.
fn due(schedule: &mut Schedule, until: UnixTime) -> Vec<(Domain, Whose)> {
    for domain in schedule.unknown() {
        schedule.known(&domain, None);
    }
    std::iter::from_fn(|| schedule.take(until, Room::Everybody)).collect()
}

#[test]
fn our_own_domains_come_first_and_partners_are_spread_over_their_day() {
    let mut schedule = Schedule::default();
    schedule.plan(&config(""), &partners(100), NOW);
    let soon = due(&mut schedule, NOW + Duration::from_secs(60));
    let own: Vec<_> =
        soon.iter().take(2).map(|(domain, whose)| (domain.as_str(), *whose)).collect();
    assert_eq!(own, [("one.example", Whose::Own), ("two.example", Whose::Own)]);
    assert!(soon.len() < 10, "hardly any partner in the first minute: {soon:?}");
    let half = due(&mut schedule, NOW + DAY / 2).len();
    assert!((30..70).contains(&half), "about half of them after half a day: {half}");
    assert_eq!(soon.len() + half + due(&mut schedule, NOW + DAY).len(), 102);
    assert_eq!(schedule.take(NOW + DAY * 9, Room::Everybody), None, "none is in hand twice");
}

/// Past the limit: the least used are left out; and what is ours is no partner.
#[test]
fn partners_are_limited_and_own_domains_are_none() {
    let mut used = partners(300);
    used.insert(0, Domain::parse("one.example").unwrap());
    let mut schedule = Schedule::default();
    schedule.plan(&config("partners_max = 10\n"), &used, NOW);
    let all: BTreeSet<_> = due(&mut schedule, NOW + DAY).into_iter().collect();
    assert_eq!(all.len(), 12);
    assert!(all.contains(&(Domain::parse("one.example").unwrap(), Whose::Own)));
    assert!(all.contains(&(Domain::parse("partner9.example").unwrap(), Whose::Partner)));
}

#[test]
fn a_new_configuration_takes_effect() {
    let mut schedule = Schedule::default();
    schedule.plan(&config(""), &partners(5), NOW);
    assert_eq!(due(&mut schedule, NOW + DAY).len(), 7);
    schedule.plan(&config("own = \"0s\"\npartners = \"0s\"\n"), &partners(5), NOW);
    schedule.plan(&config("partners = \"0s\"\n"), &partners(5), NOW);
    let all: Vec<_> = due(&mut schedule, NOW + DAY).into_iter().map(|(_, whose)| whose).collect();
    assert_eq!(all, [Whose::Own, Whose::Own]);
}

/// Attacker: hostile partner domains that take as long as they may. However many are due or in hand,
/// our own are looked at; and nobody waits busily for a partner for whom there is no room.
#[tokio::test]
async fn partners_never_take_the_place_of_our_own_domains() {
    let mut schedule = Schedule::default();
    schedule.plan(&config(""), &partners(50), NOW);
    schedule.unknown().iter().for_each(|domain| schedule.known(domain, None));
    let (mut looks, mut begun) = (Looks::default(), Vec::new());
    // Our own are not due yet, since they were looked at a moment ago.
    let own = ["one.example", "two.example"].map(|name| Domain::parse(name).unwrap());
    own.iter().for_each(|domain| schedule.done(domain, &looked(NOW + DAY, 0)));
    while let Some((domain, whose)) = schedule.take(NOW + DAY, looks.room()) {
        looks.begin(domain, whose, std::future::pending());
        begun.push(whose);
    }
    assert!(!begun.is_empty() && begun.iter().all(|whose| *whose == Whose::Partner), "{begun:?}");
    assert_eq!(looks.room(), Room::Own);
    let hour = Duration::from_hours(1);
    assert_eq!(schedule.nap(NOW + DAY, looks.room()), hour, "not for those that have to wait");
    let (domain, whose) = schedule.take(NOW + DAY + hour, looks.room()).unwrap();
    assert_eq!(whose, Whose::Own);
    looks.begin(domain, whose, async { panic!("a defect of ours") });
    assert_eq!(looks.room(), Room::Nobody);
    assert_eq!(schedule.take(NOW + DAY + hour, looks.room()), None);
    // One that breaks off is that one's failure and nobody else's.
    let ended = looks.next().await.unwrap();
    assert!(own.contains(&ended.domain) && ended.seen.is_err());
    schedule.failed(&ended.domain, NOW + DAY + hour);
    assert_eq!(looks.room(), Room::Own);
    let second = schedule.take(NOW + DAY + hour, looks.room()).unwrap();
    assert!(own.contains(&second.0) && second.0 != ended.domain);
}

/// What is kept of a domain that was looked at then, for so many times in a row with something
/// suspicious.
fn looked(at: UnixTime, suspicious: u32) -> History {
    let looks = vec![Glance {
        at,
        level: None,
        delivery: Delivery::Unknown,
        findings: Vec::new(),
        certainty: Sight::Whole,
    }];
    let mut kept = serde_json::to_value(History::new(Whose::Partner)).unwrap();
    kept["looks"] = serde_json::to_value(looks).unwrap();
    kept["suspicious"] = suspicious.into();
    serde_json::from_value(kept).unwrap()
}

/// Attacker: a hostile partner that shows something else at each look, so that it is always
/// suspicious and never confirmed. The confirming look comes after a minute, those after it ever
/// later, and once it is over everything begins anew.
#[test]
fn looks_at_what_stays_suspicious_become_rarer() {
    let mut schedule = Schedule::default();
    schedule.plan(&config("own = \"0s\"\n"), &partners(1), NOW);
    let name = schedule.unknown().remove(0);
    let mut pause = |suspicious| {
        schedule.done(&name, &looked(NOW, suspicious));
        schedule.nap(NOW, Room::Everybody)
    };
    let minutes: Vec<_> = (1..=12).map(|row| pause(row).as_secs() / 60).collect();
    assert_eq!(minutes, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 1_440]);
    assert_eq!(pause(u32::MAX), DAY, "never later than any other");
    assert_eq!(pause(0), DAY);
    assert_eq!(pause(1), Duration::from_secs(60), "and the next suspicion is confirmed soon again");
}

/// A clock that was years ahead and was set right, with `clock = "trusted"`: what was looked at then is
/// looked at now, after a restart too, and not when that time has come.
#[test]
fn a_look_of_the_future_holds_up_no_look() {
    let mut schedule = Schedule::default();
    schedule.plan(&config("partners = \"0s\"\n"), &[], NOW);
    for domain in schedule.unknown() {
        schedule.known(&domain, Some(&looked(NOW + DAY * 3_650, 0)));
    }
    assert!(schedule.nap(NOW, Room::Everybody) < Duration::from_secs(1));
    let all: Vec<_> = std::iter::from_fn(|| schedule.take(NOW, Room::Everybody)).collect();
    assert_eq!(all.len(), 2);
    for (domain, _) in &all {
        schedule.failed(domain, NOW + DAY * 3_650);
    }
    assert!(schedule.take(NOW, Room::Everybody).is_some(), "nor does a failure of then");
    schedule.done(&all[0].0, &looked(NOW, 0));
    assert_eq!(schedule.nap(NOW, Room::Everybody), Duration::from_millis(100));
}

#[test]
fn a_configuration_that_makes_no_sense_is_refused() {
    let refused = |checks: &str| {
        let text = format!("[checks]\n{checks}");
        Config::parse(&text, "w.toml".as_ref()).unwrap_err().to_string()
    };
    assert!(refused("webhook = \"http://a.example/\"").contains("has to begin with https://"));
    let secret = refused("webhook = \"https://me:secret@a.example/\"");
    assert!(secret.contains("checks.webhook") && !secret.contains("secret@"), "{secret}");
    assert!(refused("webhook_secret = \"file:/x\"").contains("its `webhook` is missing"));
    assert!(refused("own = \"10s\"").contains("at least 1m"));
    assert!(refused("partners = \"5m\"").contains("at least 1h"));
    assert!(refused("partners_max = 5000").contains("at most 1000"));
    assert!(refused("pace = 0").contains("from 1 to 600"));
    assert!(refused("pace = 601").contains("from 1 to 600"));
    #[cfg(feature = "demo")]
    {
        let bed = "[network.map]\n\"192.0.2.1:25\" = \"127.0.0.1:2525\"\n";
        assert!(!refused(&format!("pace = 60000\nown = \"1s\"\n{bed}")).contains("pace"));
        assert!(refused(&format!("pace = 60001\n{bed}")).contains("from 1 to 60000"));
    }
    assert!(refused("host_timeout = \"10s\"").contains("at least `timeout`"));
    assert!(refused("host_timeout = \"11m\"").contains("at most 10m"));
    assert!(refused("domain_timeout = \"1m\"").contains("at least `host_timeout`"));
    assert!(refused("domain_timeout = \"61m\"").contains("at most 1h"));
    let outside = "mail = true\n[author]\npostmaster = \"me@elsewhere.example\"";
    assert!(refused(outside).contains("one of our own domains"));
}
