//! Names for many domains or senders.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{domain::Domain, envelope::Mailbox};

/// Groups by name, without the `@` that refers to them.
pub type Groups = BTreeMap<String, Group>;

/// A set of domains and mailboxes. Large ones are fine: membership is a look-up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Exactly these domains.
    pub domains: BTreeSet<Domain>,
    /// Every name below these domains, at any depth, but not they themselves.
    pub below: BTreeSet<Domain>,
    /// Single mailboxes, local part in lower case.
    pub mailboxes: BTreeSet<Mailbox>,
}

impl Group {
    /// Whether a mailbox belongs to it.
    pub fn holds(&self, mailbox: &Mailbox) -> bool {
        self.domains.contains(&mailbox.domain)
            || (!self.below.is_empty() && self.holds_below(&mailbox.domain))
            || (!self.mailboxes.is_empty() && self.mailboxes.contains(&folded(mailbox)))
    }

    fn holds_below(&self, domain: &Domain) -> bool {
        let mut above = domain.parent();
        while let Some(domain) = above {
            if self.below.contains(&domain) {
                return true;
            }
            above = domain.parent();
        }
        false
    }

    /// Takes up a domain, everything below one, or a mailbox; a group in a group is refused.
    ///
    /// # Errors
    /// Gives back the name of the group that was named.
    pub fn add(&mut self, who: Who) -> Result<(), String> {
        match who {
            Who::Domain(domain) => self.domains.insert(domain),
            Who::Below(domain) => self.below.insert(domain),
            Who::Mailbox(mailbox) => self.mailboxes.insert(folded(&mailbox)),
            Who::Group(name) => return Err(name),
        };
        Ok(())
    }
}

/// Somebody that a rule speaks of.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Who {
    /// Everybody at exactly this domain: `example.com`.
    Domain(Domain),
    /// Everybody at any name below: `*.example.com`.
    Below(Domain),
    /// One mailbox: `ann@example.com`.
    Mailbox(Mailbox),
    /// A group: `@partners`.
    Group(String),
}

impl Who {
    /// Whether a mailbox is meant. A group that does not exist holds nobody; whoever loads rules
    /// refuses such names.
    pub fn means(&self, mailbox: &Mailbox, groups: &Groups) -> bool {
        match self {
            Self::Domain(domain) => mailbox.domain == *domain,
            Self::Below(domain) => mailbox.domain != *domain && mailbox.domain.is_within(domain),
            Self::Mailbox(other) => folded(other) == folded(mailbox),
            Self::Group(name) => groups.get(name).is_some_and(|group| group.holds(mailbox)),
        }
    }
}

/// Only the receiving host may tell `Ann` from `ann` (RFC 5321 §2.4). A rule that raises a floor
/// must not be dodged by a capital letter, so here they are the same.
fn folded(mailbox: &Mailbox) -> Mailbox {
    Mailbox { local: mailbox.local.to_lowercase(), domain: mailbox.domain.clone() }
}
