//! Translations are data: one file a language, the same keys in each (a test holds them so).

use std::{collections::BTreeMap, sync::OnceLock};

/// A language that the pages speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// Deutsch
    German,
    /// English
    #[default]
    English,
    /// Français
    French,
    /// Nederlands
    Dutch,
}

impl Language {
    /// All, in the order of their codes.
    pub const ALL: [Self; 4] = [Self::German, Self::English, Self::French, Self::Dutch];

    /// The code of BCP 47.
    pub const fn code(self) -> &'static str {
        match self {
            Self::German => "de",
            Self::English => "en",
            Self::French => "fr",
            Self::Dutch => "nl",
        }
    }

    const fn file(self) -> &'static str {
        match self {
            Self::German => include_str!("words/de.toml"),
            Self::English => include_str!("words/en.toml"),
            Self::French => include_str!("words/fr.toml"),
            Self::Dutch => include_str!("words/nl.toml"),
        }
    }

    /// The language with this code.
    pub fn named(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|language| language.code() == code)
    }

    /// The first that an `Accept-Language` header wants and we have (RFC 9110 §12.5.4; weights
    /// are ignored: browsers send the best first).
    pub fn accepted(header: &str) -> Self {
        let wanted = header.split(',').take(20).filter_map(|range| {
            let code = range.split([';', '-']).next().unwrap_or_default().trim();
            Self::named(&code.to_ascii_lowercase())
        });
        wanted.into_iter().next().unwrap_or_default()
    }
}

/// The words of one language.
#[derive(Clone, Copy, Debug)]
pub struct Words {
    /// Which.
    pub language: Language,
}

impl Words {
    /// The text for a key; the key itself where it is missing, which a test rules out.
    pub fn t<'a>(&self, key: &'a str) -> &'a str
    where
        'static: 'a,
    {
        table(self.language).get(key).map_or(key, String::as_str)
    }
}

/// The parsed file of a language.
pub(super) fn table(language: Language) -> &'static BTreeMap<String, String> {
    static TABLES: OnceLock<Vec<(Language, BTreeMap<String, String>)>> = OnceLock::new();
    static EMPTY: BTreeMap<String, String> = BTreeMap::new();
    let parse =
        |language: Language| (language, toml::from_str(language.file()).unwrap_or_default());
    let tables = TABLES.get_or_init(|| Language::ALL.into_iter().map(parse).collect());
    tables.iter().find(|(known, _)| *known == language).map_or(&EMPTY, |(_, table)| table)
}
