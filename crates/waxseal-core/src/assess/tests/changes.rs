//! What a difference means, and when somebody hears of it.

use super::world::*;
use crate::{
    assess::{
        Delivery, Id, Observed, Published, Severity, Signing, StartTlsSeen, Unprobed,
        change::{
            Certainty, Change, Class, Event, Keepers, Kind, Look, Watch, Weight, changes, strangers,
        },
    },
    dns::{Absence, Authenticity, FailureKind},
    facts::{Dane, MxFact, NoTlsa, StsFailure},
    pki::bench::NOW,
    sts::Mode,
};

fn between(before: &World, after: &World) -> Vec<Change> {
    let (was, is) = (before.assess(), after.assess());
    changes(
        Look { survey: &before.survey, assessment: &was },
        Look { survey: &after.survey, assessment: &is },
    )
}

fn after(spoil: impl FnOnce(&mut World)) -> Vec<Change> {
    let mut world = World::two();
    spoil(&mut world);
    between(&World::two(), &world)
}

#[test]
fn nothing_changes_where_nothing_did() {
    assert_eq!(between(&World::two(), &World::two()), []);
}

/// Renewed under its record, another id, a roll of records: things move, and nobody is alarmed.
#[test]
fn a_renewal_that_its_record_announced_is_drift() {
    let changed = after(|world| {
        world.records(0)[1] = tlsa(&certificates().other);
        for address in 0..2 {
            let tried = crate::assess::Tried::Session(session(&certificates().other));
            world.probe(0, address).handshakes[1].tried = tried;
        }
        world.survey.policy.record = found("2".into());
    });
    let kinds: Vec<_> = changed.iter().map(|change| change.kind).collect();
    assert!(kinds.contains(&Kind::Certificate), "{changed:?}");
    assert!(kinds.contains(&Kind::Tlsa) && kinds.contains(&Kind::Sts), "{changed:?}");
    assert!(changed.iter().all(|change| change.class == Class::Drift), "{changed:?}");
}

/// Attacker: a hostile recipient domain, or somebody on the path, that answers so slowly that a look is
/// cut short. Nothing became weaker by that, and nothing is called good.
#[test]
fn a_look_that_was_cut_short_is_unknown_and_no_weakening() {
    let mut cut = World::two();
    let slow = || failure(FailureKind::Timeout);
    cut.survey.unasked = vec!["mx.example.net [192.0.2.1]".into()];
    for host in &mut cut.survey.hosts {
        host.zone.signing = Signing::Failed(slow());
        host.tlsrpt = Published::Failed(slow());
        (host.alias, host.tlsa_ttl) = (None, None);
        for address in &mut host.addresses {
            address.observed = Observed::Not(Unprobed::OutOfTime);
        }
    }
    cut.survey.zone.signing = Signing::Failed(slow());
    cut.survey.policy.served = None;
    (cut.survey.tlsrpt, cut.survey.mail.spf) =
        (Published::Failed(slow()), Published::Failed(slow()));
    cut.survey.mail.dmarc = Published::Failed(slow());
    cut.survey.policy.caa = Published::Failed(slow());
    let changed = between(&World::two(), &cut);
    assert!(changed.iter().all(|change| change.looks_needed().is_none()), "{changed:?}");
    let assessment = cut.assess();
    let finding = assessment.findings.iter().find(|one| one.id == Id::CutShort).unwrap();
    assert_eq!(finding.severity, Severity::Unknown);
    assert!(finding.evidence.contains("mx.example.net [192.0.2.1]"), "{finding:?}");
    // Nothing is promised, nothing was seen.
    let mut plain = World::plain();
    for address in &mut plain.host(0).addresses {
        address.observed = Observed::Not(Unprobed::OutOfTime);
    }
    assert_eq!((plain.assess().level, plain.assess().delivery), (None, Delivery::Unknown));
}

fn second_record(authenticity: Authenticity) -> Published<crate::assess::Quoted> {
    let (text, why) = ("v=STSv1; id=2".into(), "two records".into());
    Published::Broken { text, why, authenticity }
}

/// Whoever lets a certificate run out is careless, and no attacker: the key is the same.
#[test]
fn a_certificate_that_ran_out_is_a_weakening_at_one_address_too() {
    let mut before = World::new();
    (before.now, before.survey.facts.at) = (NOW.before(DAY * 730), NOW.before(DAY * 730));
    before.without_dane();
    before.without_sts();
    before.chain(&certificates().old);
    let mut after = before.clone();
    (after.now, after.survey.facts.at) = (NOW, NOW);
    // It was renewed at the other address.
    after.probe(0, 1).handshakes[1].tried =
        crate::assess::Tried::Session(session(&certificates().good));
    let changed = between(&before, &after);
    let mine: Vec<_> = changed.iter().filter(|change| change.subject.contains(SIX)).collect();
    assert!(!mine.is_empty(), "{changed:?}");
    for change in mine {
        assert_eq!(change.class, Class::Weakening, "{change:?}");
    }
    assert!(changed.iter().all(|change| change.class != Class::LikelyAttack), "{changed:?}");
}

/// Three looks in a row have to show a weakening; three mail hosts in one zone are one look.
#[test]
fn a_change_of_one_zone_counts_once_however_many_hosts_are_in_it() {
    let unsigned = |world: &mut World| {
        for host in &mut world.survey.hosts {
            host.zone.signing = Signing::Unsigned { because: "net has no DS for it".into() };
        }
    };
    let changed = after(unsigned);
    let of_zone = |change: &&Change| change.kind == Kind::Dnssec && change.subject == "example.net";
    assert_eq!(changed.iter().filter(of_zone).count(), 1, "{changed:?}");
    let mut watch = Watch::default();
    let twice = [changed.clone(), changed.clone()].concat();
    for _ in 0..2 {
        assert_eq!(watch.observe(&twice, Certainty::Seen, NOW), []);
    }
    assert!(!watch.observe(&twice, Certainty::Seen, NOW).is_empty());
}

/// What a domain takes back with authentication is its own doing; what merely vanishes may be the
/// doing of an attacker on the path.
#[test]
fn who_can_have_done_it_decides_between_weakening_and_attack() {
    let cases: [(&str, Kind, Class, Spoil); 19] = [
        ("a second MTA-STS record, unsigned", Kind::Sts, Class::LikelyAttack, |w| {
            w.survey.policy.record = second_record(Authenticity::Insecure);
        }),
        ("a second MTA-STS record, signed", Kind::Sts, Class::Weakening, |w| {
            w.survey.policy.record = second_record(Authenticity::Secure);
        }),
        ("TLSA denied", Kind::Tlsa, Class::Weakening, |w| {
            w.facts(0).dane = Dane::Absent(NoTlsa::Denied);
        }),
        ("TLSA bogus", Kind::Tlsa, Class::LikelyAttack, |w| {
            w.facts(0).dane = Dane::LookupFailed(failure(FailureKind::Bogus));
        }),
        ("STARTTLS gone at one address", Kind::Starttls, Class::LikelyAttack, |w| {
            stripped(w.probe(0, 0), &StartTlsSeen::NotOffered);
        }),
        ("STARTTLS gone though promised", Kind::Starttls, Class::LikelyAttack, |w| {
            w.starttls(&StartTlsSeen::NotOffered);
        }),
        ("injection", Kind::Starttls, Class::LikelyAttack, |w| w.starttls(&StartTlsSeen::Injected)),
        ("another key at one address", Kind::TlsaMatch, Class::LikelyAttack, |w| {
            let tried = crate::assess::Tried::Session(session(&certificates().other));
            w.probe(0, 0).handshakes[1].tried = tried;
        }),
        ("another key everywhere, vouched for", Kind::TlsaMatch, Class::Weakening, |w| {
            w.chain(&certificates().other);
        }),
        ("anybody's key everywhere", Kind::TlsaMatch, Class::LikelyAttack, |w| {
            w.chain(&certificates().elsewhere);
        }),
        ("a key without a CA under enforce", Kind::Certificate, Class::LikelyAttack, |w| {
            w.chain(&certificates().elsewhere);
        }),
        ("the record of an enforced policy not seen", Kind::Sts, Class::LikelyAttack, |w| {
            w.survey.policy.record = absent();
        }),
        ("the policy host with another certificate", Kind::Sts, Class::LikelyAttack, |w| {
            w.survey.policy.served = Some(Err(StsFailure::Certificate("self-signed".into())));
        }),
        ("the policy to testing, over HTTPS", Kind::Sts, Class::Weakening, |w| {
            w.policy(policy(Mode::Testing, &["mx.example.net", "mx2.example.net"]));
        }),
        ("the zone bogus", Kind::Dnssec, Class::LikelyAttack, |w| {
            w.survey.zone.signing = Signing::Failed(failure(FailureKind::Bogus));
        }),
        ("the zone provably unsigned", Kind::Dnssec, Class::Weakening, World::unsigned),
        ("our DKIM key gone", Kind::Dkim, Class::Weakening, |w| w.survey.mail.dkim[0].1 = absent()),
        ("a stranger's DKIM key", Kind::Dkim, Class::LikelyAttack, |w| {
            if let Published::Found { value, .. } = &mut w.survey.mail.dkim[0].1 {
                value.digest = Some("66".into());
            }
        }),
        ("DMARC gone", Kind::Dmarc, Class::Weakening, |w| w.survey.mail.dmarc = absent()),
    ];
    for (name, kind, class, spoil) in cases {
        let changed = after(spoil);
        let mine: Vec<_> = changed.iter().filter(|change| change.kind == kind).collect();
        assert!(!mine.is_empty(), "{name}: {changed:?}");
        assert!(mine.iter().all(|change| change.class == class), "{name}: {mine:?}");

        // And back again it is a repair.
        let mut world = World::two();
        spoil(&mut world);
        let back = between(&world, &World::two());
        let mine: Vec<_> = back.iter().filter(|change| change.kind == kind).collect();
        assert!(!mine.is_empty(), "{name} back: {back:?}");
        assert!(mine.iter().all(|change| change.class == Class::Repair), "{name} back: {mine:?}");
    }
}

/// Attacker: on the path, takes STARTTLS out of every answer and keeps everybody from the policy host
/// or loses the answers about TLSA records: senders still hold what was promised (RFC 8461 §3.3). Where
/// nothing was promised, or not with this host, it stays what it may also be: a host that lost TLS.
#[test]
fn starttls_stripped_while_the_promise_is_out_of_reach_is_an_attack() {
    let told = |prepare: Spoil, spoil: Spoil| {
        let mut before = World::new();
        prepare(&mut before);
        let mut after = before.clone();
        after.starttls(&StartTlsSeen::NotOffered);
        spoil(&mut after);
        let changed = between(&before, &after);
        let of = |kind| changed.iter().find(|change| change.kind == kind).map(|one| one.class);
        (of(Kind::Starttls), of(Kind::Delivery).or(of(Kind::Level)))
    };
    let blocked: Spoil = |world| {
        world.survey.policy.served = Some(Err(StsFailure::Unreached("no route".into())));
    };
    let attack = (Some(Class::LikelyAttack), Some(Class::LikelyAttack));
    assert_eq!(told(World::without_dane, blocked), attack);
    let lost: Spoil = |world| {
        world.facts(0).dane = Dane::LookupFailed(failure(FailureKind::Timeout));
    };
    assert_eq!(told(World::without_sts, lost).0, Some(Class::LikelyAttack));

    let testing: Spoil = |world| {
        world.without_dane();
        world.policy(policy(Mode::Testing, &["mx.example.net"]));
    };
    assert_eq!(told(testing, blocked).0, Some(Class::Weakening));
    let of_another: Spoil = |world| {
        world.without_dane();
        world.policy(policy(Mode::Enforce, &["mx.example.org"]));
    };
    assert_eq!(told(of_another, blocked).0, Some(Class::Weakening));
    let nothing: Spoil = |world| {
        world.without_dane();
        world.without_sts();
    };
    assert_eq!(told(nothing, |_| {}).0, Some(Class::Weakening));
}

/// An outage is no weakening: what one of the two looks could not see is not compared.
#[test]
fn a_backup_that_is_down_for_a_while_alarms_nobody() {
    let mut up = World::two();
    up.without_sts();
    up.facts(1).dane = Dane::Absent(NoTlsa::Denied);
    let mut down = up.clone();
    for address in 0..2 {
        let silent = crate::assess::Contact::Unreachable("connection refused".into());
        let probe = down.probe(1, address);
        probe.contact = silent;
        probe.handshakes.clear();
    }
    assert_ne!(up.assess().level, down.assess().level);
    assert_eq!(between(&up, &down), []);
    assert_eq!(between(&down, &up), []);
}

/// An unsigned MX set that the enforced policy does not list is what a forger brings about.
#[test]
fn a_new_mail_host_is_drift_or_an_attack() {
    let moved = |signed: bool, listed: bool| {
        let mut before = World::new();
        let mut after = World::two();
        if !signed {
            before.unsigned();
            after.unsigned();
        }
        if !listed {
            after.policy(policy(Mode::Enforce, &["mx.example.net"]));
        }
        let changed = between(&before, &after);
        changed.iter().find(|change| change.kind == Kind::Mx).unwrap().class
    };
    assert_eq!(moved(true, true), Class::Drift);
    assert_eq!(moved(false, true), Class::LikelyAttack, "the policy of before does not list it");
    assert_eq!(moved(true, false), Class::Drift);
}

/// Attacker on the path: forges the MX records of an unsigned domain without an enforced policy, to a
/// host with a valid certificate. It may be a move, but somebody is told; an operator's second host
/// is not.
#[test]
fn an_unsigned_move_to_other_hosts_is_told() {
    let moved = |name: &str, mut after: World, host: usize| {
        let mut before = World::new();
        for world in [&mut before, &mut after] {
            world.unsigned();
            world.without_sts();
        }
        let name = crate::domain::Domain::parse(name).unwrap();
        after.survey.hosts[host].host = name.clone();
        after.facts(host).host = crate::facts::Peer::Name(name);
        let changed = between(&before, &after);
        changed.into_iter().find(|change| change.kind == Kind::Mx).unwrap()
    };
    let forged = moved("mx.attacker.example", World::new(), 0);
    assert_eq!((forged.class, forged.looks_needed()), (Class::Weakening, Some(3)));
    let beside = moved("mx.attacker.example", World::two(), 1);
    assert_eq!(beside.class, Class::Weakening, "the old host is left in the set");
    let tenant = moved("other.example.net", World::new(), 0);
    assert_eq!(tenant.class, Class::Weakening, "another customer of the same operator");
    assert_eq!(moved("mx9.example.net", World::two(), 1).class, Class::Drift);
}

/// What is strange at a domain of ours whose configuration names `mx.example.net` alone.
fn strange(before: &World, after: &World) -> Vec<Change> {
    let ours = [crate::domain::Domain::parse("mx.example.net").unwrap()];
    strange_after(before, after, &ours)
}

fn strange_after(before: &World, after: &World, ours: &[crate::domain::Domain]) -> Vec<Change> {
    let mut keepers = Keepers::default();
    keepers.observe(&before.survey, NOW);
    strangers(Some(&before.survey), &after.survey, ours, (&keepers, NOW + DAY))
}

/// A domain of ours, and the same with a host that we never named.
fn led_away(prepare: Spoil) -> (World, World) {
    let (mut before, mut after) = (World::new(), World::new());
    prepare(&mut before);
    prepare(&mut after);
    let name = crate::domain::Domain::parse("mx.attacker.example").unwrap();
    after.survey.hosts[0].host = name.clone();
    after.facts(0).host = crate::facts::Peer::Name(name);
    (before, after)
}

/// Attacker on the path: leads the mail of a domain of ours that is not signed to a host of their own,
/// in the domain of our operator or not, with a valid certificate, beside our host or instead of it, by
/// an MX record or by taking it away.
#[test]
fn an_unsigned_mail_host_that_we_never_named_is_a_likely_attack() {
    let (before, after) = led_away(World::unsigned);
    let found = strange(&before, &after);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].class, found[0].looks_needed()), (Class::LikelyAttack, Some(2)));
    assert_eq!(found[0].subject, "example.com MX mx.attacker.example");
    assert_eq!(found[0].before, "mx.example.net");
    let advice = "If this was you: add mx.attacker.example to mx in [domain.publish] of example.com, and \
                  reload. If not: look at the MX records in your zone;";
    assert!(found[0].because.contains(advice), "{found:?}");

    let mut beside = World::two();
    beside.unsigned();
    let found = strange(&before, &beside);
    assert_eq!(found.len(), 1, "the operator's second host, which may be another customer's");
    assert_eq!((found[0].class, found[0].after.as_str()), (Class::LikelyAttack, "mx2.example.net"));

    let mut gone = before.clone();
    gone.survey.facts.mx = MxFact::Implicit { absence: Absence::Unconfirmed, chain: None };
    let name = gone.survey.facts.destination.clone();
    gone.facts(0).host = crate::facts::Peer::Name(name);
    assert_eq!(strange(&before, &gone)[0].class, Class::LikelyAttack);
    gone.survey.facts.mx = MxFact::Null { authenticity: Authenticity::Insecure, chain: None };
    gone.survey.facts.hosts.clear();
    let found = strange(&before, &gone);
    assert_eq!((found[0].class, found[0].after.as_str()), (Class::LikelyAttack, "."));
    assert!(
        found[0].because.contains("take mx out of [domain.publish] of example.com"),
        "{found:?}"
    );
}

/// Attacker: a thief of the account at the registrar, who delegates a signed domain of ours to servers
/// of their own and signs it there. Signed at the servers of before it is whoever keeps the zone: most
/// often us, without the configuration. Unsigned at last it is the path or the registrar.
#[test]
fn a_signed_mail_host_that_we_never_named_is_judged_by_who_can_have_signed_it() {
    let (before, after) = led_away(|_| {});
    let found = strange(&before, &after);
    assert_eq!((found[0].class, found[0].looks_needed()), (Class::Weakening, Some(2)));
    let mut stolen = after.clone();
    stolen.survey.zone.servers = crate::assess::Servers::Unreached("no way to port 53".into());
    assert_eq!(strange(&before, &stolen)[0].class, Class::Weakening, "the same names");
    stolen.survey.name_servers =
        crate::assess::NameServers::Found(vec![server_name("ns.attacker.example", "2001:db8::66")]);
    let found = strange(&before, &stolen);
    assert_eq!(found[0].class, Class::LikelyAttack);
    assert!(found[0].because.contains("registrar"), "{found:?}");
    let mut stripped = after.clone();
    stripped.unsigned();
    assert_eq!(strange(&before, &stripped)[0].class, Class::LikelyAttack);
}

/// What was there at the first look is a list that is wrong, or an attack that is older than we are:
/// told, and not called an attack. Where we named nothing, or nothing was seen, nothing is strange.
#[test]
fn a_mail_host_of_the_first_look_is_a_weakening_and_one_of_ours_is_nothing() {
    let (before, after) = led_away(World::unsigned);
    assert_eq!(strange(&after, &after)[0].class, Class::Weakening);
    let ours = ["mx.example.net", "mx2.example.net"]
        .map(|name| crate::domain::Domain::parse(name).unwrap());
    assert_eq!(
        strangers(None, &after.survey, &ours, (&Keepers::default(), NOW))[0].class,
        Class::Weakening
    );
    assert_eq!(strange_after(&after, &before, &ours), [], "and back again");
    assert_eq!(strange_after(&before, &after, &[]), []);
    let mut unseen = after.clone();
    unseen.survey.facts.mx = MxFact::Failed(failure(FailureKind::Timeout));
    assert_eq!(strange(&before, &unseen), []);
}

/// Attacker on the path: forges a null MX of a domain that is not signed, so that our mail to it is held up or
/// returned. Signed, the domain says that it takes no mail, and nobody is alarmed.
#[test]
fn a_null_mx_that_nobody_signs_is_a_weakening() {
    let delivery = |authenticity, spoil: fn(&mut World)| {
        let (mut before, mut gone) = (World::two(), World::two());
        spoil(&mut before);
        spoil(&mut gone);
        gone.survey.facts.mx = MxFact::Null { authenticity, chain: None };
        gone.survey.facts.hosts.clear();
        gone.survey.hosts.clear();
        let changed = between(&before, &gone);
        changed.into_iter().find(|change| change.kind == Kind::Delivery).unwrap()
    };
    let forged = delivery(Authenticity::Insecure, World::unsigned);
    assert_eq!((forged.class, forged.looks_needed()), (Class::Weakening, Some(3)), "{forged:?}");
    assert_eq!(delivery(Authenticity::Secure, |_| {}).class, Class::Drift);
}

/// A time-out is no change: it neither alarms nor ends an alarm.
#[test]
fn what_could_not_be_seen_is_no_change() {
    for kind in [FailureKind::Timeout, FailureKind::ServFail, FailureKind::SignaturesStripped] {
        let changed = after(|world| {
            world.facts(0).dane = Dane::LookupFailed(failure(kind));
            world.survey.zone.signing = Signing::Failed(failure(kind));
        });
        let of = |kind| changed.iter().any(|change| change.kind == kind);
        assert!(!of(Kind::Tlsa) && !of(Kind::Dnssec), "{changed:?}");
    }
    let changed = after(|world| {
        world.contact(&crate::assess::Contact::TurnedAway("421".into()));
        world.probes().for_each(|probe| probe.handshakes.clear());
    });
    assert_eq!(changed, []);
}

fn change(class: Class) -> Change {
    Change {
        kind: Kind::Starttls,
        subject: "mx.example.net [192.0.2.1]".into(),
        before: "STARTTLS".into(),
        after: "no STARTTLS".into(),
        class,
        because: "it vanished".into(),
        weight: Weight::Ordinary,
    }
}

/// Attacker: before all hosts at once, with a key of their own. What the signed zone says cannot be
/// forged, so that one look is enough; a single address may be a fault of one machine, and a
/// certificate that merely ran out is nobody's attack.
#[test]
fn what_contradicts_a_signed_promise_everywhere_needs_no_second_look() {
    let needed = |kind: Kind, spoil: Spoil| {
        let changed = after(spoil);
        let mine = changed.iter().find(|change| change.kind == kind);
        mine.unwrap_or_else(|| panic!("{changed:?}")).looks_needed()
    };
    assert_eq!(needed(Kind::TlsaMatch, |w| w.chain(&certificates().elsewhere)), Some(1));
    assert_eq!(needed(Kind::TlsaMatch, |w| w.chain(&certificates().other)), Some(1));
    assert_eq!(needed(Kind::Delivery, |w| w.chain(&certificates().elsewhere)), Some(1));
    let one = |w: &mut World| {
        let tried = crate::assess::Tried::Session(session(&certificates().other));
        w.probe(0, 0).handshakes[1].tried = tried;
    };
    assert_eq!(needed(Kind::TlsaMatch, one), Some(2));

    let certificate = |spoil: Spoil| {
        let (mut before, mut after) = (World::two(), World::two());
        before.without_dane();
        after.without_dane();
        spoil(&mut after);
        let changed = between(&before, &after);
        let mine = changed.iter().find(|change| change.kind == Kind::Certificate);
        mine.map(|change| (change.class, change.looks_needed()))
    };
    let attack = Some((Class::LikelyAttack, Some(1)));
    assert_eq!(certificate(|w| w.chain(&certificates().elsewhere)), attack);
    let hidden = |w: &mut World| {
        w.chain(&certificates().elsewhere);
        w.survey.policy.served = Some(Err(StsFailure::Fetch("connection refused".into())));
    };
    assert_eq!(certificate(hidden), attack, "senders still keep the policy");
    let withdrawn = |w: &mut World| {
        w.chain(&certificates().elsewhere);
        w.policy(policy(Mode::None, &[]));
    };
    assert_eq!(certificate(withdrawn), Some((Class::Weakening, Some(3))));
}

#[test]
fn what_is_conclusive_is_told_at_the_first_look() {
    let mut watch = Watch::default();
    let sure = [Change { weight: Weight::Conclusive, ..change(Class::LikelyAttack) }];
    assert_eq!(watch.observe(&sure, Certainty::Seen, NOW), [Event::Raised(sure[0].clone())]);
    let drift = [Change { weight: Weight::Conclusive, ..change(Class::Drift) }];
    assert_eq!(Watch::default().observe(&drift, Certainty::Seen, NOW), [], "never of drift");
}

/// A date that comes nearer is no difference from before, and yet somebody has to hear of it.
#[test]
fn what_stands_by_itself_is_told_after_two_looks_even_if_it_is_drift() {
    let mut watch = Watch::default();
    let soon = [Change { weight: Weight::Standing, ..change(Class::Drift) }];
    assert_eq!(watch.observe(&soon, Certainty::Seen, NOW), []);
    assert_eq!(watch.observe(&soon, Certainty::Seen, NOW), [Event::Raised(soon[0].clone())]);
}

#[test]
fn an_alarm_needs_several_looks_and_several_to_end() {
    let mut watch = Watch::default();
    let attack = [change(Class::LikelyAttack)];
    assert_eq!(watch.observe(&attack, Certainty::Seen, NOW), []);
    assert_eq!(watch.observe(&attack, Certainty::Seen, NOW), [Event::Raised(attack[0].clone())]);
    assert_eq!(watch.worst(), Some(Class::LikelyAttack));
    assert_eq!(watch.observe(&attack, Certainty::Seen, NOW), [], "once is enough");
    assert_eq!(watch.observe(&[], Certainty::Seen, NOW), []);
    assert_eq!(watch.observe(&[], Certainty::NotSeen, NOW), [], "nothing was seen");
    assert_eq!(watch.observe(&[], Certainty::DnsAlone, NOW), [], "STARTTLS is not in DNS");
    assert_eq!(watch.observe(&[], Certainty::Seen, NOW), [Event::Cleared(attack[0].clone())]);
    assert_eq!(watch, Watch::default());
}

#[test]
fn a_single_look_and_mere_drift_alarm_nobody() {
    let mut watch = Watch::default();
    for _ in 0..10 {
        assert_eq!(watch.observe(&[change(Class::Weakening)], Certainty::Seen, NOW), []);
        assert_eq!(watch.observe(&[], Certainty::Seen, NOW), []);
        assert_eq!(watch.observe(&[change(Class::Drift)], Certainty::Seen, NOW), []);
    }
    let worse = [change(Class::Weakening)];
    for look in 1..=3 {
        let events = watch.observe(&worse, Certainty::Seen, NOW);
        assert_eq!(events.len(), usize::from(look == 3), "look {look}");
    }
}

/// A hostile domain can bring about any number of changes; only so many are kept.
#[test]
fn a_domain_that_changes_everything_is_bounded() {
    let mut watch = Watch::default();
    let many: Vec<_> = (0..1_000)
        .map(|n| Change { subject: format!("host {n}"), ..change(Class::LikelyAttack) })
        .collect();
    watch.observe(&many, Certainty::Seen, NOW);
    assert_eq!(watch.open.len(), 64);
}

/// Attacker: a thief of the zone or a hostile domain, which opens as many weakenings as are watched before the
/// attack begins. It takes the place of one of them; of two attacks the first one stays.
#[test]
fn weakenings_leave_room_for_an_attack() {
    let many = |class| -> Vec<_> {
        (0..64).map(|n| Change { subject: format!("host {n}"), ..change(class) }).collect()
    };
    for looks in [1, 3] {
        let mut watch = Watch::default();
        let mut seen = many(Class::Weakening);
        for _ in 0..looks {
            watch.observe(&seen, Certainty::Seen, NOW);
        }
        let attack = change(Class::LikelyAttack);
        seen.insert(0, attack.clone());
        watch.observe(&seen, Certainty::Seen, NOW);
        let events = watch.observe(&seen, Certainty::Seen, NOW);
        assert!(events.contains(&Event::Raised(attack)), "{events:?}");
        assert_eq!((watch.open.len(), watch.worst()), (64, Some(Class::LikelyAttack)));
    }
    let mut watch = Watch::default();
    watch.observe(&many(Class::LikelyAttack), Certainty::Seen, NOW);
    let before = watch.clone();
    for class in [Class::Weakening, Class::LikelyAttack] {
        let mut watch = watch.clone();
        watch.observe(&[change(class)], Certainty::NotSeen, NOW);
        assert_eq!(watch, before);
    }
}
