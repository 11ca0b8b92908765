//! What changed in the records that say what is done with mail: TLSRPT, SPF, DMARC.

use super::{Changes, Class, Kind, Look, Was};
use crate::{
    assess::{Dmarc, DmarcPolicy, Published, Spf, SpfAll},
    tlsrpt,
};

pub(super) fn compare(before: Look<'_>, after: Look<'_>, out: &mut Changes) {
    let subject = after.survey.facts.destination.as_str();
    let (was, is) = (before.survey, after.survey);
    published(Kind::Tlsrpt, subject, (&was.tlsrpt, &is.tlsrpt), tlsrpt, out);
    published(Kind::Spf, subject, (&was.mail.spf, &is.mail.spf), spf, out);
    published(Kind::Dmarc, subject, (&was.mail.dmarc, &is.mail.dmarc), dmarc, out);
}

const fn tlsrpt(_: &tlsrpt::Record) -> Option<([u8; 1], &str)> {
    Some(([1], ""))
}

/// What the record does for those that it does not name, and the term that lets everybody in. Behind
/// such a term the word of `all` reaches nobody: terms are evaluated from left to right, and the first
/// match decides (RFC 7208 §4.6.2).
fn spf(spf: &Spf) -> Option<([u8; 1], &str)> {
    if let Some(open) = spf.open.first() {
        return Some(([1], open));
    }
    let worth = match spf.all {
        SpfAll::Pass => 1,
        SpfAll::Neutral => 2,
        SpfAll::SoftFail => 3,
        SpfAll::Fail => 4,
        SpfAll::Unknown => return None,
    };
    // What was not looked up may let everybody in: nobody knows whether that is better.
    (spf.unknown.is_empty() || spf.all == SpfAll::Pass).then_some(([worth], ""))
}

/// What the record asks for the domain itself, for its subdomains, and for names below it that do not
/// exist: `np` falls back on `sp`, and that on `p` (RFC 9989 §4.7). One that asks for more at one place
/// makes up for none that asks for less at another: an attacker chooses the sender.
fn dmarc(dmarc: &Dmarc) -> Option<([u8; 3], &str)> {
    let in_part = dmarc.testing || dmarc.percent.is_some();
    let worth = |policy| match (policy, in_part) {
        (DmarcPolicy::None, _) => 1,
        (DmarcPolicy::Quarantine, true) => 2,
        (DmarcPolicy::Quarantine, false) | (DmarcPolicy::Reject, true) => 3,
        (DmarcPolicy::Reject, false) => 4,
    };
    let subdomains = dmarc.subdomains.unwrap_or(dmarc.policy);
    let missing = dmarc.nonexistent.unwrap_or(subdomains);
    Some(([dmarc.policy, subdomains, missing].map(worth), ""))
}

/// A record whose worth is a number or several, where that is known, with what has to be said of it
/// beside its text; none or a broken one is worth nothing.
fn published<T, const N: usize>(
    kind: Kind,
    subject: &str,
    (was, is): (&Published<T>, &Published<T>),
    worth: impl Fn(&T) -> Option<([u8; N], &str)>,
    out: &mut Changes,
) {
    let value = |record: &Published<T>| match record {
        Published::Found { value, text, .. } => Some(match worth(value)? {
            (worth, "") => (worth, text.to_string()),
            (worth, open) => (worth, format!("{open} ({text})")),
        }),
        Published::Broken { text, .. } => Some(([0; N], text.to_string())),
        Published::Absent { .. } => Some(([0; N], "no record".into())),
        Published::Failed(_) | Published::NotAsked => None,
    };
    let (Some((then, was)), Some((now, is))) = (value(was), value(is)) else { return };
    // What stands there is what stood there, whatever an older version kept of it.
    if was == is {
        return;
    }
    let any =
        |differs: fn(&u8, &u8) -> bool| now.iter().zip(&then).any(|(is, was)| differs(is, was));
    let meaning = if any(u8::lt) {
        (Class::Weakening, "the record asks for less")
    } else if any(u8::gt) {
        (Class::Repair, "the record asks for more")
    } else {
        (Class::Drift, "the record is another one")
    };
    out.add(kind, subject, &Was(&was, &is), meaning);
}
