//! What is found in DNS records: signatures, DS, CAA, DMARC.

use std::time::Duration;

use super::{
    ids::{only, signing},
    world::*,
};
use crate::{
    assess::{Consent, Dmarc, DmarcPolicy, Finding, Id, Published, Reports, Severity, Signing},
    pki::bench::NOW,
};
/// The next step and no other (docs/findings.md): whoever jumps to `reject` loses mail, and a mailbox
/// that nobody has reads no reports.
#[test]
fn a_dmarc_record_is_moved_one_step_and_keeps_its_tags() {
    let fix = |policy, rua: &[&str], testing, text: &str| {
        let mut world = World::new();
        if let Published::Found { value, text: published, .. } = &mut world.survey.mail.dmarc {
            (value.policy, value.testing) = (policy, testing);
            value.rua = rua.iter().map(|uri| (*uri).into()).collect();
            *published = text.into();
        }
        only(&world, Id::DmarcWeak).fix
    };
    let none = fix(
        DmarcPolicy::None,
        &["mailto:us@example.com"],
        false,
        "v=DMARC1;p=none; rua=mailto:us@example.com; adkim=s",
    );
    let record = "_dmarc.example.com. IN TXT \"v=DMARC1; p=quarantine; rua=mailto:us@example.com; \
                  adkim=s\"";
    assert!(none.ends_with(record), "{none}");
    let blind = fix(DmarcPolicy::None, &[], false, "v=DMARC1; p=none");
    assert!(
        blind.ends_with("\"v=DMARC1; p=none; rua=mailto:<a mailbox that somebody reads>\""),
        "{blind}"
    );
    let testing =
        fix(DmarcPolicy::Reject, &["mailto:a@b.example"], true, "v=DMARC1; p=reject; t=y");
    assert!(testing.ends_with("\"v=DMARC1; p=reject\""), "{testing}");

    let mut world = World::new();
    world.survey.mail.dmarc = absent();
    let missing = only(&world, Id::DmarcMissing).fix;
    assert!(missing.contains("p=none; rua=mailto:<"), "{missing}");
}

/// `iodef` alone restricts nobody (RFC 8659 §4.2).
#[test]
fn caa_without_issue_is_as_good_as_none() {
    let mut world = World::new();
    world.host(0).caa = found(vec!["0 iodef \"mailto:us@example.com\"".into()]);
    assert!(only(&world, Id::CaaMissing).evidence.contains("issue"));
}

/// A CA looks at the name that it is to certify (RFC 8659 §3): that of the mail host, which may be in
/// another domain, and that of the policy host.
#[test]
fn caa_is_judged_at_the_names_that_certificates_are_for() {
    let mut world = World::two();
    world.host(1).caa = absent();
    assert_eq!(only(&world, Id::CaaMissing).subject, "mx2.example.net");
    world.host(1).caa = found(vec!["0 issue ca.example".into()]);
    world.survey.policy.caa = absent();
    let finding = only(&world, Id::CaaMissing);
    assert_eq!(finding.subject, "mta-sts.example.com");
    assert!(finding.fix.starts_with("mta-sts.example.com. IN CAA 0 issue"), "{}", finding.fix);
}

/// Zones that sign while they answer have signatures of two days, and nothing is wrong.
#[test]
fn short_signatures_are_no_finding_while_they_are_renewed() {
    let with = |expiry: Duration, age: Duration| {
        let mut world = World::new();
        signing(&mut world, |signing| {
            if let Signing::Signed { first_expiry, signed_at, .. } = signing {
                (*first_expiry, *signed_at) = (NOW + expiry, Some(NOW.before(age)));
            }
        });
        world.ids().contains(&Id::RrsigExpires)
    };
    assert!(!with(DAY, DAY), "online signing");
    assert!(with(Duration::from_hours(6), DAY * 2), "online signing that stopped");
    assert!(with(DAY, DAY * 13), "a signer that stopped");
    assert!(!with(DAY * 4, DAY * 10));
}

/// SHA-1 alone at the parent: some validators see an unsigned zone already.
#[test]
fn a_ds_record_with_sha1_is_a_finding_that_weighs_what_stands_beside_it() {
    let found = |digests: &[u8]| {
        let mut world = World::new();
        signing(&mut world, |signing| {
            if let Signing::Signed { ds_digests, .. } = signing {
                *ds_digests = digests.to_vec();
            }
        });
        let findings = world.assess().findings;
        findings.iter().map(|finding| (finding.id, finding.severity)).collect::<Vec<_>>()
    };
    assert_eq!(found(&[1]), [(Id::ZoneWeakAlgorithm, Severity::Warning)]);
    assert_eq!(found(&[1, 2]), [(Id::ZoneWeakAlgorithm, Severity::Info)]);
    assert_eq!(found(&[2, 4]), []);
}

/// Attacker: whoever writes in the name of the domain, or of one below it.
#[test]
fn a_policy_that_leaves_subdomains_open_is_weak() {
    let mut world = World::new();
    if let Published::Found { value, .. } = &mut world.survey.mail.dmarc {
        value.subdomains = Some(DmarcPolicy::None);
    }
    assert!(only(&world, Id::DmarcWeak).evidence.starts_with("sp=none"));
    // A subdomain is asked about by what counts for it.
    if let Published::Found { value, .. } = &mut world.survey.mail.dmarc {
        value.at = crate::domain::Domain::parse("org.example").unwrap();
    }
    assert!(!world.ids().contains(&Id::DmarcWeak));
}

/// RFC 7489 §6.3: those who still go by it apply the policy to a part.
#[test]
fn a_policy_for_a_part_of_the_mail_is_weak() {
    let mut world = World::new();
    if let Published::Found { value, text, .. } = &mut world.survey.mail.dmarc {
        value.percent = Some(0);
        *text = "v=DMARC1; p=reject; pct=0; rua=mailto:a@b.example".into();
    }
    let Finding { evidence, fix, severity, .. } = only(&world, Id::DmarcWeak);
    assert!(evidence.starts_with("pct=0: ") && evidence.contains("0 in 100"), "{evidence}");
    assert!(fix.ends_with("\"v=DMARC1; p=reject; rua=mailto:a@b.example\""), "{fix}");
    assert_eq!(severity, Severity::Notice);
}

#[test]
fn reports_that_nobody_can_send_are_told_before_a_stricter_policy() {
    let told = |usable: &[&str]| {
        let mut world = World::new();
        if let Published::Found { value, text, .. } = &mut world.survey.mail.dmarc {
            value.policy = DmarcPolicy::None;
            value.rua = usable.iter().map(|uri| (*uri).into()).collect();
            value.rua_unusable = vec!["dmarc@example.com".into()];
            *text = "v=DMARC1; p=none; rua=dmarc@example.com".into();
        }
        let rua = only(&world, Id::DmarcRua);
        assert!(rua.evidence.contains("`dmarc@example.com`"), "{}", rua.evidence);
        (rua.severity, only(&world, Id::DmarcWeak).fix)
    };
    let (severity, fix) = told(&[]);
    assert_eq!(severity, Severity::Warning);
    assert!(fix.contains("first have reports sent") && fix.contains("rua=mailto:<"), "{fix}");
    assert_eq!(told(&["mailto:us@example.com"]).0, Severity::Notice);
}

/// The findings about reports that go to others, of a domain whose record is changed like this.
fn consents(change: impl Fn(&mut Dmarc)) -> Vec<Finding> {
    let mut world = World::new();
    if let Published::Found { value, .. } = &mut world.survey.mail.dmarc {
        change(value);
    }
    let assessment = world.assess();
    assert_eq!(assessment.level, World::new().assess().level, "reports touch no level");
    let about = |finding: &Finding| finding.id == Id::DmarcRuaConsent;
    assessment.findings.into_iter().filter(about).collect()
}

/// Receivers send no report to whoever has not said that he takes it (RFC 7489 §7.1).
#[test]
fn reports_to_somebody_who_has_not_consented_are_told_once_with_the_record_that_is_missing() {
    let missing = || Consent::Missing("there is no such record".into());
    let alone = |dmarc: &mut Dmarc| {
        let mut to = report_domain("reports.example", missing());
        to.reports = Reports::Both;
        dmarc.report_domains = vec![to];
    };
    let findings = consents(alone);
    let [finding] = findings.as_slice() else { panic!("{findings:?}") };
    assert_eq!(finding.severity, Severity::Warning);
    let name = "example.com._report._dmarc.reports.example";
    assert!(finding.evidence.contains(name), "{finding:?}");
    assert!(finding.evidence.starts_with("`rua` and `ruf`"), "{finding:?}");
    let record = format!("{name}. IN TXT \"v=DMARC1\"");
    assert!(finding.fix.contains(&record), "{finding:?}");
    assert!(finding.fix.contains("*._report._dmarc.reports.example. IN TXT"), "{finding:?}");

    // Others get reports; or only those of single failures are lost.
    let beside = consents(|dmarc| dmarc.report_domains.push(report_domain("b.example", missing())));
    assert_eq!(beside.iter().map(|one| one.severity).collect::<Vec<_>>(), [Severity::Notice]);
    let failures = consents(|dmarc| {
        alone(dmarc);
        dmarc.report_domains[0].reports = Reports::Failure;
    });
    assert_eq!(failures[0].severity, Severity::Notice);
    for consent in [Consent::NotAsked, Consent::NotNeeded, Consent::Given] {
        let told = consents(|dmarc| {
            dmarc.report_domains = vec![report_domain("reports.example", consent.clone())];
        });
        assert_eq!(told, []);
    }
}

#[test]
fn a_consent_that_could_not_be_asked_for_is_unknown_and_lets_nobody_think_that_none_arrive() {
    let unknown = |dmarc: &mut Dmarc| {
        let consent = Consent::Unknown("no answer in time".into());
        dmarc.report_domains = vec![report_domain("reports.example", consent)];
        dmarc.policy = DmarcPolicy::None;
    };
    let findings = consents(unknown);
    assert_eq!(findings[0].severity, Severity::Unknown);
    assert!(findings[0].evidence.ends_with("no answer in time"), "{findings:?}");
    let step = |consent: Consent| {
        let mut world = World::new();
        if let Published::Found { value, text, .. } = &mut world.survey.mail.dmarc {
            unknown(value);
            value.report_domains[0].consent = consent;
            *text = "v=DMARC1; p=none; rua=mailto:a@reports.example".into();
        }
        only(&world, Id::DmarcWeak).fix
    };
    assert!(step(Consent::Unknown("time".into())).contains("p=quarantine"));
    // Nothing was read that could show who sends for the domain: no step further yet.
    let missing = step(Consent::Missing("none".into()));
    assert!(
        missing.contains("have reports arrive") && !missing.contains("quarantine"),
        "{missing}"
    );
}
