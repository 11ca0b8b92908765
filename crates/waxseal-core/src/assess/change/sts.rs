//! What changed in the MTA-STS record and policy.

use std::net::IpAddr;

use super::{
    Changes, Class, Kind, Look, Was,
    dnssec::{Life, forged, ran_out, times},
};
use crate::{
    assess::{PolicyElsewhere, PolicySurvey, PolicyThere, Published, Quoted, Survey},
    dns::{Absence, Authenticity},
    facts::StsFailure,
    sts::{Mode, Policy},
    time::UnixTime,
};

pub(super) fn compare(before: Look<'_>, after: Look<'_>, out: &mut Changes) {
    let subject = after.survey.facts.destination.as_str();
    let (was, is) = (&before.survey.policy, &after.survey.policy);
    if let Some((then, now, meaning)) = announced(before.survey, after.survey) {
        return out.add(Kind::Sts, subject, &Was(then, now), meaning);
    }
    let (Some(then), Some(now)) = (&was.served, &is.served) else { return };
    let times = times(before, after);
    let life = Life::of(&before.survey.zone.signing, times);
    if let (Ok(then), Ok(_)) = (then, now) {
        elsewhere(subject, (was, is), then, times, out);
    }
    match (then, now) {
        (Ok(then), Ok(now)) if then.mode != now.mode => {
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
                StsFailure::Record(failure) => match forged(failure, life) {
                    Some(meaning) => meaning,
                    None => return,
                },
                StsFailure::Certificate(_) => certificate(was.host_certificate_ends(), times),
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

const fn rank(mode: Mode) -> u8 {
    match mode {
        Mode::None => 0,
        Mode::Testing => 1,
        Mode::Enforce => 2,
    }
}

/// A certificate that does not hold where one held that ended then.
fn certificate(ended: Option<UnixTime>, times: (UnixTime, UnixTime)) -> (Class, &'static str) {
    match ended {
        Some(ended) if ran_out(ended, times) => (
            Class::Weakening,
            "the certificate that was there ran out, and none that holds came after it",
        ),
        Some(_) | None => (
            Class::LikelyAttack,
            "the certificate that was there has not run out, and another one that does not hold is shown",
        ),
    }
}

/// What the other addresses of the policy host serve, beside the policy of before. Whoever sits before one
/// of them has the senders that take it (RFC 8461 §3.3).
fn elsewhere(
    domain: &str,
    (was, is): (&PolicySurvey, &PolicySurvey),
    then: &Policy,
    times: (UnixTime, UnixTime),
    out: &mut Changes,
) {
    for there in &is.elsewhere {
        let earlier = Earlier::of(was, there.address);
        let Some((before, after, meaning)) = earlier.against(there, then, times) else { continue };
        let (subject, after) = match earlier.known {
            Known::Here => (format!("mta-sts.{domain} [{}]", there.address), after),
            // Whoever answers at another address each time is one change, not many.
            Known::Elsewhere => {
                (format!("mta-sts.{domain}"), format!("[{}]: {after}", there.address))
            }
        };
        out.add(Kind::Sts, &subject, &Was(&before, &after), meaning);
    }
}

/// Whether an address of the policy host was seen before.
#[derive(Clone, Copy)]
enum Known {
    Here,
    Elsewhere,
}

/// An address of the policy host at the look before; one that was not seen is held to what the host had.
struct Earlier<'a> {
    known: Known,
    served: &'a PolicyThere,
    certificate_ends: Option<UnixTime>,
}

impl<'a> Earlier<'a> {
    fn of(was: &'a PolicySurvey, address: IpAddr) -> Self {
        let unseen = |there: &PolicyElsewhere| {
            matches!(there.serves, PolicyThere::Fails(StsFailure::Unreached(_)))
        };
        let there = was.elsewhere.iter().find(|there| there.address == address && !unseen(there));
        match there {
            Some(there) => Self {
                known: Known::Here,
                served: &there.serves,
                certificate_ends: there.certificate.map(|(_, until)| until),
            },
            None if was.address == Some(address) => Self {
                known: Known::Here,
                served: &PolicyThere::Same,
                certificate_ends: was.host_certificate_expires,
            },
            None => Self {
                known: Known::Elsewhere,
                served: &PolicyThere::Same,
                certificate_ends: was.host_certificate_ends(),
            },
        }
    }

    /// Before, after, and what that means; `None` where nothing changed or nothing was seen.
    fn against(
        &self,
        there: &PolicyElsewhere,
        then: &Policy,
        times: (UnixTime, UnixTime),
    ) -> Option<(String, String, (Class, &'static str))> {
        let words = |serves: &PolicyThere| match serves {
            PolicyThere::Same => "served".to_owned(),
            PolicyThere::Other(policy) => policy.to_string().replace("\r\n", "; "),
            PolicyThere::Fails(failure) => format!("{failure:?}"),
        };
        let meaning = match (self.served, &there.serves) {
            (PolicyThere::Same, PolicyThere::Same)
            | (_, PolicyThere::Fails(StsFailure::Unreached(_) | StsFailure::Record(_)))
            | (
                PolicyThere::Fails(StsFailure::Certificate(_)),
                PolicyThere::Fails(StsFailure::Certificate(_)),
            ) => return None,
            (_, PolicyThere::Fails(StsFailure::Certificate(_))) => {
                certificate(self.certificate_ends, times)
            }
            (PolicyThere::Fails(_), PolicyThere::Fails(_)) => return None,
            (
                PolicyThere::Same | PolicyThere::Other(_),
                PolicyThere::Fails(StsFailure::Fetch(_) | StsFailure::Invalid(_)),
            ) => (
                Class::Weakening,
                "the policy cannot be had at this address, and senders take any of them",
            ),
            (PolicyThere::Other(one), PolicyThere::Other(other)) if one == other => return None,
            (PolicyThere::Fails(_), PolicyThere::Same | PolicyThere::Other(_)) => {
                (Class::Repair, "it is served at this address again")
            }
            (PolicyThere::Other(_), PolicyThere::Same) => {
                (Class::Repair, "each address serves the same policy")
            }
            // It was not changed here yet.
            (PolicyThere::Same, PolicyThere::Other(other)) if other == then => return None,
            (PolicyThere::Same | PolicyThere::Other(_), PolicyThere::Other(other)) => {
                match rank(other.mode) < rank(then.mode) {
                    true => (
                        Class::Weakening,
                        "this address of the policy host asks for less, over HTTPS, and senders take \
                         any of them",
                    ),
                    false => (Class::Drift, "another policy at this address"),
                }
            }
        };
        Some((words(self.served), words(&there.serves), meaning))
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
