//! The authoritative servers of zones, each asked by itself.

use waxseal::{
    resolve::Clock,
    survey::{Depth, Scope},
};
use waxseal_core::{
    assess::{Against, Id, Servers, Severity, assess},
    domain::Domain,
    org::Terms,
};
use waxseal_lab::dns::rtype;

use super::{file::File, world::World};

fn file() -> File {
    let dead = |name: &str| format!("[zone.\"{name}\"]\nsigned = true\ndead_servers = true\n");
    let text = format!(
        "about = \"zones whose servers are down beside one with a server that is behind\"\n\
         second_server = [[\"_25._tcp.mx1.receiver.example\", \"TLSA\", \"no-data\"]]\n\
         [zone.\"receiver.example\"]\nsigned = true\nservers = true\n{}{}{}{}\
         [[host]]\nname = \"mx1.receiver.example\"\nmx = 10\ntlsa = [\"3 1 1 key\"]\n\
         [expect]\nlevel = \"none\"\nfindings = []\n",
        dead("one.example"),
        dead("two.example"),
        dead("three.example"),
        dead("four.example"),
    );
    toml::from_str(&text).unwrap()
}

async fn found(world: &World, domain: &str) -> Vec<(Id, Severity)> {
    let now = Clock::system().now();
    let domain = Domain::parse(domain).unwrap();
    let survey = world.surveyor.survey(&domain, &Scope::new(Depth::Full), now).await;
    let terms = Terms::default();
    let against =
        Against { roots: &world.roots, terms: &terms, before: None, testing_since: None, now };
    assess(&survey, &against).findings.iter().map(|one| (one.id, one.severity)).collect()
}

const UNREACHED: (Id, Severity) = (Id::NsUnreached, Severity::Info);
const DIVERGES: (Id, Severity) = (Id::TlsaNsDiverges, Severity::Error);

/// Attacker: a hostile domain on a list, whose servers are silent to us so that nobody notices what the
/// servers of the next one say.
#[tokio::test(flavor = "multi_thread")]
async fn a_zone_whose_servers_are_down_hides_nothing_of_the_next_one() {
    let world = World::start(&file()).await;
    for dead in ["one.example", "two.example"] {
        let told = found(&world, dead).await;
        assert!(told.contains(&UNREACHED), "{dead}: {told:?}");
    }
    let told = found(&world, "receiver.example").await;
    assert!(told.contains(&DIVERGES) && !told.contains(&UNREACHED), "{told:?}");
}

/// Which hosts each server names, so that one that leads mail elsewhere is told from the others.
#[tokio::test(flavor = "multi_thread")]
async fn each_server_is_heard_of_its_mail_hosts() {
    let world = World::start(&file()).await;
    let (name, now) = (Domain::parse("receiver.example").unwrap(), Clock::system().now());
    let survey = world.surveyor.survey(&name, &Scope::new(Depth::Full), now).await;
    let Servers::Asked(servers) = &survey.zone.servers else { panic!("{:?}", survey.zone) };
    assert_eq!(servers.len(), 2, "{servers:?}");
    let host = Some(Domain::parse("mx1.receiver.example").unwrap());
    for server in servers {
        let mx = server.answers.iter().find(|answer| answer.record_type == "MX").unwrap();
        assert_eq!((&mx.name, &mx.exchanges[..]), (&name, std::slice::from_ref(&host)));
        let others = server.answers.iter().filter(|answer| answer.record_type != "MX");
        assert!(others.into_iter().all(|answer| answer.exchanges.is_empty()), "{server:?}");
    }
}

/// Where the port is closed to us, a few zones show that, and the others are told so without the wait.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_port_is_said_and_not_passed_over() {
    let world = World::start(&file()).await;
    for dead in ["one.example", "two.example", "three.example"] {
        assert!(found(&world, dead).await.contains(&UNREACHED), "{dead}");
    }
    let told = found(&world, "receiver.example").await;
    assert!(told.contains(&UNREACHED) && !told.contains(&DIVERGES), "{told:?}");
}

/// Attacker: whoever runs one of the servers, whose signatures never hold. Keys that were kept from before may
/// be why, and are asked for anew; once, not once for each answer.
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_not_asked_for_anew_for_each_bogus_answer() {
    let hosts = ["mx1.receiver.example", "mx2.receiver.example"];
    let tables: Vec<_> = hosts
        .iter()
        .map(|host| format!("[[host]]\nname = \"{host}\"\nmx = 10\ntlsa = [\"3 1 1 key\"]\n"))
        .collect();
    let keys_asked_for = async |bad: &[(String, &str)]| {
        let damage: Vec<_> =
            bad.iter().map(|(name, rtype)| [&**name, *rtype, "break-signatures"]).collect();
        let text = format!(
            "about = \"a server whose signatures do not hold\"\nsecond_server = {damage:?}\n\
             [zone.\"receiver.example\"]\nsigned = true\nservers = true\n{}\
             [expect]\nlevel = \"none\"\nfindings = []\n",
            tables.concat()
        );
        let world = World::start(&toml::from_str(&text).unwrap()).await;
        let told = found(&world, "receiver.example").await;
        assert!(told.iter().any(|(id, _)| *id == Id::NsBogus), "{told:?}");
        world.asked(rtype::DNSKEY)
    };
    let domain = "receiver.example".to_owned();
    let one = keys_asked_for(&[(domain.clone(), "MX")]).await;
    let mut many = vec![(domain.clone(), "MX"), (domain, "TXT")];
    for host in hosts {
        let tlsa = format!("_25._tcp.{host}");
        many.extend([(host.to_owned(), "A"), (host.to_owned(), "AAAA"), (tlsa, "TLSA")]);
    }
    // Each would ask for the keys of three zones. A question that is asked twice because nobody answers in
    // time does not come near that.
    let most = one + 3 * (many.len() - 1) / 2;
    let many = keys_asked_for(&many).await;
    assert!(many < most, "{one} for one bogus answer, {many} for all");
}
