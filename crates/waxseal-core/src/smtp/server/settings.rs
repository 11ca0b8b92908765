//! What the server is told, and the values that it exchanges with the shell.

use std::collections::BTreeSet;

use crate::{
    domain::Domain,
    envelope::{Charset, Direction, Envelope, Mailbox, TlsAsk},
    reply::Reply,
    smtp::{
        command::ClientName,
        header::HeaderFacts,
        received::{Protocol, TlsFacts},
    },
};

/// How one listener behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Our name in greeting and replies.
    pub hostname: Domain,
    /// Our domains: MAIL FROM of whoever relays has to be in one of them, exactly, and so has RCPT
    /// TO of whoever stands outside.
    pub senders: BTreeSet<Domain>,
    /// Where `RCPT TO:<Postmaster>` goes (RFC 5321 §4.5.1).
    pub postmaster: Option<Mailbox>,
    /// STARTTLS.
    pub starttls: StartTls,
    /// AUTH, and only ever under TLS.
    pub auth: AuthOffer,
    /// Limits of a session.
    pub limits: Limits,
}

/// Whether a listener offers STARTTLS. Where TLS comes first, it is not offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartTls {
    /// No certificate, or TLS comes first.
    NotOffered,
    /// The client may.
    Offered,
    /// The client must, before MAIL (RFC 3207 §4).
    Required,
}

/// Whether a listener offers AUTH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthOffer {
    /// There is no password file.
    No,
    /// Under TLS.
    Yes,
}

/// Limits of one session.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Octets of a message (RFC 1870).
    pub message: usize,
    /// Recipients of a transaction: at least 100 (RFC 5321 §4.5.3.1.8).
    pub recipients: usize,
    /// Commands since the last message that was taken.
    pub commands: u32,
    /// Negative replies in a session.
    pub errors: u32,
    /// Transactions in a session.
    pub transactions: u32,
    /// Failed attempts of AUTH in a session.
    pub sign_ins: u32,
    /// `Received` fields of a message: at least 100 (RFC 5321 §6.3).
    pub hops: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: 50 * 1024 * 1024,
            recipients: 1_000,
            commands: 2_500,
            errors: 20,
            transactions: 1_000,
            sign_ins: 3,
            hops: 100,
        }
    }
}

/// What a client may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Anybody, on a listener for inbound mail: send from anywhere, to people of ours only, each
    /// of whom is asked for.
    Outside,
    /// Nothing but sign in.
    Stranger,
    /// Its network is ours and others' (a cloud): each message has to prove itself by DKIM.
    Shared,
    /// Relay, for our sender domains.
    Relay(Grant),
}

impl Standing {
    /// To which of our sender domains it is limited; `None`: to none in particular.
    pub(super) const fn senders(&self) -> Option<&BTreeSet<Domain>> {
        match self {
            Self::Relay(Grant::Certificate(Certified { senders, .. })) => senders.as_ref(),
            Self::Relay(Grant::Account(_) | Grant::Network)
            | Self::Outside
            | Self::Shared
            | Self::Stranger => None,
        }
    }

    /// Which way mail of such a client goes.
    pub const fn direction(&self) -> Direction {
        match self {
            Self::Outside => Direction::Inbound,
            Self::Relay(_) | Self::Shared | Self::Stranger => Direction::Outbound,
        }
    }
}

/// Why a client may relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// AUTH succeeded for this account.
    Account(String),
    /// It has the key of a client certificate that may relay.
    Certificate(Certified),
    /// Its address is in a network of `relay_from`.
    Network,
}

/// A client that is known by its certificate, and what that is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// The fingerprint, for the log.
    pub id: String,
    /// Only these of our sender domains; `None`: all of them.
    pub senders: Option<BTreeSet<Domain>>,
}

/// A recipient of ours, named by a stranger.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// Who.
    pub mailbox: Mailbox,
    /// Whether the message needs SMTPUTF8 on its way inside.
    pub charset: Charset,
    /// Whether it needs REQUIRETLS there.
    pub tls: TlsAsk,
    /// The octets that were declared of the message (RFC 1870 §6); 0: nothing was said.
    pub octets: u64,
}

/// What is known of such a recipient. A refusal, and that nobody could be asked, are different.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Not now, with what stood in the way: 4yz.
    Later(Reply),
    /// The mail server inside said no, or cannot take such a message: 5yz.
    Refused(Reply),
    /// The mail server inside takes mail for it.
    Taken,
    /// The client has named too many that do not exist; nobody was asked.
    TooOften,
}

/// What became of credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    /// They are wrong.
    No,
    /// This address has failed too often; they were not looked at.
    TooOften,
    /// The password file could not be read.
    Unavailable,
    /// They are right.
    Yes,
}

/// A message that was received whole, and is not accepted yet.
#[derive(Debug)]
pub struct Incoming {
    /// MAIL, RCPT and what the header asks of TLS.
    pub envelope: Envelope,
    /// As sent, dots removed, every line with CRLF. Without our `Received`.
    pub message: Vec<u8>,
    /// What its header section says to a relay.
    pub headers: HeaderFacts,
    /// What the client called itself.
    pub client: ClientName,
    /// `with` for the trace field.
    pub protocol: Protocol,
    /// The session's TLS.
    pub tls: Option<TlsFacts>,
    /// Why it may be relayed; `Shared` still has to prove itself by DKIM.
    pub standing: Standing,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is durable, under this name.
    Accepted(String),
    /// No room: 452.
    Full,
    /// Something in us failed: 451.
    Internal,
    /// Its network is shared and no DKIM signature of our domain proves it (RFC 7372 §3.1).
    Unproven,
    /// Whether it is proven could not be found out now: 451 (RFC 7372 §3.1).
    UnprovenNow,
    /// More messages than we can hold at present: 451.
    TooMany,
}
