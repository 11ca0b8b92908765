//! A policy host with several addresses: senders take any of them.

use super::world::*;
use crate::{
    assess::{Finding, Id, PolicyElsewhere, PolicyThere, Severity},
    facts::StsFailure,
    pki::bench::NOW,
    sts::Mode,
    time::UnixTime,
};

const FIRST: &str = "192.0.2.1";
const SECOND: &str = "192.0.2.2";

/// What is found where the second address serves this, with a certificate that ends then.
fn with(serves: PolicyThere, until: UnixTime) -> Vec<Finding> {
    let mut world = World::new();
    let certificate = Some((NOW.before(DAY * 80), until));
    world.survey.policy.address = Some(ip(FIRST));
    world.survey.policy.elsewhere =
        vec![PolicyElsewhere { address: ip(SECOND), serves, certificate }];
    world.assess().findings
}

#[track_caller]
fn only(findings: &[Finding]) -> (Id, Severity) {
    let [finding] = findings else { panic!("{findings:?}") };
    assert_eq!(finding.subject, format!("mta-sts.example.com [{SECOND}]"), "{finding:?}");
    (finding.id, finding.severity)
}

#[test]
fn the_same_policy_at_each_address_is_no_finding() {
    assert_eq!(with(PolicyThere::Same, NOW + DAY * 60), []);
}

#[test]
fn a_certificate_that_ends_at_one_address_is_told_with_the_address() {
    let soon = with(PolicyThere::Same, NOW + DAY);
    assert_eq!(only(&soon), (Id::CertExpires, Severity::Warning));
    let mut world = World::new();
    let certificate = Some((NOW.before(DAY * 80), NOW + DAY));
    let serves = PolicyThere::Same;
    world.survey.policy.elsewhere =
        vec![PolicyElsewhere { address: ip(SECOND), serves, certificate }];
    assert_eq!(world.survey.policy.host_certificate_ends(), Some(NOW + DAY));
}

#[test]
fn each_failure_at_one_address_has_its_finding() {
    for (failure, id, severity) in [
        (StsFailure::Certificate("expired".into()), Id::StsHostCertificate, Severity::Error),
        (StsFailure::Fetch("404".into()), Id::StsFetch, Severity::Error),
        (StsFailure::Invalid("no policy".into()), Id::StsInvalid, Severity::Error),
        (StsFailure::Unreached("silent".into()), Id::StsFetch, Severity::Unknown),
    ] {
        let findings = with(PolicyThere::Fails(failure), NOW + DAY * 60);
        assert_eq!(only(&findings), (id, severity));
    }
}

#[test]
fn another_policy_is_an_error_only_where_it_turns_mail_away() {
    let severity = |mode, hosts: &[&str]| {
        let findings = with(PolicyThere::Other(policy(mode, hosts)), NOW + DAY * 60);
        only(&findings)
    };
    let other = ["other.example.net"];
    let same = ["mx.example.net"];
    assert_eq!(severity(Mode::Enforce, &other), (Id::StsIdStale, Severity::Error));
    assert_eq!(severity(Mode::Testing, &other), (Id::StsIdStale, Severity::Warning));
    assert_eq!(severity(Mode::None, &same), (Id::StsIdStale, Severity::Warning));
}

/// Both addresses have the same fault: that is one finding.
#[test]
fn the_same_fault_at_each_address_is_told_once() {
    let mut world = World::new();
    let failure = StsFailure::Certificate("expired".into());
    let serves = PolicyThere::Fails(failure.clone());
    world.survey.policy.address = Some(ip(FIRST));
    world.survey.policy.served = Some(Err(failure));
    world.survey.policy.elsewhere =
        vec![PolicyElsewhere { address: ip(SECOND), serves, certificate: None }];
    let findings = world.assess().findings;
    let told: Vec<_> = findings.iter().filter(|one| one.id == Id::StsHostCertificate).collect();
    let [finding] = &told[..] else { panic!("{told:?}") };
    assert_eq!(finding.subject, format!("mta-sts.example.com [{FIRST}, {SECOND}]"));
}
