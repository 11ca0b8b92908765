//! Whether anybody would hear of failures: TLSRPT (RFC 8460).

use super::{
    case::{Case, Findings, Place, said},
    mx,
};
use crate::{
    assess::{Id, Published, Reachable, Severity},
    domain::Domain,
};

pub(super) fn judge(case: &Case<'_>, out: &mut Findings) {
    let domain = case.domain();
    match &case.survey.tlsrpt {
        Published::Found { .. } | Published::NotAsked => {}
        Published::Broken { text, why, .. } => {
            let words = said(format!("{why}: {text}"), wanted(domain));
            out.add(Id::RptBroken, Severity::Warning, Place::named(domain), words);
        }
        Published::Absent { .. } => {
            // Whoever promises something should hear when it is not kept.
            let promises = case.policy().is_some() || case.hosts.iter().any(|host| host.has_dane());
            let severity = if promises { Severity::Warning } else { Severity::Notice };
            let words = said("no _smtp._tls record", wanted(domain));
            out.add(Id::RptMissing, severity, Place::named(domain), words);
        }
        Published::Failed(failure) => mx::failed(out, Place::named(&failure.name), failure),
    }
    for target in &case.survey.report_targets {
        let (severity, why) = match &target.reachable {
            Reachable::Yes => continue,
            Reachable::No(why) => (Severity::Warning, why),
            Reachable::Unknown(why) => (Severity::Unknown, why),
        };
        let words = said(
            format!("{}: {why}", target.uri),
            "name an address that takes reports, best outside this domain",
        );
        out.add(Id::RptRuaUnreachable, severity, Place::named(domain), words);
    }
    for host in &case.hosts {
        let (Some(name), Some(survey)) = (host.name(), host.survey) else { continue };
        // Without MX records the domain is its own mail host, and its record was judged above.
        if name == domain {
            continue;
        }
        if host.has_dane() && matches!(survey.tlsrpt, Published::Absent { .. }) {
            let words = said("no _smtp._tls record at the mail host", wanted(name));
            out.add(Id::RptHostMissing, Severity::Info, host.place(), words);
        }
        if let Published::Broken { text, why, .. } = &survey.tlsrpt {
            let words = said(format!("{why}: {text}"), wanted(name));
            out.add(Id::RptBroken, Severity::Notice, host.place(), words);
        }
    }
}

/// RFC 8460 §3.
fn wanted(domain: &Domain) -> String {
    format!("_smtp._tls.{domain}. IN TXT \"v=TLSRPTv1; rua=mailto:tls-reports@{domain}\"")
}
