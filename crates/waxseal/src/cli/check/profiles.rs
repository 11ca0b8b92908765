//! `--profile`: the standards that domains are judged by.

use std::{fs::File, io::Read as _, path::Path};

use waxseal_core::assess::profile::{
    Profile, ProfileVerdict, RequirementVerdict, Status, Weight, built_in,
};

use super::super::Exit;
use crate::config::nearest;

/// The profile of the JSON that readers of Internet.nl's results take.
pub(super) const INTERNET_NL: &str = "internet-nl";

/// The longest file that is read; the reader in core allows no more.
const MOST: u64 = 256 * 1024;

/// The profiles of these names: built in, or in TOML files of the customer's own.
///
/// # Errors
/// No profile of that name, or a file that is none: which one, what is wrong, what there is.
pub(super) fn load(names: &[String]) -> anyhow::Result<Vec<Profile>> {
    names.iter().map(|name| one(name)).collect()
}

fn one(name: &str) -> anyhow::Result<Profile> {
    if let Some(known) = named(name) {
        return Ok(known.clone());
    }
    let path = Path::new(name);
    if !path.exists() {
        let known: Vec<_> = built_in().iter().map(|profile| profile.name.as_str()).collect();
        let begun = || known.iter().copied().find(|known| known.starts_with(name));
        let near = nearest(name, known.iter().copied()).or_else(begun);
        let meant = near.map_or_else(String::new, |near| format!("did you mean {near}? "));
        return Err(Exit::Usage.because(format!(
            "--profile {name}: there is no such profile and no such file; {meant}Built in are {}",
            known.join(", ")
        )));
    }
    let refuse = |why: String| Exit::Config.because(format!("{name}: {why}"));
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MOST + 1).read_to_string(&mut text))
        .map_err(|why| refuse(why.to_string()))?;
    Profile::parse(&text).map_err(|why| refuse(why.to_string()))
}

/// SHA-256 of all that a profile asks, in hexadecimal: one of the same name that asks something else
/// has another, so that a file that was edited is not taken for the one that judged.
pub(super) fn digest(profile: &Profile) -> String {
    let text = serde_json::to_vec(profile).unwrap_or_default();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &text);
    digest.as_ref().iter().map(|octet| format!("{octet:02x}")).collect()
}

/// A built-in profile.
pub(super) fn named(name: &str) -> Option<&'static Profile> {
    built_in().iter().find(|profile| profile.name == name)
}

/// `not met (2 of 17; 3 unknown)`: how many requirements that count are not met.
pub(super) fn summary(verdict: &ProfileVerdict) -> String {
    let counts = |one: &&RequirementVerdict| {
        one.severity == Weight::Error
            && !matches!(one.status, Status::ByHand | Status::NotApplicable)
    };
    let all = verdict.requirements.iter().filter(counts).count();
    let of = |status| {
        verdict.requirements.iter().filter(counts).filter(|one| one.status == status).count()
    };
    let status = match verdict.status {
        Status::NotMet => "not met",
        Status::Met => "met",
        Status::Unknown | Status::NotApplicable | Status::ByHand => "unknown",
    };
    let by_hand = verdict.requirements.iter().filter(|one| one.status == Status::ByHand).count();
    let mut parts = vec![format!("{} of {all} requirements met", of(Status::Met))];
    if of(Status::Unknown) > 0 {
        parts.push(format!("{} unknown", of(Status::Unknown)));
    }
    if by_hand > 0 {
        parts.push(format!("{by_hand} more to look at by hand"));
    }
    if verdict.unverified {
        parts.push("the profile is not verified against its text".to_owned());
    }
    format!("{status} ({})", parts.join("; "))
}

/// What an operator has to do something about, or look at again.
pub(super) fn open(verdict: &ProfileVerdict) -> impl Iterator<Item = &RequirementVerdict> {
    let is_open =
        |one: &&RequirementVerdict| matches!(one.status, Status::NotMet | Status::Unknown);
    verdict.requirements.iter().filter(is_open)
}
