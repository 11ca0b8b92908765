//! One message as the client says it: MAIL, RCPT and the content.

use super::{Extensions, Size};
use crate::{
    decide::{Ask, RequireTls},
    envelope::{Body, Charset, Notify, Recipient, Return, ReversePath},
    smtp::data,
};

/// What a transaction is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    /// To find out whether the recipients are taken: it ends with the last RCPT, and nothing of a
    /// message is said.
    Ask {
        /// The octets that a message to them would have (RFC 1870 §6); 0: nobody knows.
        octets: u64,
    },
    /// To hand over a message.
    #[default]
    Deliver,
}

/// A message for one peer. The content is borrowed and written as it is.
#[derive(Clone, Copy, Debug)]
pub struct Mail<'m> {
    /// Whether it is to be handed over.
    pub purpose: Purpose,
    /// MAIL FROM.
    pub reverse_path: &'m ReversePath,
    /// RCPT TO, at least one.
    pub recipients: &'m [Recipient],
    /// 8BITMIME, SMTPUTF8.
    pub ask: Ask,
    /// Whether MAIL has to carry REQUIRETLS (RFC 8689 §4.2.1).
    pub require_tls: RequireTls,
    /// RET= (RFC 3461 §4.3).
    pub ret: Option<Return>,
    /// ENVID= in xtext (RFC 3461 §4.4).
    pub envelope_id: Option<&'m str>,
    /// Header and body with CRLF line ends, dots not doubled.
    pub content: &'m [u8],
}

/// Why a peer cannot take a message, or we cannot say it: text that starts with the enhanced
/// code for the DSN.
pub(super) type Unfit = String;

impl<'m> Mail<'m> {
    /// Whether the peer's extensions suffice.
    pub(super) fn fits(&self, peer: &Extensions) -> Result<(), Unfit> {
        let utf8 = self.ask.charset == Charset::Utf8 || !self.addresses().all(str::is_ascii);
        if utf8 && !peer.smtputf8 {
            return Err("5.6.7 the peer does not offer SMTPUTF8, which this message needs".into());
        }
        if self.require_tls == RequireTls::Yes && !peer.require_tls {
            return Err(
                "5.7.30 the peer does not offer REQUIRETLS, which the sender asked for".into()
            );
        }
        if let Size::AtMost(limit) = peer.size
            && self.octets() > limit
        {
            return Err(format!(
                "5.3.4 the message has {} octets and the peer takes at most {limit}",
                self.octets()
            ));
        }
        if self.is_eight_bit() && !peer.eight_bit_mime {
            return Err("5.6.3 the peer does not offer 8BITMIME, which this message needs".into());
        }
        Ok(())
    }

    /// Whether it can be said in SMTP at all: no controls in addresses (command injection), no
    /// bare CR or LF and no NUL in the content (RFC 5321 §2.3.8; SMTP smuggling, CVE-2023-51764).
    pub(super) fn is_sayable(&self) -> Result<(), Unfit> {
        if self.addresses().any(is_injection) {
            return Err("5.1.3 an address that cannot stand in a command".into());
        }
        data::strict(self.content).map_err(|fault| format!("5.6.0 {fault}"))
    }

    fn addresses(&self) -> impl Iterator<Item = &'m str> {
        let sender = match self.reverse_path {
            ReversePath::Null => None,
            ReversePath::Mailbox(mailbox) => Some(mailbox.local.as_str()),
        };
        sender.into_iter().chain(self.recipients.iter().map(|r| r.mailbox.local.as_str()))
    }

    /// How long it is, or would be.
    const fn octets(&self) -> u64 {
        match self.purpose {
            Purpose::Ask { octets } => octets,
            Purpose::Deliver => self.content.len() as u64,
        }
    }

    /// RFC 6152 §3: what was declared, or what is really in it.
    fn is_eight_bit(&self) -> bool {
        self.ask.body == Body::EightBit || !self.content.is_ascii()
    }

    /// `MAIL FROM:<..>` with the parameters that the peer knows.
    pub(super) fn write_mail(&self, peer: &Extensions, out: &mut Vec<u8>) {
        out.extend_from_slice(b"MAIL FROM:");
        match self.reverse_path {
            ReversePath::Null => out.extend_from_slice(b"<>"),
            ReversePath::Mailbox(mailbox) => {
                write_path(out, &mailbox.local, mailbox.domain.as_str());
            }
        }
        let unknown = Purpose::Ask { octets: 0 };
        if peer.size != Size::Unknown && self.purpose != unknown {
            out.extend_from_slice(format!(" SIZE={}", self.octets()).as_bytes());
        }
        if self.is_eight_bit() {
            out.extend_from_slice(b" BODY=8BITMIME");
        }
        if self.ask.charset == Charset::Utf8 || !self.addresses().all(str::is_ascii) {
            out.extend_from_slice(b" SMTPUTF8");
        }
        if self.require_tls == RequireTls::Yes {
            out.extend_from_slice(b" REQUIRETLS");
        }
        if peer.dsn {
            match self.ret {
                None => {}
                Some(Return::Full) => out.extend_from_slice(b" RET=FULL"),
                Some(Return::Headers) => out.extend_from_slice(b" RET=HDRS"),
            }
            if let Some(id) = self.envelope_id.filter(|id| is_xtext(id)) {
                out.extend_from_slice(format!(" ENVID={id}").as_bytes());
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// `RCPT TO:<..>` with NOTIFY and ORCPT as they were said, where the peer knows DSN (RFC 3461 §5.2.1).
pub(super) fn write_rcpt(recipient: &Recipient, peer: &Extensions, out: &mut Vec<u8>) {
    out.extend_from_slice(b"RCPT TO:");
    write_path(out, &recipient.mailbox.local, recipient.mailbox.domain.as_str());
    if peer.dsn {
        if let Some(notify) = recipient.notify {
            write_notify(notify, out);
        }
        if let Some(original) = recipient.original.as_deref().filter(|text| is_xtext(text)) {
            out.extend_from_slice(format!(" ORCPT={original}").as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
}

fn write_notify(notify: Notify, out: &mut Vec<u8>) {
    match notify {
        Notify::Never => out.extend_from_slice(b" NOTIFY=NEVER"),
        Notify::On { success, failure, delay } => {
            let words = [(success, "SUCCESS"), (failure, "FAILURE"), (delay, "DELAY")];
            let words: Vec<&str> =
                words.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
            if !words.is_empty() {
                out.extend_from_slice(format!(" NOTIFY={}", words.join(",")).as_bytes());
            }
        }
    }
}

fn write_path(out: &mut Vec<u8>, local: &str, domain: &str) {
    out.push(b'<');
    out.extend_from_slice(local.as_bytes());
    out.push(b'@');
    out.extend_from_slice(domain.as_bytes());
    out.push(b'>');
}

/// One word that can stand in a command line: `xtext` (RFC 3461 §4) has no spaces or controls.
fn is_xtext(text: &str) -> bool {
    !text.is_empty() && text.len() <= 500 && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Whether a local part would end its command or its path early.
fn is_injection(local: &str) -> bool {
    let quoted = local.starts_with('"');
    local.chars().any(|c| c.is_control() || (!quoted && matches!(c, ' ' | '<' | '>')))
}
