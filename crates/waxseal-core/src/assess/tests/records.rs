//! What is found in DNS records: signatures, DS, CAA, DMARC.

use std::time::Duration;

use super::{
    ids::{only, signing},
    world::*,
};
use crate::{
    assess::{DmarcPolicy, Id, Published, Severity, Signing},
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
