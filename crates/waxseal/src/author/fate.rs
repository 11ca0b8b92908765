//! What became of a message: what a report is written from.

use waxseal_core::{
    envelope::{Envelope, Notify, Recipient},
    facts::Peer,
    reply::{EnhancedCode, Reply},
    time::UnixTime,
};

use super::Quote;

/// What is reported about one message. All recipients of one report are told the same way.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// The envelope of the message.
    pub envelope: &'a Envelope,
    /// The message, or as much of its beginning as holds the header.
    pub message: &'a [u8],
    /// How much of it may be quoted.
    pub quote: Quote,
    /// When it was accepted.
    pub received: UnixTime,
    /// What became of it, recipient by recipient.
    pub fates: Vec<Fate<'a>>,
}

/// What became of a message for one recipient.
#[derive(Clone, Debug)]
pub struct Fate<'a> {
    /// Who.
    pub recipient: &'a Recipient,
    /// What is done about it.
    pub action: Action,
    /// Subject and detail; the class follows from the action.
    pub code: EnhancedCode,
    /// Why, in words; the TLS reason where there is one.
    pub reason: String,
    /// Which host said what, where one did.
    pub remote: Option<(Peer, Reply)>,
    /// When it was tried last.
    pub last_attempt: Option<UnixTime>,
}

/// What is done about a recipient (RFC 3464 §2.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Given up.
    Failed,
    /// Not there yet; tried on until then.
    Delayed {
        /// The end of its lifetime.
        until: UnixTime,
    },
    /// Held by a rule: not there, and a person may decide until then.
    Held {
        /// Then it is returned.
        until: UnixTime,
    },
    /// The recipient's host has it, and was asked to say nothing more.
    Delivered,
    /// A host without DSN has it: nothing further will be heard (RFC 3461 §5.2.2).
    Relayed,
}

impl Action {
    /// Whether this recipient's NOTIFY asks for such a report (RFC 3461 §4.1).
    pub(super) const fn is_wanted(self, notify: Notify) -> bool {
        match (notify, self) {
            (Notify::Never, _) => false,
            (Notify::On { failure, .. }, Self::Failed) => failure,
            (Notify::On { delay, .. }, Self::Delayed { .. } | Self::Held { .. }) => delay,
            (Notify::On { success, .. }, Self::Delivered | Self::Relayed) => success,
        }
    }
}
