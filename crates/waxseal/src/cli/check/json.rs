//! The contract of DESIGN §9, and the shape that readers of Internet.nl's results know.

use serde_json::{Map, Value, json};
use waxseal_core::assess::{
    Check,
    profile::{Status, Weight},
};

use super::report::{Assessed, Outcome, Report};

/// One report: `{"domain","checked_at","level","mx",...}`.
pub(super) fn contract(report: &Report) -> Value {
    let one = match &report.outcome {
        Outcome::Assessed(one) => one,
        Outcome::NoDomain(why) => return json!({ "domain": report.input, "error": why }),
    };
    let assessment = &one.assessment;
    json!({
        "domain": assessment.domain,
        "checked_at": assessment.checked_at.to_string(),
        "level": assessment.level,
        "delivery": assessment.delivery,
        "headline": assessment.headline,
        "why_not_higher": assessment.why_not_higher,
        "mx": assessment.hosts.iter().map(|host| json!({
            "host": host.host,
            "level": host.level,
            "note": host.note,
            "addresses": host.addresses.iter().map(|address| json!({
                "ip": address.ip,
                "keys": address.keys.iter().map(|key| json!({
                    "algorithm": key.algorithm.as_str(),
                    "tls": key.tls,
                    "dane": check(&key.dane),
                    "pkix": check(&key.pkix),
                })).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "sts": one.sts,
        "tlsrpt": one.tlsrpt,
        "offers": one.offers,
        "findings": assessment.findings,
        "profiles": one.profiles.iter().map(|verdict| (verdict.name.clone(), json!({
            "title": verdict.title,
            "status": verdict.status,
            "unverified": verdict.unverified,
            "requirements": verdict.requirements,
        }))).collect::<Map<_, _>>(),
    })
}

/// `ok`, `none`, or what fails.
fn check(check: &Check) -> Value {
    match check {
        Check::Holds => json!("ok"),
        Check::NotApplicable => json!("none"),
        Check::Fails(why) => json!({ "fails": why }),
    }
}

/// All reports in the shape of a batch result of Internet.nl's API 2, with the tests that we make.
/// There is no percentage: we give none.
pub(super) fn internet_nl(reports: &[Report]) -> Value {
    let mut domains = Map::new();
    for report in reports {
        let value = match &report.outcome {
            Outcome::Assessed(one) => result(one),
            Outcome::NoDomain(why) => json!({ "status": "error", "error": why }),
        };
        domains.insert(report.input.clone(), value);
    }
    json!({
        "api_version": "2.7.0",
        "request": { "request_type": "mail", "name": "waxseal check", "status": "done" },
        "domains": domains,
    })
}

fn result(one: &Assessed) -> Value {
    let offers = &one.offers;
    let judged = one.internet_nl.iter().flat_map(|verdict| &verdict.requirements);
    let judged: Vec<_> = judged.filter(|one| one.status != Status::ByHand).collect();
    let tests: Map<_, _> = judged
        .iter()
        .map(|test| {
            let status = test_status(test.status, test.severity);
            (test.id.clone(), json!({ "status": status, "verdict": test.status.as_str() }))
        })
        .collect();
    // As there, a category is its worst test that counts.
    let category = |prefix: &str| {
        let tests = judged.iter().filter(|test| test.id.starts_with(prefix));
        let counted: Vec<_> = tests.filter(|test| test.severity == Weight::Error).collect();
        let any = |status| counted.iter().any(|test| test.status == status);
        let status = if any(Status::NotMet) {
            "failed"
        } else if any(Status::Unknown) || !any(Status::Met) {
            "not_tested"
        } else {
            "passed"
        };
        json!({ "status": status, "verdict": status })
    };
    json!({
        "status": "ok",
        "results": {
            "categories": {
                "mail_ipv6": category("mail_ipv6"),
                "mail_dnssec": category("mail_dnssec"),
                "mail_auth": category("mail_auth"),
                "mail_starttls": category("mail_starttls"),
            },
            "tests": tests,
            "custom": {
                "tls_1_3_support": offers.tls13.as_str(),
                "waxseal_level": one.assessment.level,
                "waxseal_sts": one.sts.state,
                "waxseal_tlsrpt": one.tlsrpt.state,
            },
        },
    })
}

const fn test_status(status: Status, severity: Weight) -> &'static str {
    match (status, severity) {
        (Status::Met, _) => "passed",
        (Status::NotMet, Weight::Error) => "failed",
        (Status::NotMet, Weight::Warning) => "warning",
        (Status::NotMet, Weight::Notice | Weight::Info) => "info",
        (Status::Unknown | Status::NotApplicable | Status::ByHand, _) => "not_tested",
    }
}
