//! Attackers of whom a mail host itself tells, or the way to it.

use waxseal_core::assess::{AddressSurvey, Contact, HostSurvey, Probe, StartTlsSeen};

use super::*;

/// Attacker: on the path, takes STARTTLS out and keeps us from the policy host, of the only domain that is
/// watched, so that the gateway takes its own way out for broken. What the mail host itself said was
/// seen: it is told, and what follows from it.
#[test]
fn what_a_mail_host_said_is_told_though_nothing_else_can_be_seen() {
    let (mut survey, mut assessment) = signed(NOW + DAY * 30, &[], NOW);
    survey.policy.served = Some(Err(StsFailure::Unreached("no route".into())));
    survey.hosts = vec![spoken(StartTlsSeen::Ready)];
    assessment.level = Some(Level::Encrypted);
    let mut history = History::new(Whose::Partner);
    history.observe(&survey, &assessment, &GIVEN);
    let mut stripped = survey.clone();
    stripped.hosts = vec![spoken(StartTlsSeen::NotOffered)];
    (assessment.level, assessment.delivery) = (Some(Level::Cleartext), Delivery::Refuses);
    let given = Given { vantage: Vantage::Blind, ..GIVEN };
    let told = |history: &mut History, survey: &Survey| {
        let looks = (0..3).filter_map(|_| history.observe(survey, &assessment, &given).alert);
        let mut kinds: Vec<_> = looks
            .flat_map(|alert| alert.raised)
            .map(|change| (change.kind, change.class))
            .collect();
        kinds.sort_unstable();
        kinds
    };
    let weaker = [Kind::Level, Kind::Delivery, Kind::Starttls].map(|kind| (kind, Class::Weakening));
    assert_eq!(told(&mut history, &stripped), weaker);

    // The twin: the mail host was not reached either, and nothing is told.
    let mut cut = survey.clone();
    cut.hosts.clear();
    let mut history = History::new(Whose::Partner);
    let mut before = assessment.clone();
    (before.level, before.delivery) = (Some(Level::Encrypted), Delivery::Delivers);
    history.observe(&survey, &before, &GIVEN);
    assert_eq!(told(&mut history, &cut), []);
}

/// Attacker: on the path to a mail host, takes STARTTLS out; and when that was told, or before, answers with
/// what is no SMTP, or not at all. Nobody saw that STARTTLS is back: it is not over, and what was begun to
/// be counted goes on.
#[test]
fn a_host_that_says_nothing_ends_no_alarm() {
    let silent = [
        (Contact::Misbehaved("the banner has no end".into()), Id::MxMisbehaved),
        // A warning where another address of the host answers.
        (Contact::Unreachable("no answer".into()), Id::MxUnreachable),
    ];
    for (contact, id) in silent {
        let (mut survey, mut assessment) = signed(NOW + DAY * 30, &[], NOW);
        survey.hosts = vec![spoken(StartTlsSeen::Ready)];
        let mut stripped = survey.clone();
        stripped.hosts = vec![spoken(StartTlsSeen::NotOffered)];
        let mut hidden = survey.clone();
        hidden.hosts = vec![at_host(contact)];
        let finding = Finding {
            id,
            severity: Severity::Warning,
            subject: "mx.partner.example [192.0.2.1]".into(),
            evidence: "seen".into(),
            fix: "mend it".into(),
        };
        let mut history = History::new(Whose::Partner);
        history.observe(&survey, &assessment, &GIVEN);
        let mut told = Vec::new();
        for _ in 0..3 {
            assessment.findings.clear();
            told.extend(history.observe(&stripped, &assessment, &GIVEN).alert);
            assessment.findings = vec![finding.clone()];
            told.extend(history.observe(&hidden, &assessment, &GIVEN).alert);
        }
        assert_eq!(told.len(), 1, "{id}: {told:?}");
        assert_eq!(told[0].raised[0].kind, Kind::Starttls);
        for _ in 0..9 {
            assert_eq!(history.observe(&hidden, &assessment, &GIVEN).alert, None, "{id}");
        }
        assessment.findings.clear();
        assert_eq!(history.observe(&survey, &assessment, &GIVEN).alert, None);
        let over = history.observe(&survey, &assessment, &GIVEN).alert.unwrap();
        assert_eq!((over.raised.len(), over.cleared.len()), (0, 1), "{over:?}");
    }
}

/// A mail host that spoke with us.
fn spoken(starttls: StartTlsSeen) -> HostSurvey {
    let (greeting, keywords) = ("220 mx.partner.example".into(), Vec::new());
    at_host(Contact::Spoke { greeting, keywords, starttls })
}

/// A mail host of which this was seen.
fn at_host(contact: Contact) -> HostSurvey {
    let probe = Probe {
        at: NOW,
        contact,
        keywords_in_tls: None,
        handshakes: Vec::new(),
        legacy: None,
        weak: None,
    };
    HostSurvey {
        host: Domain::parse("mx.partner.example").unwrap(),
        alias: None,
        zone: survey(0).zone,
        tlsa_ttl: None,
        denial_fault: None,
        aaaa_fault: None,
        aaaa_open: None,
        orphans: Vec::new(),
        tlsrpt: Published::NotAsked,
        caa: Published::NotAsked,
        addresses: vec![AddressSurvey {
            ip: "192.0.2.1".parse().unwrap(),
            observed: Observed::Probed(Box::new(probe)),
        }],
    }
}

/// Attacker: a thief of the account at the registrar, who delegates a domain of ours anew, leaves the MX
/// records and signs another address of the host. Told at the second look; another DNS provider alone,
/// and another address alone, are no news.
#[test]
fn a_mail_host_that_moved_with_the_name_servers_is_a_likely_attack() {
    let look = |server: &str, address: &str| {
        let (mut survey, assessment) = signed(NOW + DAY * 30, &[], NOW);
        let name = |text: &str| Domain::parse(text).unwrap();
        survey.name_servers = NameServers::Found(vec![ServerName {
            name: name(server),
            ipv6: Ok(vec!["2001:db8::53".parse().unwrap()]),
        }]);
        survey.hosts = vec![spoken(StartTlsSeen::Ready)];
        survey.hosts[0].addresses[0].ip = address.parse().unwrap();
        survey.facts.hosts = vec![HostFacts {
            host: Peer::Name(name("mx.partner.example")),
            preference: 10,
            port: 25,
            addresses: Answer::Found {
                value: vec![address.parse().unwrap()],
                authenticity: Authenticity::Secure,
                expires: NOW + DAY,
                chain: None,
            },
            refused: Vec::new(),
            expanded: None,
            dane: Dane::Absent(waxseal_core::facts::NoTlsa::Denied),
        }];
        (survey, assessment)
    };
    let told = |server: &str, address: &str| {
        let mut history = History::new(Whose::Own);
        let (survey, assessment) = look("ns1.provider.example", "192.0.2.1");
        history.observe(&survey, &assessment, &GIVEN);
        let (survey, assessment) = look(server, address);
        let mut looks = (0..3).map(|_| history.observe(&survey, &assessment, &GIVEN).alert);
        let alert = looks.position(|alert| {
            alert.is_some_and(|alert| {
                let [change] = &alert.raised[..] else { panic!("{alert:?}") };
                (change.kind, change.class) == (Kind::Addresses, Class::LikelyAttack)
            })
        });
        (alert, history.changes.len())
    };
    assert_eq!(told("ns.thief.example", "203.0.113.25"), (Some(1), 1));
    assert_eq!(told("ns.thief.example", "192.0.2.1"), (None, 0));
    assert_eq!(told("ns1.provider.example", "203.0.113.25").0, None);
}
