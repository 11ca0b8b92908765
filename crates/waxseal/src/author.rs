//! Mail that we write ourselves: delivery reports and notices. Always with the null reverse
//! path (RFC 5321 §4.5.5), always marked as automatic (RFC 3834 §5), and never an answer to
//! mail that has the null reverse path itself: so no loop can begin here.

mod fate;
mod notice;
mod quote;
mod report;
mod status;
#[cfg(test)]
mod tests;
mod words;

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use mail_builder::{
    MessageBuilder,
    headers::{date::Date, raw::Raw},
};
use uuid::Uuid;
use waxseal_core::{
    dkim::Signer,
    domain::Domain,
    envelope::{Body, Charset, Envelope, Mailbox, Notify, Recipient, ReversePath, TlsAsk},
    time::UnixTime,
};

pub use fate::{Action, Fate, Report};
pub use notice::{Event, Notice, Redacted, is_report};
pub use quote::{Quote, quote};

/// Who writes, and how it is signed.
#[derive(Clone, Debug)]
pub struct Author {
    /// Our host name: `Reporting-MTA`, and the right side of Message-ID.
    pub hostname: Domain,
    /// From.
    pub from: Mailbox,
    /// Who is told when something needs a person.
    pub postmaster: Mailbox,
    /// Signs with DKIM, where there is a key.
    pub signer: Option<Arc<Signer>>,
}

/// A letter with its envelope: it goes into the queue like any mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Always from the null reverse path.
    pub envelope: Envelope,
    /// Header and body, CRLF line ends.
    pub message: Vec<u8>,
}

/// Header and envelope of a letter, before its body is known.
struct Address<'a> {
    to: &'a Mailbox,
    subject: &'a str,
    charset: Charset,
    tls: TlsAsk,
    now: UnixTime,
}

impl Author {
    /// The header that all our letters have.
    fn begin<'a>(&self, address: &Address<'a>, auto: &'static str) -> MessageBuilder<'a> {
        let id = format!("<{}@{}>", Uuid::now_v7().simple(), self.hostname);
        let seconds = i64::try_from(address.now.0).unwrap_or(i64::MAX);
        MessageBuilder::new()
            .header("From", Raw::new(format!("\"Mail Delivery\" <{}>", self.from)))
            .header("To", Raw::new(format!("<{}>", address.to)))
            .subject(address.subject)
            .header("Date", Date::new(seconds))
            .header("Message-ID", Raw::new(id))
            // RFC 3834 §5: nobody's machine answers this.
            .header("Auto-Submitted", Raw::new(auto))
    }

    fn finish(&self, address: &Address<'_>, builder: MessageBuilder<'_>) -> Letter {
        let mut message = Vec::new();
        builder.serialize(&mut message);
        if let Some(signer) = &self.signer {
            match signer.sign(&message, address.now, &SystemRandom::new()) {
                Ok(signed) => message = signed,
                // A report without a signature is better than none.
                Err(error) => tracing::error!("a letter of ours goes unsigned: {error}"),
            }
        }
        let body = if message.is_ascii() { Body::SevenBit } else { Body::EightBit };
        // RFC 3461 §4.1: nothing is ever said about a letter of ours.
        let recipient =
            Recipient { notify: Some(Notify::Never), ..Recipient::new(address.to.clone()) };
        let envelope = Envelope {
            body,
            charset: address.charset,
            tls: address.tls,
            ..Envelope::new(ReversePath::Null, vec![recipient])
        };
        Letter { envelope, message }
    }
}

/// Whether an address can only be said with SMTPUTF8 (RFC 6531 §3.4).
fn charset_of(mailbox: &Mailbox) -> Charset {
    if mailbox.local.is_ascii() { Charset::Ascii } else { Charset::Utf8 }
}
