//! The contract of DESIGN §9, and the shape that readers of Internet.nl's results know.

use serde_json::{Map, Value, json};
use waxseal_core::assess::{Check, Offer};

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
        "profiles": {},
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
    let starttls = one
        .assessment
        .hosts
        .iter()
        .any(|host| host.addresses.iter().any(|address| !address.keys.is_empty()));
    let test = |offer: Offer| json!({ "status": status(offer), "verdict": offer.as_str() });
    let seen = if starttls { Offer::Yes } else { Offer::Unknown };
    json!({
        "status": "ok",
        "results": {
            "categories": {
                "mail_ipv6": test(offers.ipv6),
                "mail_dnssec": test(offers.dnssec),
                "mail_starttls": test(seen.and(offers.dane)),
            },
            "tests": {
                "mail_ipv6_mx_address": test(offers.ipv6),
                "mail_dnssec_mx_exist": test(offers.dnssec),
                "mail_starttls_tls_available": test(seen),
                "mail_starttls_tls_version": test(offers.hygiene),
                "mail_starttls_dane_exist": test(offers.dane),
                "mail_starttls_dane_valid": test(offers.dane),
            },
            "custom": {
                "tls_1_3_support": offers.tls13.as_str(),
                "waxseal_level": one.assessment.level,
                "waxseal_sts": one.sts.state,
                "waxseal_tlsrpt": one.tlsrpt.state,
            },
        },
    })
}

const fn status(offer: Offer) -> &'static str {
    match offer {
        Offer::Yes => "passed",
        Offer::Partly => "warning",
        Offer::No => "failed",
        Offer::Unknown => "not_tested",
    }
}
