//! What is wanted against what DNS says.

use serde::Serialize;

use super::{Data, Record, record::strings};
use crate::{
    dane::Tlsa,
    dns::{Answer, Authenticity},
};

/// Whether a record is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "standing")]
pub enum Standing {
    /// It is there as wanted.
    Live,
    /// Something else is there: these values, as far as they may be shown.
    Differs {
        /// What stands there.
        found: Vec<String>,
    },
    /// Nothing is there.
    Missing,
    /// It could not be found out, and why.
    Unknown {
        /// What happened.
        why: String,
    },
}

/// One record, or all TLSA records of a host, and how they stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wanted.
    pub wanted: Vec<Record>,
    /// How it stands.
    pub standing: Standing,
    /// What to do; empty where there is nothing to do.
    pub fix: String,
}

/// Nothing that strangers write is shown at greater length, and no more of it.
const SHOWN: usize = 300;
const SHOWN_RECORDS: usize = 16;

/// A text from outside, without control characters and at bounded length.
fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.chars().map(|c| if c.is_control() { '?' } else { c }).take(SHOWN).collect()
}

/// A TXT record that stands alone at its name, or alone with its version tag (`v=STSv1`). Spaces and
/// a last semicolon make no difference.
pub fn text(wanted: Record, version: &str, answer: &Answer<Vec<Vec<u8>>>) -> Finding {
    let Data::Txt(want) = &wanted.data else { return misuse(wanted) };
    let value = match answer {
        Answer::Found { value, .. } => value,
        Answer::Absent { .. } => return missing(wanted),
        Answer::Failed(failure) => return unknown(wanted, failure.to_string()),
    };
    let ours = |one: &&Vec<u8>| version.is_empty() || one.starts_with(version.as_bytes());
    let found: Vec<&Vec<u8>> = value.iter().filter(ours).collect();
    let dense = |text: &[u8]| {
        let visible = text.iter().filter(|octet| !octet.is_ascii_whitespace()).copied();
        let mut visible: Vec<u8> = visible.collect();
        if visible.last() == Some(&b';') {
            visible.pop();
        }
        visible
    };
    match found.as_slice() {
        [] => missing(wanted),
        [only] if dense(only) == dense(want.as_bytes()) => live(wanted),
        several => {
            let found: Vec<String> =
                several.iter().take(SHOWN_RECORDS).map(|text| shown(text)).collect();
            let fix = match several.len() {
                1 => format!("replace it by the record above at {}", wanted.owner),
                many => format!(
                    "leave one of the {many} records at {}: with several, none counts",
                    wanted.owner
                ),
            };
            Finding { wanted: vec![wanted], standing: Standing::Differs { found }, fix }
        }
    }
}

/// SPF: the record may say more than ours, but has to let the gateway send. One record only (RFC 7208
/// §4.5). What is printed to paste keeps what stands there.
pub fn spf(wanted: Record, mechanisms: &[String], answer: &Answer<Vec<Vec<u8>>>) -> Finding {
    let value = match answer {
        Answer::Found { value, .. } => value,
        Answer::Absent { .. } => return missing(wanted),
        Answer::Failed(failure) => return unknown(wanted, failure.to_string()),
    };
    let is_spf = |text: &&Vec<u8>| {
        let lower = text.to_ascii_lowercase();
        lower == b"v=spf1" || lower.starts_with(b"v=spf1 ")
    };
    let found: Vec<&Vec<u8>> = value.iter().filter(is_spf).collect();
    let differs = |wanted: Record, fix: String| {
        let found = found.iter().take(SHOWN_RECORDS).map(|text| shown(text)).collect();
        Finding { wanted: vec![wanted], standing: Standing::Differs { found }, fix }
    };
    let text = match found.as_slice() {
        [] => return missing(wanted),
        [only] => String::from_utf8_lossy(only).into_owned(),
        _ => {
            let fix =
                "leave one v=spf1 record: with several, SPF is an error (RFC 7208 section 4.5)";
            return differs(wanted, fix.to_owned());
        }
    };
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let passes = |wanted: &str| {
        words.iter().any(|word| word.strip_prefix('+').unwrap_or(word).eq_ignore_ascii_case(wanted))
    };
    let lacking: Vec<&str> =
        mechanisms.iter().map(String::as_str).filter(|one| !passes(one)).collect();
    if lacking.is_empty() {
        return live(wanted);
    }
    let (head, rest) =
        words.split_first().map_or(("v=spf1", &[][..]), |(head, rest)| (*head, rest));
    let merged = [&[head], lacking.as_slice(), rest].concat().join(" ");
    let fix = format!("add {} in front: \"{}\"", lacking.join(" "), shown(merged.as_bytes()));
    differs(wanted, fix)
}

/// All TLSA records of one host. Records that nobody configured are named: they may be of a key
/// that somebody still uses, so nothing is said about removing them before that is known.
pub fn tlsa(wanted: Vec<Record>, answer: &Answer<Vec<Tlsa>>) -> Finding {
    let (value, authenticity) = match answer {
        Answer::Found { value, authenticity, .. } => (value, *authenticity),
        Answer::Absent { .. } => {
            let fix = "add the records above; keep the key that is in use until then".to_owned();
            return Finding { wanted, standing: Standing::Missing, fix };
        }
        Answer::Failed(failure) => {
            let standing = Standing::Unknown { why: failure.to_string() };
            return Finding { wanted, standing, fix: "look again".to_owned() };
        }
    };
    let is =
        |record: &Record, tlsa: &Tlsa| matches!(&record.data, Data::Tlsa(data) if data == tlsa);
    let lacking = wanted.iter().filter(|w| !value.iter().any(|tlsa| is(w, tlsa))).count();
    let surplus: Vec<&Tlsa> =
        value.iter().filter(|tlsa| !wanted.iter().any(|record| is(record, tlsa))).collect();
    let found = value
        .iter()
        .take(SHOWN_RECORDS)
        .map(|tlsa| {
            let hex: String = tlsa.data.iter().take(64).map(|o| format!("{o:02x}")).collect();
            format!("{} {} {} {hex}", tlsa.usage, tlsa.selector, tlsa.matching)
        })
        .collect();
    let fix = if lacking > 0 {
        format!("add the {lacking} records above that are not there")
    } else if authenticity == Authenticity::Insecure {
        // RFC 7672 §2.2: insecure TLSA records count for nobody.
        "sign the zone with DNSSEC: unsigned TLSA records count for nobody".to_owned()
    } else if !surplus.is_empty() {
        format!(
            "{} records are of no key in the configuration: once nobody uses those keys, remove them",
            surplus.len()
        )
    } else {
        return Finding { wanted, standing: Standing::Live, fix: String::new() };
    };
    Finding { wanted, standing: Standing::Differs { found }, fix }
}

/// `mta-sts.DOMAIN` may be an alias or have addresses of its own: it has to lead somewhere.
pub fn policy_host<T>(wanted: Record, addresses: &Answer<T>) -> Finding {
    match addresses {
        Answer::Found { .. } => live(wanted),
        Answer::Absent { .. } => {
            let fix = format!(
                "add the record above, or A and AAAA records of {} that lead to the host of the policy",
                wanted.owner
            );
            Finding { wanted: vec![wanted], standing: Standing::Missing, fix }
        }
        Answer::Failed(failure) => unknown(wanted, failure.to_string()),
    }
}

fn live(wanted: Record) -> Finding {
    Finding { wanted: vec![wanted], standing: Standing::Live, fix: String::new() }
}

fn missing(wanted: Record) -> Finding {
    let long = matches!(&wanted.data, Data::Txt(text) if strings(text).len() > 1);
    let fix = if long {
        // Web forms of DNS hosters often take one string only.
        "add the record above; its strings belong to one record".to_owned()
    } else {
        "add the record above".to_owned()
    };
    Finding { wanted: vec![wanted], standing: Standing::Missing, fix }
}

fn unknown(wanted: Record, why: String) -> Finding {
    let standing = Standing::Unknown { why };
    Finding { wanted: vec![wanted], standing, fix: "look again".to_owned() }
}

/// A record of another type than the comparison is for: nothing can be said.
fn misuse(wanted: Record) -> Finding {
    unknown(wanted, "not a TXT record".to_owned())
}
