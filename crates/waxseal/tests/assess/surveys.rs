//! The surveyor that a configuration comes to, in the lab's little Internet.

use std::{sync::Arc, time::Duration};

use waxseal::{
    config::Config,
    gather::Forgetful,
    resolve::Clock,
    serve::{Around, Parts},
    survey::{Depth, Scope, probe::Memory},
};
use waxseal_core::{
    assess::{
        Against, Contact, Delivery, Id, KeyKind, Observed, Probe, Published, Severity, Signing,
        StartTlsSeen, Survey, Tried, Unprobed, assess,
    },
    domain::Domain,
    org::Terms,
};
use waxseal_lab::{
    lab::{Lab, Pinning},
    site::{Attack, Protection},
};

use super::{file::File, world};

struct World {
    lab: Lab,
    parts: Parts,
    _folder: tempfile::TempDir,
}

impl World {
    async fn start(cells: &[(Protection, Attack)]) -> Self {
        let lab = Lab::start(cells, &["one", "two"]).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let text = lab.configuration(folder.path(), Pinning::Unknown).unwrap();
        let file = folder.path().join("waxseal.toml");
        std::fs::write(&file, text).unwrap();
        let config = Config::load(&file).unwrap();
        let now = Clock::system().now();
        let policies = Arc::new(Forgetful::default());
        let around =
            Around { policies, probes: Memory::default(), exceptions: Vec::new(), mark: None, now };
        let parts = Parts::build(config, around, None).unwrap();
        Self { lab, parts, _folder: folder }
    }

    async fn survey(&self, site: usize, mailbox: usize, depth: Depth) -> Survey {
        let domain = Domain::parse(&self.lab.sites()[site].domains()[mailbox]).unwrap();
        let now = Clock::system().now();
        self.parts.surveyor.survey(&domain, &Scope::new(depth), now).await
    }
}

fn probes(survey: &Survey) -> Vec<&Probe> {
    let addresses = survey.hosts.iter().flat_map(|host| &host.addresses);
    addresses
        .filter_map(|address| match &address.observed {
            Observed::Probed(probe) => Some(&**probe),
            Observed::Not(_) => None,
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_with_dane_is_surveyed_to_its_certificate() {
    let world = World::start(&[(Protection::Dane, Attack::Nobody)]).await;
    let survey = world.survey(0, 0, Depth::Full).await;
    assert!(matches!(survey.zone.signing, Signing::Signed { .. }), "{:?}", survey.zone);
    assert_eq!(survey.mx.records, 1);
    let [host] = &survey.hosts[..] else { panic!("{:?}", survey.hosts) };
    assert_eq!(host.tlsa_ttl.map(|ttl| ttl.as_secs()), Some(300));
    assert_eq!((&host.denial_fault, &host.aaaa_fault), (&None, &None));
    assert_eq!(host.addresses.len(), 2, "IPv4 and IPv6");
    for probe in probes(&survey) {
        let Contact::Spoke { starttls: StartTlsSeen::Ready, keywords, .. } = &probe.contact else {
            panic!("{probe:?}")
        };
        assert!(keywords.iter().any(|word| word.as_str() == "STARTTLS"));
        assert!(probe.keywords_in_tls.is_some());
        let kinds: Vec<_> = probe.handshakes.iter().map(|one| (one.key, &one.tried)).collect();
        let [(KeyKind::Rsa, Tried::NoSuchKey), (KeyKind::Ecdsa, Tried::Session(session)), last] =
            &kinds[..]
        else {
            panic!("{kinds:?}")
        };
        assert_eq!(*last, (KeyKind::Ed25519, &Tried::NoSuchKey));
        assert_eq!(session.group.as_deref(), Some("X25519MLKEM768"));
        assert_eq!(probe.legacy, Some(Vec::new()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_survey_of_dns_alone_connects_to_no_mail_host() {
    let world = World::start(&[(Protection::Dane, Attack::Nobody)]).await;
    let survey = world.survey(0, 0, Depth::DnsOnly).await;
    let addresses = &survey.hosts[0].addresses;
    let unasked = Observed::Not(Unprobed::DnsOnly);
    assert!(addresses.len() == 2 && addresses.iter().all(|one| one.observed == unasked));
}

/// Politeness: what was seen of a mail host is shared between the domains that it serves.
#[tokio::test(flavor = "multi_thread")]
async fn two_domains_at_one_host_cost_one_probe() {
    let world = World::start(&[(Protection::Opportunistic, Attack::Nobody)]).await;
    let (one, two) = tokio::join!(world.survey(0, 0, Depth::Full), world.survey(0, 1, Depth::Full));
    assert_eq!(probes(&one), probes(&two));
    assert!(!probes(&one).is_empty());
}

/// An administrator's script that reloads every minute: nobody is asked again for that.
#[tokio::test(flavor = "multi_thread")]
async fn a_reload_asks_no_mail_host_again() {
    let world = World::start(&[(Protection::Opportunistic, Attack::Nobody)]).await;
    let before = world.survey(0, 0, Depth::Full).await;
    let now = Clock::system().now() + Duration::from_secs(60);
    let policies = Arc::new(Forgetful::default());
    let around =
        Around { policies, probes: Memory::default(), exceptions: Vec::new(), mark: None, now };
    let next = Parts::build(world.parts.config.clone(), around, Some(&world.parts)).unwrap();
    let scope = Scope::new(Depth::Full);
    let after = next.surveyor.survey(&before.facts.destination, &scope, now).await;
    assert_eq!(probes(&before), probes(&after));
    assert!(!probes(&before).is_empty());
}

/// Attacker: a hostile recipient domain whose hosts take every connection and never greet: twenty of
/// them would keep us for hours. What was seen is kept, and what was not is unknown.
#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_never_answer_do_not_keep_a_survey_longer_than_its_time() {
    let mut text = String::from("[zone.\"receiver.example\"]\nsigned = true\n");
    text.push_str("records = [\"@ TXT v=spf1 -all\"]\n");
    for number in 1..=4 {
        text.push_str(&format!(
            "[[host]]\nname = \"mx{number}.receiver.example\"\nmx = 10\n\
             fault = [\"greeting\", \"silence\"]\n"
        ));
    }
    text.push_str("[expect]\nlevel = \"none\"\nfindings = []\n");
    let file: File = toml::from_str(&format!("about = \"tarpits\"\n{text}")).unwrap();
    let world = world::World::start(&file).await;
    let domain = Domain::parse("receiver.example").unwrap();
    let now = Clock::system().now();
    // Long enough for DNS on a busy machine.
    let scope = Scope { patience: Duration::from_secs(4), ..Scope::new(Depth::Full) };
    let began = std::time::Instant::now();
    let survey = world.surveyor.survey(&domain, &scope, now).await;
    // One connection alone may take 8 s here, and all hosts are of one operator.
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    for host in &survey.hosts {
        let observed = &host.addresses[0].observed;
        assert_eq!(*observed, Observed::Not(Unprobed::OutOfTime), "{}", host.host);
    }
    assert_eq!(survey.hosts.len(), 4);
    assert!(matches!(survey.zone.signing, Signing::Signed { .. }), "{:?}", survey.zone);
    assert!(matches!(survey.mail.spf, Published::Found { .. }), "{:?}", survey.mail.spf);
    assert!(survey.unasked[0].starts_with("mx1.receiver.example ["), "{:?}", survey.unasked);
    let terms = Terms::default();
    let against =
        Against { roots: &world.roots, terms: &terms, before: None, testing_since: None, now };
    let assessment = assess(&survey, &against);
    assert_eq!((assessment.level, assessment.delivery), (None, Delivery::Unknown));
    let cut = assessment.findings.iter().find(|one| one.id == Id::CutShort).unwrap();
    assert_eq!(cut.severity, Severity::Unknown);
}
