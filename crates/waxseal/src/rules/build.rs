//! From what is written to what is meant.

use std::collections::BTreeSet;

use toml::Spanned;
use waxseal_core::{
    domain::Domain,
    envelope::Mailbox,
    org::{Condition, Defaults, Group, Groups, Rule, Told, ValueMatch, Who},
};

use super::{Fault, Ruleset, raw};

/// More rules than anybody can oversee.
const MOST_RULES: usize = 10_000;

/// Names that verdicts use for themselves.
const RESERVED: [&str; 6] = ["default", "exception", "ended exception", "inbound", "mode", ""];

/// Collects faults while the rest is still looked at.
struct Faults<'a> {
    found: Vec<Fault>,
    /// Our domains: only there is anybody told.
    ours: &'a [Domain],
}

impl Faults<'_> {
    fn add(&mut self, at: usize, key: &str, what: impl Into<String>) {
        self.found.push(Fault { at, key: key.to_owned(), what: what.into() });
    }

    fn keep<T>(&mut self, at: usize, key: &str, result: Result<T, String>) -> Option<T> {
        result.map_err(|what| self.add(at, key, what)).ok()
    }
}

/// The rules that a file means.
pub(super) fn ruleset(raw: raw::Raw, ours: &[Domain]) -> Result<Ruleset, Vec<Fault>> {
    let mut faults = Faults { found: Vec::new(), ours };
    let groups = groups(raw.group, &mut faults);
    let plain = Defaults::default();
    let defaults = Defaults {
        floor: raw.default.require.unwrap_or(plain.floor),
        fallback: raw.default.otherwise.unwrap_or(plain.fallback),
        patience: raw.default.patience.map_or(plain.patience, |span| span.0),
        notify: match raw.default.notify {
            Some(whom) => notify(whom, "default.notify", &mut faults),
            None => plain.notify,
        },
    };
    let mut names = BTreeSet::new();
    let mut rules = Vec::with_capacity(raw.rule.len());
    for (nth, raw) in raw.rule.into_iter().enumerate() {
        let path = format!("rule[{nth}]");
        let at = raw.name.span().start;
        if nth >= MOST_RULES {
            faults.add(at, &path, format!("there are more than {MOST_RULES} rules"));
            break;
        }
        let rule = rule(raw, &path, &groups, &mut faults);
        if RESERVED.contains(&rule.name.trim()) || rule.name.chars().any(char::is_control) {
            let what = format!("{:?} cannot be the name of a rule", rule.name);
            faults.add(at, &format!("{path}.name"), what);
        }
        if !names.insert(rule.name.clone()) {
            let what = format!("another rule is called {:?}; evidence names rules", rule.name);
            faults.add(at, &format!("{path}.name"), what);
        }
        rules.push(rule);
    }
    let on_loss = raw.default.on_loss.unwrap_or_default();
    match faults.found.is_empty() {
        true => Ok(Ruleset { defaults, on_loss, groups, rules }),
        false => Err(faults.found),
    }
}

fn groups(raw: std::collections::BTreeMap<String, raw::Group>, faults: &mut Faults<'_>) -> Groups {
    let mut groups = Groups::new();
    for (name, raw) in raw {
        let key = format!("group.{name}.members");
        let mut group = Group::default();
        for member in raw.members {
            let at = member.span().start;
            let Some(who) = faults.keep(at, &key, who(member.get_ref())) else { continue };
            if let Err(inner) = group.add(who) {
                faults.add(at, &key, format!("@{inner}: a group cannot hold a group"));
            }
        }
        groups.insert(name, group);
    }
    groups
}

fn rule(raw: raw::Rule, path: &str, groups: &Groups, faults: &mut Faults<'_>) -> Rule {
    let notify_key = format!("{path}.notify");
    Rule {
        name: raw.name.into_inner(),
        when: conditions(raw.when, path, groups, faults),
        require: raw.require,
        otherwise: raw.otherwise,
        patience: raw.patience.map(|span| span.0),
        notify: raw.notify.map(|whom| notify(whom, &notify_key, faults)),
    }
}

fn conditions(
    raw: raw::When,
    path: &str,
    groups: &Groups,
    faults: &mut Faults<'_>,
) -> Vec<Condition> {
    let mut conditions = Vec::new();
    if let Some(list) = raw.recipient {
        let key = format!("{path}.when.recipient");
        conditions.push(Condition::Recipient(people(list, &key, groups, faults)));
    }
    if let Some(list) = raw.sender {
        let key = format!("{path}.when.sender");
        conditions.push(Condition::Sender(people(list, &key, groups, faults)));
    }
    for (nth, header) in raw.header.into_iter().enumerate() {
        let key = format!("{path}.when.header[{nth}]");
        let at = header.span().start;
        let header = header.into_inner();
        let name = header.name.to_lowercase();
        let odd = |c: char| !c.is_ascii_graphic() || c == ':';
        if name.is_empty() || name.contains(odd) {
            // RFC 5322 §3.6.8
            faults.add(at, &key, format!("{:?} is no name of a header field", header.name));
        }
        let value = match (header.equals, header.contains) {
            (None, None) => ValueMatch::Present,
            (Some(text), None) => ValueMatch::Equals(text.trim().to_lowercase()),
            (None, Some(text)) => ValueMatch::Contains(text.to_lowercase()),
            (Some(_), Some(_)) => {
                faults.add(at, &key, "either equals or contains, not both");
                ValueMatch::Present
            }
        };
        conditions.push(Condition::Header { name, value });
    }
    if let Some(list) = raw.subject_tag {
        let key = format!("{path}.when.subject_tag");
        full(&list, &key, faults);
        let mut tags = Vec::new();
        for tag in list.into_inner() {
            if tag.get_ref().trim().is_empty() {
                faults.add(tag.span().start, &key, "an empty tag would stand in every subject");
            }
            tags.push(tag.into_inner().to_lowercase());
        }
        conditions.push(Condition::SubjectTag(tags));
    }
    conditions
}

/// An empty list would match nobody, and its rule would silently never apply.
fn full<T>(list: &Spanned<Vec<T>>, key: &str, faults: &mut Faults<'_>) {
    if list.get_ref().is_empty() {
        faults.add(list.span().start, key, "an empty list matches nothing; leave the key out");
    }
}

fn people(
    list: Spanned<Vec<Spanned<String>>>,
    key: &str,
    groups: &Groups,
    faults: &mut Faults<'_>,
) -> Vec<Who> {
    full(&list, key, faults);
    let mut people = Vec::new();
    for text in list.into_inner() {
        let at = text.span().start;
        let Some(who) = faults.keep(at, key, who(text.get_ref())) else { continue };
        if let Who::Group(name) = &who
            && !groups.contains_key(name)
        {
            let near = crate::config::nearest(name, groups.keys().map(String::as_str));
            let hint = near.map_or_else(String::new, |near| format!("; did you mean \"@{near}\"?"));
            faults.add(at, key, format!("there is no group {name:?}{hint}"));
        }
        people.push(who);
    }
    people
}

/// `example.com`, `*.example.com`, `ann@example.com`, `@group`.
fn who(text: &str) -> Result<Who, String> {
    let told = |error: waxseal_core::domain::DomainError| format!("{text:?}: {error}");
    if let Some(name) = text.strip_prefix('@') {
        return Ok(Who::Group(name.to_owned()));
    }
    if let Some(below) = text.strip_prefix("*.") {
        return Domain::parse(below).map(Who::Below).map_err(told);
    }
    if text.contains('@') {
        return mailbox(text).map(Who::Mailbox);
    }
    Domain::parse(text).map(Who::Domain).map_err(told)
}

fn mailbox(text: &str) -> Result<Mailbox, String> {
    match text.rsplit_once('@') {
        Some((local, domain)) if !local.is_empty() && local.len() <= 64 => {
            let domain = Domain::parse(domain).map_err(|error| format!("{text:?}: {error}"))?;
            Ok(Mailbox { local: local.to_owned(), domain })
        }
        Some(_) | None => Err(format!("{text:?} is no mail address")),
    }
}

fn notify(whom: Vec<Spanned<String>>, key: &str, faults: &mut Faults<'_>) -> Vec<Told> {
    let ours = faults.ours;
    // A notice says which messages were not safe to send: it never leaves the house.
    let inside = |mailbox: Mailbox| match ours.contains(&mailbox.domain) {
        true => Ok(Told::Mailbox(mailbox)),
        false => Err(format!("{mailbox}: notices go only to addresses in a [[domain]] of ours")),
    };
    let told = |text: &str| match text {
        "sender" => Ok(Told::Sender),
        "postmaster" => Ok(Told::Postmaster),
        address if address.contains('@') => mailbox(address).and_then(inside),
        other => Err(format!("{other:?}: write \"sender\", \"postmaster\" or an address")),
    };
    whom.into_iter()
        .filter_map(|text| faults.keep(text.span().start, key, told(text.get_ref())))
        .collect()
}
