//! Who says where the mail of a domain of ours goes: name servers of before, or new ones.

use super::world::*;
use crate::{
    assess::{
        Delegation, NameServer, NameServers, ServerAnswer, Servers,
        change::{Change, Class, Keepers, Kind, relocated, strangers},
    },
    dns::Answer,
    domain::Domain,
    facts::Peer,
    pki::bench::NOW,
    time::UnixTime,
};

const OURS: &str = "mx.example.net";
const STRANGE: &str = "mx.attacker.example";
const ONE: Server<'_> = ("ns1.example.net", "192.0.2.53", Ok(OURS));
const TWO: Server<'_> = ("ns2.example.net", "198.51.100.53", Ok(OURS));
const NEW: Server<'_> = ("ns.elsewhere.example", "203.0.113.66", Ok(OURS));

/// Its name, its address, and the mail host that it names with signatures that hold.
type Server<'a> = (&'a str, &'a str, Result<&'a str, ()>);

fn name(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

/// A signed domain of ours: what our resolver says of its mail host, and what each server does.
fn look(resolver: &str, servers: &[Server<'_>]) -> World {
    let mut world = World::new();
    world.survey.hosts[0].host = name(resolver);
    world.facts(0).host = Peer::Name(name(resolver));
    let domain = world.survey.facts.destination.clone();
    let names = servers.iter().map(|(name, _, _)| server_name(name, "2001:db8::53")).collect();
    world.survey.name_servers = NameServers::Found(names);
    let told = |(server, address, says): &Server<'_>| NameServer {
        name: name(server),
        address: address.parse().unwrap(),
        answers: vec![ServerAnswer {
            name: domain.clone(),
            record_type: "MX".into(),
            digest: says.map(str::to_owned).map_err(|()| "it does not answer".into()),
            signed: true,
            bogus: None,
            records: 1,
            exchanges: says.iter().map(|host| Some(name(host))).collect(),
        }],
    };
    world.survey.zone.servers = Servers::Asked(servers.iter().map(told).collect());
    world
}

/// Looks at one domain, day after day.
#[derive(Default)]
struct Days {
    keepers: Keepers,
    before: Option<World>,
}

impl Days {
    fn new(servers: &[Server<'_>]) -> Self {
        let mut days = Self::default();
        assert_eq!(days.at(0, look(OURS, servers)), []);
        days
    }

    fn at(&mut self, day: u32, world: World) -> Vec<Change> {
        let at: UnixTime = NOW + DAY * day;
        let before = self.before.as_ref().map(|world| &world.survey);
        let found = strangers(before, &world.survey, &[name(OURS)], (&self.keepers, at));
        self.keepers.observe(&world.survey, at);
        self.before = Some(world);
        found
    }
}

#[track_caller]
fn only(found: &[Change]) -> Class {
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].after, STRANGE);
    found[0].class
}

/// Attacker: a thief of the account at the registrar, who puts a server of their own beside one of ours
/// and signs there with a key of their own: our resolver may be led away or not. What the server of ours
/// says is another thing, or does not hold with the new keys, or it is silent.
#[test]
fn a_thief_at_the_registrar_who_keeps_an_old_name_server_is_told_as_one() {
    let thief = (NEW.0, NEW.1, Ok(STRANGE));
    let silent = (ONE.0, ONE.1, Err(()));
    for old in [ONE, silent] {
        for resolver in [OURS, STRANGE] {
            let found = Days::new(&[ONE, TWO]).at(1, look(resolver, &[old, thief]));
            assert_eq!(only(&found), Class::LikelyAttack);
            assert!(found[0].because.contains("not there a month ago"), "{found:?}");
            assert!(found[0].because.contains("look at the account at the registrar"), "{found:?}");
            assert!(found[0].because.contains("If this was you: add mx.attacker.example"));
        }
    }
    // The zone above alone names the server, or the answer of the old one no longer holds.
    let mut hidden = look(OURS, &[ONE, thief]);
    hidden.survey.name_servers = NameServers::Found(vec![server_name(ONE.0, "2001:db8::53")]);
    let above_only = vec![name(NEW.0)];
    hidden.survey.zone.delegation = Delegation::Compared { above_only, zone_only: Vec::new() };
    assert_eq!(only(&Days::new(&[ONE, TWO]).at(1, hidden)), Class::LikelyAttack);
    let mut bogus = look(STRANGE, &[(ONE.0, ONE.1, Ok(STRANGE)), thief]);
    if let Servers::Asked(servers) = &mut bogus.survey.zone.servers {
        servers[0].answers[0].bogus = Some("no key of the DS".into());
    }
    assert_eq!(only(&Days::new(&[ONE, TWO]).at(1, bogus)), Class::LikelyAttack);
}

/// Attacker: the same thief, who leaves the DS records of the signed zone as they are, so that nothing of what
/// his server says holds. Whoever validates asks the other; whoever does not is led away.
#[test]
fn a_thief_at_the_registrar_who_does_not_care_to_sign_is_told_as_one() {
    let mut beside = look(OURS, &[ONE, TWO, (NEW.0, NEW.1, Ok(STRANGE))]);
    if let Servers::Asked(servers) = &mut beside.survey.zone.servers {
        servers[2].answers[0].bogus = Some("no signature".into());
    }
    assert_eq!(only(&Days::new(&[ONE, TWO]).at(1, beside)), Class::LikelyAttack);
}

/// Attacker: the same thief, whose server has no MX record, so that mail goes to the address of the domain
/// itself (RFC 5321 §5.1).
#[test]
fn a_thief_who_takes_the_mx_records_away_is_told_as_one() {
    let mut implied = look(OURS, &[ONE, NEW]);
    if let Servers::Asked(servers) = &mut implied.survey.zone.servers {
        let answer = &mut servers[1].answers[0];
        (answer.records, answer.exchanges) = (0, Vec::new());
    }
    let found = Days::new(&[ONE, TWO]).at(1, implied);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].class, found[0].after.as_str()), (Class::LikelyAttack, "example.com"));
}

/// Attacker: a thief at the registrar who changes glue, after port 53 was closed to us for longer than
/// addresses are remembered. Whoever answers then is not taken for who always did.
#[test]
fn a_month_without_answers_makes_nobody_an_old_server() {
    let inside = "ns1.example.com";
    let mut days = Days::new(&[(inside, "192.0.2.53", Ok(OURS))]);
    for day in [20, 40, 60] {
        let mut closed = look(OURS, &[(inside, "192.0.2.53", Ok(OURS))]);
        closed.survey.zone.servers = Servers::Unreached("port 53 is closed".into());
        assert_eq!(days.at(day, closed), []);
    }
    let thief = look(OURS, &[(inside, "203.0.113.66", Ok(OURS))]);
    assert_eq!(days.at(80, thief), []);
    let moved = look(STRANGE, &[(inside, "203.0.113.66", Ok(STRANGE))]);
    assert_eq!(only(&days.at(81, moved)), Class::LikelyAttack);
}

/// Attacker: a thief at the registrar who leaves the names of servers inside the zone as they are, and gives
/// them other addresses (glue). An operator who moves a server with a name of their own is none.
#[test]
fn other_addresses_of_servers_inside_the_zone_are_other_servers() {
    let at = |name, address, says| look(says, &[(name, address, Ok(says))]);
    let inside = "ns1.example.com";
    let mut days = Days::new(&[(inside, "192.0.2.53", Ok(OURS))]);
    assert_eq!(only(&days.at(1, at(inside, "203.0.113.66", STRANGE))), Class::LikelyAttack);
    let mut days = Days::new(&[ONE]);
    assert_eq!(only(&days.at(1, at(ONE.0, "203.0.113.66", STRANGE))), Class::Weakening);
}

/// Attacker: a thief at the registrar who first adds a server that says the same, and waits until nobody
/// looks at it any more. A month is how long we look.
#[test]
fn a_server_that_was_added_within_a_month_is_a_new_one() {
    let thief = (NEW.0, NEW.1, Ok(STRANGE));
    for (day, class) in [(28, Class::LikelyAttack), (32, Class::Weakening)] {
        let mut days = Days::new(&[ONE, TWO]);
        for before in 1..day {
            assert_eq!(days.at(before, look(OURS, &[ONE, NEW])), []);
        }
        assert_eq!(only(&days.at(day, look(STRANGE, &[ONE, thief]))), class, "{day}");
    }
}

/// An administrator moves to another DNS provider: the new servers beside the old ones, then alone, with
/// the same records. Nobody hears of it. A mail host that all of them name and we forgot to list is not
/// called an attack.
#[test]
fn a_move_to_another_dns_provider_is_no_alarm() {
    let mut days = Days::new(&[ONE, TWO]);
    assert_eq!(days.at(1, look(OURS, &[ONE, TWO, NEW])), []);
    let forgotten = [ONE, NEW].map(|(name, address, _)| (name, address, Ok(STRANGE)));
    assert_eq!(only(&days.at(2, look(STRANGE, &forgotten))), Class::Weakening);
    assert_eq!(days.at(3, look(OURS, &[ONE, NEW])), []);
    assert_eq!(days.at(4, look(OURS, &[NEW])), []);
    // The old provider is slow: it still has the records of before, which name our host.
    let mut days = Days::new(&[ONE, TWO]);
    let late = (ONE.0, ONE.1, Ok("old.example.net"));
    assert_eq!(days.at(1, look(OURS, &[late, NEW])), []);
}

/// Past the limit: a domain of ours whose servers change all the time. The oldest are remembered.
#[test]
fn only_so_many_servers_are_remembered() {
    let mut days = Days::new(&[ONE]);
    for round in 0..20 {
        let names: Vec<_> = (0..13).map(|n| format!("ns{n}.round{round}.example")).collect();
        let addresses: Vec<_> = (0..13).map(|n| format!("203.0.{round}.{n}")).collect();
        let pairs = names.iter().zip(&addresses);
        let servers: Vec<_> = pairs.map(|(one, other)| (&**one, &**other, Ok(OURS))).collect();
        assert_eq!(days.at(1, look(OURS, &servers)), []);
    }
    let kept = serde_json::to_value(&days.keepers).unwrap();
    assert_eq!(kept["names"].as_object().unwrap().len(), 64);
    assert_eq!(kept["addresses"].as_object().unwrap().len(), 64);
    let thief = (NEW.0, NEW.1, Ok(STRANGE));
    assert_eq!(only(&days.at(2, look(STRANGE, &[ONE, thief]))), Class::LikelyAttack);
    let forgotten = (ONE.0, ONE.1, Ok(STRANGE));
    assert_eq!(only(&days.at(2, look(STRANGE, &[forgotten, thief]))), Class::Weakening);
}

const HOST: &str = "mx.example.com";

/// A domain of ours with its mail host within it: each server says that it is at these addresses, and so
/// does our resolver.
fn within(servers: &[(&str, &str)], digest: &str, key: &[Vec<u8>], at: &[&str]) -> World {
    let servers: Vec<_> =
        servers.iter().map(|(name, address)| (*name, *address, Ok(HOST))).collect();
    let mut world = look(HOST, &servers);
    let mut survey = host_survey(HOST, key);
    survey.zone.zone = world.survey.zone.zone.clone();
    survey.addresses = at.iter().map(|at| address(at, session(key))).collect();
    survey.zone.servers = world.survey.zone.servers.clone();
    if let Servers::Asked(servers) = &mut survey.zone.servers {
        for answer in servers.iter_mut().flat_map(|server| &mut server.answers) {
            answer.name = name(HOST);
            answer.record_type = "A".into();
            answer.digest = Ok(digest.into());
            answer.exchanges.clear();
        }
    }
    world.survey.hosts = vec![survey];
    let mut facts = host_facts(HOST, 10, vec![tlsa(key)]);
    if let Answer::Found { value, .. } = &mut facts.addresses {
        *value = at.iter().map(|at| ip(at)).collect();
    }
    world.survey.facts.hosts = vec![facts];
    world
}

/// Attacker: a thief at the registrar, who delegates the domain anew and leaves the MX records as they are:
/// the host in them is his, with signed addresses, TLSA records and a certificate. Harmless are another
/// DNS provider, another address at the servers of before, and both where the key comes along.
#[test]
fn a_thief_at_the_registrar_who_leaves_the_mx_records_is_told() {
    let (old, new) = ([(ONE.0, ONE.1)], [(NEW.0, NEW.1)]);
    let (ours, other) = (&certificates().good[..], &certificates().other[..]);
    let (here, there) = ([FOUR], ["203.0.113.25"]);
    let before = within(&old, "aa", ours, &here);
    let told = |after: &World, day: u32| {
        let mut keepers = Keepers::default();
        keepers.observe(&before.survey, NOW);
        let at = NOW + DAY * day;
        let found = relocated(&before.survey, &after.survey, (&keepers, at));
        assert!(found.iter().all(|change| change.kind == Kind::Addresses), "{found:?}");
        found.into_iter().map(|change| (change.subject, change.class)).collect::<Vec<_>>()
    };
    let attack = [(HOST.to_owned(), Class::LikelyAttack)];
    assert_eq!(told(&within(&new, "bb", other, &there), 1), attack);
    // An address beside that of before, an old server that says otherwise, a zone for the host alone.
    assert_eq!(told(&within(&new, "bb", other, &[FOUR, there[0]]), 1), attack);
    let mut beside = within(&[old[0], new[0]], "bb", other, &there);
    if let Servers::Asked(servers) = &mut beside.survey.hosts[0].zone.servers {
        servers[0].answers[0].digest = Ok("aa".into());
    }
    assert_eq!(told(&beside, 1), attack);
    let mut cut = within(&[old[0], new[0]], "bb", other, &there);
    cut.survey.hosts[0].zone.zone = name(HOST);
    assert_eq!(told(&cut, 1), attack);

    assert_eq!(told(&within(&new, "aa", ours, &here), 1), [], "another DNS provider");
    assert_eq!(told(&within(&new, "aa", other, &here), 1), [], "and a renewed certificate");
    assert_eq!(told(&within(&old, "bb", other, &there), 1), [], "our own zone says so");
    assert_eq!(told(&within(&new, "bb", ours, &there), 1), [], "the host took its key along");
    assert_eq!(told(&within(&[old[0], new[0]], "bb", other, &there), 1), [], "so do old servers");
}
