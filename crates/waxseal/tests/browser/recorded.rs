//! Reports for pages: what a real run in the lab kept, and what such a run would have kept of more
//! and of worse domains.

use serde_json::{Value, json};

/// A report with another domain, host and operator.
pub(super) fn renamed(report: &Value, domain: &str, operator: &str) -> Value {
    let one = &report["outcome"]["assessed"]["assessment"];
    let old = one["domain"].as_str().unwrap().to_owned();
    let host = one["hosts"][0]["host"].as_str().unwrap().to_owned();
    let text = report.to_string();
    let text = text.replace(&host, &format!("mx1.{operator}")).replace(&old, domain);
    let mut report: Value = serde_json::from_str(&text).unwrap();
    report["input"] = json!(domain);
    report["outcome"]["assessed"]["offers"]["operator"] = json!(operator);
    report
}

/// A domain whose name is as long as names may be, with many hosts, many findings and long words
/// in all of them.
pub(super) fn overlong(report: &Value) -> Value {
    let label = "a-very-long-label-that-somebody-has-registered-with-a-straight-face";
    let domain = format!("{0}.{0}.{0}.example", &label[..63]);
    let mut report = renamed(report, &domain, &format!("{}.example", &label[..60]));
    let one = &mut report["outcome"]["assessed"]["assessment"];
    let findings = one["findings"].as_array().unwrap().clone();
    let many =
        findings.iter().cycle().take(30).cloned().enumerate().map(|(number, mut finding)| {
            finding["severity"] =
                json!(["error", "unknown", "warning", "notice", "info"][number / 6]);
            if number % 3 == 0 {
                finding["evidence"] = json!(format!("v=spf1{}", " include:spf.example".repeat(20)));
                finding["fix"] = json!("x".repeat(400));
            }
            finding
        });
    one["findings"] = many.collect();
    let host = one["hosts"][0].clone();
    let hosts = (1..=12).map(|number| {
        let mut host = host.clone();
        host["host"] = json!(format!("mx{number}.{domain}"));
        for (n, address) in (1..).zip(host["addresses"].as_array_mut().unwrap()) {
            let ip = format!("2001:db8:1111:2222:3333:4444:{number:x}:{n:x}{:03x}", 0xabc);
            address["ip"] = json!(ip);
        }
        if number % 4 == 0 {
            host["level"] = Value::Null;
            host["note"] = json!("greylisted: 450 4.7.1 try again later");
            host["addresses"][0]["keys"] = json!([]);
        }
        host
    });
    one["hosts"] = hosts.collect();
    report
}

/// So many domains, spread over so many operators, each like one of these reports.
pub(super) fn population(reports: &[Value], domains: usize, operators: usize) -> Vec<Value> {
    let assessed: Vec<&Value> = reports
        .iter()
        .filter(|report| {
            let hosts = &report["outcome"]["assessed"]["assessment"]["hosts"];
            hosts.as_array().is_some_and(|hosts| !hosts.is_empty())
        })
        .collect();
    (0..domains)
        .map(|number| {
            let operator = number % (number % operators + 1);
            let name = match operator {
                0 => "outlook-compatible-mail-protection-service.example".to_owned(),
                other => format!("provider{other}.example"),
            };
            let like = assessed[(operator + usize::from(number % 17 == 0)) % assessed.len()];
            renamed(like, &format!("customer{number}.example"), &name)
        })
        .collect()
}
