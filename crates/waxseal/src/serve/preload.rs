//! MTA-STS policies from a file, so that first contact needs no trust: the JSON form of the
//! STARTTLS Everywhere list, `{"policies": {"example.net": {"mode": "enforce", "mxs": [...]}}}`.

use std::{collections::BTreeMap, path::Path, time::Duration};

use serde::Deserialize;
use waxseal_core::{
    domain::Domain,
    sts::{Mode, MxPattern, Policy},
};

/// Larger than a list of every large provider.
const LARGEST: u64 = 64 << 20;

#[derive(Deserialize)]
struct List {
    policies: BTreeMap<Domain, Listed>,
}

#[derive(Deserialize)]
struct Listed {
    mode: Mode,
    mxs: Vec<String>,
}

/// Reads a list. A `.example.net` in `mxs` is what RFC 8461 §4.1 writes as `*.example.net`.
///
/// # Errors
/// One sentence: the file, the domain, what is wrong.
pub(super) fn read(path: &Path) -> Result<BTreeMap<Domain, Policy>, String> {
    let told = |why: String| format!("{}: {why}", path.display());
    let size = std::fs::metadata(path).map_err(|error| told(error.to_string()))?.len();
    if size > LARGEST {
        return Err(told("larger than 64 MiB".into()));
    }
    let text = std::fs::read_to_string(path).map_err(|error| told(error.to_string()))?;
    parse(&text).map_err(told)
}

fn parse(text: &str) -> Result<BTreeMap<Domain, Policy>, String> {
    let list: List = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let mut policies = BTreeMap::new();
    for (domain, listed) in list.policies {
        let pattern = |text: &String| match text.strip_prefix('.') {
            Some(rest) => MxPattern::parse(&format!("*.{rest}")),
            None => MxPattern::parse(text),
        };
        let mx = listed.mxs.iter().map(pattern).collect::<Result<Vec<_>, _>>();
        let mx = mx.map_err(|error| format!("policies.{domain}.mxs: {error}"))?;
        if mx.is_empty() && listed.mode != Mode::None {
            return Err(format!("policies.{domain}.mxs: no host"));
        }
        // It holds as long as the file says so.
        let max_age = Duration::from_secs(31_557_600);
        policies.insert(domain, Policy { mode: listed.mode, mx, max_age });
    }
    Ok(policies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_becomes_policies() {
        let text = r#"{"policies": {"example.net": {"mode": "enforce", "mxs": [".mail.example.net", "mx.example.net"]}}}"#;
        let policies = parse(text).unwrap();
        let policy = &policies[&Domain::parse("example.net").unwrap()];
        assert_eq!(policy.mode, Mode::Enforce);
        for (host, fits) in
            [("a.mail.example.net", true), ("mx.example.net", true), ("mail.example.net", false)]
        {
            assert_eq!(policy.allows(&Domain::parse(host).unwrap()), fits, "{host}");
        }
    }

    /// A hostile or damaged file.
    #[test]
    fn a_list_that_says_nothing_is_refused() {
        for text in [
            "",
            "[]",
            r#"{"policies": {"exa mple": {"mode": "enforce", "mxs": ["a.example"]}}}"#,
            r#"{"policies": {"example.net": {"mode": "enforce", "mxs": []}}}"#,
            r#"{"policies": {"example.net": {"mode": "enforce", "mxs": ["*"]}}}"#,
            r#"{"policies": {"example.net": {"mode": "maybe", "mxs": ["a.example"]}}}"#,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
