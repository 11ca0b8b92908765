//! What an attacker leaves, and the sentence that says so.

use std::fmt::Write as _;

use super::world::*;
use crate::{
    assess::{Contact, Delivery, Observed, StartTlsSeen, Unprobed},
    channel::{Legacy, Level},
    dns::{Absence, Authenticity, FailureKind},
    facts::{Dane, Known, MxFact, StsFact, StsFailure},
    sts::Mode,
};

/// Every level and every reason to have none, with the words for people who decide.
#[test]
fn each_level_has_a_headline_that_says_who_obtains_what() {
    let worlds: [(&str, Spoil); 16] = [
        ("dane", |_| {}),
        ("sts", World::without_dane),
        ("sts, first contact", |w| {
            w.without_dane();
            if let StsFact::Policy { known, .. } = &mut w.survey.facts.sts {
                *known = Known::FirstFetch;
            }
        }),
        ("named", |w| {
            w.without_dane();
            w.without_sts();
        }),
        ("dane below an unsigned MX", |w| {
            w.without_sts();
            w.unsigned();
        }),
        ("encrypted", |w| *w = World::plain()),
        ("cleartext", |w| {
            *w = World::plain();
            w.starttls(&StartTlsSeen::NotOffered);
        }),
        ("a handshake that fails", |w| {
            *w = World::plain();
            for probe in w.probes() {
                for one in &mut probe.handshakes {
                    let detail = "TLS 1.0 only".to_owned();
                    one.tried = crate::assess::Tried::Failed { legacy: Legacy::TooOld, detail };
                }
            }
        }),
        ("dane that does not match", |w| w.chain(&certificates().other)),
        ("tlsa bogus", |w| w.facts(0).dane = Dane::LookupFailed(failure(FailureKind::Bogus))),
        ("dns only, with dane", |w| {
            for address in &mut w.host(0).addresses {
                address.observed = Observed::Not(Unprobed::DnsOnly);
            }
        }),
        ("turned away", |w| {
            *w = World::plain();
            w.contact(&Contact::TurnedAway("421 4.7.0 try again later".into()));
        }),
        ("mx unknown", |w| {
            w.survey.facts.mx = MxFact::Failed(failure(FailureKind::Timeout));
            w.survey.facts.hosts.clear();
            w.survey.hosts.clear();
        }),
        ("sts unknown", |w| {
            *w = World::plain();
            let failure = StsFailure::Record(failure(FailureKind::ServFail));
            w.survey.facts.sts = StsFact::Unknown { failure, since: w.now };
        }),
        ("null mx", |w| {
            w.survey.facts.mx = MxFact::Null { authenticity: Authenticity::Secure, chain: None };
            w.survey.facts.hosts.clear();
            w.survey.hosts.clear();
        }),
        ("no domain", |w| {
            w.survey.facts.mx = MxFact::NoDomain { absence: Absence::Secure, chain: None };
            w.survey.facts.hosts.clear();
            w.survey.hosts.clear();
        }),
    ];
    let mut text = String::new();
    for (name, spoil) in worlds {
        let mut world = World::new();
        spoil(&mut world);
        let assessment = world.assess();
        let level = assessment.level.map_or("-", Level::as_str);
        writeln!(text, "{name}: {level}, {:?}\n  {}", assessment.delivery, assessment.headline)
            .unwrap();
        if let Some(why) = assessment.why_not_higher {
            writeln!(text, "  not higher: {why}").unwrap();
        }
    }
    insta::assert_snapshot!(text);
}

/// What MTA-STS rests on, it rests on at the first contact too:
/// the weaker level must not promise more than the stronger one.
#[test]
fn the_first_contact_promises_no_more_than_a_policy_that_was_known() {
    let mut world = World::new();
    world.without_dane();
    let known = world.assess();
    if let StsFact::Policy { known, .. } = &mut world.survey.facts.sts {
        *known = Known::FirstFetch;
    }
    let first = world.assess();
    assert_eq!((known.level, first.level), (Some(Level::Sts), Some(Level::StsFirst)));
    for headline in [&known.headline, &first.headline] {
        assert!(
            headline.contains("a public CA is brought to issue a false certificate"),
            "{headline}"
        );
    }
}

/// Records of DANE that nobody can use still make TLS mandatory (RFC 7672 §2.2): who interferes can pose as
/// the host, and does not get cleartext.
#[test]
fn unusable_records_leave_no_encryption_to_take_away() {
    let mut world = World::plain();
    let headline = world.assess().headline;
    assert!(headline.contains("or take the encryption away"), "{headline}");
    let records = vec![crate::dane::Tlsa { data: vec![0], ..spare() }];
    let base = domain("mx.example.net");
    world.facts(0).dane = Dane::Unusable { base, records, chain: None };
    let assessment = world.assess();
    assert_eq!(assessment.level, Some(Level::Encrypted));
    assert!(
        assessment.headline.ends_with("can pose as mx.example.net and read it."),
        "{assessment:?}"
    );
}

fn level(spoil: impl Fn(&mut World)) -> (Option<Level>, Delivery) {
    let mut world = World::two();
    spoil(&mut world);
    let assessment = world.assess();
    (assessment.level, assessment.delivery)
}

/// The attacker on the path keeps us away from the strong hosts, so the weakest one counts.
#[test]
fn the_weakest_host_that_an_attacker_can_leave_decides() {
    let delivers = |level| (Some(level), Delivery::Delivers);
    assert_eq!(level(|_| {}), delivers(Level::Dane));
    let second = |w: &mut World| w.facts(1).dane = Dane::Absent(crate::facts::NoTlsa::Denied);
    assert_eq!(level(second), delivers(Level::Sts));
    assert_eq!(
        level(|w| {
            w.without_sts();
            second(w);
        }),
        delivers(Level::Named)
    );
    assert_eq!(
        level(|w| {
            w.without_sts();
            second(w);
            stripped(w.probe(1, 0), &StartTlsSeen::NotOffered);
        }),
        delivers(Level::Cleartext)
    );
}

/// Where something was promised we deliver with that or not at all, whatever could not be seen.
#[test]
fn what_was_not_seen_cannot_lower_a_promise_and_can_lower_everything_else() {
    let unseen = |w: &mut World| {
        for address in &mut w.host(1).addresses {
            if let Observed::Probed(probe) = &mut address.observed {
                probe.contact = Contact::TurnedAway("450 greylisted".into());
                probe.handshakes.clear();
            }
        }
    };
    assert_eq!(level(unseen), (Some(Level::Dane), Delivery::Delivers));
    let open = |w: &mut World| {
        w.without_sts();
        w.facts(1).dane = Dane::Absent(crate::facts::NoTlsa::Denied);
        unseen(w);
    };
    assert_eq!(level(open), (None, Delivery::Unknown));
    // Nothing is weaker than cleartext, so that one host in cleartext is enough to know.
    let clear = |w: &mut World| {
        open(w);
        w.facts(0).dane = Dane::Absent(crate::facts::NoTlsa::Denied);
        for address in 0..2 {
            stripped(w.probe(0, address), &StartTlsSeen::NotOffered);
        }
    };
    assert_eq!(level(clear), (Some(Level::Cleartext), Delivery::Delivers));
}

/// The backup is down, as it often is: mail goes to the host that answers, and who interferes can
/// answer in the place of the other one.
#[test]
fn a_silent_backup_leaves_the_level_of_the_host_that_answers_and_no_more_than_encrypted() {
    let silent = |w: &mut World| {
        for address in &mut w.host(1).addresses {
            if let Observed::Probed(probe) = &mut address.observed {
                probe.contact = Contact::Unreachable("connection refused".into());
                probe.handshakes.clear();
            }
        }
    };
    let open = |w: &mut World| {
        w.without_sts();
        w.facts(1).dane = Dane::Absent(crate::facts::NoTlsa::Denied);
        silent(w);
    };
    assert_eq!(level(silent), (Some(Level::Dane), Delivery::Delivers), "it promises DANE");
    assert_eq!(level(open), (Some(Level::Encrypted), Delivery::Delivers), "DANE at the other one");
    let clear = |w: &mut World| {
        open(w);
        w.facts(0).dane = Dane::Absent(crate::facts::NoTlsa::Denied);
        for address in 0..2 {
            stripped(w.probe(0, address), &StartTlsSeen::NotOffered);
        }
    };
    assert_eq!(level(clear), (Some(Level::Cleartext), Delivery::Delivers));
    let nobody = |w: &mut World| {
        open(w);
        w.facts(0).dane = Dane::Absent(crate::facts::NoTlsa::Denied);
        w.contact(&Contact::Unreachable("connection refused".into()));
    };
    assert_eq!(level(nobody), (None, Delivery::Unknown));

    let mut world = World::two();
    open(&mut world);
    let assessment = world.assess();
    assert!(
        assessment.headline.contains("mx2.example.net does not answer"),
        "{}",
        assessment.headline
    );
    // The others over that family answer, so that the way there is open; still nobody knows.
    let about = |finding: &&crate::assess::Finding| finding.id == crate::assess::Id::MxUnreachable;
    let finding = assessment.findings.iter().find(about).unwrap();
    assert_eq!(finding.severity, crate::assess::Severity::Unknown);
}

/// A host that breaks its promise today gets nothing, and is mended tomorrow: it makes the domain no
/// stronger.
#[test]
fn a_broken_host_does_not_make_the_domain_look_stronger() {
    let weaker = |w: &mut World| w.facts(1).dane = Dane::Absent(crate::facts::NoTlsa::Denied);
    assert_eq!(level(weaker).0, Some(Level::Sts));
    let broken = |w: &mut World| {
        weaker(w);
        for address in 0..2 {
            stripped(w.probe(1, address), &StartTlsSeen::NotOffered);
        }
    };
    assert_eq!(level(broken).0, Some(Level::Sts));
}

/// A policy that leaves a host out takes that host away: no sender with MTA-STS goes there.
#[test]
fn a_host_outside_the_policy_gets_nothing() {
    let mut world = World::two();
    world.policy(policy(Mode::Enforce, &["mx.example.net"]));
    let assessment = world.assess();
    assert_eq!(assessment.level, Some(Level::Dane));
    assert_eq!(assessment.hosts[1].level, None);
    assert_eq!(assessment.hosts[1].demanded, None);
    assert!(assessment.hosts[1].note.as_ref().unwrap().contains("does not list"));
}

/// Where our resolver had no answer for one host, that host could be anything, unless the policy says
/// what it has to be.
#[test]
fn a_host_that_could_not_be_looked_up_leaves_the_level_unknown() {
    let lost = |w: &mut World| {
        let failed = failure(FailureKind::Timeout);
        w.facts(1).addresses = crate::dns::Answer::Failed(failed.clone());
        w.facts(1).dane = Dane::LookupFailed(failed);
    };
    assert_eq!(
        level(|w| {
            w.without_sts();
            lost(w);
        }),
        (None, Delivery::Unknown)
    );
    assert_eq!(level(lost), (None, Delivery::Unknown), "dane here, perhaps no more than sts there");
    let first = |w: &mut World| w.facts(0).dane = Dane::Absent(crate::facts::NoTlsa::Denied);
    assert_eq!(
        level(|w| {
            first(w);
            lost(w);
        }),
        (Some(Level::Sts), Delivery::Delivers)
    );
}

/// Sessions are shared by the domains of a host; one that was made for another name is none.
#[test]
fn a_session_with_another_server_name_says_nothing() {
    let mut world = World::new();
    world.sessions().for_each(|session| session.sni = Some(domain("lb.example.net")));
    let assessment = world.assess();
    assert_eq!((assessment.level, assessment.delivery), (None, Delivery::Unknown));
}
