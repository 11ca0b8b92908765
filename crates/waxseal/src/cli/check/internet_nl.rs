//! The shape of Internet.nl's batch results, so that whoever reads theirs can read ours: every key
//! that version 2.7.0 of its API has, with its own words for verdicts, and the percentage that its
//! rule gives to what we looked at.
//!
//! What we do not look at (cipher order, compression, renegotiation, 0-RTT, the hash of the key
//! exchange, routes) is `not_tested`. What could not be found out is `error`, counts neither for nor
//! against anybody, and never makes a category `passed`.

mod score;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{
    Serialize, Serializer,
    ser::{Error as _, SerializeMap as _},
};
use serde_json::{Map, Value, json};
use waxseal_core::{
    assess::{
        Assessment, Contact, HostSurvey, NameServers, Observed, Offer, Published, Quoted,
        StartTlsSeen, Survey, offers,
        profile::{ProfileVerdict, Status},
    },
    facts::MxFact,
    time::UnixTime,
};

use super::report::{Outcome, Report, ReportsTold, StsTold};

/// The version of the API whose shape this is.
const VERSION: &str = "2.7.0";

/// The worst that a test can come to there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worst {
    Failed,
    Warning,
    Info,
}

impl Worst {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// The categories, in their order.
const CATEGORIES: [&str; 5] =
    ["mail_ipv6", "mail_dnssec", "mail_auth", "mail_starttls", "mail_rpki"];

/// All tests of mail, in the order of the categories.
const TESTS: [(&str, Worst); 38] = [
    ("mail_ipv6_ns_address", Worst::Failed),
    ("mail_ipv6_ns_reach", Worst::Failed),
    ("mail_ipv6_mx_address", Worst::Failed),
    ("mail_ipv6_mx_reach", Worst::Failed),
    ("mail_dnssec_mailto_exist", Worst::Failed),
    ("mail_dnssec_mailto_valid", Worst::Failed),
    ("mail_dnssec_mx_exist", Worst::Failed),
    ("mail_dnssec_mx_valid", Worst::Failed),
    ("mail_auth_dmarc_exist", Worst::Failed),
    ("mail_auth_dmarc_policy", Worst::Failed),
    ("mail_auth_dkim_exist", Worst::Failed),
    ("mail_auth_spf_exist", Worst::Failed),
    ("mail_auth_spf_policy", Worst::Failed),
    ("mail_starttls_tls_available", Worst::Failed),
    ("mail_starttls_tls_keyexchange", Worst::Failed),
    ("mail_starttls_tls_ciphers", Worst::Failed),
    ("mail_starttls_tls_cipherorder", Worst::Failed),
    ("mail_starttls_tls_version", Worst::Failed),
    ("mail_starttls_tls_compress", Worst::Failed),
    ("mail_starttls_tls_secreneg", Worst::Failed),
    ("mail_starttls_tls_clientreneg", Worst::Info),
    ("mail_starttls_cert_chain", Worst::Info),
    ("mail_starttls_cert_pubkey", Worst::Failed),
    ("mail_starttls_cert_sig", Worst::Failed),
    ("mail_starttls_cert_domain", Worst::Info),
    ("mail_starttls_tls_caa", Worst::Warning),
    ("mail_starttls_dane_exist", Worst::Failed),
    ("mail_starttls_dane_valid", Worst::Failed),
    ("mail_starttls_dane_rollover", Worst::Info),
    ("mail_starttls_tls_0rtt", Worst::Failed),
    ("mail_starttls_tls_keyexchangehash", Worst::Warning),
    ("mail_starttls_tls_extendedmastersecret", Worst::Failed),
    ("mail_rpki_exists", Worst::Failed),
    ("mail_rpki_valid", Worst::Failed),
    ("mail_ns_rpki_exists", Worst::Failed),
    ("mail_ns_rpki_valid", Worst::Failed),
    ("mail_mx_ns_rpki_exists", Worst::Failed),
    ("mail_mx_ns_rpki_valid", Worst::Failed),
];

/// What a test came to: status and verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell(&'static str, &'static str);

const NOT_TESTED: Cell = Cell("not_tested", "not-tested");
const PASSED: Cell = Cell("passed", "good");

type Cells = BTreeMap<&'static str, Cell>;

/// The results of all domains, by name. As text they take a quarter of the memory.
#[derive(Debug, Default)]
pub(super) struct Shape(BTreeMap<String, String>);

impl Shape {
    /// One more; what it is in this shape goes from the report to here.
    pub(super) fn add(&mut self, report: &mut Report) {
        let resolved = report.unresolved().is_none();
        let told = match &mut report.outcome {
            Outcome::Assessed(one) if resolved => {
                let value = one.internet_nl.take();
                value.map(|value| (one.assessment.domain.to_string(), value))
            }
            Outcome::Assessed(_) | Outcome::NoDomain(_) => None,
        };
        // As there: of a domain that could not be tested there is no other key.
        let (name, value) = told
            .unwrap_or_else(|| (Quoted::new(&report.input).into(), json!({ "status": "error" })));
        self.0.insert(name, value.to_string());
    }
}

impl Serialize for Shape {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.0.len()))?;
        for (name, text) in &self.0 {
            let value: Value = serde_json::from_str(text).map_err(S::Error::custom)?;
            map.serialize_entry(name, &value)?;
        }
        map.end()
    }
}

/// The answer to a batch request.
#[derive(Serialize)]
pub(super) struct Answer<'a> {
    api_version: &'static str,
    request: Value,
    domains: &'a Shape,
}

/// All results, as the answer to a batch request.
pub(super) fn file(domains: &Shape, began: UnixTime, ended: UnixTime) -> Answer<'_> {
    Answer {
        api_version: VERSION,
        request: json!({
            "request_id": request_id(domains, began),
            "name": "waxseal check",
            "request_type": "mail",
            "status": "done",
            "submit_date": began.to_string(),
            "finished_date": ended.to_string(),
        }),
        domains,
    }
}

/// 32 hexadecimal digits that stand for these domains at this time.
fn request_id(domains: &Shape, began: UnixTime) -> String {
    let mut text = began.to_string();
    for name in domains.0.keys() {
        text.push('\n');
        text.push_str(name);
    }
    let digest = digest(&SHA256, text.as_bytes());
    digest.as_ref().iter().take(16).map(|octet| format!("{octet:02x}")).collect()
}

/// One domain. There is no page of it: `report.url` is empty.
pub(super) fn result(survey: &Survey, assessment: &Assessment, verdict: &ProfileVerdict) -> Value {
    let domain = Domain { survey, verdict };
    let cells = domain.cells();
    let categories: Map<_, _> = CATEGORIES
        .iter()
        .map(|name| {
            let (status, verdict) = domain.category(name, &cells);
            ((*name).to_owned(), json!({ "verdict": verdict, "status": status }))
        })
        .collect();
    let tests: Map<_, _> = TESTS
        .iter()
        .filter_map(|(id, _)| {
            let Cell(status, verdict) = cells.get(id)?;
            Some(((*id).to_owned(), json!({ "status": status, "verdict": verdict })))
        })
        .collect();
    let tls13 = match offers(survey, assessment).tls13 {
        _ if survey.hosts.is_empty() => "no",
        Offer::Yes => "yes",
        Offer::Partly | Offer::No => "no",
        // It was seen that there is no TLS at all.
        Offer::Unknown if domain.testable() == "ok" => "no",
        Offer::Unknown => "undetermined",
    };
    json!({
        "status": "ok",
        "report": { "url": "" },
        "scoring": { "percentage": score::percentage(&domain, &cells) },
        "results": {
            "categories": categories,
            "tests": tests,
            "custom": {
                "mail_non_sending_domain": survey.mail.sends_nothing(),
                "mail_servers_testable_status": domain.testable(),
                "tls_1_3_support": tls13,
                "waxseal_level": assessment.level,
                "waxseal_sts": StsTold::of(survey).state,
                "waxseal_tlsrpt": ReportsTold::of(&survey.tlsrpt).state,
            },
        },
    })
}

/// What a result is made from.
struct Domain<'a> {
    survey: &'a Survey,
    verdict: &'a ProfileVerdict,
}

impl Domain<'_> {
    fn status(&self, id: &str) -> Option<Status> {
        self.verdict.requirements.iter().find(|one| one.id == id).map(|one| one.status)
    }

    fn cells(&self) -> Cells {
        let mut cells: Cells =
            TESTS.iter().map(|(id, worst)| (*id, self.plain(id, *worst))).collect();
        self.ipv6(&mut cells);
        self.auth(&mut cells);
        self.hosts(&mut cells);
        cells
    }

    /// A test whose words are the usual ones.
    fn plain(&self, id: &str, worst: Worst) -> Cell {
        let to_go = || self.status(&format!("{id}_phase_out")) == Some(Status::NotMet);
        match self.status(id) {
            Some(Status::Met) if to_go() => Cell("warning", "phase-out"),
            Some(Status::Met) => PASSED,
            Some(Status::NotMet) => Cell(worst.as_str(), "bad"),
            Some(Status::Unknown) => Cell("error", "not-tested"),
            Some(Status::NotApplicable | Status::ByHand) | None => NOT_TESTED,
        }
    }

    fn ipv6(&self, cells: &mut Cells) {
        let with = self.name_servers_with_ipv6();
        if with == Some(0) {
            cells.insert("mail_ipv6_ns_reach", NOT_TESTED);
        }
        if with == Some(1) {
            cells.insert("mail_ipv6_ns_address", Cell("failed", "other"));
        }
        let hosts = &self.survey.facts.hosts;
        let six = |host: &waxseal_core::facts::HostFacts| {
            host.addresses.value().is_some_and(|all| all.iter().any(std::net::IpAddr::is_ipv6))
        };
        if cells.get("mail_ipv6_mx_address").is_some_and(|cell| cell.0 == "failed")
            && !hosts.iter().any(six)
        {
            cells.insert("mail_ipv6_mx_reach", NOT_TESTED);
        }
    }

    /// How many name servers have an IPv6 address, where that is known.
    fn name_servers_with_ipv6(&self) -> Option<usize> {
        match &self.survey.name_servers {
            NameServers::Found(all) => {
                let mut count = 0;
                for server in all {
                    count += usize::from(!server.ipv6.as_ref().ok()?.is_empty());
                }
                Some(count)
            }
            NameServers::Failed(_) | NameServers::NotAsked => None,
        }
    }

    fn auth(&self, cells: &mut Cells) {
        let spf = &self.survey.mail.spf;
        // A record that cannot be evaluated is there all the same.
        if let Published::Found { value, .. } = spf {
            cells.insert("mail_auth_spf_exist", PASSED);
            if cells.get("mail_auth_spf_policy").is_some_and(|cell| cell.0 == "failed") {
                let verdict = if value.faults.is_empty() { "all" } else { "bad" };
                cells.insert("mail_auth_spf_policy", Cell("failed", verdict));
            }
        }
        if let Some(Cell("failed", verdict)) = cells.get_mut("mail_auth_dmarc_policy") {
            *verdict = "policy";
        }
        for (parent, child) in [
            ("mail_auth_dmarc_exist", "mail_auth_dmarc_policy"),
            ("mail_auth_spf_exist", "mail_auth_spf_policy"),
        ] {
            if cells.get(parent) != Some(&PASSED) {
                cells.insert(child, NOT_TESTED);
            }
        }
        if self.survey.mail.sends_nothing() {
            cells.insert("mail_auth_dkim_exist", Cell("not_tested", "no-email"));
        }
    }

    /// What depends on mail hosts, and on STARTTLS there.
    fn hosts(&self, cells: &mut Cells) {
        for (exist, valid) in [
            ("mail_dnssec_mailto_exist", "mail_dnssec_mailto_valid"),
            ("mail_dnssec_mx_exist", "mail_dnssec_mx_valid"),
        ] {
            if cells.get(exist).is_some_and(|cell| cell.0 == "failed") {
                cells.insert(valid, NOT_TESTED);
            }
        }
        let null = matches!(self.survey.facts.mx, MxFact::Null { .. });
        let without = |otherwise| Cell("not_tested", if null { "null-mx" } else { otherwise });
        let available = match self.testable() {
            "no_mx" => {
                cells.insert("mail_ipv6_mx_address", without("other"));
                cells.insert("mail_ipv6_mx_reach", NOT_TESTED);
                cells.insert("mail_dnssec_mx_exist", without("no-mailservers"));
                cells.insert("mail_dnssec_mx_valid", NOT_TESTED);
                without("other-2")
            }
            _ if cells
                .get("mail_starttls_tls_available")
                .is_some_and(|cell| cell.0 == "failed") =>
            {
                Cell("failed", "bad")
            }
            "unreachable" => Cell("error", "other"),
            "untestable" => Cell("error", "could-not-test"),
            _ => PASSED,
        };
        cells.insert("mail_starttls_tls_available", available);
        if available != PASSED {
            let rest = TESTS.iter().map(|(id, _)| *id);
            let rest =
                rest.filter(|id| id.starts_with("mail_starttls") && !id.ends_with("available"));
            cells.extend(rest.map(|id| (id, NOT_TESTED)));
            return;
        }
        if cells.get("mail_starttls_dane_exist") != Some(&PASSED) {
            cells.insert("mail_starttls_dane_valid", NOT_TESTED);
            cells.insert("mail_starttls_dane_rollover", NOT_TESTED);
        }
        let ems = "mail_starttls_tls_extendedmastersecret";
        if cells.get(ems).is_some_and(|cell| cell.0 == "error") {
            cells.insert(ems, Cell("not_tested", "unknown"));
        }
        if self.status(ems) == Some(Status::NotApplicable) {
            cells.insert(ems, Cell("not_tested", "na-no-tls-1-2"));
        }
        if let Some(Cell("warning", verdict)) = cells.get_mut("mail_starttls_tls_caa") {
            *verdict = self.caa();
        }
    }

    /// What is wrong with CAA records.
    fn caa(&self) -> &'static str {
        let any = |wanted: fn(&HostSurvey) -> bool| self.survey.hosts.iter().any(wanted);
        if any(|host| matches!(host.caa, Published::Absent { .. })) {
            "bad"
        } else if any(|host| matches!(host.caa, Published::Broken { .. })) {
            "syntax-error"
        } else {
            "insufficient"
        }
    }

    /// Whether the mail hosts could be tested: the worst of them.
    fn testable(&self) -> &'static str {
        if self.survey.facts.hosts.is_empty() && !matches!(self.survey.facts.mx, MxFact::Failed(_))
        {
            return "no_mx";
        }
        let hosts = &self.survey.hosts;
        if hosts.iter().any(|host| !spoke(host) && contacts(host).any(is_unreachable)) {
            "unreachable"
        } else if hosts.is_empty() || hosts.iter().any(|host| !tested(host)) {
            "untestable"
        } else {
            "ok"
        }
    }

    /// Status and verdict of a category.
    fn category(&self, name: &str, cells: &Cells) -> (&'static str, &'static str) {
        let of = TESTS.iter().filter(|(id, _)| match id.strip_prefix(name) {
            Some(_) => true,
            // `mail_ns_rpki_exists`
            None => name == "mail_rpki" && id.contains("_rpki_"),
        });
        let cells: Vec<_> = of.filter_map(|(id, _)| cells.get(id)).collect();
        let any = |status| cells.iter().any(|cell| cell.0 == status);
        let status = if any("failed") {
            "failed"
        } else if any("error") {
            "error"
        } else if any("passed") {
            "passed"
        } else if name == "mail_starttls" {
            "info"
        } else {
            "error"
        };
        let verdict = match (name, status, self.testable()) {
            ("mail_starttls", "info", _) if matches!(self.survey.facts.mx, MxFact::Null { .. }) => {
                "null-mx"
            }
            ("mail_starttls", "info", _) => "no-mx",
            ("mail_starttls", "error", told @ ("unreachable" | "untestable")) => told,
            _ => status,
        };
        (status, verdict)
    }
}

fn contacts(host: &HostSurvey) -> impl Iterator<Item = &Contact> {
    host.addresses.iter().filter_map(|address| match &address.observed {
        Observed::Probed(probe) => Some(&probe.contact),
        Observed::Not(_) => None,
    })
}

const fn is_unreachable(contact: &Contact) -> bool {
    matches!(contact, Contact::Unreachable(_))
}

fn spoke(host: &HostSurvey) -> bool {
    contacts(host).any(|contact| matches!(contact, Contact::Spoke { .. }))
}

/// Whether it was seen what STARTTLS comes to there.
fn tested(host: &HostSurvey) -> bool {
    host.addresses.iter().any(|address| match &address.observed {
        Observed::Probed(probe) => match &probe.contact {
            Contact::Spoke { starttls: StartTlsSeen::Ready, .. } => probe
                .handshakes
                .iter()
                .any(|one| matches!(one.tried, waxseal_core::assess::Tried::Session(_))),
            Contact::Spoke { .. } => true,
            Contact::Unreachable(_) | Contact::TurnedAway(_) | Contact::Misbehaved(_) => false,
        },
        Observed::Not(_) => false,
    })
}
