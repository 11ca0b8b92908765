//! What a comparison of providers goes by.

use std::net::IpAddr;

use super::world::*;
use crate::{
    assess::{
        Contact, Id, Observed, Offer, Published, Signing, StartTlsSeen, Tried, Unprobed, offers,
    },
    dns::{Answer, FailureKind},
    facts::{Dane, StsFact, StsFailure},
};

/// The comparison of providers says the same as the findings.
#[test]
fn an_offer_is_what_the_findings_call_good() {
    let mut world = World::new();
    for probe in world.probes() {
        probe.keywords_in_tls = Some(vec!["REQUIRETLS MANDATORY".into()]);
        let weak = probe.weak.as_mut().unwrap();
        weak.suites = vec!["TLS_DHE_RSA_WITH_AES_128_GCM_SHA256".into()];
    }
    let assessment = world.assess();
    let ids: Vec<_> = assessment.findings.iter().map(|finding| finding.id).collect();
    assert!(!ids.contains(&Id::TlsWeakSuite) && !ids.contains(&Id::RequireTlsMissing), "{ids:?}");
    let offers = offers(&world.survey, &assessment);
    assert_eq!((offers.require_tls, offers.hygiene), (Offer::Yes, Offer::Yes));
    for probe in world.probes() {
        probe.weak.as_mut().unwrap().suites = vec!["TLS_RSA_WITH_AES_128_CBC_SHA".into()];
    }
    let offers = super::super::offers(&world.survey, &assessment);
    assert_eq!(offers.hygiene, Offer::No);
}

/// Whoever chooses a provider must not hold another's hosts against it.
#[test]
fn a_second_operator_of_a_domain_is_named_and_not_mixed_in() {
    let mut world = World::new();
    let first = offers(&world.survey, &world.assess());
    assert!(first.others.is_empty(), "{:?}", first.others);
    world.survey.facts.hosts.push(host_facts("mx.backup.test", 99, Vec::new()));
    let mut backup = host_survey("mx.backup.test", &certificates().own);
    backup.addresses.retain(|address| address.ip.is_ipv4());
    world.survey.hosts.push(backup);
    let both = offers(&world.survey, &world.assess());
    assert_eq!(both.others, ["backup.test"]);
    assert_eq!((both.dane, both.ipv6), (Offer::Yes, Offer::Yes));
    assert_eq!(both.columns(), first.columns());
}

/// "Everywhere" is not said of a domain of which a part is unknown; of an operator, what another
/// domain shows is known.
#[test]
fn a_part_that_is_unknown_leaves_the_offer_of_a_domain_unknown() {
    let mut world = World::new();
    let assessment = world.assess();
    let whole = offers(&world.survey, &assessment);
    assert_eq!((whole.tls13, whole.hygiene), (Offer::Yes, Offer::Yes));
    world.probes().last().unwrap().weak = None;
    let part = offers(&world.survey, &assessment);
    assert_eq!((part.tls13, part.hygiene), (Offer::Yes, Offer::Unknown));
    assert_eq!(part.and(&whole).hygiene, Offer::Yes, "seen at another domain");
    let mut silent = host_survey("mx2.example.net", &certificates().own);
    for address in &mut silent.addresses {
        address.observed = Observed::Not(Unprobed::OutOfTime);
    }
    world.survey.hosts.push(silent);
    assert_eq!(offers(&world.survey, &assessment).tls13, Offer::Unknown);
}

/// What a fault of the way leaves open is neither "everywhere" nor "nowhere", in any column, and leaves
/// the other columns alone.
#[test]
fn what_could_not_be_found_out_is_unknown_in_every_column_that_hangs_on_it() {
    let cases: [(&str, Spoil, &[&str]); 8] = [
        (
            "addresses of a host",
            |w| {
                let failed = failure(FailureKind::Timeout);
                w.survey.facts.hosts[1].addresses = Answer::Failed(failed.clone());
                w.survey.facts.hosts[1].dane = Dane::LookupFailed(failed);
                w.host(1).addresses.clear();
            },
            &["DANE", "TLS 1.3", "PQ", "IPv6", "REQUIRETLS", "hygiene"],
        ),
        (
            "IPv6 addresses alone, whoever is to blame",
            |w| {
                w.host(1).addresses.retain(|address| address.ip.is_ipv4());
                w.host(1).aaaa_open = Some("no way to the resolver".into());
            },
            &["IPv6"],
        ),
        (
            "TLSA",
            |w| w.survey.facts.hosts[1].dane = Dane::LookupFailed(failure(FailureKind::Bogus)),
            &["DANE"],
        ),
        (
            "one address",
            |w| {
                let probe = w.probes().last().unwrap();
                probe.contact = Contact::Unreachable("time-out".into());
                probe.handshakes.clear();
                (probe.keywords_in_tls, probe.legacy, probe.weak) = (None, None, None);
            },
            &["DANE", "TLS 1.3", "PQ", "REQUIRETLS", "hygiene"],
        ),
        (
            "the whole of a host",
            |w| {
                for address in &mut w.host(1).addresses {
                    address.observed = Observed::Not(Unprobed::NoTurn);
                }
            },
            &["DANE", "TLS 1.3", "PQ", "REQUIRETLS", "hygiene"],
        ),
        (
            "how a host's zone is signed",
            |w| w.host(1).zone.signing = Signing::Failed(failure(FailureKind::ServFail)),
            &["DNSSEC"],
        ),
        (
            "the policy and where reports go",
            |w| {
                let failed = failure(FailureKind::Timeout);
                let failure = StsFailure::Record(failed.clone());
                w.survey.facts.sts = StsFact::Unknown { failure, since: w.now };
                w.survey.tlsrpt = Published::Failed(failed);
            },
            &["MTA-STS", "TLSRPT"],
        ),
        (
            "the group of a session",
            |w| {
                let probe = w.probes().last().unwrap();
                let Tried::Session(session) = &mut probe.handshakes[1].tried else { panic!() };
                session.group = None;
            },
            &["PQ"],
        ),
    ];
    let whole = World::two();
    for (_, offer) in offers(&whole.survey, &whole.assess()).columns() {
        assert_eq!(offer, Offer::Yes);
    }
    for (what, spoil, open) in cases {
        let mut world = World::two();
        spoil(&mut world);
        for (column, offer) in offers(&world.survey, &world.assess()).columns() {
            let wanted = if open.contains(&column) { Offer::Unknown } else { Offer::Yes };
            assert_eq!(offer, wanted, "{what}: {column}");
        }
    }
}

/// Without STARTTLS there is no TLS 1.3 and no REQUIRETLS: that was seen, and is no lack of knowledge.
#[test]
fn a_host_without_starttls_offers_nothing_that_hangs_on_tls() {
    let columns = |world: &World| {
        let all = offers(&world.survey, &world.assess());
        [all.tls13, all.post_quantum, all.require_tls, all.hygiene]
    };
    let mut world = World::plain();
    world.starttls(&StartTlsSeen::NotOffered);
    assert_eq!(columns(&world), [Offer::No; 4]);
    // At one of two hosts.
    let mut world = World::two();
    for address in 0..2 {
        stripped(world.probe(1, address), &StartTlsSeen::NotOffered);
    }
    assert_eq!(columns(&world), [Offer::Partly; 4]);
    // Records alone are a promise that such a host does not keep.
    let mut world = World::new();
    world.starttls(&StartTlsSeen::NotOffered);
    assert_eq!(offers(&world.survey, &world.assess()).dane, Offer::Partly);
    // That it did not work just now says nothing.
    let mut world = World::plain();
    world.starttls(&StartTlsSeen::Refused("454 not now".into()));
    assert_eq!(columns(&world)[..3], [Offer::Unknown; 3]);
}

/// Whoever asks DNS alone goes by the records; who looks and does not get through does not.
#[test]
fn records_are_an_offer_of_dane_only_where_nobody_meant_to_look() {
    for (unprobed, wanted) in [
        (Unprobed::DnsOnly, Offer::Yes),
        (Unprobed::OutOfTime, Offer::Unknown),
        (Unprobed::NoFamily, Offer::Unknown),
    ] {
        let mut world = World::new();
        for address in &mut world.host(0).addresses {
            address.observed = Observed::Not(unprobed.clone());
        }
        assert_eq!(offers(&world.survey, &world.assess()).dane, wanted, "{unprobed:?}");
    }
}

/// A host of which it is not known whether it has IPv6 has not been seen to have none.
#[test]
fn no_lack_of_ipv6_is_told_of_a_host_that_could_not_be_asked_for_it() {
    let mut world = World::new();
    world.host(0).addresses.retain(|address| address.ip.is_ipv4());
    if let Answer::Found { value, .. } = &mut world.survey.facts.hosts[0].addresses {
        value.retain(IpAddr::is_ipv4);
    }
    let told = |world: &World| world.assess().findings.iter().any(|one| one.id == Id::MxNoIpv6);
    assert!(told(&world));
    world.host(0).aaaa_open = Some("no way to the resolver".into());
    assert!(!told(&world));
}
