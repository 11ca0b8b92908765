//! How it is printed: JSON, or a zone file in which every line that is no comment may be added to the zone
//! as it is. A record that takes the place of another is a comment.

use std::fmt::Write as _;

use serde_json::{Value, json};
use waxseal_core::{
    publish::{
        Act, ClockSet, Finding, Record, Standing,
        gate::{Item, State},
        rollout::{Progress, Stage},
        shown::Place,
        texts,
    },
    sts::Policy,
    time::UnixTime,
};

use super::{Part, Seen};
use crate::{
    cli::Paint,
    publish::{DomainLook, DomainWanted, HostLook, HostWanted, How, Served, Wanted, Zone},
};

/// `; words`
fn comment(text: &mut String, words: &str) {
    for line in words.lines() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "; {line}");
    }
}

/// The records without a look.
pub(super) fn offline(part: Part, wanted: &Wanted) -> String {
    let mut text = String::new();
    for domain in &wanted.domains {
        let mut records: Vec<&Record> = Vec::new();
        if matches!(part, Part::All | Part::Tlsrpt) {
            records.extend(&domain.tlsrpt);
        }
        if let (Part::All | Part::MtaSts, Some(sts)) = (part, &domain.sts) {
            match sts.served {
                Served::Here => records.push(&sts.host),
                Served::Elsewhere => {
                    let host = &sts.host.owner;
                    comment(
                        &mut text,
                        &format!("{host} has to lead to the web server that serves the policy;"),
                    );
                    comment(&mut text, "with [web.policy] this gateway does it:");
                    comment(&mut text, &sts.host.to_string());
                }
            }
            policy(&mut text, domain.domain.as_str(), &sts.policy);
            comment(&mut text, "only once that policy is served there (RFC 8461 section 8.1):");
            comment(&mut text, &sts.announcement.to_string());
        }
        if part == Part::All {
            records.extend(&domain.dkim);
            records.extend(&domain.dmarc);
            spf(&mut text, domain);
        }
        records.iter().for_each(|record| line(&mut text, record));
    }
    if part.has_hosts() {
        for host in &wanted.hosts {
            host_records(part, host).into_iter().for_each(|record| line(&mut text, record));
        }
    }
    nothing(text)
}

/// SPF without a look: a second record beside one that is there would be an error (RFC 7208 §4.5).
fn spf(text: &mut String, domain: &DomainWanted) {
    let (record, mechanisms) = &domain.spf;
    let words = format!(
        "SPF, only where {} has no v=spf1 record yet; in one that is there, put {} behind v=spf1:",
        domain.domain,
        mechanisms.join(" ")
    );
    comment(text, &words);
    comment(text, &record.to_string());
}

/// What a part shows of a host.
fn host_records(part: Part, host: &HostWanted) -> Vec<&Record> {
    let tlsa = host.records.iter().filter(|_| matches!(part, Part::All | Part::Tlsa));
    let tlsrpt = host.tlsrpt.iter().filter(|_| matches!(part, Part::All | Part::Tlsrpt));
    tlsa.chain(tlsrpt).collect()
}

fn line(text: &mut String, record: &Record) {
    let _ = writeln!(text, "{record}");
}

fn nothing(text: String) -> String {
    if text.is_empty() {
        return "; nothing is configured: see [domain.publish] and [[publish.mx]] in `waxseal config \
                example`\n"
            .to_owned();
    }
    text
}

/// The policy file, as comments of the zone file.
fn policy(text: &mut String, domain: &str, policy: &Policy) {
    comment(text, &format!("https://mta-sts.{domain}/.well-known/mta-sts.txt (text/plain, CRLF):"));
    for one in policy.to_string().lines() {
        comment(text, &format!("  {one}"));
    }
}

/// The records, each with how it stands.
pub(super) fn looked(part: Part, seen: &Seen, paint: Paint) -> String {
    let mut text = String::new();
    for look in &seen.domains {
        if part == Part::Plan {
            plan(&mut text, look, paint);
            continue;
        }
        domain(&mut text, part, look, paint);
    }
    for look in &seen.hosts {
        host(&mut text, part, look, paint);
    }
    for sent in &seen.sent {
        let records = sent.records.len();
        let words = match sent.how {
            How::Sent => format!("sent: {records} records of {} to zone {}", sent.owner, sent.zone),
            How::There => format!(
                "not sent: {records} records of {} stand at the primary server of {} already, and DNS does \
                 not show them yet",
                sent.owner, sent.zone
            ),
        };
        comment(&mut text, &words);
    }
    for why in &seen.refused {
        comment(&mut text, &format!("NOT SENT: {why}"));
    }
    nothing(text)
}

fn domain(text: &mut String, part: Part, look: &DomainLook, paint: Paint) {
    comment(text, &paint.bold(&format!("--- {} ---", look.domain)));
    if let Some(one) = &look.tlsrpt {
        finding(text, one, paint);
    }
    if let Some((wanted, standing)) = &look.policy {
        policy(text, look.domain.as_str(), wanted);
        comment(text, &format!("  {}", word(standing, paint)));
        details(text, standing);
    }
    for one in &look.sts {
        finding(text, one, paint);
    }
    if part == Part::All {
        finding(text, &look.spf, paint);
        look.dkim.iter().chain(&look.dmarc).for_each(|one| finding(text, one, paint));
        look.zones.iter().for_each(|one| zone(text, one));
    }
    text.push('\n');
}

fn host(text: &mut String, part: Part, look: &HostLook, paint: Paint) {
    if part == Part::Tlsrpt && look.tlsrpt.is_none() {
        return;
    }
    comment(text, &paint.bold(&format!("--- MX host {} ---", look.host)));
    match &look.tlsa {
        Some(tlsa) => finding(text, tlsa, paint),
        None if part == Part::Tlsrpt => {}
        None => comment(text, "no key is configured: name its certificate in `current`"),
    }
    shown(text, look, paint);
    if part != Part::Tlsrpt {
        servers(text, &look.doors);
    }
    look.tlsrpt.iter().for_each(|one| finding(text, one, paint));
    look.zone.iter().for_each(|one| zone(text, one));
    text.push('\n');
}

/// What single name servers say, or do not: the answer of a resolver comes from one of them.
fn servers(text: &mut String, doors: &[Item]) {
    for door in doors {
        match door.state {
            State::Open | State::Waiting { until: Some(_) } => {}
            State::Unknown | State::Waiting { until: None } => {
                comment(text, &format!("  to {}: {}", door.what, door.because));
            }
        }
        door.not_asked.iter().for_each(|why| comment(text, &format!("  not asked: {why}")));
    }
}

/// Which keys the host shows, whatever is configured.
fn shown(text: &mut String, look: &HostLook, paint: Paint) {
    for (chain, place) in &look.places {
        let what = match place {
            Place::Current => "in `current`",
            Place::Next => "in `next`",
            Place::Issuer => "of a configured issuer",
            Place::Refused => "of a configured issuer, and REFUSED by senders all the same",
            Place::Nowhere => "NOT CONFIGURED, so no TLSA record is wanted for it",
        };
        let (address, key) = (chain.address, chain.key.title());
        let bad = matches!(place, Place::Nowhere | Place::Refused);
        let colour = if bad { 31 } else { 32 };
        comment(text, &format!("{address} shows {key}: {}", coloured(paint, what, colour)));
        if let (Place::Refused, Some(shown), Some(tlsa)) = (place, &look.shown, &look.tlsa) {
            let fault = shown.fault(chain, &tlsa.tlsa(), look.at);
            fault.iter().for_each(|fault| comment(text, &format!("  {fault}")));
        }
    }
    for why in look.shown.iter().flat_map(|shown| &shown.unknown) {
        comment(text, &format!("which key is shown could not be found out: {why}"));
    }
}

fn finding(text: &mut String, finding: &Finding, paint: Paint) {
    let title = finding.protocol.title();
    let owner = &finding.owner;
    comment(text, &format!("{title} at {owner}: {}", word(&finding.standing, paint)));
    details(text, &finding.standing);
    if !finding.fix.is_empty() {
        comment(text, &format!("  to do: {}", finding.fix));
    }
    for record in &finding.wanted {
        match finding.act {
            Act::Nothing | Act::Add => line(text, record),
            // Pasted beside what stands there it would break it.
            Act::Replace | Act::ByHand => comment(text, &record.to_string()),
        }
    }
}

fn word(standing: &Standing, paint: Paint) -> String {
    let (word, colour) = match standing {
        Standing::Live => ("live", 32),
        Standing::Differs { .. } => ("differs", 31),
        Standing::Missing => ("missing", 31),
        Standing::Unknown { .. } => ("could not be found out", 33),
    };
    coloured(paint, word, colour)
}

fn coloured(paint: Paint, word: &str, colour: u8) -> String {
    match paint {
        Paint::Colour => format!("\u{1b}[{colour}m{word}\u{1b}[0m"),
        Paint::Plain => word.to_owned(),
    }
}

fn details(text: &mut String, standing: &Standing) {
    match standing {
        Standing::Live | Standing::Missing => {}
        Standing::Differs { found } => {
            for one in found {
                one.lines().for_each(|line| comment(text, &format!("  there is: {line}")));
            }
        }
        Standing::Unknown { why } => comment(text, &format!("  {why}")),
    }
}

fn zone(text: &mut String, zone: &Zone) {
    use waxseal_core::publish::readiness::Signed;
    let state = match zone.readiness.state {
        Signed::Yes => "signed",
        Signed::No => "not signed",
        Signed::Broken => "BROKEN",
        Signed::Unknown => "could not be found out",
    };
    comment(text, &format!("DNSSEC of {}: {state}", zone.zone));
    for step in &zone.readiness.steps {
        comment(text, &format!("  to do: {step}"));
    }
}

/// The steps, for people: no zone file.
fn plan(text: &mut String, look: &DomainLook, paint: Paint) {
    let _ = writeln!(text, "{}", paint.bold(look.domain.as_str()));
    for (nth, stage) in look.plan.iter().enumerate() {
        let mark = match stage.progress {
            Progress::Done => coloured(paint, "done", 32),
            Progress::Current { .. } => coloured(paint, "now ", 33),
            Progress::Held => coloured(paint, "hold", 31),
            Progress::Later => "    ".to_owned(),
            Progress::Unknown => coloured(paint, "?   ", 31),
        };
        let _ = writeln!(text, "  {}. {mark}  {}", nth + 1, stage.text);
        if let Progress::Current { until: Some(until) } = stage.progress {
            let _ = writeln!(text, "           until {until}");
        }
    }
}

/// The doors.
pub(super) fn gate(items: &[Item], clock: ClockSet, paint: Paint) -> String {
    let mut text = String::new();
    if let ClockSet::By(seconds) = clock {
        let _ = writeln!(
            text,
            "note: the clock was set by {seconds} s since the last look; that counts for nothing here"
        );
    }
    if items.is_empty() {
        return text
            + "nothing is waited for: no `next` key is named in [[publish.mx]], and no `mta_sts` is set\n";
    }
    for item in items {
        let (word, until) = match item.state {
            State::Open => (coloured(paint, "go  ", 32), None),
            State::Waiting { until } => (coloured(paint, "wait", 31), until),
            State::Unknown => (coloured(paint, "?   ", 33), None),
        };
        let _ = writeln!(text, "{word}  {}: {}", item.subject, item.what);
        let _ = writeln!(text, "      {}", item.because);
        if let Some(until) = until {
            let _ = writeln!(text, "      until {until}");
        }
        for why in &item.not_asked {
            let _ = writeln!(text, "      not asked: {why}");
        }
    }
    text
}

pub(super) fn gate_json(items: &[Item], clock: ClockSet, now: UnixTime) -> String {
    let open = !items.is_empty() && items.iter().all(Item::is_open);
    let waits = items.iter().filter_map(|item| match item.state {
        State::Waiting { until } => until,
        State::Open | State::Unknown => None,
    });
    let until = waits.max();
    let clock_set = match clock {
        ClockSet::No => 0,
        ClockSet::By(seconds) => seconds,
    };
    let json = json!({
        "open": open,
        "until": until,
        "checked_at": now,
        "clock_set": clock_set,
        "items": items,
    });
    format!("{json}\n")
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
        "url": format!("https://mta-sts.{domain}/.well-known/mta-sts.txt"),
        "id": texts::policy_id(policy),
        "text": policy.to_string(),
    })
}

pub(super) fn offline_json(part: Part, wanted: &Wanted) -> String {
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
        let records: Vec<Value> = records.into_iter().map(record_json).collect();
        let policy = sts.map(|sts| policy_json(domain.domain.as_str(), &sts.policy));
        json!({ "domain": domain.domain, "records": records, "policy": policy })
    });
    let hosts = wanted.hosts.iter().filter(|_| part.has_hosts()).map(|host| {
        let records: Vec<Value> = host_records(part, host).into_iter().map(record_json).collect();
        json!({ "host": host.keys.host, "records": records })
    });
    let domains: Vec<Value> = domains.collect();
    format!("{}\n", json!({ "domains": domains, "hosts": hosts.collect::<Vec<_>>() }))
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

pub(super) fn looked_json(part: Part, seen: &Seen) -> String {
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
        let policy = look.policy.as_ref().map(|(wanted, standing)| {
            let mut value = policy_json(look.domain.as_str(), wanted);
            merge(&mut value, json!(standing));
            value
        });
        json!({
            "domain": look.domain,
            "findings": findings,
            "policy": policy,
            "dnssec": look.zones.iter().map(zone_json).collect::<Vec<_>>(),
            "plan": plan_json(&look.plan),
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
        "domains": domains.collect::<Vec<_>>(),
        "hosts": hosts.collect::<Vec<_>>(),
        "sent": sent.collect::<Vec<_>>(),
        "refused": seen.refused,
    });
    format!("{whole}\n")
}
