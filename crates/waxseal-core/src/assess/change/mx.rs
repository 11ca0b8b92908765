//! What changed in the set of mail hosts, and in whether it is signed.

use super::{
    Changes, Class, Kind, Look, Was,
    dnssec::{Life, forged, times},
    sts::enforced,
};
use crate::{
    assess::Survey,
    dns::{Absence, Authenticity},
    facts::MxFact,
};

pub(super) fn compare(before: Look<'_>, after: Look<'_>, out: &mut Changes) {
    let subject = after.survey.facts.destination.as_str();
    let signed = |fact: &MxFact| match fact {
        MxFact::Found { authenticity, .. } | MxFact::Null { authenticity, .. } => {
            Some(*authenticity == Authenticity::Secure)
        }
        MxFact::Implicit { absence, .. } | MxFact::NoDomain { absence, .. } => {
            Some(*absence == Absence::Secure)
        }
        MxFact::Configured | MxFact::Failed(_) => None,
    };
    let (was, is) = (&before.survey.facts, &after.survey.facts);
    if let (MxFact::Failed(failure), Some(_)) = (&is.mx, signed(&was.mx)) {
        let life = Life::of(&before.survey.zone.signing, times(before, after));
        if let Some(meaning) = forged(failure, life) {
            out.add(Kind::Mx, subject, &Was("found", &failure.to_string()), meaning);
        }
        return;
    }
    let (Some(was_signed), Some(is_signed)) = (signed(&was.mx), signed(&is.mx)) else { return };
    match (was_signed, is_signed) {
        (true, false) => out.add(
            Kind::Mx,
            subject,
            &Was("signed", "unsigned"),
            (Class::Weakening, "the zone is provably not signed any more"),
        ),
        (false, true) => out.add(
            Kind::Mx,
            subject,
            &Was("unsigned", "signed"),
            (Class::Repair, "nobody on the way can change the names any more"),
        ),
        (true, true) | (false, false) => {}
    }
    let names = |survey: &Survey| {
        let mut names: Vec<_> =
            survey.facts.hosts.iter().map(|host| host.host.to_string()).collect();
        names.sort_unstable();
        names
    };
    let (then, now) = (names(before.survey), names(after.survey));
    if then == now {
        return;
    }
    let unlisted = enforced(before.survey)
        .is_some_and(|policy| after.survey.hosts.iter().any(|host| !policy.allows(&host.host)));
    let meaning = if is_signed {
        (Class::Drift, "the new set is signed")
    } else if unlisted {
        (Class::LikelyAttack, "the new set is unsigned, and the enforced policy does not list it")
    } else if is_elsewhere(before.survey, after.survey) {
        (
            Class::Weakening,
            "other hosts, and nothing signs that: the domain moved, or somebody on the path says so",
        )
    } else {
        (Class::Drift, "the same operator's hosts; the set is unsigned")
    };
    out.add(Kind::Mx, subject, &Was(&then.join(", "), &now.join(", ")), meaning);
}

/// Whether mail goes to other hosts only, or also to one that lies in no domain of a host before.
/// All being new is enough: whoever forges MX records (RFC 8461 §10.2) may be another customer of
/// the same operator, and has its certificate.
fn is_elsewhere(before: &Survey, after: &Survey) -> bool {
    let of = |survey: &Survey| -> Vec<String> {
        survey.hosts.iter().map(|host| host.host.to_string()).collect()
    };
    let (then, now) = (of(before), of(after));
    // `mx1.example.net` and `mx2.example.net`; a name of two labels shares nothing.
    let parent = |name: &str| match name.split_once('.') {
        Some((_, parent)) if parent.contains('.') => parent.to_owned(),
        Some(_) | None => name.to_owned(),
    };
    let fresh: Vec<_> = now.iter().filter(|name| !then.contains(name)).collect();
    let strange = |name: &&String| !then.iter().any(|was| parent(was) == parent(name));
    !then.is_empty() && !fresh.is_empty() && (fresh.len() == now.len() || fresh.iter().any(strange))
}
