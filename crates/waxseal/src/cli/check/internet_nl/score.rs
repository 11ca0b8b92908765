//! The percentage of Internet.nl, by its public rule (`documentation/scoring.md`, `checks/scoring.py`
//! of its source): the points of the tests that count, category by category, each category as much
//! as the others. It is for readers of its files alone; Waxseal itself gives none.
//!
//! What could not be found out is left out of the points and of what can be reached. So is the
//! category of routes, as on a server of theirs that does not test it. TLS counts the worst host of
//! each test; theirs counts the worst host, so that theirs can be higher where hosts fail in
//! different tests.

use waxseal_core::{
    assess::{NameServers, Observed, ServerName, Servers, Signing},
    dns::FailureKind,
};

use super::{Cells, Domain, NOT_TESTED};

/// A test that is passed, or a server at its best.
const FULL: usize = 10;
/// A part of it.
const PART: usize = 2;

/// Points, and how many there are to be had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Points {
    had: usize,
    most: usize,
}

impl Points {
    /// `None` where nothing counts.
    pub(super) fn percent(self) -> Option<usize> {
        self.had.saturating_mul(100).checked_div(self.most)
    }

    fn add(&mut self, had: Option<usize>) {
        if let Some(had) = had {
            self.had += had;
            self.most += FULL;
        }
    }
}

/// The average of the categories, each rounded down, as there.
pub(super) fn percentage(domain: &Domain<'_>, cells: &Cells) -> usize {
    let categories = [ipv6(domain, cells), dnssec(domain), auth(cells), starttls(cells)];
    let counted: Vec<_> = categories.iter().filter_map(|points| points.percent()).collect();
    counted.iter().sum::<usize>().checked_div(counted.len()).unwrap_or(0)
}

fn ipv6(domain: &Domain<'_>, cells: &Cells) -> Points {
    let mut points = Points::default();
    points.add(name_servers(domain));
    let mail = cells.get("mail_ipv6_mx_address").is_some_and(|cell| cell.0 != NOT_TESTED.0);
    if mail {
        points.add(mail_hosts(domain));
    }
    points
}

/// Of one server: whether all, some or none of its addresses answer; `None` where that is unknown.
pub(super) fn server(answers: &[Option<bool>]) -> Option<usize> {
    let answers: Vec<bool> = answers.iter().copied().collect::<Option<_>>()?;
    Some(match (answers.is_empty(), answers.contains(&true), answers.contains(&false)) {
        (true, _, _) | (false, false, _) => 0,
        (false, true, true) => PART,
        (false, true, false) => FULL,
    })
}

/// One name server gives half at most; with two that have IPv6 the others do not count.
fn name_servers(domain: &Domain<'_>) -> Option<usize> {
    let NameServers::Found(all) = &domain.survey.name_servers else { return None };
    let (mut sum, mut with) = (0, 0);
    for one in all {
        with += usize::from(!one.ipv6.as_ref().ok()?.is_empty());
        sum += server(&answers(one, &domain.survey.zone.servers))?;
    }
    let count = if with > 1 { with } else { all.len() };
    match count {
        0 => Some(0),
        1 => Some(sum.min(FULL / 2)),
        _ => sum.checked_div(count),
    }
}

fn answers(one: &ServerName, asked: &Servers) -> Vec<Option<bool>> {
    let addresses = one.ipv6.as_deref().unwrap_or_default();
    let of = |wanted: &std::net::Ipv6Addr| match asked {
        Servers::NotAsked(_) | Servers::Unreached(_) => None,
        Servers::Asked(all) => {
            let seen = all.iter().find(|server| server.address == std::net::IpAddr::from(*wanted));
            seen.map(|server| server.answers.iter().any(|answer| answer.digest.is_ok()))
        }
    };
    addresses.iter().map(of).collect()
}

fn mail_hosts(domain: &Domain<'_>) -> Option<usize> {
    let hosts = &domain.survey.hosts;
    let mut sum = 0;
    for host in hosts {
        let six = host.addresses.iter().filter(|address| address.ip.is_ipv6());
        let answers: Vec<_> = six
            .map(|address| match &address.observed {
                Observed::Probed(probe) => Some(!super::is_unreachable(&probe.contact)),
                Observed::Not(_) => None,
            })
            .collect();
        sum += server(&answers)?;
    }
    sum.checked_div(hosts.len())
}

/// The worst zone: that of the domain or of a mail host.
fn dnssec(domain: &Domain<'_>) -> Points {
    let zones = domain.survey.hosts.iter().map(|host| &host.zone);
    let zones = std::iter::once(&domain.survey.zone).chain(zones);
    let had: Option<Vec<_>> = zones
        .map(|zone| match &zone.signing {
            Signing::Signed { .. } => Some(FULL),
            Signing::Unsigned { .. } => Some(PART),
            Signing::Failed(failure) => (failure.kind == FailureKind::Bogus).then_some(0),
            Signing::NotAsked => None,
        })
        .collect();
    let mut points = Points::default();
    points.add(had.and_then(|had| had.into_iter().min()));
    points
}

/// A policy that is too weak is better than none, which is why it gives a part.
pub(super) fn auth(cells: &Cells) -> Points {
    let mut points = Points::default();
    for (id, cell) in cells.range("mail_auth".."mail_auti") {
        points.add(match (cell.0, cell.1) {
            ("passed", _) => Some(FULL),
            ("failed", "policy" | "all") => Some(PART),
            ("failed", _) => Some(0),
            // Nothing is there that could have a policy.
            ("not_tested", "not-tested") if id.ends_with("_policy") => {
                let parent = id.replace("_policy", "_exist");
                cells.get(parent.as_str()).is_some_and(|cell| cell.0 == "failed").then_some(0)
            }
            _ => None,
        });
    }
    points
}

/// What is only advised counts nothing; what is to be phased out counts in full.
pub(super) fn starttls(cells: &Cells) -> Points {
    let mut points = Points::default();
    for (id, worst) in super::TESTS {
        let counts = id.starts_with("mail_starttls") && worst == super::Worst::Failed;
        let Some(cell) = cells.get(id).filter(|_| counts) else { continue };
        // The records and what they match give the same points.
        let cell = match (id, cells.get("mail_starttls_dane_valid")) {
            ("mail_starttls_dane_exist", Some(valid)) if valid.0 != NOT_TESTED.0 => valid,
            _ => cell,
        };
        points.add(match cell.0 {
            "passed" | "warning" => Some(FULL),
            "failed" => Some(0),
            _ => None,
        });
    }
    points
}
