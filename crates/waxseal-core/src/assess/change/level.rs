//! What changed in the sum of it: the level that an attacker leaves, and whether mail goes there.

use super::{Changes, Class, Kind, Look, Was, Weight};
use crate::{
    assess::{AddressSurvey, Contact, Delivery, Observed, Survey, judge},
    dns::{Absence, Authenticity},
    domain::Domain,
    facts::MxFact,
};

/// The sum of it. As bad and as sure as the worst cause, so that a level which falls because of an
/// attack is not called a weakening.
pub(super) fn compare(before: Look<'_>, after: Look<'_>, out: &mut Changes) {
    let subject = after.survey.facts.destination.as_str();
    let (was, is) = (before.assessment, after.assessment);
    let attacked = out.0.iter().any(|change| change.class == Class::LikelyAttack);
    let conclusive = out.0.iter().any(|change| change.weight == Weight::Conclusive);
    let worse = if attacked {
        (Class::LikelyAttack, "it follows from the other changes")
    } else {
        (Class::Weakening, "less is left when an attacker does what he can")
    };
    // A host that one of the looks did not reach counts for less there, and nobody made it weaker.
    let comparable = silent(before.survey) == silent(after.survey);
    if let (Some(then), Some(now)) = (was.level, is.level)
        && then != now
        && comparable
    {
        let meaning = if judge::strength(now) > judge::strength(then) {
            (Class::Repair, "more is left when an attacker does what he can")
        } else {
            worse
        };
        out.add(Kind::Level, subject, &Was(then.as_str(), now.as_str()), meaning);
        if conclusive {
            out.conclusive();
        }
    }
    let meaning = match (was.delivery, is.delivery) {
        (Delivery::Unknown, _) | (_, Delivery::Unknown) => return,
        (then, now) if then == now => return,
        (_, Delivery::Delivers) => (Class::Repair, "mail would go there now"),
        (_, Delivery::Refuses) if attacked => worse,
        (_, Delivery::Refuses) => (Class::Weakening, "no mail would go there now"),
        (_, Delivery::TakesNoMail) => match &after.survey.facts.mx {
            MxFact::NoDomain { absence: Absence::Secure | Absence::Agreed, .. } => {
                (Class::Weakening, "the domain does not exist any more: no mail would go there")
            }
            MxFact::NoDomain { absence: Absence::Unconfirmed, .. } => (
                Class::Weakening,
                "the domain is not seen any more, and nothing signs that; an attack is not excluded",
            ),
            MxFact::Null { authenticity: Authenticity::Insecure, .. } => (
                Class::Weakening,
                "a null MX says that the domain takes no mail, and nothing signs that; an attack is not \
                 excluded",
            ),
            MxFact::Null { authenticity: Authenticity::Secure, .. }
            | MxFact::Found { .. }
            | MxFact::Implicit { .. }
            | MxFact::Configured
            | MxFact::Failed(_) => (Class::Drift, "the domain says that it takes no mail"),
        },
    };
    let words = |delivery| match delivery {
        Delivery::Delivers => "delivers",
        Delivery::Refuses => "refuses",
        Delivery::TakesNoMail => "takes no mail",
        Delivery::Unknown => "unknown",
    };
    out.add(Kind::Delivery, subject, &Was(words(was.delivery), words(is.delivery)), meaning);
    if conclusive {
        out.conclusive();
    }
}

/// Hosts of which no address answered.
fn silent(survey: &Survey) -> Vec<&Domain> {
    let is_silent = |address: &AddressSurvey| match &address.observed {
        Observed::Probed(probe) => matches!(probe.contact, Contact::Unreachable(_)),
        Observed::Not(_) => false,
    };
    let mut silent: Vec<_> = survey
        .hosts
        .iter()
        .filter(|host| host.addresses.iter().any(is_silent))
        .filter(|host| {
            let probed = |one: &&AddressSurvey| matches!(one.observed, Observed::Probed(_));
            host.addresses.iter().filter(probed).all(is_silent)
        })
        .map(|host| &host.host)
        .collect();
    silent.sort_unstable();
    silent
}
