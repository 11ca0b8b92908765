use std::time::Duration;

use waxseal_core::{
    assess::{
        Against, Delegation, DkimKey, Finding, MailRecords, MxSurvey, NameServer, NameServers,
        OwnKey, PolicySurvey, Published, ServerAnswer, ServerName, Signing, UnusedHost, ZoneSurvey,
        assess, change::Open,
    },
    dns::{Absence, Answer, Authenticity, FailureKind, LookupFailure},
    facts::{Dane, Facts, HostFacts, MxFact, Peer},
    org::Terms,
    sts::{MxPattern, Policy},
};

use super::*;

mod led_away;

const NOW: UnixTime = UnixTime(1_800_000_000);
const DAY: Duration = Duration::from_hours(24);
const GIVEN: Given<'static> =
    Given { repeat: DAY, ours: &[], vantage: Vantage::Clear, sightings: &[] };

/// Attacker who strips STARTTLS for a month, stops, and begins again a year later: the first time
/// is told and becomes what is usual after 30 days; the second time is told too.
#[test]
fn what_became_usual_is_told_when_it_comes_back() {
    let change = Change {
        kind: Kind::Starttls,
        subject: "mx.partner.example".to_owned(),
        before: "offered".to_owned(),
        after: "not offered".to_owned(),
        class: Class::LikelyAttack,
        because: "somebody may strip it".to_owned(),
        weight: Weight::Conclusive,
    };
    let stripped = |history: &mut History, at: UnixTime| {
        let open = Open { change: change.clone(), since: at, seen: 2, gone: 0, raised: true };
        history.watch.open = vec![open];
        history.announce(&[], DAY, at).raised
    };
    let mut history = History::default();
    assert_eq!(stripped(&mut history, NOW), std::slice::from_ref(&change));
    assert_eq!(stripped(&mut history, NOW + DAY), [], "told once");
    let month = NOW + TERM + DAY;
    let mut old = survey(0);
    old.facts.at = NOW;
    history.observe(&old, &assessed(&old), &GIVEN);
    history.watch.open =
        vec![Open { change: change.clone(), since: NOW, seen: 2, gone: 0, raised: true }];
    let look = Baseline { assessment: assessed(&old), survey: old };
    history.advance(Some(look), month, Sight::Whole);
    assert!(history.watch.open.is_empty());
    history.announce(&[], DAY, month + DAY);
    assert_eq!(stripped(&mut history, NOW + DAY * 365), std::slice::from_ref(&change));
}

/// A clock that was years ahead and was set right: what was told and over then is told when it comes back.
#[test]
fn what_was_told_in_the_future_is_told_again() {
    let change = Change {
        kind: Kind::Dmarc,
        subject: "partner.example".to_owned(),
        before: "reject".to_owned(),
        after: "none".to_owned(),
        class: Class::Weakening,
        because: "the record asks for less".to_owned(),
        weight: Weight::Ordinary,
    };
    let mut history = History::default();
    let mut told = |open: bool, at: UnixTime| {
        let raised = |gone| Open { change: change.clone(), since: at, seen: 3, gone, raised: true };
        history.watch.open = open.then(|| raised(0)).into_iter().collect();
        let events = [Event::Cleared(change.clone())];
        let events = if open { &[][..] } else { &events[..] };
        history.announce(events, DAY, at).raised.len()
    };
    let ahead = NOW + DAY * 3_650;
    assert_eq!((told(true, ahead), told(false, ahead), told(true, ahead)), (1, 0, 0));
    told(false, ahead);
    assert_eq!((told(true, NOW), told(true, NOW)), (1, 0), "once");
}

/// Hostile file or insider: a domain of ours with as many faults at once as are watched. Each is told once, and
/// not again with every look.
#[test]
fn as_many_alarms_as_are_watched_are_told_once() {
    let open = |nth: usize| Open {
        change: Change {
            kind: Kind::Starttls,
            subject: format!("mx{nth}.partner.example"),
            before: "STARTTLS".to_owned(),
            after: "no STARTTLS".to_owned(),
            class: Class::Weakening,
            because: "it vanished".to_owned(),
            weight: Weight::Ordinary,
        },
        since: NOW,
        seen: 3,
        gone: 0,
        raised: true,
    };
    // What changed, what stands, and what is not seen.
    let all: Vec<_> = (0..3 * 64).map(open).collect();
    let mut told = Told::default();
    assert_eq!(told.news(all.iter(), &[], DAY, NOW).raised.len(), all.len());
    for hour in 1..4 {
        let at = NOW + Duration::from_hours(hour);
        assert_eq!(told.news(all.iter(), &[], DAY, at).raised.len(), 0);
    }
}

/// A domain without hosts, and with so much text in its answers.
fn survey(octets: usize) -> Survey {
    let name = Domain::parse("partner.example").unwrap();
    let failure = LookupFailure {
        name: (&name).into(),
        kind: FailureKind::Timeout,
        detail: "x".repeat(octets),
    };
    Survey {
        facts: Facts {
            destination: name.clone(),
            at: NOW,
            mx: MxFact::Failed(failure),
            hosts: Vec::new(),
            sts: StsFact::NotAsked,
            witnesses: Vec::new(),
        },
        mx: MxSurvey::default(),
        zone: ZoneSurvey {
            delegation: Delegation::NotAsked,
            zone: name,
            signing: Signing::NotAsked,
            servers: Servers::NotAsked("it is a test".into()),
        },
        name_servers: waxseal_core::assess::NameServers::NotAsked,
        hosts: Vec::new(),
        policy: PolicySurvey::default(),
        tlsrpt: Published::NotAsked,
        report_targets: Vec::new(),
        mail: MailRecords::default(),
        unasked: Vec::new(),
    }
}

fn assessed(survey: &Survey) -> Assessment {
    let terms = Terms::default();
    let (before, testing_since, now) = (None, None, survey.facts.at);
    assess(survey, &Against { roots: &[], terms: &terms, before, testing_since, now })
}

/// Attacker: a hostile partner domain whose answers are too large to be kept, day after day, from the
/// first look on. It is told once, not every day, and when it is over.
#[test]
fn a_domain_that_is_always_too_large_is_told_once() {
    let mut history = History::new(Whose::Partner);
    let mut told = 0;
    let mut look = |day: u32, octets: usize| {
        let mut survey = survey(octets);
        survey.facts.at = NOW + DAY * day;
        history.observe(&survey, &assessed(&survey), &GIVEN).alert
    };
    for day in 0..90 {
        told += usize::from(look(day, LARGEST).is_some_and(|alert| !alert.raised.is_empty()));
    }
    assert_eq!(told, 1);
    let over = (90..93).find_map(|day| look(day, 10)).unwrap();
    assert!(over.raised.is_empty() && over.cleared.len() == 1, "{over:?}");
}

/// Attacker: a hostile partner domain that never ends to answer, and shows one thing more each time. A
/// look that was cut short ends nothing that is watched.
#[test]
fn a_look_that_was_cut_short_is_partial_each_time() {
    let mut history = History::new(Whose::Partner);
    let mut cut = survey(10);
    cut.unasked = vec!["the name servers of partner.example".into()];
    for _ in 0..3 {
        history.observe(&cut, &assessed(&cut), &GIVEN);
    }
    assert!(history.looks.iter().all(|glance| glance.certainty == Sight::Partial), "{history:?}");
}

/// Attacker: a hostile partner domain whose policy lists names that resolve now and then. They are no
/// mail hosts: no look is partial for them, and nothing of them is kept.
#[test]
fn what_a_policy_lists_beside_the_mail_hosts_is_in_no_comparison() {
    let mut history = History::new(Whose::Partner);
    for day in 0..3_u32 {
        let mut survey = survey(10);
        survey.facts.at = NOW + DAY * day;
        let name = Domain::parse(&format!("mx{day}.partner.example")).unwrap();
        let mx = vec![MxPattern::Host(name.clone())];
        let policy = Policy { mode: Mode::Enforce, mx, max_age: DAY };
        survey.policy.served = Some(Ok(policy));
        let (kind, detail) = (FailureKind::Timeout, "no answer".to_owned());
        let failure = LookupFailure { name: (&name).into(), kind, detail };
        let facts = HostFacts {
            host: Peer::Name(name.clone()),
            preference: 0,
            port: 25,
            addresses: Answer::Failed(failure.clone()),
            refused: Vec::new(),
            expanded: None,
            dane: Dane::LookupFailed(failure),
        };
        let host = UnusedHost { host: name, facts, unregistered: None, addresses: Vec::new() };
        survey.policy.unused.hosts.push(host);
        let assessment = assessed(&survey);
        let unknown =
            |one: &&Finding| (one.id, one.severity) == (Id::StsMxUnused, Severity::Unknown);
        assert_eq!(assessment.findings.iter().filter(unknown).count(), 1);
        history.observe(&survey, &assessment, &GIVEN);
    }
    assert!(history.looks.iter().all(|glance| glance.certainty == Sight::Whole), "{history:?}");
    let kept = &history.baseline.as_ref().unwrap().survey.policy.unused;
    assert_eq!(*kept, Unused::default());
}

/// Whatever is suspicious is counted as long as it lasts, and no longer.
#[test]
fn suspicious_looks_are_counted_until_it_is_over() {
    let open = |subject: &str| Open {
        change: Change {
            kind: Kind::Starttls,
            subject: subject.to_owned(),
            before: "offered".to_owned(),
            after: "not offered".to_owned(),
            class: Class::LikelyAttack,
            because: "somebody may strip it".to_owned(),
            weight: Weight::Ordinary,
        },
        since: NOW,
        seen: 1,
        gone: 0,
        raised: false,
    };
    let mut history = History::new(Whose::Partner);
    let mut cut = survey(10);
    history.observe(&cut, &assessed(&cut), &GIVEN);
    assert_eq!(history.suspicious_looks(), 0);
    // Not seen to its end, so that nothing is refuted.
    cut.unasked = vec!["a host".into()];
    history.watch.open = vec![open("mx1.partner.example")];
    for row in 1..4 {
        history.observe(&cut, &assessed(&cut), &GIVEN);
        assert_eq!(history.suspicious_looks(), row);
    }
    cut.unasked.clear();
    history.observe(&cut, &assessed(&cut), &GIVEN);
    assert_eq!((history.suspicious_looks(), history.is_suspicious()), (0, false));
}

/// An own domain and the looks at it, a minute apart.
struct Own {
    history: History,
    now: UnixTime,
}

impl Own {
    fn new() -> Self {
        Self { history: History::new(Whose::Own), now: NOW }
    }

    /// A look that finds this: how delivery stands, and these findings.
    fn look(&mut self, delivery: Delivery, findings: &[(Id, Severity)]) -> Option<Alert> {
        let mut survey = survey(10);
        self.now = self.now + Duration::from_secs(60);
        survey.facts.at = self.now;
        let mut assessment = assessed(&survey);
        assessment.delivery = delivery;
        let finding = |(id, severity): &(Id, Severity)| Finding {
            id: *id,
            severity: *severity,
            subject: "mx.partner.example [192.0.2.1]".into(),
            evidence: "seen".into(),
            fix: "mend it".into(),
        };
        assessment.findings = findings.iter().map(finding).collect();
        self.history.observe(&survey, &assessment, &GIVEN).alert
    }
}

const MISSING: (Id, Severity) = (Id::TlsMissing, Severity::Error);
const BROKEN_SPF: (Id, Severity) = (Id::SpfWeak, Severity::Error);
const UNREACHABLE: (Id, Severity) = (Id::MxUnreachable, Severity::Unknown);

/// A gateway is installed while its own domain is broken: somebody is told, once, after looks that
/// come soon and say the same; and once when it is over. What comes back is a change like any other.
#[test]
fn an_own_domain_that_is_broken_at_the_first_look_is_told_once() {
    let mut own = Own::new();
    let broken = [MISSING, BROKEN_SPF];
    assert_eq!(own.look(Delivery::Refuses, &broken), None, "one look may be a fault of the way");
    assert!(own.history.is_suspicious(), "the confirming look comes soon");
    assert_eq!(own.look(Delivery::Refuses, &broken), None);
    let alert = own.look(Delivery::Refuses, &broken).unwrap();
    assert_eq!(alert.raised.len(), 2, "{alert:?}");
    assert!(alert.raised.iter().all(|change| change.kind == Kind::Found), "{alert:?}");
    assert!(alert.raised[0].subject.ends_with(" TLS-MISSING"), "{alert:?}");
    assert_eq!(alert.subject(), "Broken at the first look: partner.example");
    assert!(!own.history.is_suspicious());
    assert_eq!(own.history.raised().count(), 2);
    assert!((0..9).all(|_| own.look(Delivery::Refuses, &broken).is_none()), "told once");

    assert_eq!(own.look(Delivery::Delivers, &[BROKEN_SPF]), None);
    let over = own.look(Delivery::Delivers, &[BROKEN_SPF]).unwrap();
    assert!(over.raised.is_empty() && over.cleared.len() == 1, "{over:?}");
    for _ in 0..9 {
        let alert = own.look(Delivery::Delivers, &broken);
        let again = alert.iter().flat_map(|alert| &alert.raised);
        assert_eq!(again.filter(|change| change.kind == Kind::Found).count(), 0);
    }
}

/// A fault of the way there at the first look is nobody's news, whether it is known as one (unknown)
/// or looked like a fault of the domain and was gone at the next look.
#[test]
fn what_passes_after_the_first_look_alarms_nobody() {
    let mut own = Own::new();
    assert_eq!(own.look(Delivery::Unknown, &[UNREACHABLE]), None);
    assert!(!own.history.is_suspicious());
    for _ in 0..9 {
        assert_eq!(own.look(Delivery::Delivers, &[]), None);
    }
    let mut own = Own::new();
    assert_eq!(own.look(Delivery::Refuses, &[MISSING]), None);
    for _ in 0..3 {
        assert_eq!(own.look(Delivery::Unknown, &[UNREACHABLE]), None, "neither confirms nor ends");
    }
    assert_eq!(own.look(Delivery::Refuses, &[MISSING]), None);
    for _ in 0..9 {
        assert_eq!(own.look(Delivery::Delivers, &[]), None);
    }
    assert_eq!(own.history.raised().count(), 0);
}

/// The first look that can tell counts, not the first: signatures that do not hold leave the rest
/// unknown and are told themselves.
#[test]
fn the_first_look_that_can_tell_is_the_first_look() {
    let mut own = Own::new();
    own.look(Delivery::Unknown, &[UNREACHABLE]);
    own.look(Delivery::Unknown, &[UNREACHABLE]);
    let told = (0..3).filter_map(|_| own.look(Delivery::Refuses, &[])).last().unwrap();
    assert_eq!(told.raised.len(), 1, "{told:?}");
    assert_eq!(told.raised[0].after, "no mail would go there");

    let mut own = Own::new();
    let bogus = [(Id::ZoneBogus, Severity::Error)];
    let told = (0..3).filter_map(|_| own.look(Delivery::Unknown, &bogus)).last().unwrap();
    assert!(told.raised[0].subject.ends_with("ZONE-BOGUS"), "{told:?}");
}

/// A partner who was broken all along is nobody's news, and a warning is not broken.
#[test]
fn partners_and_warnings_are_not_told_at_the_first_look() {
    let mut partner = Own { history: History::new(Whose::Partner), now: NOW };
    assert!((0..9).all(|_| partner.look(Delivery::Refuses, &[MISSING]).is_none()));
    let mut own = Own::new();
    let notice = [(Id::MxNoIpv6, Severity::Notice), (Id::ZoneUnsigned, Severity::Warning)];
    assert!((0..9).all(|_| own.look(Delivery::Delivers, &notice).is_none()));
}

/// Hostile file or insider: a domain of ours with any number of faults in it. Only so many are kept
/// and told.
#[test]
fn faults_of_the_first_look_are_bounded() {
    let mut own = Own::new();
    let many: Vec<_> = Id::ALL.iter().map(|id| (*id, Severity::Error)).collect();
    let told = (0..3).filter_map(|_| own.look(Delivery::Refuses, &many)).last().unwrap();
    assert_eq!(told.raised.len(), 24);
}

/// A zone of ours and what is found of it.
fn signed(until: UnixTime, findings: &[Finding], at: UnixTime) -> (Survey, Assessment) {
    let mut survey = survey(10);
    survey.facts.at = at;
    survey.facts.mx = MxFact::Implicit { absence: Absence::Secure, chain: None };
    survey.facts.sts = StsFact::Absent { absence: Absence::Secure };
    survey.zone.signing = Signing::Signed {
        algorithms: vec![13],
        smallest_rsa: None,
        first_expiry: until,
        signed_at: None,
        nsec3_iterations: None,
        ds_digests: vec![2],
    };
    let mut assessment = assessed(&survey);
    assessment.findings = findings.to_vec();
    assessment.delivery = Delivery::Delivers;
    (survey, assessment)
}

/// Attacker: a thief of the account at the registrar, who puts a name server beside ours that leads the mail
/// of a domain of ours elsewhere. Told after a second look, though our resolver asks the old one and the
/// gateway was started anew in between.
#[test]
fn a_name_server_that_was_put_beside_ours_is_told_within_a_minute() {
    let name = |text: &str| Domain::parse(text).unwrap();
    let server = |server: &str, address: &str, host: &str| NameServer {
        name: name(server),
        address: address.parse().unwrap(),
        answers: vec![ServerAnswer {
            name: name("partner.example"),
            record_type: "MX".into(),
            digest: Ok(host.into()),
            signed: true,
            bogus: None,
            records: 1,
            exchanges: vec![Some(name(host))],
        }],
    };
    let ours = [name("mx.partner.example")];
    let given = Given { ours: &ours, ..GIVEN };
    let old = server("ns1.provider.example", "192.0.2.53", "mx.partner.example");
    let thief = server("ns1.attacker.example", "203.0.113.53", "mx.attacker.example");
    let mut history = History::new(Whose::Own);
    let mut look = |at: UnixTime, servers: Vec<NameServer>| {
        let (mut survey, assessment) = signed(NOW + DAY * 30, &[], at);
        let named =
            |server: &NameServer| ServerName { name: server.name.clone(), ipv6: Ok(vec![]) };
        survey.name_servers = NameServers::Found(servers.iter().map(named).collect());
        survey.zone.servers = Servers::Asked(servers);
        let alert = history.observe(&survey, &assessment, &given).alert;
        let suspicious = history.is_suspicious();
        history = serde_json::from_slice(&serde_json::to_vec(&history).unwrap()).unwrap();
        (alert, suspicious)
    };
    assert_eq!(look(NOW, vec![old.clone()]), (None, false));
    assert_eq!(look(NOW + DAY, vec![old.clone(), thief.clone()]), (None, true));
    let minute = Duration::from_secs(60);
    let alert = look(NOW + DAY + minute, vec![old, thief]).0.unwrap();
    assert_eq!(alert.class(), Some(Class::LikelyAttack));
    assert_eq!(alert.raised[0].subject, "partner.example MX mx.attacker.example");
}

fn expires(severity: Severity) -> Finding {
    Finding {
        id: Id::RrsigExpires,
        severity,
        subject: "partner.example".into(),
        evidence: "the first signature runs out".into(),
        fix: "let the signer run now".into(),
    }
}

/// The signer of a zone of ours stopped: somebody is told when the finding begins and again on the last
/// day, each once, and when the zone is signed again. A look that does not see the signatures ends
/// nothing.
#[test]
fn what_ends_soon_is_told_once_and_again_on_the_last_day() {
    let hour = Duration::from_hours(1);
    let end = NOW + DAY * 3;
    let mut history = History::new(Whose::Own);
    let mut told = Vec::new();
    let mut now = NOW;
    while now < end + DAY {
        let severity = if now < end { Severity::Warning } else { Severity::Error };
        let (survey, assessment) = signed(end, &[expires(severity)], now);
        if let Some(alert) = history.observe(&survey, &assessment, &GIVEN).alert {
            assert_eq!(alert.subject(), "Ends soon: partner.example");
            assert_eq!(alert.raised[0].subject, "partner.example signatures");
            told.push((now, alert.class()));
        }
        now = now + hour;
    }
    let expected = [(NOW + hour, Some(Class::Drift)), (end.before(DAY), Some(Class::Weakening))];
    assert_eq!(told, expected);
    assert_eq!(history.raised().count(), 1);

    let failure = LookupFailure {
        name: (&Domain::parse("partner.example").unwrap()).into(),
        kind: FailureKind::Timeout,
        detail: "no answer".into(),
    };
    let (mut unseen, assessment) = signed(end, &[], now);
    unseen.zone.signing = Signing::Failed(failure);
    for _ in 0..5 {
        assert_eq!(history.observe(&unseen, &assessment, &GIVEN).alert, None);
    }
    let (renewed, assessment) = signed(end + DAY * 30, &[], now);
    assert_eq!(history.observe(&renewed, &assessment, &GIVEN).alert, None);
    let over = history.observe(&renewed, &assessment, &GIVEN).alert.unwrap();
    assert!(over.raised.is_empty() && over.cleared.len() == 1, "{over:?}");
    assert_eq!(over.subject(), "Over: partner.example");
}

/// One look may have reached a server that was not up to date; and what partners let run out is theirs.
#[test]
fn an_end_that_one_look_shows_or_that_is_a_partners_is_not_told() {
    let mut history = History::new(Whose::Own);
    for (until, findings) in [(DAY * 2, vec![expires(Severity::Warning)]), (DAY * 30, vec![])] {
        let (survey, assessment) = signed(NOW + until, &findings, NOW);
        assert_eq!(history.observe(&survey, &assessment, &GIVEN).alert, None);
    }
    assert_eq!(history.raised().count(), 0);
    let mut partner = History::new(Whose::Partner);
    for _ in 0..9 {
        let (survey, assessment) = signed(NOW + DAY, &[expires(Severity::Warning)], NOW);
        assert_eq!(partner.observe(&survey, &assessment, &GIVEN).alert, None);
    }
}

/// A policy that is fetched has no end; one that cannot be fetched any more is told in its last days,
/// before senders forget it.
#[test]
fn a_policy_that_cannot_be_fetched_is_told_before_senders_forget_it() {
    let text = "version: STSv1\r\nmode: enforce\r\nmx: mx.partner.example\r\nmax_age: 1209600\r\n";
    let policy = waxseal_core::sts::Policy::parse(text.as_bytes()).unwrap();
    let told = |served: Result<waxseal_core::sts::Policy, StsFailure>, left: Duration| {
        let (mut survey, assessment) = signed(NOW + DAY * 30, &[], NOW);
        let expires = NOW + left;
        survey.facts.sts = StsFact::Policy {
            policy: policy.clone(),
            known: waxseal_core::facts::Known::Cached,
            id: None,
            fetched_at: expires.before(DAY * 14),
            expires,
            refresh_failed: None,
        };
        survey.policy.served = Some(served);
        let mut history = History::new(Whose::Own);
        let alerts = (0..3).filter_map(|_| history.observe(&survey, &assessment, &GIVEN).alert);
        alerts.flat_map(|alert| alert.raised).next()
    };
    let away = || Err(StsFailure::Unreached("connection refused".into()));
    let change = told(away(), DAY * 2).unwrap();
    assert_eq!((change.kind, change.class), (Kind::Expiry, Class::Drift));
    assert_eq!(change.subject, "partner.example MTA-STS policy");
    assert_eq!(told(away(), DAY / 2).unwrap().class, Class::Weakening);
    assert_eq!(told(away(), DAY * 5), None);
    assert_eq!(told(Ok(policy.clone()), DAY), None);
}

/// A version before knew nothing of our DKIM keys. What it kept is read and goes on, and a stranger's key
/// (attacker: somebody with access to the zone) is told after the look that confirms it.
#[test]
fn a_history_of_an_older_version_is_read_and_goes_on() {
    let look = |digest: &str, hours: u32| {
        let mut survey = survey(10);
        survey.facts.at = NOW + Duration::from_hours(1) * hours;
        let selector = Domain::parse("s1").unwrap();
        survey.mail.own = vec![OwnKey { selector, digest: Ok("0a".to_owned()) }];
        let key = DkimKey {
            algorithm: "rsa".to_owned(),
            bits: 2_048,
            revoked: false,
            testing: false,
            digest: Some(digest.to_owned()),
        };
        let found = Published::Found {
            value: key,
            text: "v=DKIM1; p=...".into(),
            authenticity: Authenticity::Secure,
            expires: NOW,
        };
        survey.mail.dkim = vec![("s1".to_owned(), found)];
        survey
    };
    let mut history = History::new(Whose::Own);
    history.observe(&look("0a", 0), &assessed(&look("0a", 0)), &GIVEN);
    let mut kept = serde_json::to_value(&history).unwrap();
    let mail = kept["baseline"]["survey"]["mail"].as_object_mut().unwrap();
    mail.remove("own").unwrap();
    mail.insert("dkim".to_owned(), serde_json::json!([]));
    let mut history: History = serde_json::from_value(kept).unwrap();
    assert_eq!((history.looks.len(), history.before().is_some()), (1, true));
    let mut told = |digest: &str, hours: u32| {
        history.observe(&look(digest, hours), &assessed(&look(digest, hours)), &GIVEN).alert
    };
    assert_eq!(told("66", 1), None);
    let alert = told("66", 2).unwrap();
    assert_eq!((alert.raised[0].kind, alert.class()), (Kind::Dkim, Some(Class::LikelyAttack)));
    assert_eq!(told("0a", 3), None);
    assert_eq!(told("0a", 4).unwrap().cleared.len(), 1);
}

/// Our way out is cut: the policy host of each domain is not reached, and no mail host. Seen alone that is a
/// weakening of the domain; where most others cannot be seen either, nobody is told of it, neither that
/// it begins nor that it ends. What somebody on the path did is told all the same, and what DNS shows.
#[test]
fn what_is_our_own_fault_is_not_told_of_a_domain() {
    let text = "version: STSv1\r\nmode: testing\r\nmx: mx.partner.example\r\nmax_age: 1209600\r\n";
    let policy = waxseal_core::sts::Policy::parse(text.as_bytes()).unwrap();
    let told = |vantage: Vantage, failure: StsFailure, signing: Option<Signing>| {
        let given = Given { vantage, ..GIVEN };
        let (mut survey, assessment) = signed(NOW + DAY * 30, &[], NOW);
        survey.policy.record = Published::Found {
            value: waxseal_core::assess::Quoted::new("1"),
            text: waxseal_core::assess::Quoted::new("v=STSv1; id=1"),
            authenticity: waxseal_core::dns::Authenticity::Insecure,
            expires: NOW + DAY,
        };
        survey.policy.served = Some(Ok(policy.clone()));
        let mut history = History::new(Whose::Own);
        history.observe(&survey, &assessment, &GIVEN);
        let mut cut = survey.clone();
        cut.policy.served = Some(Err(failure));
        cut.zone.signing = signing.unwrap_or(cut.zone.signing);
        let mut alerts = 0;
        for _ in 0..5 {
            alerts += usize::from(history.observe(&cut, &assessment, &given).alert.is_some());
        }
        for _ in 0..5 {
            alerts += usize::from(history.observe(&survey, &assessment, &GIVEN).alert.is_some());
        }
        alerts
    };
    let unreached = || StsFailure::Unreached("network is unreachable".into());
    assert_eq!(told(Vantage::Clear, unreached(), None), 2, "its beginning and its end");
    assert_eq!(told(Vantage::Blind, unreached(), None), 0);
    assert_eq!(told(Vantage::Blind, StsFailure::Certificate("self-signed".into()), None), 2);
    // DNS is seen from here all the same.
    let unsigned = || Signing::Unsigned { because: "there is no DS record".into() };
    assert_eq!(told(Vantage::Blind, unreached(), Some(unsigned())), 2);
}
