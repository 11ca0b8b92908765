//! What changed in the MTA-STS record and policy.

use super::{Changes, Class, Kind, Look, Was, dnssec::forged};
use crate::{
    assess::{Published, Quoted, Survey},
    dns::{Absence, Authenticity},
    facts::StsFailure,
    sts::{Mode, Policy},
};

pub(super) fn compare(before: Look<'_>, after: Look<'_>, out: &mut Changes) {
    let subject = after.survey.facts.destination.as_str();
    let (was, is) = (&before.survey.policy, &after.survey.policy);
    if let Some((then, now, meaning)) = announced(before.survey, after.survey) {
        return out.add(Kind::Sts, subject, &Was(then, now), meaning);
    }
    let (Some(then), Some(now)) = (&was.served, &is.served) else { return };
    match (then, now) {
        (Ok(then), Ok(now)) if then.mode != now.mode => {
            let rank = |mode| match mode {
                Mode::None => 0,
                Mode::Testing => 1,
                Mode::Enforce => 2,
            };
            let meaning = if rank(now.mode) > rank(then.mode) {
                (Class::Repair, "the policy asks for more")
            } else {
                (Class::Weakening, "its own policy host says so over HTTPS")
            };
            let (then, now) = (then.mode.to_string(), now.mode.to_string());
            out.add(Kind::Sts, subject, &Was(&then, &now), meaning);
        }
        (Ok(then), Ok(now)) if then != now || was.record.value() != is.record.value() => {
            let words = |policy: &Policy, id: &Published<Quoted>| {
                let id = id.value().map(Quoted::as_str).unwrap_or_default();
                format!("id {id}: {}", policy.to_string().replace("\r\n", "; "))
            };
            let (then, now) = (words(then, &was.record), words(now, &is.record));
            out.add(Kind::Sts, subject, &Was(&then, &now), (Class::Drift, "another policy or id"));
        }
        (Ok(_), Ok(_)) | (Err(_), Err(_)) => {}
        (Ok(_), Err(failure)) => {
            let meaning = match failure {
                StsFailure::Record(failure) => match forged(failure) {
                    Some(meaning) => meaning,
                    None => return,
                },
                StsFailure::Certificate(_) => (
                    Class::LikelyAttack,
                    "somebody else, or an expired certificate, answers for the policy host",
                ),
                StsFailure::Fetch(_) | StsFailure::Unreached(_) | StsFailure::Invalid(_) => {
                    (Class::Weakening, "the policy cannot be had; an attack is not excluded")
                }
            };
            out.add(Kind::Sts, subject, &Was("served", &format!("{failure:?}")), meaning);
        }
        (Err(failure), Ok(now)) => {
            let (then, now) = (format!("{failure:?}"), now.mode.to_string());
            out.add(Kind::Sts, subject, &Was(&then, &now), (Class::Repair, "it is served again"));
        }
    }
}

/// The policy that is served, where it is enforced.
pub(super) fn enforced(survey: &Survey) -> Option<&Policy> {
    match &survey.policy.served {
        Some(Ok(policy)) if policy.mode == Mode::Enforce => Some(policy),
        Some(Ok(_) | Err(_)) | None => None,
    }
}

/// The record came, went, or became unusable: before, after, and what that means. A second record
/// takes the first one away (RFC 8461 §3.1), and anybody on the path can add one to an answer that
/// nobody signs.
fn announced<'a>(
    before: &'a Survey,
    after: &'a Survey,
) -> Option<(&'a str, &'a str, (Class, &'static str))> {
    let enforces = enforced(before).is_some();
    match (&before.policy.record, &after.policy.record) {
        (Published::Found { .. }, Published::Absent { absence, .. }) => {
            let meaning = match absence {
                Absence::Secure => (Class::Weakening, "the signed zone denies the record"),
                Absence::Agreed => {
                    (Class::Weakening, "independent resolvers agree that it is gone")
                }
                Absence::Unconfirmed if enforces => (
                    Class::LikelyAttack,
                    "the record of an enforced policy is not seen any more, and nothing signs that",
                ),
                Absence::Unconfirmed => (Class::Weakening, "the record is not seen any more"),
            };
            Some(("published", "no record", meaning))
        }
        (Published::Found { .. }, Published::Broken { why, authenticity, .. }) => {
            let meaning = match authenticity {
                Authenticity::Secure => (Class::Weakening, "the signed zone has no usable record"),
                Authenticity::Insecure if enforces => (
                    Class::LikelyAttack,
                    "the record of an enforced policy became unusable, and nothing signs that",
                ),
                Authenticity::Insecure => (Class::Weakening, "the record cannot be used any more"),
            };
            Some(("published", why, meaning))
        }
        (Published::Absent { .. }, Published::Found { .. }) => {
            Some(("no record", "published", (Class::Repair, "a policy is published")))
        }
        (Published::Broken { why, .. }, Published::Found { .. }) => {
            Some((why, "published", (Class::Repair, "a policy is published")))
        }
        (
            Published::Found { .. }
            | Published::Broken { .. }
            | Published::Absent { .. }
            | Published::Failed(_)
            | Published::NotAsked,
            Published::Found { .. }
            | Published::Broken { .. }
            | Published::Absent { .. }
            | Published::Failed(_)
            | Published::NotAsked,
        ) => None,
    }
}
