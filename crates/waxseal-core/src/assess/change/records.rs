//! What changed in the records that say what is done with mail: TLSRPT, SPF, DMARC.

use super::{Changes, Class, Kind, Look, Was};
use crate::assess::{Dmarc, DmarcPolicy, Published, Spf, SpfAll};

pub(super) fn compare(before: Look<'_>, after: Look<'_>, out: &mut Changes) {
    let subject = after.survey.facts.destination.as_str();
    let (was, is) = (before.survey, after.survey);
    published(Kind::Tlsrpt, subject, (&was.tlsrpt, &is.tlsrpt), |_| Some(1), out);
    let spf = |spf: &Spf| match spf.all {
        SpfAll::Pass => Some(1),
        SpfAll::Neutral => Some(2),
        SpfAll::SoftFail => Some(3),
        SpfAll::Fail => Some(4),
        SpfAll::Unknown => None,
    };
    published(Kind::Spf, subject, (&was.mail.spf, &is.mail.spf), spf, out);
    let dmarc = |dmarc: &Dmarc| match (dmarc.policy, dmarc.testing) {
        (DmarcPolicy::None, _) => Some(1),
        (DmarcPolicy::Quarantine, true) => Some(2),
        (DmarcPolicy::Quarantine, false) | (DmarcPolicy::Reject, true) => Some(3),
        (DmarcPolicy::Reject, false) => Some(4),
    };
    published(Kind::Dmarc, subject, (&was.mail.dmarc, &is.mail.dmarc), dmarc, out);
}

/// A record whose worth is a number, where that is known; none or a broken one is worth nothing.
fn published<T>(
    kind: Kind,
    subject: &str,
    (was, is): (&Published<T>, &Published<T>),
    worth: impl Fn(&T) -> Option<u8>,
    out: &mut Changes,
) {
    let value = |record: &Published<T>| match record {
        Published::Found { value, text, .. } => Some((worth(value)?, text.to_string())),
        Published::Broken { text, .. } => Some((0, text.to_string())),
        Published::Absent { .. } => Some((0, "no record".into())),
        Published::Failed(_) | Published::NotAsked => None,
    };
    let (Some((then, was)), Some((now, is))) = (value(was), value(is)) else { return };
    let meaning = match now.cmp(&then) {
        std::cmp::Ordering::Less => (Class::Weakening, "the record asks for less"),
        std::cmp::Ordering::Greater => (Class::Repair, "the record asks for more"),
        std::cmp::Ordering::Equal if was == is => return,
        std::cmp::Ordering::Equal => (Class::Drift, "the record is another one"),
    };
    out.add(kind, subject, &Was(&was, &is), meaning);
}
