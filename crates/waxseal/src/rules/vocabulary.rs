//! Which keys there are, and which one a wrong key was meant to be.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::Fault;
use crate::config::nearest;

/// What may stand below a key.
#[derive(Clone, Copy)]
enum Below {
    /// A value.
    Nothing,
    /// These keys.
    Keys(&'static [(&'static str, Below)]),
    /// Names that the administrator chooses, and these keys below each.
    Named(&'static [(&'static str, Below)]),
}

use Below::{Keys, Named, Nothing};

const DEFAULT: &[(&str, Below)] = &[
    ("require", Nothing),
    ("otherwise", Nothing),
    ("patience", Nothing),
    ("notify", Nothing),
    ("on_loss", Nothing),
];
const HEADER: &[(&str, Below)] = &[("name", Nothing), ("equals", Nothing), ("contains", Nothing)];
const WHEN: &[(&str, Below)] = &[
    ("recipient", Nothing),
    ("sender", Nothing),
    ("header", Keys(HEADER)),
    ("subject_tag", Nothing),
];
const RULE: &[(&str, Below)] = &[
    ("name", Nothing),
    ("when", Keys(WHEN)),
    ("require", Nothing),
    ("otherwise", Nothing),
    ("patience", Nothing),
    ("notify", Nothing),
];
const FILE: &[(&str, Below)] =
    &[("default", Keys(DEFAULT)), ("group", Named(&[("members", Nothing)])), ("rule", Keys(RULE))];

/// Every key that is not in the vocabulary.
pub(super) fn unknown(file: &DeTable<'_>) -> Vec<Fault> {
    let mut faults = Vec::new();
    search(file, FILE, "", &mut faults);
    faults
}

fn search(
    table: &DeTable<'_>,
    known: &'static [(&'static str, Below)],
    path: &str,
    faults: &mut Vec<Fault>,
) {
    for (key, value) in table {
        let name: &str = key.get_ref();
        let path = format!("{path}{name}");
        let Some((_, below)) = known.iter().find(|(known, _)| *known == name) else {
            let all: Vec<_> = known.iter().map(|(known, _)| *known).collect();
            let what = match nearest(name, all.iter().copied()) {
                Some(near) => format!("there is no such key; did you mean {near:?}?"),
                None => format!("there is no such key here; known are {}", all.join(", ")),
            };
            faults.push(Fault { at: key.span().start, key: path, what });
            continue;
        };
        match below {
            Nothing => {}
            Keys(keys) => each(value, &path, &mut |table, path| search(table, keys, path, faults)),
            Named(keys) => {
                let Some(names) = value.get_ref().as_table() else { continue };
                for (name, value) in names {
                    let path = format!("{path}.{}", name.get_ref());
                    each(value, &path, &mut |table, path| search(table, keys, path, faults));
                }
            }
        }
    }
}

/// Calls `visit` for a table, or for each table of a list, with the path before its keys.
fn each(value: &Spanned<DeValue<'_>>, path: &str, visit: &mut dyn FnMut(&DeTable<'_>, &str)) {
    match value.get_ref() {
        DeValue::Table(table) => visit(table, &format!("{path}.")),
        DeValue::Array(items) => {
            for (nth, item) in items.iter().enumerate() {
                if let Some(table) = item.get_ref().as_table() {
                    visit(table, &format!("{path}[{nth}]."));
                }
            }
        }
        // Another type is for serde to refuse.
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => {}
    }
}

/// The key whose value stands at this offset: `rule[1].require`; empty where none does.
pub(super) fn key_at(table: &DeTable<'_>, at: usize) -> String {
    for (key, value) in table {
        let name: &str = key.get_ref();
        let mut inner = None;
        each(value, name, &mut |table, path| {
            let found = key_at(table, at);
            if !found.is_empty() {
                inner = Some(format!("{path}{found}"));
            }
        });
        if let Some(inner) = inner {
            return inner;
        }
        if key.span().contains(&at) || value.span().contains(&at) {
            return name.to_owned();
        }
    }
    String::new()
}
