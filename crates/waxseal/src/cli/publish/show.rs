//! How it is printed for people: a zone file in which every line that is no comment may be added to the
//! zone as it is. A record that takes the place of another is a comment. The steps and the doors are no zone
//! file.

use std::fmt::Write as _;

use waxseal_core::{
    domain::Domain,
    publish::{
        Act, ClockSet, Data, Finding, Record, Standing,
        gate::{self, Item, State, Verdict},
        rollout::Progress,
        shown::Place,
        turns_mail_away,
    },
    sts::{self, Policy},
};

use super::{Part, Seen, findings, gate::Looked, json::latest};
use crate::{
    cli::Paint,
    publish::{
        DomainLook, DomainWanted, HostLook, HostWanted, How, PolicyLook, Served, Wanted, Zone,
    },
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
            comment(&mut text, &format!("the policy, for {}", place(&domain.domain)));
            policy(&mut text, &sts.policy);
            comment(&mut text, &format!("{ONLY_SERVED}:"));
            comment(&mut text, &sts.announcement.to_string());
        }
        if part == Part::All {
            records.extend(&domain.dkim);
            spf(&mut text, domain);
            match &domain.dmarc {
                Some(dmarc) if turns_mail_away(dmarc) => {
                    comment(&mut text, ONLY_PASSING);
                    comment(&mut text, &dmarc.to_string());
                }
                Some(dmarc) => records.push(dmarc),
                None => {}
            }
        }
        records.iter().for_each(|record| line(&mut text, record));
    }
    if part.has_hosts() {
        for host in &wanted.hosts {
            if part != Part::Tlsrpt && !host.records.is_empty() {
                comment(&mut text, &only_compared(&host.keys.host));
            }
            for record in host_records(part, host) {
                match &record.data {
                    Data::Tlsa(_) => comment(&mut text, &record.to_string()),
                    Data::Txt(_) | Data::Cname(_) => line(&mut text, record),
                }
            }
        }
    }
    nothing(text)
}

/// Why the announcement of a policy waits where nobody looked.
pub(super) const ONLY_SERVED: &str = "only once that policy is served there (RFC 8461 section 8.1)";
/// The same of a DMARC record that asks for refusal.
pub(super) const ONLY_PASSING: &str = "only once SPF with this gateway in it or a DKIM key of ours is live: receivers would \
     turn all mail of the domain away";

/// The same of TLSA records.
pub(super) fn only_compared(host: &Domain) -> String {
    format!(
        "nobody looked which keys {host} shows: records without the key that it shows turn mail away; \
         `waxseal publish tlsa {host}` looks"
    )
}

/// The same of SPF: a second record beside one that is there would be an error (RFC 7208 §4.5).
pub(super) fn only_alone(domain: &DomainWanted) -> String {
    format!(
        "only where {} has no v=spf1 record yet; in one that is there, put {} behind v=spf1",
        domain.domain,
        domain.spf.1.join(" ")
    )
}

/// SPF without a look.
fn spf(text: &mut String, domain: &DomainWanted) {
    comment(text, &format!("SPF, {}:", only_alone(domain)));
    comment(text, &domain.spf.0.to_string());
}

/// What a part shows of a host.
pub(super) fn host_records(part: Part, host: &HostWanted) -> Vec<&Record> {
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

/// Where a policy is served (RFC 8461 §3.3).
fn place(domain: &Domain) -> String {
    format!("https://mta-sts.{domain}{}", sts::PATH)
}

/// The policy file, as comments of the zone file.
fn policy(text: &mut String, policy: &Policy) {
    comment(text, "  as text/plain, each line ended by CRLF:");
    for one in policy.to_string().lines() {
        comment(text, &format!("    {one}"));
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
    if part != Part::Plan && seen.sent.is_empty() && seen.refused.is_empty() {
        tally(&mut text, part, seen);
    }
    for sent in &seen.sent {
        let records = match sent.records.len() {
            1 => "1 record".to_owned(),
            some => format!("{some} records"),
        };
        let words = match sent.how {
            How::Sent => format!("sent: {records} of {} to zone {}", sent.owner, sent.zone),
            How::There => format!(
                "not sent: {records} of {} at the primary server of {} already, and not in DNS yet",
                sent.owner, sent.zone
            ),
        };
        comment(&mut text, &words);
    }
    for one in &seen.refused {
        let title = coloured(paint, one.reason.title(), 31);
        comment(&mut text, &format!("{title}: {}", one.sentence()));
    }
    nothing(text)
}

/// One line for who reads only the last one.
fn tally(text: &mut String, part: Part, seen: &Seen) {
    let findings = findings(part, seen).into_iter().map(|finding| &finding.standing);
    let policies = seen.domains.iter().filter_map(|look| look.policy.as_ref());
    let all: Vec<&Standing> = findings.chain(policies.map(|policy| &policy.standing)).collect();
    if all.is_empty() {
        return;
    }
    let count = |is: fn(&Standing) -> bool| all.iter().filter(|one| is(one)).count();
    let stray = |look: &HostLook| {
        let bad = |place: &Place| matches!(place, Place::Nowhere | Place::Refused);
        look.places.iter().filter(|one| bad(&one.1)).count()
    };
    let strays: usize = seen.hosts.iter().map(stray).sum();
    let unseen = seen.hosts.iter().filter(|look| look.is_unseen()).count();
    let parts = [
        (count(|one| matches!(one, Standing::Differs { .. })), "different"),
        (count(|one| matches!(one, Standing::Missing)), "missing"),
        (count(|one| matches!(one, Standing::Unknown { .. })), "could not be found out"),
        (count(|one| matches!(one, Standing::Live)), "live"),
        (
            strays,
            if strays == 1 { "shown key is not covered" } else { "shown keys are not covered" },
        ),
        (unseen, if unseen == 1 { "host shows unknown keys" } else { "hosts show unknown keys" }),
    ];
    let parts = parts.iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts.map(|(count, what)| format!("{count} {what}")).collect();
    comment(text, &format!("in all: {}", parts.join(", ")));
}

fn domain(text: &mut String, part: Part, look: &DomainLook, paint: Paint) {
    comment(text, &paint.bold(&format!("--- {} ---", look.domain)));
    match (&look.tlsrpt, part) {
        (Some(one), _) => finding(text, one, paint),
        (None, Part::Tlsrpt) => {
            comment(text, "no TLSRPT record is wanted: set `tlsrpt` in [domain.publish]");
        }
        (None, Part::All | Part::Tlsa | Part::MtaSts | Part::Plan) => {}
    }
    if part == Part::MtaSts && look.policy.is_none() {
        comment(text, "no MTA-STS policy is wanted: set `mx` and `mta_sts` in [domain.publish]");
    }
    if let Some(PolicyLook { wanted, standing, why, not_asked }) = &look.policy {
        let policy_at = format!("policy at {}", place(&look.domain));
        comment(text, &format!("{policy_at}: {}", word(standing, paint)));
        details(text, standing);
        why.iter().for_each(|why| comment(text, &format!("  {why}")));
        not_asked.iter().for_each(|why| comment(text, &format!("  not asked: {why}")));
        match standing {
            Standing::Live => {}
            Standing::Missing | Standing::Differs { .. } => {
                comment(text, "  to do: let that address serve this");
            }
            // It may serve just this.
            Standing::Unknown { .. } => {
                let words = "  to do: see that it answers at port 443, and that this machine may connect to it";
                comment(text, words);
            }
        }
        policy(text, wanted);
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
    if let Some(tlsa) = &look.tlsa {
        unseen(text, look, tlsa, paint);
    }
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
            State::Open | State::Closed { until: Some(_) } => {}
            State::Unknown | State::Closed { until: None } => {
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
}

/// Records without the key that a host shows turn its mail away, so nobody publishes them without having
/// looked, or having been told that nobody did.
fn unseen(text: &mut String, look: &HostLook, tlsa: &Finding, paint: Paint) {
    let host = &look.host;
    let words = match &look.shown {
        Some(shown) if shown.unknown.is_empty() => return,
        Some(shown) => {
            let warning = coloured(paint, "WARNING", 31);
            comment(text, &format!("{warning}: which keys {host} shows could not be found out:"));
            shown.unknown.iter().for_each(|why| comment(text, &format!("  {why}")));
            "this machine needs a way to port 25 of it"
        }
        None => {
            comment(text, &format!("which keys {host} shows was not asked (--dns-only)"));
            "without --dns-only we look"
        }
    };
    if tlsa.standing != Standing::Live {
        let words = format!(
            "  to do: before you publish, compare on {host} itself: records without the key that it shows \
             turn mail away; {words}"
        );
        comment(text, &words);
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
            // Addresses may stand there as well, and no alias stands beside them.
            Act::Nothing if matches!(record.data, Data::Cname(_)) => {}
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

/// What could not be found out of the steps of a domain.
pub(super) fn unknown_steps(look: &DomainLook) -> Vec<&str> {
    look.plan.iter().flat_map(|stage| &stage.unknown).map(String::as_str).collect()
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
        for why in &stage.unknown {
            let _ = writeln!(text, "           could not be found out: {why}");
        }
    }
    if !unknown_steps(look).is_empty() {
        let words = "so it is not known which step comes now: mend that, then look again; \
                     `waxseal dns NAME TYPE` says what DNS answers";
        let _ = writeln!(text, "  {words}");
    }
}

/// The doors.
pub(super) fn gate(looked: &Looked, clock: ClockSet, paint: Paint) -> String {
    let mut text = String::new();
    if let ClockSet::By(seconds) = clock {
        let _ = writeln!(
            text,
            "note: the clock was set by {seconds} s since the last look; that counts for nothing here"
        );
    }
    let items = looked.items.as_slice();
    if items.is_empty() {
        return text
            + "nothing is waited for: no `next` key is named in [[publish.mx]], and no `mta_sts` is set\n";
    }
    items.iter().for_each(|item| door(&mut text, item, paint));
    for (host, why) in &looked.not_seen {
        let _ = writeln!(
            text,
            "note: which keys {host} shows could not be found out, so one that is not configured goes \
             unnoticed: {}",
            why.join("; ")
        );
    }
    let _ = writeln!(text, "{}", summary(items, paint));
    text
}

fn door(text: &mut String, item: &Item, paint: Paint) {
    let (word, until) = match item.state {
        State::Open => (coloured(paint, "go  ", 32), None),
        State::Closed { until: Some(until) } => (coloured(paint, "wait", 33), Some(until)),
        State::Closed { until: None } => (coloured(paint, "stop", 31), None),
        State::Unknown => (coloured(paint, "?   ", 31), None),
    };
    let _ = writeln!(text, "{word}  {}: {}", item.subject, item.what);
    let _ = writeln!(text, "      {}", item.because);
    if let Some(until) = until {
        let _ = writeln!(text, "      until {until}");
    }
    for to_do in &item.to_do {
        let _ = writeln!(text, "      to do: {to_do}");
    }
    for why in &item.not_asked {
        let _ = writeln!(text, "      not asked: {why}");
    }
}

/// One line for who reads only the last one.
fn summary(items: &[Item], paint: Paint) -> String {
    let all = items.len();
    let count = |is: fn(&Item) -> bool| items.iter().filter(|item| is(item)).count();
    let unknown = count(|item| item.state == State::Unknown);
    let closed = count(|item| matches!(item.state, State::Closed { .. }));
    match gate::verdict(items) {
        Verdict::Open => {
            let words = match all {
                1 => "open: it may go ahead".to_owned(),
                _ => format!("open: all {all} may go ahead"),
            };
            coloured(paint, &words, 32)
        }
        Verdict::Unknown => {
            let words = match all {
                1 => "not known: it could not be found out".to_owned(),
                _ => {
                    format!("not known: {unknown} of {all} could not be found out, none is closed")
                }
            };
            coloured(paint, &words, 31)
        }
        Verdict::Closed => {
            let stop = items.iter().any(|item| item.state == State::Closed { until: None });
            let when = match latest(items).filter(|_| !stop) {
                Some(until) => format!("; look again at {until}"),
                None => "; something has to be done first".to_owned(),
            };
            let lost = match unknown {
                0 => String::new(),
                lost => format!(", {lost} could not be found out"),
            };
            coloured(paint, &format!("closed: {closed} of {all}{lost}{when}"), 31)
        }
    }
}
