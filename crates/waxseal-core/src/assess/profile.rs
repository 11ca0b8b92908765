//! What a standard, a guideline or a law says of a domain: a list of requirements as data, each with
//! one predicate out of a closed set.
//!
//! Profiles are files, so that lawyers can read them and customers can add their own. A file cannot
//! compute anything: a requirement names a [`Predicate`], and what that means is written here once.

mod predicate;
mod view;

use std::{fmt, sync::LazyLock};

use serde::{Deserialize, Serialize};

pub use self::predicate::Predicate;
use super::{Assessment, Quoted, Survey};

/// A standard as a list of requirements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Profile {
    /// As it is named on the command line: `internet-nl`.
    pub name: String,
    /// For people.
    pub title: String,
    /// Who wrote the standard, and where it can be read.
    pub source: String,
    /// Its edition, as far as it is known: a year, a month or a day.
    pub date: String,
    /// Whether somebody has still to read the primary text, so that nobody quotes it unread.
    #[serde(default)]
    pub unverified: bool,
    /// In the order of the standard.
    #[serde(rename = "requirement")]
    pub requirements: Vec<Requirement>,
}

/// One requirement of a standard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Requirement {
    /// The standard's own id where it has one.
    pub id: String,
    /// What is asked, in one sentence.
    pub text: String,
    /// What is looked at.
    pub check: Predicate,
    /// How much it weighs.
    pub severity: Weight,
    /// Where the standard says so.
    pub section: String,
    /// Whether this one has still to be held against the primary text.
    #[serde(default)]
    pub unverified: bool,
}

/// How much a requirement weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weight {
    /// Worth knowing.
    Info,
    /// Advised.
    Notice,
    /// Should be.
    Warning,
    /// Has to be: without it the profile is not met.
    Error,
}

/// Why a file is not a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileError(String);

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ProfileError {}

/// The longest profile file that is read.
const MAX_BYTES: usize = 256 * 1024;

/// The most requirements of a profile.
const MAX_REQUIREMENTS: usize = 500;

impl Profile {
    /// Reads a profile from TOML.
    ///
    /// # Errors
    /// What is wrong, with the line: an unknown key, an unknown predicate, two requirements with
    /// one id, too much of anything.
    pub fn parse(text: &str) -> Result<Self, ProfileError> {
        if text.len() > MAX_BYTES {
            return Err(ProfileError(format!("a profile has at most {MAX_BYTES} octets")));
        }
        let read: Self = toml::from_str(text).map_err(|error| at_line(text, &error))?;
        if read.name.is_empty()
            || !read.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        {
            let name = Quoted::new(&read.name);
            let why = format!("`name = \"{name}\"`: lower case letters, digits and hyphens");
            return Err(ProfileError(why));
        }
        if read.requirements.len() > MAX_REQUIREMENTS {
            let why = format!("a profile has at most {MAX_REQUIREMENTS} requirements");
            return Err(ProfileError(why));
        }
        let mut ids: Vec<_> = read.requirements.iter().map(|one| one.id.as_str()).collect();
        ids.sort_unstable();
        match ids.windows(2).find(|pair| pair.first() == pair.last()) {
            Some([id, ..]) => {
                Err(ProfileError(format!("two requirements have the id {}", Quoted::new(id))))
            }
            Some(_) | None => Ok(read),
        }
    }
}

/// The line and what is wrong, made harmless: the file is somebody's, and may quote anybody.
fn at_line(text: &str, error: &toml::de::Error) -> ProfileError {
    let before = error.span().and_then(|span| text.get(..span.start));
    let message = Quoted::new(error.message());
    ProfileError(match before {
        Some(before) => {
            format!("line {}: {message}", before.matches('\n').count().saturating_add(1))
        }
        None => message.to_string(),
    })
}

/// The profiles that are built in.
pub fn built_in() -> &'static [Profile] {
    static READ: LazyLock<Vec<Profile>> =
        LazyLock::new(|| FILES.iter().filter_map(|text| Profile::parse(text).ok()).collect());
    &READ
}

pub(super) const FILES: [&str; 8] = [
    include_str!("profiles/internet-nl.toml"),
    include_str!("profiles/bsi-tr-03108.toml"),
    include_str!("profiles/dsk-normal.toml"),
    include_str!("profiles/dsk-high.toml"),
    include_str!("profiles/nta-7516.toml"),
    include_str!("profiles/uk-gov.toml"),
    include_str!("profiles/nz-sge.toml"),
    include_str!("profiles/nist-800-177.toml"),
];

/// What a profile says of a domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ProfileVerdict {
    /// Name of the profile.
    pub name: String,
    /// For people.
    pub title: String,
    /// Met, not met, or unknown: over the requirements that weigh `error` and can be checked.
    pub status: Status,
    /// Whether somebody has still to hold the profile, or a part of it, against its text.
    pub unverified: bool,
    /// Each requirement in the order of the profile.
    pub requirements: Vec<RequirementVerdict>,
}

/// What one requirement comes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RequirementVerdict {
    /// Its id.
    pub id: String,
    /// What is asked.
    pub text: String,
    /// What came of it.
    pub status: Status,
    /// How much it weighs.
    pub severity: Weight,
    /// What was seen.
    pub evidence: String,
    /// Standard, section and date.
    pub source: String,
    /// Whether it has still to be held against the primary text.
    pub unverified: bool,
}

/// What a requirement or a profile comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It holds.
    Met,
    /// It does not.
    NotMet,
    /// It could not be found out: neither good nor bad.
    Unknown,
    /// There is nothing that it could be asked of.
    NotApplicable,
    /// Nothing that can be seen from outside tells: a person has to look.
    ByHand,
}

impl Status {
    /// As it is written in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::NotMet => "not-met",
            Self::Unknown => "unknown",
            Self::NotApplicable => "not-applicable",
            Self::ByHand => "by-hand",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Judges a domain by a profile: a view over the same facts and findings, never a new look.
pub fn judge_profile(
    profile: &Profile,
    survey: &Survey,
    assessment: &Assessment,
) -> ProfileVerdict {
    let requirements: Vec<_> = profile
        .requirements
        .iter()
        .map(|requirement| {
            let (status, evidence) = requirement.check.judge(survey, assessment);
            RequirementVerdict {
                id: requirement.id.clone(),
                text: requirement.text.clone(),
                status,
                severity: requirement.severity,
                evidence: Quoted::new(&evidence).into(),
                source: format!("{}, {} ({})", profile.title, requirement.section, profile.date),
                unverified: profile.unverified || requirement.unverified,
            }
        })
        .collect();
    let must = || requirements.iter().filter(|one| one.severity == Weight::Error);
    let any = |status| must().any(|one| one.status == status);
    let status = if any(Status::NotMet) {
        Status::NotMet
    } else if any(Status::Unknown) || !any(Status::Met) {
        Status::Unknown
    } else {
        Status::Met
    };
    ProfileVerdict {
        name: profile.name.clone(),
        title: profile.title.clone(),
        status,
        unverified: requirements.iter().any(|one| one.unverified),
        requirements,
    }
}
