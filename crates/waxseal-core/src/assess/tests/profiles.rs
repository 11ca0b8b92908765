//! What standards say of a domain.

use std::collections::BTreeSet;

use super::world::*;
use crate::{
    assess::{
        Contact, LegacyVersion, NameServers, Observed, Published, ServerName, Servers, Signing,
        SpfAll, StartTlsSeen, Unprobed,
        profile::{FILES, Predicate, Profile, ProfileVerdict, Status, built_in, judge_profile},
    },
    channel::TlsVersion,
    dns::{Absence, Answer, Authenticity, FailureKind},
    facts::MxFact,
    sts::Mode,
};

fn verdict(name: &str, world: &World) -> ProfileVerdict {
    let profile = built_in().iter().find(|profile| profile.name == name).unwrap();
    judge_profile(profile, &world.survey, &world.assess())
}

fn status(verdict: &ProfileVerdict, id: &str) -> Status {
    verdict.requirements.iter().find(|one| one.id == id).unwrap().status
}

#[test]
fn every_profile_that_is_built_in_can_be_read_and_names_its_sources() {
    let names: BTreeSet<_> = built_in().iter().map(|profile| profile.name.as_str()).collect();
    let expected = [
        "bsi-tr-03108",
        "dsk-high",
        "dsk-normal",
        "internet-nl",
        "nist-800-177",
        "nta-7516",
        "nz-sge",
        "uk-gov",
    ];
    assert_eq!(names, BTreeSet::from(expected));
    for text in FILES {
        let profile = Profile::parse(text).unwrap();
        assert!(!profile.source.is_empty() && !profile.date.is_empty(), "{}", profile.name);
        // These were read where they are written; of one of them a requirement was not.
        let read = ["internet-nl", "uk-gov"].contains(&profile.name.as_str());
        assert_eq!(profile.unverified, !read, "{}", profile.name);
        let open = profile.requirements.iter().filter(|one| one.unverified);
        let open: Vec<_> = open.map(|one| one.id.as_str()).collect();
        match profile.name.as_str() {
            "internet-nl" => assert!(open.is_empty(), "{open:?}"),
            "uk-gov" => assert_eq!(open, ["MTA-STS-MX"]),
            _ => assert_eq!(open.len(), profile.requirements.len(), "{}", profile.name),
        }
        for requirement in &profile.requirements {
            assert!(!requirement.section.is_empty() && !requirement.text.is_empty());
        }
    }
}

#[test]
fn a_domain_at_its_best_meets_every_profile() {
    for profile in built_in() {
        let verdict = judge_profile(profile, &World::new().survey, &World::new().assess());
        let open: Vec<_> = verdict
            .requirements
            .iter()
            .filter(|one| !matches!(one.status, Status::Met | Status::ByHand))
            .map(|one| (&one.id, one.status, &one.evidence))
            .collect();
        // The certificates of this world are on P-256, the group is a hybrid: all on the lists.
        assert!(open.is_empty(), "{}: {open:?}", profile.name);
        assert_eq!(verdict.status, Status::Met, "{}", profile.name);
    }
}

/// What no rival explains: MTA-STS alone proves the host, and not the name that DNS gave it.
#[test]
fn mta_sts_alone_is_not_enough_for_high_risk_of_the_dsk() {
    let mut world = World::new();
    world.without_dane();
    world.unsigned();
    let verdict = verdict("dsk-high", &world);
    assert_eq!(status(&verdict, "QUALIFIED-AUTH"), Status::Met);
    assert_eq!(status(&verdict, "QUALIFIED-DNSSEC"), Status::NotMet);
    assert_eq!(verdict.status, Status::NotMet);
    assert!(verdict.unverified);
}

#[test]
fn each_profile_says_no_for_its_own_reason() {
    let cases: [(&str, &str, Spoil); 10] = [
        ("internet-nl", "mail_starttls_dane_valid", |w| w.chain(&certificates().other)),
        ("internet-nl", "mail_starttls_tls_version", |w| {
            w.probes().for_each(|probe| probe.legacy = Some(vec![LegacyVersion::V1_1]));
        }),
        ("internet-nl", "mail_auth_dmarc_policy", |w| w.survey.mail.dmarc = absent()),
        ("bsi-tr-03108", "TLSRPT", |w| w.survey.tlsrpt = absent()),
        ("dsk-normal", "MANDATORY-TLS", |w| {
            *w = World::plain();
            w.starttls(&StartTlsSeen::NotOffered);
        }),
        ("nta-7516", "6.1.2-NO-FALLBACK", World::without_dane),
        ("uk-gov", "MTA-STS", World::without_sts),
        ("nz-sge", "MTA-STS", |w| w.policy(policy(Mode::Testing, &["mx.example.net"]))),
        ("nz-sge", "SPF", |w| {
            if let Published::Found { value, .. } = &mut w.survey.mail.spf {
                value.all = SpfAll::SoftFail;
            }
        }),
        ("nist-800-177", "AUTHENTICATION", |w| *w = World::plain()),
    ];
    for (name, id, spoil) in cases {
        let mut world = World::new();
        spoil(&mut world);
        let verdict = verdict(name, &world);
        assert_eq!(status(&verdict, id), Status::NotMet, "{name} {id}");
        assert_eq!(verdict.status, Status::NotMet, "{name}");
    }
}

/// A rate limit is no failure of the domain, and no success.
#[test]
fn what_was_not_seen_is_unknown_in_a_profile_too() {
    let mut world = World::new();
    world.contact(&Contact::TurnedAway("421 too many connections".into()));
    for probe in world.probes() {
        probe.handshakes.clear();
        probe.weak = None;
    }
    let internet = verdict("internet-nl", &world);
    assert_eq!(internet.status, Status::Unknown);
    for id in ["mail_starttls_tls_available", "mail_starttls_dane_valid", "mail_starttls_cert_sig"]
    {
        assert_eq!(status(&internet, id), Status::Unknown, "{id}");
    }
    assert_eq!(status(&internet, "mail_starttls_dane_exist"), Status::Met);

    let mut world = World::new();
    for probe in world.probes() {
        (probe.weak, probe.legacy) = (None, None);
    }
    let internet = verdict("internet-nl", &world);
    assert_eq!(status(&internet, "mail_starttls_tls_version"), Status::Unknown);

    // What nobody answered when it was asked was not refused.
    let mut world = World::new();
    world.probes().for_each(|probe| probe.legacy = None);
    let internet = verdict("internet-nl", &world);
    assert_eq!(status(&internet, "mail_starttls_tls_version"), Status::Unknown);
    let mut world = World::new();
    for probe in world.probes() {
        probe.weak.as_mut().unwrap().groups = None;
    }
    let nist = verdict("internet-nl", &world);
    assert_eq!(status(&nist, "mail_starttls_tls_keyexchange"), Status::Unknown);
    assert_eq!(status(&nist, "mail_starttls_tls_ciphers"), Status::Met);

    // A handshake that was lost on the way is neither.
    let mut world = World::new();
    let lost = || crate::assess::Tried::Unknown("no end of the handshake in time".into());
    for probe in world.probes() {
        probe.handshakes.iter_mut().for_each(|one| one.tried = lost());
    }
    let internet = verdict("internet-nl", &world);
    assert_eq!(status(&internet, "mail_starttls_tls_available"), Status::Unknown);

    world.survey.facts.mx = MxFact::Failed(failure(FailureKind::Timeout));
    assert_eq!(verdict("dsk-normal", &world).status, Status::Unknown);
}

/// `--dns-only`, and a host that nobody could look at: nothing is said of what was not seen.
#[test]
fn nothing_is_held_against_a_host_that_nobody_looked_at() {
    let unlooked = |w: &mut World| {
        for address in w.survey.hosts.iter_mut().flat_map(|host| &mut host.addresses) {
            address.observed = Observed::Not(Unprobed::DnsOnly);
        }
    };
    let second_unreachable = |w: &mut World| {
        *w = World::two();
        for address in 0..2 {
            let probe = w.probe(1, address);
            probe.contact = Contact::Unreachable("no answer in time".into());
            (probe.weak, probe.legacy) = (None, None);
            probe.handshakes.clear();
        }
    };
    let lost = |w: &mut World| {
        for probe in w.probes() {
            probe.handshakes.clear();
        }
    };
    for (what, spoil) in
        [("dns-only", unlooked as Spoil), ("silent", second_unreachable), ("lost", lost)]
    {
        let mut world = World::new();
        spoil(&mut world);
        for profile in built_in() {
            let verdict = judge_profile(profile, &world.survey, &world.assess());
            for one in &verdict.requirements {
                // What answers over IPv4 and IPv6 at one host does not at the other.
                let seen = what == "silent" && one.id == "mail_ipv6_mx_reach";
                let wrong = one.status == Status::NotMet && !seen;
                assert!(!wrong, "{what}: {} {}: {}", profile.name, one.id, one.evidence);
            }
        }
        let nist = verdict("nist-800-177", &world);
        assert_eq!(status(&nist, "TLS13"), Status::Unknown, "{what}");
        let internet = verdict("internet-nl", &world);
        let status = status(&internet, "mail_starttls_cert_pubkey");
        assert_eq!(status, Status::Unknown, "{what}");
    }
    // Where a host was seen, it is not.
    let mut world = World::two();
    second_unreachable(&mut world);
    world.sessions().for_each(|session| session.version = TlsVersion::V1_2);
    assert_eq!(status(&verdict("nist-800-177", &world), "TLS13"), Status::NotMet);
}

/// Internet.nl tests the name servers in the same category as the mail hosts: a domain passes there
/// only where two of them can be reached over IPv6.
#[test]
fn name_servers_without_ipv6_are_seen() {
    let judged = |servers: NameServers, spoil: Spoil| {
        let mut world = World::new();
        world.survey.name_servers = servers;
        spoil(&mut world);
        let verdict = verdict("internet-nl", &world);
        let of = |id| status(&verdict, id);
        (of("mail_ipv6_ns_address"), of("mail_ipv6_ns_reach"))
    };
    let ns = |name: &str, ipv6| ServerName { name: domain(name), ipv6 };
    let good = || server_name("ns1.example.net", "2001:db8::53");
    let none = || ns("ns2.example.net", Ok(Vec::new()));
    let failed = || ns("ns2.example.net", Err("no answer in time".into()));
    let (met, not_met, unknown) = (Status::Met, Status::NotMet, Status::Unknown);
    let servers = |all: Vec<ServerName>| NameServers::Found(all);
    assert_eq!(judged(servers(vec![none(), none()]), |_| {}), (not_met, not_met));
    assert_eq!(judged(servers(vec![good(), none()]), |_| {}), (not_met, met));
    assert_eq!(judged(servers(vec![good(), failed()]), |_| {}), (unknown, met));
    assert_eq!(judged(servers(vec![failed()]), |_| {}), (unknown, unknown));
    assert_eq!(judged(NameServers::Failed("no answer".into()), |_| {}), (unknown, unknown));
    // One of two is silent; both are, which may be our fault; nobody asked.
    let second = || servers(vec![good(), server_name("ns2.example.net", "2001:db8::54")]);
    assert_eq!(judged(second(), |_| {}), (met, met));
    assert_eq!(judged(second(), |w| silence(w, 3)), (met, not_met));
    assert_eq!(judged(second(), |w| silence(w, 2)), (met, unknown));
    let unasked: Spoil = |w| w.survey.zone.servers = Servers::NotAsked("only DNS".into());
    assert_eq!(judged(second(), unasked), (met, unknown));
}

/// Nothing comes from the servers from this one on.
fn silence(world: &mut World, from: usize) {
    let Servers::Asked(servers) = &mut world.survey.zone.servers else { panic!("they are asked") };
    for answer in servers[from..].iter_mut().flat_map(|server| &mut server.answers) {
        answer.digest = Err("no answer in time".into());
    }
}

/// Whoever has signatures that do not hold is signed, and it does not hold: two tests there.
#[test]
fn signatures_that_do_not_hold_are_there_and_not_valid() {
    let judged = |signing: Signing| {
        let mut world = World::new();
        world.survey.zone.signing = signing.clone();
        world.host(0).zone.signing = signing;
        let verdict = verdict("internet-nl", &world);
        let of = |id| status(&verdict, id);
        assert_eq!(of("mail_dnssec_mailto_exist"), of("mail_dnssec_mx_exist"));
        assert_eq!(of("mail_dnssec_mailto_valid"), of("mail_dnssec_mx_valid"));
        (of("mail_dnssec_mailto_exist"), of("mail_dnssec_mailto_valid"))
    };
    let bogus = judged(Signing::Failed(failure(FailureKind::Bogus)));
    assert_eq!(bogus, (Status::Met, Status::NotMet));
    let bare = judged(Signing::Unsigned { because: "com has no DS for it".into() });
    assert_eq!(bare, (Status::NotMet, Status::NotApplicable));
    let open = judged(Signing::Failed(failure(FailureKind::Timeout)));
    assert_eq!(open, (Status::Unknown, Status::Unknown));
}

/// What is to be phased out is a warning there, and no failure.
#[test]
fn what_is_to_be_phased_out_fails_nothing_at_internet_nl() {
    let mut world = World::new();
    for probe in world.probes() {
        probe.weak.as_mut().unwrap().suites = vec!["TLS_DHE_RSA_WITH_AES_128_GCM_SHA256".into()];
    }
    let internet = verdict("internet-nl", &world);
    assert_eq!(status(&internet, "mail_starttls_tls_ciphers"), Status::Met);
    assert_eq!(status(&internet, "mail_starttls_tls_ciphers_phase_out"), Status::NotMet);
    assert_eq!(internet.status, Status::Met, "a warning");
    for probe in world.probes() {
        probe.weak.as_mut().unwrap().suites = vec!["TLS_RSA_WITH_NULL_SHA".into()];
    }
    let internet = verdict("internet-nl", &world);
    assert_eq!(status(&internet, "mail_starttls_tls_ciphers"), Status::NotMet);
}

/// A question that had no answer is not a denial; the order of the addresses does not matter.
#[test]
fn ipv6_that_could_not_be_asked_for_is_not_missing() {
    let judged = |spoil: Spoil| {
        let mut world = World::two();
        spoil(&mut world);
        let verdict = verdict("internet-nl", &world);
        let of = |id| status(&verdict, id);
        (of("mail_ipv6_mx_address"), of("mail_ipv6_mx_reach"))
    };
    fn four(w: &mut World) {
        for host in 0..2 {
            if let Answer::Found { value, .. } = &mut w.facts(host).addresses {
                value.retain(std::net::IpAddr::is_ipv4);
            }
            w.host(host).addresses.retain(|address| address.ip.is_ipv4());
        }
    }
    assert_eq!(judged(|_| {}), (Status::Met, Status::Met));
    assert_eq!(judged(four), (Status::NotMet, Status::NotMet));
    let unasked = |w: &mut World| {
        four(w);
        w.survey.hosts.iter_mut().for_each(|host| host.aaaa_fault = Some("no answer".into()));
    };
    assert_eq!(judged(unasked), (Status::Unknown, Status::Unknown));
    let first_silent = |w: &mut World| {
        w.probe(0, 0).contact = Contact::Unreachable("no answer in time".into());
    };
    assert_eq!(judged(first_silent), (Status::Met, Status::NotMet));
}

/// Where nothing is signed, no algorithm is weak, and none is strong.
#[test]
fn the_strength_of_dnssec_is_not_asked_where_there_is_none() {
    let judge = |spoil: Spoil| {
        let mut world = World::new();
        spoil(&mut world);
        let text = "name = 'x'\ntitle = 'x'\nsource = 'x'\ndate = '2026'\n[[requirement]]\nid = '1'\n\
                    text = 'x'\ncheck = 'dnssec-strong'\nseverity = 'error'\nsection = '1'\n";
        let profile = Profile::parse(text).unwrap();
        judge_profile(&profile, &world.survey, &world.assess()).requirements[0].status
    };
    let bare = |w: &mut World| {
        w.unsigned();
        w.host(0).zone.signing = Signing::Unsigned { because: "net has no DS for it".into() };
    };
    assert_eq!(judge(|_| {}), Status::Met);
    assert_eq!(judge(bare), Status::NotApplicable);
    assert_eq!(judge(|w| w.survey.zone.signing = Signing::NotAsked), Status::Unknown);
    assert_eq!(
        judge(|w| {
            if let Signing::Signed { algorithms, .. } = &mut w.survey.zone.signing {
                *algorithms = vec![7];
            }
        }),
        Status::NotMet
    );
}

#[test]
fn a_domain_without_mail_is_asked_only_for_what_applies() {
    let mut world = World::new();
    world.survey.facts.mx = MxFact::Null { authenticity: Authenticity::Secure, chain: None };
    world.survey.facts.hosts.clear();
    world.survey.hosts.clear();
    let verdict = verdict("internet-nl", &world);
    assert_eq!(status(&verdict, "mail_starttls_tls_available"), Status::NotApplicable);
    assert_eq!(status(&verdict, "mail_auth_spf_exist"), Status::Met);
    assert_eq!(verdict.status, Status::Met);
}

/// One requirement of its own.
fn one(check: &str, world: &World) -> Status {
    let text = format!(
        "name = 'x'\ntitle = 'x'\nsource = 'x'\ndate = '2026'\n[[requirement]]\nid = '1'\n\
         text = 'x'\ncheck = '{check}'\nseverity = 'error'\nsection = '1'\n"
    );
    let profile = Profile::parse(&text).unwrap();
    judge_profile(&profile, &world.survey, &world.assess()).requirements[0].status
}

/// The extended master secret is of TLS 1.2: who does not speak it has nothing to extend.
#[test]
fn the_extended_master_secret_is_judged_where_it_was_seen_at_each_host() {
    let check = "extended-master-secret";
    let mut world = World::two();
    assert_eq!(one(check, &world), Status::Met);
    let weak = world.probe(0, 1).weak.as_mut().unwrap();
    (weak.extended_master_secret, weak.tls12) = (None, None);
    assert_eq!(one(check, &world), Status::Unknown, "nobody answered at one address");
    for probe in world.probes() {
        let weak = probe.weak.as_mut().unwrap();
        (weak.extended_master_secret, weak.tls12) = (None, Some(false));
    }
    assert_eq!(one(check, &world), Status::NotApplicable, "TLS 1.3 only");
    world.probe(1, 0).weak.as_mut().unwrap().extended_master_secret = Some(false);
    assert_eq!(one(check, &world), Status::NotMet);
}

/// Where no MX record names a host, nothing holds of all hosts.
#[test]
fn nothing_is_met_by_a_domain_that_names_no_usable_host() {
    let mut world = World::new();
    world.survey.facts.hosts.clear();
    world.survey.hosts.clear();
    for check in ["tlsa-present", "every-mx-has-ipv6", "mx-and-addresses-signed", "encrypted"] {
        assert_eq!(one(check, &world), Status::NotMet, "{check}");
    }
    assert_eq!(one("starttls", &world), Status::Unknown);
}

/// A certificate that does not match its TLSA record was seen: that is no lack of knowledge.
#[test]
fn a_host_that_breaks_its_promise_has_not_proven_who_it_is() {
    let mut world = World::new();
    world.chain(&certificates().other);
    assert_eq!(one("authenticated", &world), Status::NotMet);
}

#[test]
fn each_address_counts_in_whatever_order_they_were_asked() {
    for (silent, speaks) in [((0, 0), (1, 0)), ((1, 0), (0, 0))] {
        let mut world = World::two();
        let old = |world: &mut World, (host, address)| {
            for handshake in &mut world.probe(host, address).handshakes {
                if let crate::assess::Tried::Session(session) = &mut handshake.tried {
                    session.version = crate::channel::TlsVersion::V1_2;
                }
            }
        };
        world.probe(silent.0, silent.1).contact = Contact::Unreachable("refused".into());
        assert_eq!(one("ipv6-answers", &world), Status::NotMet, "{silent:?} and not {speaks:?}");
        old(&mut world, speaks);
        assert_eq!(one("tls13", &world), Status::NotMet);
    }
}

/// Attacker: whoever writes in the name of a domain whose record lets everybody in before its `-all`.
#[test]
fn a_last_word_that_nobody_comes_to_is_no_hard_fail() {
    let mut world = World::new();
    assert_eq!(one("spf-hard-fail", &world), Status::Met);
    if let Published::Found { value, .. } = &mut world.survey.mail.spf {
        value.open = vec!["inc.example, which is included, says +all".into()];
    }
    assert_eq!((one("spf", &world), one("spf-hard-fail", &world)), (Status::Met, Status::NotMet));
}

/// Attacker: whoever answers at the address that turned us away. A verdict about "every address" is
/// not given for the one that was seen.
#[test]
fn an_address_that_turned_us_away_leaves_every_verdict_about_all_of_them_open() {
    let checks = ["starttls", "tlsa-matches", "tls13", "certificate-trusted", "sts-consistent"];
    let judged = |spoil: Spoil| {
        let mut world = World::two();
        spoil(&mut world);
        checks.map(|check| one(check, &world))
    };
    assert_eq!(judged(|_| {}), [Status::Met; 5]);
    let greylisted: Spoil = |world| {
        let probe = world.probe(0, 1);
        probe.contact = Contact::TurnedAway("451 greylisted".into());
        probe.handshakes.clear();
    };
    assert_eq!(judged(greylisted), [Status::Unknown; 5]);
    let no_session: Spoil = |world| world.probe(0, 1).handshakes.clear();
    assert_eq!(judged(no_session)[1..], [Status::Unknown; 4]);
    // What we cannot see from here is said elsewhere, and is no fault of the domain.
    let without_ipv6: Spoil = |world| {
        world.host(0).addresses[1].observed = Observed::Not(Unprobed::NoFamily);
    };
    assert_eq!(judged(without_ipv6), [Status::Met; 5]);
}

/// Attacker: whoever listens. A host that takes mail in the clear forces no version of TLS, and what
/// is not known of another host changes nothing about that.
#[test]
fn nothing_that_is_asked_of_tls_is_met_where_a_host_offers_no_starttls() {
    let checks = [
        "no-old-tls",
        "tls13",
        "suites-ncsc-nl",
        "suites-ncsc-nl-phase-out",
        "suites-bsi",
        "groups-ncsc-nl",
        "groups-ncsc-nl-phase-out",
        "groups-bsi",
        "keys-ncsc-nl",
        "keys-ncsc-nl-phase-out",
        "keys-bsi",
        "hashes-ncsc-nl",
        "hashes-ncsc-nl-phase-out",
        "extended-master-secret",
        "certificate-trusted",
        "certificate-name",
        "tlsa-matches",
    ];
    let everywhere: Spoil = |world| world.starttls(&StartTlsSeen::NotOffered);
    let at_one: Spoil = |world| {
        *world = World::two();
        stripped(world.probe(1, 1), &StartTlsSeen::NotOffered);
        world.probe(0, 0).contact = Contact::TurnedAway("451 greylisted".into());
    };
    for spoil in [everywhere, at_one] {
        let mut world = World::new();
        spoil(&mut world);
        for check in checks {
            assert_eq!(one(check, &world), Status::NotMet, "{check}");
        }
        for (profile, id) in [
            ("nta-7516", "6.1.11-TLS"),
            ("uk-gov", "TLS12"),
            ("internet-nl", "mail_starttls_tls_version"),
        ] {
            let verdict = verdict(profile, &world);
            let told = verdict.requirements.iter().find(|one| one.id == id).unwrap();
            assert_eq!(told.status, Status::NotMet, "{profile}");
            assert!(told.evidence.ends_with(" offers no STARTTLS"), "{}", told.evidence);
        }
    }
    // No handshake came about: nothing follows.
    let mut world = World::new();
    for probe in world.probes() {
        probe.handshakes.clear();
        (probe.legacy, probe.weak) = (None, None);
    }
    for check in checks {
        assert_eq!(one(check, &world), Status::Unknown, "{check}");
    }
}

/// Attacker: on the path to our resolver. What others see is not missing.
#[test]
fn a_policy_that_only_others_see_is_neither_met_nor_missing() {
    use crate::witness::{Missing, Testimony, Witnessed};
    let mut world = World::new();
    world.without_sts();
    assert_eq!(one("sts-enforced", &world), Status::NotMet);
    let witness = "tls://192.0.2.1#dns.other.example".to_owned();
    let said = Testimony::Contradicts;
    world.survey.facts.witnesses = vec![Witnessed { missing: Missing::StsRecord, witness, said }];
    assert_eq!(one("sts-enforced", &world), Status::Unknown);
}

const OWN: &str = r#"
name = "ours"
title = "Our suppliers"
source = "the contract"
date = "2026"

[[requirement]]
id = "1"
text = "Mail is encrypted."
check = "encrypted"
severity = "error"
section = "1"
"#;

/// A customer's own file; a typing error must not become a requirement that nobody checks.
#[test]
fn a_customers_profile_is_read_and_a_wrong_one_refused() {
    let own = Profile::parse(OWN).unwrap();
    assert_eq!(own.requirements[0].check, Predicate::Encrypted);
    let world = World::new();
    assert_eq!(judge_profile(&own, &world.survey, &world.assess()).status, Status::Met);
    for (wrong, said) in [
        (OWN.replace("check", "chekc"), "chekc"),
        (OWN.replace("encrypted\"", "encripted\""), "encripted"),
        (OWN.replace("\"error\"", "\"fatal\""), "fatal"),
        (OWN.replace("date", "colour = 1\ndate"), "colour"),
        (OWN.replace("ours", "Ours\\u001b[2J"), "lower case"),
        (OWN.replace("ours", "ours\u{1b}[2J"), "line 2"),
        (format!("{OWN}{}", &OWN[OWN.find("[[").unwrap()..]), "two requirements"),
        (format!("{OWN}#{}", "x".repeat(300_000)), "at most"),
    ] {
        let error = Profile::parse(&wrong).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
        assert!(!error.contains('\u{1b}'), "{error}");
    }
}

/// A misspelt name meets nothing, and fails nothing either.
#[test]
fn a_domain_that_does_not_exist_is_unknown_to_every_profile() {
    let mut world = World::new();
    world.survey.facts.mx = MxFact::NoDomain { absence: Absence::Secure, chain: None };
    world.survey.facts.hosts.clear();
    world.survey.hosts.clear();
    for profile in built_in() {
        let verdict = judge_profile(profile, &world.survey, &world.assess());
        assert_eq!(verdict.status, Status::Unknown, "{}", profile.name);
        let neither = |status| matches!(status, Status::Unknown | Status::ByHand);
        assert!(verdict.requirements.iter().all(|one| neither(one.status)), "{}", profile.name);
    }
}
