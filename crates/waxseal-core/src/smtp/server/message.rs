//! Message text: from DATA or BDAT to the moment it is ours.

use crate::{
    envelope::{Body, Charset, Envelope, TlsAsk},
    reply::EnhancedCode,
    smtp::{
        command::{Last, RequireTls},
        data::{Chunks, Dotted, Fault, Progress},
        header::{HeaderFacts, TooMuch},
        received::{Authenticated, Greeting, Protocol, Secured},
    },
};

use super::{Action, ChunkState, Grant, Incoming, Phase, Server, Standing, Taken, Transaction};

/// A chunk that is being read.
#[derive(Debug)]
pub(super) struct Chunk {
    size: u64,
    last: Last,
    into: Into,
}

/// What becomes of a chunk.
#[derive(Debug)]
enum Into {
    /// It belongs to the message.
    Message(Chunks),
    /// It came where none may: read to its end, then answered with the refusal (RFC 3030 §2).
    Nothing { left: u64, why: Why },
}

/// Why a chunk is dropped.
#[derive(Clone, Copy, Debug)]
enum Why {
    NoMail,
    NoRecipients,
    FailedBefore,
}

impl Chunk {
    pub(super) const fn message(&mut self) -> Option<&mut Chunks> {
        match &mut self.into {
            Into::Message(chunks) => Some(chunks),
            Into::Nothing { .. } => None,
        }
    }
}

impl Server {
    pub(super) fn data(&mut self) {
        if !self.ready_for_message() {
            return;
        }
        if self.transaction.as_ref().is_some_and(|t| t.chunks.is_some()) {
            // RFC 3030 §2: DATA and BDAT do not mix in a transaction.
            self.refuse(format_args!("503 5.5.1 the message came in chunks; go on with BDAT"));
            return;
        }
        self.say("354 go ahead; end with a dot alone on a line");
        self.phase = Phase::Data(Dotted::new(self.settings.limits.message));
    }

    pub(super) fn bdat(&mut self, size: u64, last: Last) -> Option<Action> {
        let limit = self.settings.limits.message;
        let why = match &mut self.transaction {
            None => Why::NoMail,
            Some(transaction) if transaction.recipients.is_empty() => Why::NoRecipients,
            Some(transaction) => match transaction.chunks.take() {
                Some(ChunkState::Failed) => {
                    transaction.chunks = Some(ChunkState::Failed);
                    Why::FailedBefore
                }
                Some(ChunkState::Open(chunks)) => return self.chunk(chunks, size, last),
                None => return self.chunk(Chunks::new(limit), size, last),
            },
        };
        if u64::try_from(limit).is_ok_and(|limit| size > limit.saturating_mul(2)) {
            self.overrun();
            return None;
        }
        self.phase = Phase::Chunk(Chunk { size, last, into: Into::Nothing { left: size, why } });
        None
    }

    fn chunk(&mut self, mut chunks: Chunks, size: u64, last: Last) -> Option<Action> {
        match chunks.begin(size) {
            Progress::Overrun => self.overrun(),
            Progress::More | Progress::Done => {
                self.phase = Phase::Chunk(Chunk { size, last, into: Into::Message(chunks) });
            }
        }
        None
    }

    fn overrun(&mut self) {
        let limit = self.settings.limits.message;
        self.line(format_args!("552 5.3.4 the limit is {limit} octets"));
        self.close(EnhancedCode(4, 3, 1), "far more than the limit");
    }

    pub(super) fn message_phase(&mut self, rest: &[u8]) -> (usize, Option<Action>) {
        match std::mem::replace(&mut self.phase, Phase::Command) {
            Phase::Data(mut dotted) => {
                let (used, progress) = dotted.feed(rest);
                match progress {
                    Progress::Overrun => self.overrun(),
                    Progress::Done => return (used, self.complete(dotted.finish())),
                    Progress::More => {
                        self.phase = Phase::Data(dotted);
                        return (used, Some(Action::Read));
                    }
                }
                (used, None)
            }
            Phase::Chunk(chunk) => self.chunk_phase(chunk, rest),
            other @ (Phase::Command
            | Phase::SignIn(_)
            | Phase::Asking(_)
            | Phase::Verifying
            | Phase::Taking
            | Phase::Handshake
            | Phase::Closed) => {
                self.phase = other;
                (0, None)
            }
        }
    }

    fn chunk_phase(&mut self, mut chunk: Chunk, rest: &[u8]) -> (usize, Option<Action>) {
        let (used, progress) = match &mut chunk.into {
            Into::Message(chunks) => chunks.feed(rest),
            Into::Nothing { left, .. } => {
                let used = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
                *left = left.saturating_sub(u64::try_from(used).unwrap_or(u64::MAX));
                (used, if *left == 0 { Progress::Done } else { Progress::More })
            }
        };
        match progress {
            Progress::Overrun => self.overrun(),
            Progress::More => {
                self.phase = Phase::Chunk(chunk);
                return (used, Some(Action::Read));
            }
            Progress::Done => return (used, self.chunk_done(chunk)),
        }
        (used, None)
    }

    fn chunk_done(&mut self, chunk: Chunk) -> Option<Action> {
        let chunks = match chunk.into {
            Into::Message(chunks) => chunks,
            Into::Nothing { why, .. } => {
                match why {
                    Why::NoMail => self.refuse(format_args!("503 5.5.1 send MAIL first")),
                    Why::NoRecipients => self.refuse(format_args!("554 5.5.1 no valid recipients")),
                    Why::FailedBefore => {
                        self.refuse(format_args!("503 5.5.1 a chunk failed; send RSET"));
                    }
                }
                return None;
            }
        };
        if chunk.last == Last::Yes {
            return self.complete(chunks.finish());
        }
        let fault = chunks.fault();
        if let Some(transaction) = &mut self.transaction {
            transaction.chunks = Some(match fault {
                None => ChunkState::Open(chunks),
                Some(_) => ChunkState::Failed,
            });
        }
        match fault {
            None => self.line(format_args!("250 2.0.0 {} octets received", chunk.size)),
            Some(fault) => self.faulty(fault),
        }
        None
    }

    fn faulty(&mut self, fault: Fault) {
        let limit = self.settings.limits.message;
        let (code, enhanced) = (fault.code(), fault.enhanced());
        match fault {
            Fault::TooBig => {
                self.refuse(format_args!("{code} {enhanced} {fault} of {limit} octets"));
            }
            Fault::BareLf | Fault::BareCr | Fault::Nul => {
                self.refuse(format_args!("{code} {enhanced} {fault}"));
            }
            // No fault of the client's.
            Fault::NoRoom => self.line(format_args!("{code} {enhanced} {fault}")),
        }
    }

    fn complete(&mut self, message: Result<Vec<u8>, Fault>) -> Option<Action> {
        // Whatever comes of it, the transaction is over (RFC 5321 §4.1.1.4).
        let transaction = self.transaction.take()?;
        let message = match message {
            Ok(message) => message,
            Err(fault) => {
                self.faulty(fault);
                return None;
            }
        };
        let headers = HeaderFacts::scan(&message);
        if headers.hops > self.settings.limits.hops {
            // RFC 5321 §6.3: it runs in circles.
            self.refuse(format_args!("554 5.4.6 too many hops, this message loops"));
            return None;
        }
        if let Err(over) = headers.fits() {
            let (fields, octets) = (HeaderFacts::FIELDS, HeaderFacts::OCTETS);
            match over {
                TooMuch::Fields => self.refuse(format_args!(
                    "554 5.6.0 the message has more than {fields} header fields"
                )),
                TooMuch::Octets => self.refuse(format_args!(
                    "554 5.6.0 the header of the message has more than {octets} octets"
                )),
            }
            return None;
        }
        let (greeting, client) = self.client.clone()?;
        self.phase = Phase::Taking;
        let envelope = envelope(*transaction, &message, headers);
        Some(Action::Take(Box::new(Incoming {
            protocol: self.protocol(greeting, envelope.charset),
            envelope,
            message,
            headers,
            client,
            tls: self.tls.clone(),
            standing: self.standing.clone(),
        })))
    }

    fn protocol(&self, greeting: Greeting, charset: Charset) -> Protocol {
        Protocol {
            greeting,
            charset,
            tls: if self.tls.is_some() { Secured::Yes } else { Secured::No },
            auth: match self.standing {
                Standing::Relay(Grant::Account(_)) => Authenticated::Yes,
                Standing::Relay(Grant::Certificate(_) | Grant::Network)
                | Standing::Outside
                | Standing::Shared
                | Standing::Stranger => Authenticated::No,
            },
        }
    }

    /// The answer to [`Action::Take`].
    pub fn taken(&mut self, taken: Taken) {
        if !matches!(self.phase, Phase::Taking) {
            return;
        }
        self.phase = Phase::Command;
        match taken {
            Taken::Accepted(id) => {
                self.counts.commands = 0;
                self.line(format_args!("250 2.0.0 accepted as {id}"));
            }
            Taken::Full => self.say("452 4.3.1 no room for the message now"),
            Taken::Internal => self.say("451 4.3.0 the message could not be stored; try again"),
            Taken::TooMany => self.say("451 4.3.2 too many messages at present; try again"),
            Taken::Unproven => self.refuse(format_args!(
                "550 5.7.20 this network is shared; the message needs a DKIM signature of your domain"
            )),
            Taken::UnprovenNow => {
                self.say("451 4.7.5 the DKIM signature could not be checked now; try again");
            }
        }
    }
}

fn envelope(transaction: Transaction, message: &[u8], headers: HeaderFacts) -> Envelope {
    let Transaction { mail, recipients, chunks: _ } = transaction;
    Envelope {
        reverse_path: mail.reverse_path,
        recipients,
        // What was announced is no proof: the next host is told what the message is.
        body: if message.is_ascii() { Body::SevenBit } else { Body::EightBit },
        charset: mail.charset,
        tls: match mail.require_tls {
            RequireTls::Yes => TlsAsk::RequireTls,
            RequireTls::No => headers.tls(),
        },
        ret: mail.ret,
        envelope_id: mail.envelope_id,
    }
}
