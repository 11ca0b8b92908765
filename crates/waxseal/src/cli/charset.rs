//! What a terminal can show: where its locale has not UTF-8, glyphs are told in ASCII.

use std::{
    borrow::Cow,
    ffi::OsString,
    io::{self, IsTerminal as _},
};

/// How text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charset {
    /// Any character.
    Utf8,
    /// Something else, of which only ASCII is sure.
    Other,
}

impl Charset {
    /// What a locale says: the first of the variables that is set and not empty counts, and without any it is
    /// the locale `C` (POSIX.1-2017, XBD 8.2).
    pub(super) fn of(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let set = |name: &&str| variable(name).filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().find_map(set);
        let locale = locale.map(|locale| locale.to_string_lossy().into_owned());
        // language_TERRITORY.charmap@modifier
        let charmap = locale.as_deref().and_then(|locale| locale.split_once('.'));
        let charmap = charmap.map(|(_, rest)| rest.split('@').next().unwrap_or(rest));
        let is_utf8 = charmap.is_some_and(|name| {
            ["UTF-8", "UTF8"].iter().any(|utf8| name.eq_ignore_ascii_case(utf8))
        });
        if is_utf8 { Self::Utf8 } else { Self::Other }
    }
}

/// A result for people, as standard output can show it. What goes into a pipe or a file stays as it is.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    if text.is_ascii() || !io::stdout().is_terminal() {
        return Cow::Borrowed(text);
    }
    match Charset::of(|name| std::env::var_os(name)) {
        Charset::Utf8 => Cow::Borrowed(text),
        Charset::Other => Cow::Owned(ascii(text)),
    }
}

/// The same in ASCII: our glyphs by what looks like them, in as many columns where that can be; letters as `?`.
pub(super) fn ascii(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{2713}' => plain.push('+'),
            '\u{2717}' => plain.push('x'),
            '\u{b7}' => plain.push('-'),
            '\u{2192}' => plain.push('>'),
            '\u{25a0}' => plain.push('#'),
            '\u{a0}' => plain.push(' '),
            '\u{a7}' => plain.push_str("s."),
            '\u{2026}' => plain.push_str("..."),
            c if c.is_ascii() => plain.push(c),
            _ => plain.push('?'),
        }
    }
    plain
}
