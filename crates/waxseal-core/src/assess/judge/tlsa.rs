//! TLSA records against what the hosts present, per address and kind of key (RFC 7672 §3).

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use super::{
    case::{Case, Findings, Host, Sight, said},
    level::harmless,
};
use crate::{
    assess::{Id, KeyKind, Severity},
    dane::{Mismatch, Tlsa, Usage, effective},
    dns::FailureKind,
    domain::Domain,
    facts::{Dane, NoTlsa},
    pki::Certificate,
};

/// Large senders have not coped with more records than this.
const MANY: usize = 12;

/// Between these a roll is quick and lookups are few.
const TTL: std::ops::RangeInclusive<Duration> = Duration::from_mins(5)..=Duration::from_hours(24);

pub(super) fn judge(case: &Case<'_>, out: &mut Findings) {
    for host in &case.hosts {
        match &host.facts.dane {
            Dane::Absent(why) => absent(host, *why, out),
            Dane::LookupFailed(failure) => {
                let severity = match failure.kind {
                    FailureKind::Bogus
                    | FailureKind::ServFail
                    | FailureKind::Refused
                    | FailureKind::Malformed
                    | FailureKind::Limit => Severity::Error,
                    FailureKind::Indeterminate
                    | FailureKind::SignaturesStripped
                    | FailureKind::Clock
                    | FailureKind::Timeout
                    | FailureKind::Unreachable => Severity::Unknown,
                };
                let fix = "let the name servers answer TLSA with the records or a proper denial; \
                           until then senders with DANE wait (RFC 7672 §2.1.2)";
                out.add(Id::TlsaFailed, severity, host.place(), said(failure.to_string(), fix));
            }
            Dane::Unusable { base, records, .. } => {
                let evidence = listed(records);
                let fix = wanted(host, base);
                out.add(Id::TlsaUnusable, Severity::Warning, host.place(), said(evidence, fix));
                published(host, base, records, out);
            }
            Dane::Usable { base, records, .. } => {
                published(host, base, records, out);
                matched(host, base, out);
                stale_issuers(host, records, out);
                next(host, base, records, out);
            }
        }
    }
}

fn absent(host: &Host<'_>, why: NoTlsa, out: &mut Findings) {
    let orphans = host.survey.map(|survey| survey.orphans.as_slice()).unwrap_or_default();
    if !orphans.is_empty() {
        let wrong = !host.sights.is_empty()
            && !host.sights.iter().any(|sight| orphans.iter().any(|record| shows(sight, record)));
        let mut evidence = listed(orphans);
        if wrong {
            evidence.push_str("; none of them matches what the host shows");
        }
        // Nobody looks at them now. From the signature on every sender with DANE does.
        let fix = format!(
            "unsigned TLSA counts for nothing. Make sure that they match the key, then sign the zone \
             of {}; a wrong record that gets signed stops mail",
            host.facts.host
        );
        out.add(Id::TlsaOrphan, Severity::Warning, host.place(), said(evidence, fix));
    }
    let (NoTlsa::Denied, Some(name)) = (why, host.name()) else { return };
    let words = said("its signed zone has no TLSA records", wanted(host, name));
    out.add(Id::TlsaMissing, Severity::Notice, host.place(), words);
}

/// What can be said of the records without looking at the host.
fn published(host: &Host<'_>, base: &Domain, records: &[Tlsa], out: &mut Findings) {
    let mut note = |id, severity, wrong: &[&Tlsa], fix: String| {
        if !wrong.is_empty() {
            let evidence = wrong.iter().map(|tlsa| short(tlsa)).collect::<Vec<_>>().join(", ");
            out.add(id, severity, host.place(), said(evidence, fix));
        }
    };
    let such = |wrong: fn(&Tlsa) -> bool| -> Vec<&Tlsa> {
        records.iter().filter(|tlsa| wrong(tlsa)).collect()
    };
    let pkix = such(|tlsa| tlsa.usage < 2);
    let fix =
        format!("in SMTP they count for nothing. Publish {}; then remove them", wanted(host, base));
    note(Id::TlsaPkixUsage, Severity::Warning, &pkix, fix);
    let whole = such(|tlsa| tlsa.usage == 3 && tlsa.selector == 0 && tlsa.matching != 0);
    let fix = format!("publish the key instead: {}", wanted(host, base));
    note(Id::TlsaCertSelector, Severity::Notice, &whole, fix);
    let full = such(|tlsa| tlsa.matching == 0 && tlsa.usage >= 2);
    let fix = format!("publish a digest instead: {}", wanted(host, base));
    note(Id::TlsaFullData, Severity::Notice, &full, fix);
    if records.len() > MANY {
        let fix = "remove the records of keys and issuers that are no longer used";
        let words = said(format!("{} records", records.len()), fix);
        out.add(Id::TlsaTooMany, Severity::Warning, host.place(), words);
    }
    if let Some(ttl) = host.survey.and_then(|survey| survey.tlsa_ttl)
        && !TTL.contains(&ttl)
    {
        let words = said(
            format!("a TTL of {} s", ttl.as_secs()),
            "1800 to 3600 s: a new record has to stand for twice its TTL before its key is used",
        );
        out.add(Id::TlsaTtl, Severity::Notice, host.place(), words);
    }
}

/// Which sessions match, seen from the host, its addresses and its kinds of keys.
fn matched(host: &Host<'_>, base: &Domain, out: &mut Findings) {
    let seen = || host.sights.iter();
    if seen().next().is_none() {
        return;
    }
    if !seen().any(Sight::has_match) {
        for sight in seen() {
            let words = said(mismatch(sight), publish(host, base, sight));
            out.add(Id::TlsaNomatch, Severity::Error, host.sight(sight), words);
        }
        return;
    }
    let holds = |ip: Option<IpAddr>, key: Option<KeyKind>| {
        seen().any(|sight| {
            sight.has_match()
                && ip.is_none_or(|ip| ip == sight.ip)
                && key.is_none_or(|key| key == sight.key)
        })
    };
    for sight in seen().filter(|sight| !sight.has_match()) {
        let (ip, key) = (sight.ip, sight.key);
        // Another address does better, either with the same kind of key or as a whole.
        let (id, also) = if holds(None, Some(key)) || !holds(Some(ip), None) {
            (Id::TlsaAddrDiverges, "other addresses of the host match")
        } else {
            (Id::TlsaOneAlgOnly, "another kind of key at this address matches")
        };
        let evidence = format!("{}; {also}", mismatch(sight));
        out.add(id, Severity::Error, host.sight(sight), said(evidence, publish(host, base, sight)));
    }
}

fn mismatch(sight: &Sight) -> String {
    match &sight.dane {
        Some(Err(mismatch)) => mismatch.to_string(),
        Some(Ok(_)) | None => String::new(),
    }
}

/// Anchors that stand in DNS and in no chain (RFC 7671 §5.2.2).
fn stale_issuers(host: &Host<'_>, records: &[Tlsa], out: &mut Findings) {
    if host.sights.is_empty() {
        return;
    }
    for (usage, record) in effective(records) {
        // A full certificate or key need not be sent.
        if usage != Usage::TrustAnchor || record.matching == 0 {
            continue;
        }
        if !host.sights.iter().any(|sight| issued_by(sight, record)) {
            let words = said(
                short(record),
                "remove it, unless it is an issuer that may follow; a host has to send the \
                 certificate of the issuer that its record names",
            );
            out.add(Id::TlsaStaleIssuer, Severity::Notice, host.place(), words);
        }
    }
}

fn issued_by(sight: &Sight, record: &Tlsa) -> bool {
    sight.session.chain.iter().skip(1).any(|der| is(der, record))
}

/// Whether a record names a certificate or key of a session, whatever its usage.
fn shows(sight: &Sight, record: &Tlsa) -> bool {
    sight.session.chain.iter().any(|der| is(der, record))
}

fn is(der: &[u8], record: &Tlsa) -> bool {
    Certificate::read(der).is_ok_and(|certificate| {
        certificate
            .association(record.selector, record.matching)
            .is_some_and(|data| data == record.data)
    })
}

/// Whether a roll can go without a gap, for each kind of key by itself: `current + next` has a
/// spare end entity record, `current + issuer` the record of an issuer that holds without the key's
/// own, for the chain and the name that are shown now (RFC 7671 §8.1, RFC 7672 §3.1.2).
fn next(host: &Host<'_>, base: &Domain, records: &[Tlsa], out: &mut Findings) {
    let is_ours = |record: &Tlsa| {
        host.sights
            .iter()
            .any(|sight| sight.session.chain.first().is_some_and(|leaf| is(leaf.as_ref(), record)))
    };
    let spare: BTreeSet<_> = effective(records)
        .filter(|(usage, record)| *usage == Usage::EndEntity && !is_ours(record))
        .map(|(_, record)| (record.selector, record.data.as_slice()))
        .collect();
    // The same unknown key may stand there in several forms; the form with the most counts.
    let count = |selector| spare.iter().filter(|(of, _)| *of == selector).count();
    let spare = count(0).max(count(1));
    // At every address: where the issuer's record does not hold, the new key stops mail.
    let alone = |sight: &&Sight| sight.has_match() && !matches!(sight.issuer, Some(Ok(_)));
    let lone: BTreeSet<_> = host.sights.iter().filter(alone).map(|sight| sight.key).collect();
    if lone.len() <= spare {
        return;
    }
    let names: Vec<_> = lone.iter().map(|kind| kind.as_str()).collect();
    let names = names.join(" and ");
    let mut evidence = match spare {
        0 => format!("no TLSA record for the key that comes after the one in use ({names})"),
        more => {
            format!("TLSA records of next keys: {more}, for {} kinds of key ({names})", lone.len())
        }
    };
    // That its certificate is not in the chain is a finding of its own.
    let broken = host.sights.iter().filter(alone).find_map(|sight| match &sight.issuer {
        Some(Err(fault @ Mismatch::Chain(_))) => Some(fault),
        Some(Ok(_) | Err(_)) | None => None,
    });
    let port = host.facts.port;
    let mut fix = format!(
        "make the next key now and publish it beside the current one: _{port}._tcp.{base}. IN TLSA \
         3 1 1 <SHA-256 of the next key>; or "
    );
    match broken {
        Some(fault) => {
            evidence.push_str(&format!("; that of an issuer does not hold by itself: {fault}"));
            fix.push_str("mend that, so that the record of the issuer holds for any key");
        }
        None => fix.push_str("publish 2 1 1 of the issuer"),
    }
    out.add(Id::TlsaNoNext, Severity::Notice, host.place(), said(evidence, fix));
}

/// The record that would match a session. Whoever sits before the host shows a key of their own:
/// only on the host itself can anybody tell whose it is.
fn publish(host: &Host<'_>, base: &Domain, sight: &Sight) -> String {
    match record(host, base, sight) {
        Some(record) => format!(
            "if this is your key (compare on the host itself), publish: {record}; otherwise find \
             out who answers there, and publish nothing"
        ),
        None => "present a certificate that can be read".into(),
    }
}

fn record(host: &Host<'_>, base: &Domain, sight: &Sight) -> Option<String> {
    let leaf = Certificate::read(sight.session.chain.first()?).ok()?;
    let data = leaf.key_digest().to_vec();
    let tlsa = Tlsa { usage: 3, selector: 1, matching: 1, data };
    Some(format!("_{}._tcp.{base}. 3600 IN TLSA {tlsa}", host.facts.port))
}

/// The records that would match all sessions of a host, to be compared with its keys; a pattern
/// where none was seen.
fn wanted(host: &Host<'_>, base: &Domain) -> String {
    let records: BTreeSet<_> =
        host.sights.iter().filter_map(|sight| record(host, base, sight)).collect();
    if records.is_empty() {
        let port = host.facts.port;
        return format!("_{port}._tcp.{base}. 3600 IN TLSA 3 1 1 <SHA-256 of the public key>");
    }
    let records = records.into_iter().collect::<Vec<_>>().join(" and ");
    format!("{records} (as it was seen from here: compare with the key on the host first)")
}

fn listed(records: &[Tlsa]) -> String {
    let shown: Vec<_> = records.iter().take(MANY).map(short).collect();
    harmless(&shown.join(", "))
}

/// `3 1 1 0123abcd…`: enough to find it.
fn short(tlsa: &Tlsa) -> String {
    let text = tlsa.to_string();
    match text.char_indices().nth(22) {
        Some((cut, _)) => format!("{}…", text.get(..cut).unwrap_or(&text)),
        None => text,
    }
}
