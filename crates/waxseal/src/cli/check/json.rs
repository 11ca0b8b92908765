//! The contract of DESIGN §9.

use serde_json::{Map, Value, json};
use waxseal_core::assess::{Check, Quoted};

use super::report::{Outcome, Report};

/// The contract and its version; another number where a key goes or means something else.
const SCHEMA: &str = "waxseal/check/1";

/// One report, as `docs/check.md` lists its keys: `{"schema","domain","checked_at","level","mx",...}`.
pub(super) fn contract(report: &Report) -> Value {
    let one = match &report.outcome {
        Outcome::Assessed(one) => one,
        Outcome::NoDomain(why) => {
            let input = Quoted::new(&report.input);
            return json!({ "schema": SCHEMA, "domain": input, "error": why });
        }
    };
    let assessment = &one.assessment;
    json!({
        "schema": SCHEMA,
        "domain": assessment.domain,
        "checked_at": assessment.checked_at.to_string(),
        "level": assessment.level,
        "delivery": assessment.delivery,
        "headline": assessment.headline,
        "why_not_higher": assessment.why_not_higher,
        "elsewhere": one.elsewhere,
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
