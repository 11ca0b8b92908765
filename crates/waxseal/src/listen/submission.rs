//! What the listener hands inward, and what it has to be told about it.

use std::{future::Future, net::IpAddr, pin::Pin};

use bytes::Bytes;
use waxseal_core::{
    domain::Domain,
    envelope::Envelope,
    queue_id::QueueId,
    reply::{EnhancedCode, Reply},
    smtp::{
        command::ClientName,
        received::TlsFacts,
        server::{Answer, Question, Standing, Taken},
    },
    time::UnixTime,
};

/// A complete message, not yet ours: the client hears 250 when [`Accept::accept`] says so.
#[derive(Clone, Debug)]
pub struct Submission {
    /// MAIL, RCPT, and what the header asked of TLS.
    pub envelope: Envelope,
    /// The message with our `Received` in front; every line ends with CRLF.
    pub message: Bytes,
    /// Who sent it.
    pub client: Client,
    /// The `id` in our `Received`: finds the session in the log.
    pub trace: String,
    /// When it was complete.
    pub submitted_at: UnixTime,
}

/// Who sent a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Where it connected from.
    pub ip: IpAddr,
    /// What it called itself.
    pub ehlo: ClientName,
    /// Why it may relay: the account, the certificate, the network.
    pub standing: Standing,
    /// The session's TLS.
    pub tls: Option<TlsFacts>,
}

/// Where accepted messages go. `Ok` means durable (promise P4): only then does the client hear
/// 250 (RFC 5321 §6.1).
pub trait Accept: Send + Sync + 'static {
    /// Takes responsibility for a message.
    fn accept(
        &self,
        submission: Submission,
    ) -> impl Future<Output = Result<QueueId, AcceptError>> + Send;
}

/// Why a message was not taken. Each is temporary: the client tries again (RFC 5321 §4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// No room on the disk: 452 4.3.1.
    #[error("no room for another message")]
    Full,
    /// It could not be stored: 451 4.3.0.
    #[error("the message could not be stored")]
    Internal,
    /// The queue holds as many messages as it may: 451 4.3.2.
    #[error("the queue holds as many messages as it may")]
    TooMany,
}

impl From<AcceptError> for Taken {
    fn from(error: AcceptError) -> Self {
        match error {
            AcceptError::Full => Self::Full,
            AcceptError::Internal => Self::Internal,
            AcceptError::TooMany => Self::TooMany,
        }
    }
}

/// Knows which recipients of ours exist, for listeners for inbound mail.
pub trait Recipients: Send + Sync + 'static {
    /// What is known of a recipient without asking anybody.
    fn remembered(&self, question: &Question) -> Remembered;

    /// Asks the mail server inside, and remembers what it says.
    fn ask(&self, question: Question, lane: Lane) -> Asked<'_>;
}

/// Where a question waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// With those of everybody.
    Wide,
    /// With those of clients that have named several who do not exist.
    Narrow,
}

/// What is known of a recipient without asking anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remembered {
    /// The answer itself.
    Answer(Answer),
    /// That it exists; whether so long a message is taken, is not known.
    Existence,
    /// Nothing.
    Nothing,
}

/// The answer of [`Recipients::ask`], when it comes.
pub type Asked<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// Nobody is known: for desks without a listener for inbound mail.
#[derive(Clone, Copy, Debug)]
pub struct NoRecipients;

impl Recipients for NoRecipients {
    fn remembered(&self, _question: &Question) -> Remembered {
        Remembered::Nothing
    }

    fn ask(&self, _question: Question, _lane: Lane) -> Asked<'_> {
        let nobody = Reply::new(451, Some(EnhancedCode(4, 3, 5)), "nobody inside can be asked");
        Box::pin(std::future::ready(Answer::Later(nobody)))
    }
}

/// Checks DKIM signatures (RFC 6376 §6) for networks that we share with strangers.
pub trait DkimVerifier: Send + Sync + 'static {
    /// The domains (`d=`) whose signatures hold. Nothing signed, or nothing valid, is an empty list.
    fn verify<'a>(&'a self, message: &'a [u8]) -> Verification<'a>;
}

/// The answer of a [`DkimVerifier`], when it comes.
pub type Verification<'a> =
    Pin<Box<dyn Future<Output = Result<Vec<Domain>, DkimUnknown>> + Send + 'a>>;

/// A key could not be looked up now; the message may be good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a DKIM key could not be looked up")]
pub struct DkimUnknown;

/// No verifier: whoever needs one is refused.
#[derive(Clone, Copy, Debug)]
pub struct NoDkim;

impl DkimVerifier for NoDkim {
    fn verify<'a>(&'a self, _message: &'a [u8]) -> Verification<'a> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}
