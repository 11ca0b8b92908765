//! What resolvers of other operators say of an absence that nobody signs (`[dns] confirm`): a record
//! that they see and ours does not is hidden from us, or from everybody who goes our way.

use super::case::{Case, Findings, Place, said};
use crate::{
    assess::{Id, Severity},
    witness::{Missing, Testimony, Weighed, Witnessed, weigh_of},
};

/// Witnesses that are named in one finding.
const NAMED: usize = 4;

pub(super) fn judge(case: &Case<'_>, out: &mut Findings) {
    for missing in [Missing::Domain, Missing::Mx, Missing::StsRecord] {
        let all = || case.survey.facts.witnesses.iter().filter(move |one| one.missing == missing);
        let asked = all().count();
        match weigh_of(&case.survey.facts.witnesses, missing) {
            Weighed::Contradicted => hidden(case, missing, all(), asked, out),
            Weighed::Unconfirmed if asked > 0 => unconfirmed(case, missing, all(), out),
            // That they agree is said with the absence.
            Weighed::Unconfirmed | Weighed::Agreed => {}
        }
    }
}

fn hidden<'a>(
    case: &Case<'_>,
    missing: Missing,
    all: impl Iterator<Item = &'a Witnessed>,
    asked: usize,
    out: &mut Findings,
) {
    let see: Vec<_> = all
        .filter(|one| one.said == Testimony::Contradicts)
        .map(|one| one.witness.as_str())
        .collect();
    let names = see.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    // A policy that one of them sees is believed, so that our own mail is safe; that of others who
    // go our way is not. Without MX records no mail goes out at all.
    let (severity, comes) = match missing {
        Missing::StsRecord => (Severity::Warning, "what they see counts for us"),
        Missing::Mx | Missing::Domain => (Severity::Error, "mail waits until ours sees it too"),
    };
    let evidence = format!(
        "{} of {asked} other resolvers see {missing} ({names}), and ours says that there is none; \
         nobody signs that, and {comes}",
        see.len()
    );
    let fix = "ask each authoritative server: where all of them have it, look for who answers in \
               their place on the way to our resolver, before anything else is believed that came \
               this way; a signed zone can hide nothing unseen";
    out.add(Id::DnsHidden, severity, Place::named(case.domain()), said(evidence, fix));
}

fn unconfirmed<'a>(
    case: &Case<'_>,
    missing: Missing,
    all: impl Iterator<Item = &'a Witnessed>,
    out: &mut Findings,
) {
    let failed = all.filter_map(|one| match &one.said {
        Testimony::Failed(why) => Some(format!("{}: {why}", one.witness)),
        Testimony::Agrees | Testimony::Contradicts => None,
    });
    let failed: Vec<_> = failed.take(NAMED).collect();
    let evidence = format!(
        "our resolver does not see {missing}, nobody signs that, and not all others could be asked: \
         {}",
        failed.join("; ")
    );
    let fix = "check again; if it stays, look at the resolvers in `[dns] confirm`, and at the way to \
               them";
    out.add(
        Id::DnsUnconfirmed,
        Severity::Unknown,
        Place::named(case.domain()),
        said(evidence, fix),
    );
}
