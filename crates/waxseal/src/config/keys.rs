//! The vocabulary of the configuration, read from `waxseal.example.toml` itself: what is a key,
//! what is near to a wrong one, and the JSON schema. So the example, the check and the schema
//! cannot disagree.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use toml::de::{DeTable, DeValue};

use super::Fault;

/// The example, as it is shipped.
pub const EXAMPLE: &str = include_str!("../../../../waxseal.example.toml");

/// The example with every setting switched on: a line that begins with `#` and no space is one.
pub fn uncommented() -> String {
    let line = |line: &'static str| match line.strip_prefix('#') {
        Some(setting) if !setting.is_empty() && !setting.starts_with([' ', '#']) => setting,
        Some(_) | None => line,
    };
    EXAMPLE.lines().map(|text| format!("{}\n", line(text))).collect()
}

/// What can stand at one place of the file.
#[derive(Debug)]
pub(super) enum Node {
    /// A setting: what it is for, and its default.
    Setting(String, Value),
    /// A table whose keys the administrator chooses.
    Free(String),
    /// `[name]`
    Table(String, BTreeMap<String, Node>),
    /// `[[name]]`
    List(String, BTreeMap<String, Node>),
}

/// All keys of the configuration.
///
/// # Errors
/// The example is no TOML: a bug, which a test would have found.
pub(super) fn vocabulary() -> Result<BTreeMap<String, Node>, toml::de::Error> {
    let text = uncommented();
    let root = DeTable::parse(&text)?;
    Ok(nodes(root.get_ref(), &text))
}

fn nodes(table: &DeTable<'_>, text: &str) -> BTreeMap<String, Node> {
    let node = |(key, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
        let doc = comment_above(text, key.span().start);
        match value.get_ref() {
            DeValue::Table(inner) if inner.is_empty() => Node::Free(doc),
            DeValue::Table(inner) => Node::Table(doc, nodes(inner, text)),
            DeValue::Array(items) => {
                match items.iter().find_map(|item| item.get_ref().as_table()) {
                    Some(inner) => Node::List(doc, nodes(inner, text)),
                    None => Node::Setting(doc, plain(value.get_ref())),
                }
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => Node::Setting(doc, plain(value.get_ref())),
        }
    };
    table.iter().map(|(key, value)| (key.get_ref().to_string(), node((key, value)))).collect()
}

/// A TOML value as JSON.
fn plain(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => json!(text),
        DeValue::Integer(number) => json!(number.as_str().parse::<i64>().ok()),
        DeValue::Float(number) => json!(number.as_str()),
        DeValue::Boolean(truth) => json!(truth),
        DeValue::Datetime(when) => json!(when.to_string()),
        DeValue::Array(items) => items.iter().map(|item| plain(item.get_ref())).collect(),
        DeValue::Table(_) => Value::Null,
    }
}

/// The comment lines directly above the line that `at` stands in; settings that share a comment
/// stand below one another.
fn comment_above(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or_default();
    let mut lines: Vec<&str> = Vec::new();
    for line in before.lines().rev().skip(usize::from(!before.ends_with('\n'))) {
        match line.strip_prefix("# ") {
            Some(words) if !words.starts_with("---") => lines.push(words),
            // Another setting that the same comment is for.
            None if lines.is_empty() && line.contains(" = ") => {}
            Some(_) | None => break,
        }
    }
    lines.reverse();
    lines.join(" ")
}

/// Every key of `table` that is not in the vocabulary.
pub(super) fn unknown(
    table: &DeTable<'_>,
    known: &BTreeMap<String, Node>,
    all: &BTreeMap<String, Node>,
) -> Vec<Fault> {
    let mut faults = Vec::new();
    unknown_below(
        table,
        known,
        &mut |key: &str, path: &str, known, at| {
            let what = match nearest(key, known.keys().map(String::as_str)) {
                Some(near) => format!("there is no such key; did you mean {near:?}?"),
                None => match home(key, all, "") {
                    Some(table) => format!("there is no such key here; it belongs in {table}"),
                    None => "there is no such key; `waxseal config example` shows all".to_owned(),
                },
            };
            faults.push(Fault { at: Some(at), key: format!("{path}{key}"), what });
        },
        "",
    );
    faults
}

/// Calls `found(key, path before it, keys that are known there, offset)` for each unknown key.
fn unknown_below<'k>(
    table: &DeTable<'_>,
    known: &'k BTreeMap<String, Node>,
    found: &mut impl FnMut(&str, &str, &'k BTreeMap<String, Node>, usize),
    path: &str,
) {
    for (key, value) in table {
        let name: &str = key.get_ref();
        let below = format!("{path}{name}.");
        match (known.get(name), value.get_ref()) {
            (None, _) => found(name, path, known, key.span().start),
            (Some(Node::Table(_, inner)), DeValue::Table(table)) => {
                unknown_below(table, inner, found, &below);
            }
            (Some(Node::List(_, inner)), DeValue::Array(items)) => {
                for table in items.iter().filter_map(|item| item.get_ref().as_table()) {
                    unknown_below(table, inner, found, &below);
                }
            }
            // A wrong type is for serde to say.
            (Some(_), _) => {}
        }
    }
}

/// The table that has `key`, as a header.
fn home(key: &str, known: &BTreeMap<String, Node>, path: &str) -> Option<String> {
    known.iter().find_map(|(name, node)| {
        let below = |inner: &BTreeMap<String, Node>, header: String| {
            if inner.contains_key(key) {
                Some(header)
            } else {
                home(key, inner, &format!("{path}{name}."))
            }
        };
        match node {
            Node::Table(_, inner) => below(inner, format!("[{path}{name}]")),
            Node::List(_, inner) => below(inner, format!("[[{path}{name}]]")),
            Node::Setting(..) | Node::Free(_) => None,
        }
    })
}

/// The candidate that a person most likely meant, if one is near enough.
pub fn nearest<'a>(wrong: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let enough = (wrong.chars().count() / 3).clamp(1, 4);
    let far = |candidate: &&str| distance(wrong, candidate);
    candidates.filter(|candidate| far(candidate) <= enough).min_by_key(far)
}

/// How many letters to add, drop, change or swap with their neighbour (optimal string alignment).
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) =
        (from.chars().take(64).collect(), to.chars().take(64).collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=to.len()).collect()];
    let cell = |rows: &[Vec<usize>], i: usize, j: usize| {
        rows.get(i).and_then(|row| row.get(j)).copied().unwrap_or(usize::MAX / 2)
    };
    for (i, a) in from.iter().enumerate() {
        rows.push(vec![i + 1]);
        for (j, b) in to.iter().enumerate() {
            let change = cell(&rows, i, j) + usize::from(a != b);
            let mut least = change.min(cell(&rows, i, j + 1) + 1).min(cell(&rows, i + 1, j) + 1);
            let swapped = i > 0 && j > 0 && from.get(i - 1) == Some(b) && to.get(j - 1) == Some(a);
            if swapped {
                least = least.min(cell(&rows, i - 1, j - 1) + 1);
            }
            if let Some(row) = rows.last_mut() {
                row.push(least);
            }
        }
    }
    cell(&rows, from.len(), to.len())
}

/// The JSON schema (2020-12) of the file, for editors.
///
/// # Errors
/// As for the vocabulary.
pub fn schema() -> Result<Value, toml::de::Error> {
    let mut root = object(&vocabulary()?);
    if let Some(root) = root.as_object_mut() {
        root.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
        root.insert("title".into(), json!("waxseal.toml"));
    }
    Ok(root)
}

fn object(nodes: &BTreeMap<String, Node>) -> Value {
    let properties: Map<String, Value> =
        nodes.iter().map(|(name, node)| (name.clone(), property(node))).collect();
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

fn property(node: &Node) -> Value {
    let described = |doc: &str, mut value: Value| {
        if let (Some(value), false) = (value.as_object_mut(), doc.is_empty()) {
            value.insert("description".into(), json!(doc));
        }
        value
    };
    match node {
        Node::Free(doc) => described(
            doc,
            json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        ),
        Node::Table(doc, inner) => described(doc, object(inner)),
        Node::List(doc, inner) => {
            described(doc, json!({ "type": "array", "items": object(inner) }))
        }
        Node::Setting(doc, default) => {
            let mut value = json!({ "type": kind(default), "default": default });
            if let (Value::Array(_), Some(value)) = (default, value.as_object_mut()) {
                value.insert("items".into(), json!({ "type": "string" }));
            }
            described(doc, value)
        }
    }
}

const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
