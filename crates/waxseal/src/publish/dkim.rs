//! The DKIM keys that the configuration names, and what the record of each has to hold.

use waxseal_core::{
    assess::{OwnKey, mail::dkim},
    dkim::Signer,
    domain::Domain,
};

use crate::{
    config::{Config, Dkim, SenderDomain},
    serve,
};

/// Whose key it is, which says where the configuration names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// That of our own letters: `[author]`.
    Letters,
    /// One of `[domain.publish] dkim`: in use, or the next.
    Listed,
}

/// A key and where it is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) dkim: Dkim,
    pub(super) used: Use,
}

/// The keys of a domain, each selector once: that of our own letters, where they come from it, then
/// those that are listed, in use or next.
pub(super) fn keys(config: &Config, domain: &SenderDomain) -> Vec<Named> {
    let from = config.author.from.as_deref().and_then(|from| from.rsplit_once('@'));
    let from = match from {
        Some((_, from)) => Domain::parse(from).ok(),
        None => config.domains.first().map(|first| first.name.clone()),
    };
    let author = config.author.dkim.iter().filter(|_| from.as_ref() == Some(&domain.name));
    let mut keys: Vec<Named> =
        author.map(|dkim| Named { dkim: dkim.clone(), used: Use::Letters }).collect();
    for key in &domain.publish.dkim {
        if keys.iter().any(|known| known.dkim.selector == key.selector) {
            continue;
        }
        let dkim = Dkim { selector: key.selector.clone(), key: key.key.clone() };
        keys.push(Named { dkim, used: Use::Listed });
    }
    keys
}

/// Reads a key.
///
/// # Errors
/// It cannot be used, in one sentence that names it.
pub(super) fn signer(key: &Named, domain: &Domain) -> Result<Signer, String> {
    serve::signer(&key.dkim, domain).map_err(|error| match key.used {
        Use::Letters => error,
        Use::Listed => format!("the DKIM key {} of {domain}: {error}", key.dkim.selector),
    })
}

/// What has to stand at the selectors of a domain of ours; nothing for any other. `letters` is what
/// signs our own letters now, whatever its file holds meanwhile. Reads files.
pub(crate) fn own(config: &Config, domain: &Domain, letters: Option<&Signer>) -> Vec<OwnKey> {
    let Some(sender) = config.domains.iter().find(|sender| sender.name == *domain) else {
        return Vec::new();
    };
    let digest = |key: &Named| {
        let name = domain.below(&format!("{}._domainkey", key.dkim.selector)).ok();
        let held =
            letters.filter(|held| key.used == Use::Letters && Some(held.name()) == name.as_ref());
        let record = match held {
            Some(held) => held.record(),
            None => signer(key, domain)?.record(),
        };
        let digest = dkim::read(record.as_bytes())?.digest;
        digest.ok_or_else(|| "the key has no public half".to_owned())
    };
    let own = |key: Named| OwnKey { digest: digest(&key), selector: key.dkim.selector };
    keys(config, sender).into_iter().map(own).collect()
}
