//! RCPT on a listener for inbound mail: which recipients are ours, and which of them exist.

use crate::{
    envelope::{Recipient, TlsAsk},
    reply::{EnhancedCode, Reply, Severity},
    smtp::{address, command::RequireTls},
};

use super::{Action, Answer, Phase, Question, Server};

/// The most characters of a reply from inside that a stranger gets to read: a reply line has at
/// most 512 octets (RFC 5321 §4.5.3.1.5), and ours stands before it.
const WORDS: usize = 200;

impl Server {
    pub(super) fn add(&mut self, recipient: Recipient) {
        if let Some(transaction) = &mut self.transaction {
            transaction.recipients.push(recipient);
        }
        self.say("250 2.1.5 recipient ok");
    }

    /// Nobody but ourselves has our name: a client that says it has is our own hand, because
    /// `inside` leads back to us, or lies.
    pub(super) fn is_somebody_else(&mut self) -> bool {
        let ours = match &self.client {
            Some((_, name)) => name.as_str().eq_ignore_ascii_case(self.settings.hostname.as_str()),
            None => false,
        };
        if ours {
            self.refuse(format_args!("554 5.4.6 that is my own name: mail would come back to me"));
        }
        !ours
    }

    /// Recipients of ours only: whatever else is said on such a listener, it is no relay
    /// (RFC 5321 §3.6.2), nor does it make one of the host behind it. Who answers for the domain is asked before the message is taken, so that
    /// it need not be returned to a sender who may be forged (RFC 5321 §6.2).
    pub(super) fn stranger_names(&mut self, recipient: Recipient) -> Option<Action> {
        let mailbox = &recipient.mailbox;
        if !self.settings.senders.contains(&mailbox.domain) {
            self.refuse(format_args!("550 5.7.1 this host takes mail only for its own domains"));
            return None;
        }
        // `inside` trusts us: `<bob%elsewhere@ours>` would make of it the open relay that we are not.
        if !address::is_plain(&mailbox.local) {
            self.refuse(format_args!(
                "550 5.7.1 no mailbox here is named like that, and this host sends nothing on"
            ));
            return None;
        }
        // RFC 5321 §4.5.1: always there, and there above all when nothing else works.
        if mailbox.local.eq_ignore_ascii_case("postmaster") {
            self.add(recipient);
            return None;
        }
        let mail = self.transaction.as_ref().map(|transaction| &transaction.mail)?;
        let question = Question {
            mailbox: mailbox.clone(),
            charset: mail.charset,
            tls: match mail.require_tls {
                RequireTls::Yes => TlsAsk::RequireTls,
                RequireTls::No => TlsAsk::Nothing,
            },
            octets: mail.size.unwrap_or(0),
        };
        self.phase = Phase::Asking(Box::new(recipient));
        Some(Action::Ask(Box::new(question)))
    }

    /// The answer to [`Action::Ask`].
    pub fn answered(&mut self, answer: Answer) {
        if !matches!(self.phase, Phase::Asking(_)) {
            return;
        }
        let Phase::Asking(recipient) = std::mem::replace(&mut self.phase, Phase::Command) else {
            return;
        };
        match answer {
            Answer::Taken => self.add(*recipient),
            Answer::Refused(reply) => {
                let (code, enhanced, words) = relayed(&reply);
                self.refuse(format_args!("{code} {enhanced} {words}"));
            }
            // Not errors of the client.
            Answer::Later(reply) => {
                let (code, enhanced, words) = relayed(&reply);
                self.line(format_args!("{code} {enhanced} {words}"));
            }
            Answer::TooOften => self.refuse(format_args!(
                "451 4.7.1 too many unknown recipients from your address; try again later"
            )),
        }
    }
}

/// What inside said, as we say it: the code of an answer to RCPT, an enhanced code of the same
/// class (RFC 2034 §4), one line of printable ASCII.
fn relayed(reply: &Reply) -> (u16, EnhancedCode, String) {
    let permanent = reply.severity() == Severity::Permanent;
    let (code, class) = match (permanent, reply.code) {
        (true, code @ 550..=559) => (code, 5),
        (true, _) => (550, 5),
        (false, code @ 450..=459) => (code, 4),
        (false, _) => (451, 4),
    };
    let enhanced = match reply.enhanced {
        Some(EnhancedCode(of, subject, detail)) if of == class => {
            EnhancedCode(class, subject, detail)
        }
        Some(_) | None => EnhancedCode(class, 0, 0),
    };
    let words = reply.text.join(" ");
    let printable = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
    let words: String = words.chars().take(WORDS).map(printable).collect();
    (code, enhanced, words)
}
