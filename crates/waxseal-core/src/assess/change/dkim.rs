//! The records of our own DKIM keys. Who can write into the zone can put in a key of his own, and
//! signs as we do from then on; who takes ours out makes our mail fail (RFC 6376 §6.1.2).
//!
//! Unlike elsewhere we know what should be there: our configuration has the private half. So a key
//! that is not ours needs no look before to be strange, and a rotation is one because our own key is
//! another one, too.

use super::{
    Changes, Class, Kind, Look, Was,
    dnssec::{Life, forged, times},
};
use crate::{
    assess::{DkimKey, MailRecords, OwnKey, Published},
    domain::Domain,
};

/// What stands at a selector of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stand<'a> {
    /// The key that belongs there.
    Ours(&'a str),
    /// The key that belongs there, marked as a test.
    Testing(&'a str),
    /// A key of ours that belongs elsewhere, or did belong there.
    Misplaced(&'a str),
    /// Nobody's that we know.
    Foreign(&'a str),
    /// A key; ours cannot be read.
    Unproven(&'a str),
    /// No key that anybody can use.
    Useless(&'a str),
}

impl<'a> Stand<'a> {
    /// `None` where that was not seen, or not kept.
    fn of(record: &'a Published<DkimKey>, ours: Option<&str>, known: &[&str]) -> Option<Self> {
        let key = match record {
            Published::Failed(_) | Published::NotAsked => return None,
            Published::Absent { .. } => return Some(Self::Useless("no record")),
            Published::Broken { why, .. } => return Some(Self::Useless(why)),
            Published::Found { value, .. } if value.revoked => {
                return Some(Self::Useless("p= is empty: the key is revoked"));
            }
            Published::Found { value, .. } => value,
        };
        let digest = key.digest.as_deref()?;
        Some(match ours {
            None => Self::Unproven(digest),
            Some(ours) if ours == digest && key.testing => Self::Testing(digest),
            Some(ours) if ours == digest => Self::Ours(digest),
            Some(_) if known.contains(&digest) => Self::Misplaced(digest),
            Some(_) => Self::Foreign(digest),
        })
    }

    const fn key(&self) -> Option<&'a str> {
        match self {
            Self::Ours(key)
            | Self::Testing(key)
            | Self::Misplaced(key)
            | Self::Foreign(key)
            | Self::Unproven(key) => Some(key),
            Self::Useless(_) => None,
        }
    }

    fn words(&self) -> String {
        let short = |key: &str| key.chars().take(16).collect::<String>();
        match self {
            Self::Ours(key) => format!("our key ({})", short(key)),
            Self::Testing(key) => format!("our key ({}) with t=y", short(key)),
            Self::Misplaced(key) => format!("another key of ours ({})", short(key)),
            Self::Foreign(key) => format!("a key that is not ours ({})", short(key)),
            Self::Unproven(key) => format!("a key ({}); ours cannot be read", short(key)),
            Self::Useless(why) => (*why).to_owned(),
        }
    }
}

/// Each selector that the configuration names now.
pub(super) fn compare(before: Look<'_>, after: Look<'_>, out: &mut Changes) {
    let (was, is) = (&before.survey.mail, &after.survey.mail);
    let domain = &after.survey.facts.destination;
    let life = Life::of(&before.survey.zone.signing, times(before, after));
    for own in &is.own {
        let (subject, then) = (subject(own, domain), stand(was, &own.selector, &[was]));
        let record = record(is, &own.selector);
        if let (Some(Published::Failed(failure)), Some(then)) = (record, &then) {
            if let Some(meaning) = forged(failure, life) {
                out.add(Kind::Dkim, &subject, &Was(&then.words(), &failure.to_string()), meaning);
            }
            continue;
        }
        let Some(now) = stand(is, &own.selector, &[is, was]) else { continue };
        let Some(meaning) = meaning(then.as_ref(), &now) else { continue };
        let then = then.map_or_else(|| "not looked at".to_owned(), |then| then.words());
        out.add(Kind::Dkim, &subject, &Was(&then, &now.words()), meaning);
    }
}

fn subject(own: &OwnKey, domain: &Domain) -> String {
    format!("{}._domainkey.{domain}", own.selector)
}

fn record<'a>(mail: &'a MailRecords, selector: &Domain) -> Option<&'a Published<DkimKey>> {
    mail.dkim.iter().find(|(name, _)| name == selector.as_str()).map(|(_, record)| record)
}

/// What stands there in one look; keys of the others are ours, too.
fn stand<'a>(
    mail: &'a MailRecords,
    selector: &Domain,
    looks: &[&MailRecords],
) -> Option<Stand<'a>> {
    let own = mail.own.iter().find(|own| own.selector == *selector)?;
    let ours = own.digest.as_deref().ok();
    let known: Vec<&str> = looks
        .iter()
        .flat_map(|look| &look.own)
        .filter_map(|own| own.digest.as_deref().ok())
        .collect();
    Stand::of(record(mail, selector)?, ours, &known)
}

/// What it means that this stands there; `then` is `None` where nobody looked before. A wrong key
/// is told also then: nothing has to have been better.
fn meaning(then: Option<&Stand<'_>>, now: &Stand<'_>) -> Option<(Class, &'static str)> {
    let same =
        then.is_some_and(|then| then == now || (now.key().is_some() && then.key() == now.key()));
    match (now, then) {
        (Stand::Foreign(_), Some(Stand::Foreign(_))) if same => None,
        (Stand::Foreign(_), _) => Some((
            Class::LikelyAttack,
            "somebody put in a key that is not ours, and may sign as we do; what we sign fails",
        )),
        (Stand::Misplaced(_), Some(Stand::Misplaced(_))) if same => None,
        (Stand::Misplaced(_), _) => Some((
            Class::Weakening,
            "it is not the key that this selector signs with: a rotation was done by half",
        )),
        (_, None) => None,
        (Stand::Testing(_), Some(Stand::Testing(_))) => None,
        (Stand::Testing(_), Some(Stand::Ours(_))) => {
            Some((Class::Weakening, "with t=y our signatures count for nothing"))
        }
        (Stand::Testing(_), Some(_)) => Some((Class::Drift, "our key, still as a test")),
        (Stand::Ours(_), Some(Stand::Ours(_) | Stand::Unproven(_))) => {
            (!same).then_some((Class::Drift, "our key was changed, and its record with it"))
        }
        (Stand::Ours(_), Some(_)) => Some((Class::Repair, "the key that signs stands there")),
        (Stand::Useless(one), Some(Stand::Useless(other))) => {
            (one != other).then_some((Class::Drift, "there was no usable key before, either"))
        }
        (Stand::Useless(_), Some(Stand::Foreign(_))) => {
            Some((Class::Drift, "the key that was not ours is gone"))
        }
        (Stand::Useless(_), Some(_)) => {
            Some((Class::Weakening, "the key that signs does not stand there: our mail fails DKIM"))
        }
        (Stand::Unproven(_), Some(_)) if same => None,
        (Stand::Unproven(_), Some(Stand::Useless(_))) => {
            Some((Class::Drift, "there is a key now; ours cannot be read to compare"))
        }
        (Stand::Unproven(_), Some(_)) => Some((
            Class::Weakening,
            "the key is another one, and ours cannot be read: it may be somebody else's",
        )),
    }
}
