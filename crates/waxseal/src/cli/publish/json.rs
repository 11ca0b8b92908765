//! How it is printed for scripts: JSON.

use serde_json::{Value, json};
use waxseal_core::{
    publish::{
        ClockSet, Data, Finding, Protocol, Record,
        gate::{self, Item, State},
        rollout::Stage,
        texts, turns_mail_away,
    },
    sts::{self, Policy},
    time::UnixTime,
};

use super::{
    Part, Seen,
    gate::Looked,
    show::{ONLY_PASSING, ONLY_SERVED, host_records, only_alone, only_compared, unknown_steps},
};
use crate::publish::{DomainWanted, Refusal, Served, Wanted, Zone};

/// The form of what `gate` prints.
const GATE: &str = "waxseal/publish-gate/1";
/// The form of what all others print.
const RECORDS: &str = "waxseal/publish/1";

/// The doors.
pub(super) fn gate(looked: &Looked, clock: ClockSet, now: UnixTime) -> String {
    let items = looked.items.as_slice();
    let verdict = gate::verdict(items);
    let clock_set = match clock {
        ClockSet::No => 0,
        ClockSet::By(seconds) => seconds,
    };
    let json = json!({
        "schema": GATE,
        "open": verdict == gate::Verdict::Open,
        "verdict": verdict,
        "until": latest(items),
        "checked_at": now,
        "clock_set": clock_set,
        "items": items,
        "not_seen": looked.not_seen,
    });
    format!("{json}\n")
}

/// When the last of the doors opens that open by themselves.
pub(super) fn latest(items: &[Item]) -> Option<UnixTime> {
    let waits = items.iter().filter_map(|item| match item.state {
        State::Closed { until } => until,
        State::Open | State::Unknown => None,
    });
    waits.max()
}

fn record_json(record: &Record) -> Value {
    json!({
        "protocol": record.protocol,
        "owner": record.owner,
        "type": record.record_type().to_string(),
        "ttl": record.ttl.as_secs(),
        "value": record.value(),
        "line": record.to_string(),
    })
}

fn policy_json(domain: &str, policy: &Policy) -> Value {
    json!({
        "url": format!("https://mta-sts.{domain}{}", sts::PATH),
        "id": texts::policy_id(policy),
        "text": policy.to_string(),
    })
}

/// A record that is nothing to publish before somebody looked: `hold` says why, as the text does.
fn held_json(record: &Record, hold: Option<String>) -> Value {
    let mut value = record_json(record);
    if let Some(hold) = hold {
        merge(&mut value, json!({ "hold": hold }));
    }
    value
}

/// Why a record of a domain waits where nobody looked.
fn hold(domain: &DomainWanted, record: &Record) -> Option<String> {
    match (record.protocol, &record.data) {
        (Protocol::MtaSts, Data::Txt(_)) => Some(ONLY_SERVED.to_owned()),
        (Protocol::Spf, _) => Some(only_alone(domain)),
        (Protocol::Dmarc, _) if turns_mail_away(record) => Some(ONLY_PASSING.to_owned()),
        (
            Protocol::MtaSts | Protocol::Tlsrpt | Protocol::Dkim | Protocol::Dmarc | Protocol::Tlsa,
            _,
        ) => None,
    }
}

/// The records without a look.
pub(super) fn offline(part: Part, wanted: &Wanted) -> String {
    let domains = wanted.domains.iter().filter(|_| part.has_domains()).map(|domain| {
        let mut records: Vec<&Record> = Vec::new();
        if matches!(part, Part::All | Part::Tlsrpt) {
            records.extend(&domain.tlsrpt);
        }
        let sts = domain.sts.as_ref().filter(|_| matches!(part, Part::All | Part::MtaSts));
        let here = sts.filter(|sts| sts.served == Served::Here);
        records.extend(here.map(|sts| &sts.host));
        records.extend(sts.map(|sts| &sts.announcement));
        if part == Part::All {
            records.push(&domain.spf.0);
            records.extend(&domain.dkim);
            records.extend(&domain.dmarc);
        }
        let records = records.into_iter().map(|record| held_json(record, hold(domain, record)));
        let records: Vec<Value> = records.collect();
        let policy = sts.map(|sts| policy_json(domain.domain.as_str(), &sts.policy));
        json!({ "domain": domain.domain, "records": records, "policy": policy })
    });
    let hosts = wanted.hosts.iter().filter(|_| part.has_hosts()).map(|host| {
        let hold = |record: &Record| match record.data {
            Data::Tlsa(_) => Some(only_compared(&host.keys.host)),
            Data::Txt(_) | Data::Cname(_) => None,
        };
        let records = host_records(part, host).into_iter();
        let records: Vec<Value> = records.map(|one| held_json(one, hold(one))).collect();
        json!({ "host": host.keys.host, "records": records })
    });
    let domains: Vec<Value> = domains.collect();
    let hosts: Vec<Value> = hosts.collect();
    let whole = json!({ "schema": RECORDS, "looked": false, "domains": domains, "hosts": hosts });
    format!("{whole}\n")
}

fn finding_json(finding: &Finding) -> Value {
    let records: Vec<Value> = finding.wanted.iter().map(record_json).collect();
    let mut value = json!({
        "protocol": finding.protocol,
        "owner": finding.owner,
        "records": records,
        "act": finding.act,
        "fix": finding.fix,
    });
    merge(&mut value, json!(finding.standing));
    value
}

/// `standing`, and `found` or `why` beside it.
fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}

fn zone_json(zone: &Zone) -> Value {
    json!({ "zone": zone.zone, "state": zone.readiness.state, "steps": zone.readiness.steps })
}

fn plan_json(plan: &[Stage]) -> Value {
    json!(plan)
}

/// The records, each with how it stands; `verdict` says what the exit code says.
pub(super) fn looked(part: Part, seen: &Seen, verdict: gate::Verdict) -> String {
    let domains = seen.domains.iter().map(|look| {
        let mut all: Vec<&Finding> = look.tlsrpt.iter().chain(&look.sts).collect();
        if part == Part::All {
            all.push(&look.spf);
        }
        all.extend(look.dkim.iter().chain(&look.dmarc));
        let findings: Vec<Value> = match part {
            Part::Plan => Vec::new(),
            Part::All | Part::Tlsa | Part::MtaSts | Part::Tlsrpt => {
                all.into_iter().map(finding_json).collect()
            }
        };
        let policy = look.policy.as_ref().map(|policy| {
            let mut value = policy_json(look.domain.as_str(), &policy.wanted);
            if let Some(why) = &policy.why {
                merge(&mut value, json!({ "why": why }));
            }
            merge(&mut value, json!(policy.standing));
            if !policy.not_asked.is_empty() {
                merge(&mut value, json!({ "not_asked": policy.not_asked }));
            }
            value
        });
        json!({
            "domain": look.domain,
            "findings": findings,
            "policy": policy,
            "dnssec": look.zones.iter().map(zone_json).collect::<Vec<_>>(),
            "plan": plan_json(&look.plan),
            "unknown": unknown_steps(look),
        })
    });
    let hosts = seen.hosts.iter().map(|look| {
        json!({
            "host": look.host,
            "doors": look.doors,
            "shown": look.places.iter().map(|one| json!({
                "address": one.0.address,
                "algorithm": one.0.key.algorithm,
                "spki_sha256": one.0.key.hex(),
                "place": one.1,
            })).collect::<Vec<_>>(),
            "not_seen": look.shown.as_ref().map(|shown| &shown.unknown),
            "findings": look.tlsa.iter().chain(&look.tlsrpt).map(finding_json).collect::<Vec<_>>(),
            "dnssec": look.zone.iter().map(zone_json).collect::<Vec<_>>(),
        })
    });
    let sent = seen.sent.iter().map(|sent| {
        let records: Vec<Value> = sent.records.iter().map(record_json).collect();
        json!({ "zone": sent.zone, "owner": sent.owner, "records": records })
    });
    let whole = json!({
        "schema": RECORDS,
        "looked": true,
        "verdict": verdict,
        "domains": domains.collect::<Vec<_>>(),
        "hosts": hosts.collect::<Vec<_>>(),
        "sent": sent.collect::<Vec<_>>(),
        "refused": seen.refused.iter().map(Refusal::sentence).collect::<Vec<_>>(),
        "not_done": seen.refused,
    });
    format!("{whole}\n")
}
