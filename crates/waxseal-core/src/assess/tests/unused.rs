//! What the policy lists and no MX record calls for: told, and nothing else is touched by it.

use super::world::*;
use crate::{
    assess::{
        Contact, Finding, Id, Observed, Severity, StartTlsSeen, Unprobed, Unused, UnusedHost,
        offers,
        profile::{built_in, judge_profile},
    },
    dns::{Absence, Answer, Denial, FailureKind},
    facts::Refused,
    pki::bench::NOW,
    sts::{Mode, MxPattern},
};

fn healthy() -> UnusedHost {
    unused("mx2.example.net", &certificates().second)
}

/// The findings of a domain at its best whose policy also lists this host.
fn with(host: UnusedHost) -> Vec<Finding> {
    let mut world = World::new();
    world.lists(host);
    world.assess().findings
}

#[track_caller]
fn only(host: UnusedHost) -> Finding {
    let findings = with(host);
    let [finding] = &findings[..] else { panic!("{findings:?}") };
    assert_eq!(finding.id, Id::StsMxUnused);
    finding.clone()
}

fn denied(denial: Denial) -> Answer<Vec<std::net::IpAddr>> {
    Answer::Absent { denial, absence: Absence::Secure, expires: NOW + DAY, chain: None }
}

fn nowhere(name: &str, denial: Denial) -> UnusedHost {
    let mut host = unused(name, &[]);
    host.facts.addresses = denied(denial);
    host.addresses.clear();
    host
}

fn observed(why: &Observed) -> UnusedHost {
    let mut host = healthy();
    host.addresses.iter_mut().for_each(|address| address.observed = why.clone());
    host
}

fn contact(contact: &Contact) -> UnusedHost {
    let mut host = healthy();
    for address in &mut host.addresses {
        let Observed::Probed(probe) = &mut address.observed else { panic!("{address:?}") };
        probe.contact = contact.clone();
    }
    host
}

/// A host that is to come, and is ready for it.
#[test]
fn a_host_that_would_pass_is_a_notice_that_says_so() {
    let finding = only(healthy());
    assert_eq!((finding.severity, finding.subject.as_str()), (Severity::Notice, "mx2.example.net"));
    assert!(
        finding
            .evidence
            .ends_with("it would pass: STARTTLS, and a certificate that holds for its name"),
        "{finding:?}"
    );
    assert!(finding.fix.contains("`mx: mx2.example.net`"), "{finding:?}");
}

#[test]
fn a_host_that_would_not_pass_is_told_with_what_would_keep_it_from_it() {
    let of = |host: &UnusedHost, mode| {
        let mut world = World::new();
        world.policy(policy(mode, &["mx.example.net", "mx2.example.net"]));
        world.lists(host.clone());
        let findings = world.assess().findings;
        findings.into_iter().find(|one| one.id == Id::StsMxUnready).unwrap()
    };
    let spoilt = |chain: &[Vec<u8>]| unused("mx2.example.net", chain);
    let stripped = |seen| {
        let (greeting, keywords) = ("220 mx2".into(), Vec::new());
        contact(&Contact::Spoke { greeting, keywords, starttls: seen })
    };
    let cases = [
        (spoilt(&certificates().own), "ECDSA", "no trusted CA"),
        (spoilt(&certificates().good), "ECDSA", "mx.example.net"),
        (spoilt(&certificates().old), "ECDSA", "expired"),
        (stripped(StartTlsSeen::NotOffered), "]", "no STARTTLS"),
        (stripped(StartTlsSeen::Refused("454 no".into())), "]", "then refused"),
        (stripped(StartTlsSeen::Injected), "]", "before TLS begins"),
    ];
    for (host, subject, evidence) in cases {
        let finding = of(&host, Mode::Enforce);
        assert_eq!(finding.severity, Severity::Warning, "{finding:?}");
        assert!(finding.subject.starts_with("mx2.example.net ["), "{finding:?}");
        assert!(finding.subject.ends_with(subject), "{finding:?}");
        assert!(finding.evidence.starts_with("only the policy lists it; "), "{finding:?}");
        assert!(finding.evidence.contains(evidence), "{finding:?}");
        assert_eq!(of(&host, Mode::Testing).severity, Severity::Notice);
    }
}

/// Attacker: whoever registers a name that a policy still lists, and forges the MX record of an unsigned
/// domain. What can be registered is told apart from what lies in the domain itself.
#[test]
fn a_name_that_is_not_there_is_a_warning_that_names_who_could_get_it() {
    let mut free = nowhere("mx.gone.example", Denial::NxDomain);
    free.unregistered = Some(domain("gone.example"));
    let finding = only(free);
    assert_eq!(finding.severity, Severity::Warning);
    assert!(finding.evidence.ends_with("no such name, nor a domain gone.example"), "{finding:?}");
    assert!(finding.fix.contains("whoever registers gone.example"), "{finding:?}");
    let finding = only(nowhere("mx.elsewhere.example", Denial::NxDomain));
    assert_eq!(finding.severity, Severity::Warning);
    assert!(finding.fix.contains("whoever gets the name"), "{finding:?}");
    let finding = only(nowhere("mx9.example.com", Denial::NxDomain));
    assert_eq!(finding.severity, Severity::Warning);
    assert!(!finding.fix.contains("whoever"), "{finding:?}");
    let finding = only(nowhere("mx9.example.com", Denial::NoData));
    assert_eq!(finding.severity, Severity::Warning);
    assert!(finding.evidence.ends_with("it has no address"), "{finding:?}");
}

#[test]
fn a_name_that_could_not_be_looked_up_is_unknown() {
    let mut host = nowhere("mx2.example.net", Denial::NoData);
    host.facts.addresses = Answer::Failed(failure(FailureKind::Timeout));
    assert_eq!(only(host).severity, Severity::Unknown);
}

#[test]
fn a_host_with_nothing_but_addresses_inside_is_told_and_so_is_our_own() {
    let refused = |why| {
        let mut host = nowhere("mx2.example.net", Denial::NoData);
        host.facts.refused = vec![(ip("10.0.0.25"), why)];
        only(host)
    };
    assert_eq!(refused(Refused::Private).severity, Severity::Warning);
    assert!(refused(Refused::Special).evidence.ends_with("nobody connected there"));
    assert_eq!(refused(Refused::Own).severity, Severity::Notice);
}

/// A host to come need not listen yet, and whoever turns us away may take others: neither good nor bad,
/// and nothing that would make the whole check end as unknown.
#[test]
fn what_was_not_seen_of_an_unused_host_stays_a_notice_that_says_why() {
    let cases = [
        (contact(&Contact::Unreachable("refused".into())), "no connection: refused"),
        (contact(&Contact::TurnedAway("450 later".into())), "it turned us away: 450 later"),
        (contact(&Contact::Misbehaved("an endless line".into())), "an endless line"),
        (observed(&Observed::Not(Unprobed::DnsOnly)), "only DNS was asked"),
        (observed(&Observed::Not(Unprobed::NoFamily)), "no way to one of its addresses"),
        (observed(&Observed::Not(Unprobed::NoTurn)), "too many asked its operator"),
        (observed(&Observed::Not(Unprobed::OutOfTime)), "the time for the domain was used up"),
        (observed(&Observed::Not(Unprobed::TooSlow)), "too slow"),
    ];
    for (host, why) in cases {
        let finding = only(host);
        assert_eq!(finding.severity, Severity::Notice, "{finding:?}");
        assert!(finding.evidence.contains("whether it would pass was not seen"), "{finding:?}");
        assert!(finding.evidence.ends_with(why), "{finding:?}");
    }
    let mut half = healthy();
    half.addresses[0].observed = Observed::Not(Unprobed::NoFamily);
    assert!(only(half).evidence.contains("it would pass, as far as it was seen: we have no way"));
}

#[test]
fn patterns_and_names_past_the_limit_are_told_together() {
    let mut world = World::new();
    let pattern = |number: u8| MxPattern::parse(&format!("*.m{number}.example")).unwrap();
    world.survey.policy.unused = Unused {
        hosts: Vec::new(),
        more_hosts: 992,
        patterns: (0..8).map(pattern).collect(),
        more_patterns: 3,
    };
    let findings = world.assess().findings;
    let [names, patterns] = &findings[..] else { panic!("{findings:?}") };
    for finding in [names, patterns] {
        assert_eq!((finding.id, finding.severity), (Id::StsMxUnused, Severity::Notice));
        assert_eq!(finding.subject, "example.com");
    }
    assert!(names.evidence.contains("992 more hosts"), "{names:?}");
    assert!(patterns.evidence.contains("*.m0.example, *.m1.example"), "{patterns:?}");
    assert!(
        patterns.evidence.contains("*.m7.example and 3 more; which hosts are meant"),
        "{patterns:?}"
    );
}

/// No mail goes there: nothing else that is said of the domain may change by it.
#[test]
fn an_unused_host_touches_no_level_no_profile_and_no_comparison() {
    let mut broken = unused("mx.elsewhere.example", &certificates().own);
    broken.addresses[0].observed = Observed::Not(Unprobed::TooSlow);
    let (good, mut bad) = (World::two(), World::two());
    bad.lists(broken);
    let (before, after) = (good.assess(), bad.assess());
    assert_eq!((before.level, before.delivery), (after.level, after.delivery));
    assert_eq!(before.headline, after.headline);
    assert_eq!((&before.why_not_higher, &before.hosts), (&after.why_not_higher, &after.hosts));
    assert_eq!(offers(&good.survey, &before), offers(&bad.survey, &after));
    assert!(after.worst() < Some(Severity::Unknown), "{:?}", after.findings);
    for profile in built_in() {
        let one = judge_profile(profile, &good.survey, &before);
        let two = judge_profile(profile, &bad.survey, &after);
        assert_eq!(one, two, "{}", profile.name);
    }
    let look = |survey, assessment| crate::assess::change::Look { survey, assessment };
    let (one, two) = (look(&good.survey, &before), look(&bad.survey, &after));
    assert_eq!(crate::assess::change::changes(one, two), []);
    assert_eq!(crate::assess::change::changes(two, one), []);
}

/// `mode: none` asks for nothing, and a domain that takes no mail needs none of it.
#[test]
fn without_a_policy_in_force_nothing_is_unused() {
    let mut world = World::new();
    world.lists(healthy());
    world.policy(policy(Mode::None, &["mx2.example.net"]));
    assert!(!world.ids().contains(&Id::StsMxUnused));
}
