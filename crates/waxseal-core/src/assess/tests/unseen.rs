//! What could not be seen, for whatever reason, and what nobody has to hear of.

use super::{ids::only, world::*};
use crate::{
    assess::{
        Contact, Delivery, Id, Observed, Published, Severity, Signing, SpfAll, Tried, Unprobed,
    },
    dns::{Absence, Authenticity, FailureKind},
    facts::{Dane, MxFact, StsFailure},
};
/// `unknown` is a verdict of its own: rate limits, greylisting and time-outs are neither good nor
/// bad.
#[test]
fn what_could_not_be_seen_is_unknown_and_nothing_else() {
    let turned = Contact::TurnedAway("450 4.7.1 greylisted".into());
    let silent = Contact::Unreachable("no answer within 30 s".into());
    for contact in [&turned, &silent] {
        let mut world = World::plain();
        world.contact(contact);
        let assessment = world.assess();
        assert_eq!(assessment.level, None);
        assert_eq!(assessment.delivery, crate::assess::Delivery::Unknown);
        let about = |id| assessment.findings.iter().find(|finding| finding.id == id);
        let finding = about(Id::MxTurnedAway).or_else(|| about(Id::MxUnreachable)).unwrap();
        assert_eq!(finding.severity, Severity::Unknown);
        assert!(about(Id::TlsMissing).is_none());
    }
    let mut world = World::plain();
    for host in &mut world.survey.hosts {
        for address in &mut host.addresses {
            address.observed = Observed::Not(Unprobed::DnsOnly);
        }
    }
    assert_eq!(world.assess().delivery, crate::assess::Delivery::Unknown);
    for kind in [FailureKind::Timeout, FailureKind::Unreachable, FailureKind::SignaturesStripped] {
        let mut world = World::new();
        world.facts(0).dane = Dane::LookupFailed(failure(kind));
        assert_eq!(only(&world, Id::TlsaFailed).severity, Severity::Unknown);
    }
}

/// Our own port 443 may be closed: no error follows from that, while what a policy host answers is
/// its own.
#[test]
fn a_policy_host_that_was_not_reached_is_unknown_and_one_that_refuses_is_an_error() {
    let severity = |failure: fn(String) -> StsFailure| {
        let mut world = World::new();
        world.survey.policy.served = Some(Err(failure("it came to nothing".into())));
        only(&world, Id::StsFetch).severity
    };
    assert_eq!(severity(StsFailure::Unreached), Severity::Unknown);
    assert_eq!(severity(StsFailure::Fetch), Severity::Error);
}

/// A handshake that was lost on the way is no fault of the host, and no way into cleartext either.
#[test]
fn a_handshake_that_came_to_no_end_is_unknown() {
    let mut world = World::plain();
    for probe in world.probes() {
        for one in &mut probe.handshakes {
            one.tried = Tried::Unknown("no end of the handshake in time".into());
        }
        (probe.legacy, probe.weak) = (None, None);
    }
    let finding = only(&world, Id::TlsFailed);
    assert_eq!(finding.severity, Severity::Unknown);
    let assessment = world.assess();
    assert_eq!((assessment.level, assessment.delivery), (None, crate::assess::Delivery::Unknown));
    assert!(assessment.headline.contains("no end of the handshake"), "{}", assessment.headline);
}

/// Receivers try a lookup again that came to nothing (RFC 7208 §2.6.6); so nothing is broken.
#[test]
fn an_spf_lookup_that_failed_is_unknown() {
    let mut world = World::new();
    if let Published::Found { value, .. } = &mut world.survey.mail.spf {
        value.unknown = vec!["a.example could not be looked up: no answer in time".into()];
        value.all = SpfAll::Unknown;
    }
    let finding = only(&world, Id::DnsFailed);
    assert_eq!((finding.severity, finding.subject.as_str()), (Severity::Unknown, "example.com"));
    let ids = world.ids();
    assert!(!ids.contains(&Id::SpfBroken) && !ids.contains(&Id::SpfWeak), "{ids:?}");
}

/// The attacker is a domain owner whose records and hosts write what our terminal would obey.
#[test]
fn hostile_words_are_harmless_in_findings_and_headlines() {
    let evil = "\u{1b}]0;owned\u{7}\r\n\u{202e}";
    let mut world = World::plain();
    world.host(0).denial_fault = Some(evil.into());
    world.host(0).aaaa_fault = Some(evil.repeat(10_000));
    world.contact(&Contact::Misbehaved(evil.into()));
    world.survey.zone.signing = Signing::Unsigned { because: evil.into() };
    world.survey.policy.served = Some(Err(StsFailure::Fetch(evil.into())));
    let text = serde_json::to_string(&world.assess()).unwrap();
    for bad in ["\\u001b", "\\u0007", "\\r", "\\n", "\u{202e}"] {
        assert!(!text.contains(bad), "{bad}: {text}");
    }
    assert!(text.len() < 20_000, "{}", text.len());
}

/// A resolver of ours that cannot validate is told once, and not as a fault of each record.
#[test]
fn a_fault_on_our_side_is_one_finding() {
    let mut world = World::new();
    let failed = failure(FailureKind::SignaturesStripped);
    world.survey.facts.mx = MxFact::Failed(failed.clone());
    world.survey.zone.signing = Signing::Failed(failed.clone());
    world.survey.policy.record = Published::Failed(failed.clone());
    world.survey.tlsrpt = Published::Failed(failed.clone());
    world.survey.mail.spf = Published::Failed(failed);
    let finding = only(&world, Id::DnsFailed);
    assert_eq!((finding.subject.as_str(), finding.severity), ("our resolver", Severity::Unknown));
}

/// Whatever else was seen or not: of a domain that is not there, or that takes no mail, nobody
/// hears what would protect the mail to it.
#[test]
fn a_domain_that_takes_no_mail_gets_one_finding() {
    let bare = |mx: MxFact| {
        let mut world = World::new();
        world.unsigned();
        world.survey.facts.hosts.clear();
        world.survey.hosts.clear();
        world.survey.policy.record = absent();
        world.survey.tlsrpt = absent();
        world.survey.mail.spf = absent();
        world.survey.mail.dmarc = absent();
        world.survey.policy.caa = absent();
        world.survey.facts.mx = mx;
        world.assess()
    };
    let cases = [
        (Absence::Secure, Severity::Error),
        (Absence::Agreed, Severity::Error),
        (Absence::Unconfirmed, Severity::Unknown),
    ];
    for (absence, severity) in cases {
        let missing = bare(MxFact::NoDomain { absence, chain: None });
        let [finding] = &missing.findings[..] else { panic!("{:?}", missing.findings) };
        assert_eq!((finding.id, finding.severity), (Id::DomainMissing, severity));
        assert_eq!(missing.delivery, Delivery::TakesNoMail);
    }
    let null = bare(MxFact::Null { authenticity: Authenticity::Insecure, chain: None });
    let [finding] = &null.findings[..] else { panic!("{:?}", null.findings) };
    assert_eq!((finding.id, finding.severity), (Id::MxNull, Severity::Info));
    assert!(finding.fix.contains("v=spf1 -all") && finding.fix.contains("p=reject"), "{finding:?}");
}
