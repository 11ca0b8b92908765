use std::{collections::BTreeSet, time::Duration};

use waxseal_core::{domain::Domain, time::UnixTime};

use super::{Whose, schedule::Schedule};
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
    std::iter::from_fn(|| schedule.take(until)).collect()
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
    assert_eq!(schedule.take(NOW + DAY * 9), None, "none is in hand twice");
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
    assert!(refused("host_timeout = \"10s\"").contains("at least `timeout`"));
    assert!(refused("host_timeout = \"11m\"").contains("at most 10m"));
    assert!(refused("domain_timeout = \"1m\"").contains("at least `host_timeout`"));
    assert!(refused("domain_timeout = \"61m\"").contains("at most 1h"));
    let outside = "mail = true\n[author]\npostmaster = \"me@elsewhere.example\"";
    assert!(refused(outside).contains("one of our own domains"));
}
