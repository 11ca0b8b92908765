//! Commands as they go over the wire, without CRLF: what the client sends, and the proof that
//! nothing is lost in parsing.

use std::fmt;

use crate::{
    envelope::{Body, Charset, Notify, Return, ReversePath},
    smtp::address::Path,
};

use super::{Command, Last, Mail, Mechanism, Rcpt, RequireTls};

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("<>"),
            Self::Postmaster => f.write_str("<Postmaster>"),
            Self::Mailbox(mailbox) => write!(f, "<{mailbox}>"),
        }
    }
}

impl fmt::Display for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reverse_path {
            ReversePath::Null => f.write_str("MAIL FROM:<>")?,
            ReversePath::Mailbox(mailbox) => write!(f, "MAIL FROM:<{mailbox}>")?,
        }
        if let Some(size) = self.size {
            write!(f, " SIZE={size}")?;
        }
        match self.body {
            Body::SevenBit => {}
            Body::EightBit => f.write_str(" BODY=8BITMIME")?,
        }
        match self.charset {
            Charset::Ascii => {}
            Charset::Utf8 => f.write_str(" SMTPUTF8")?,
        }
        match self.require_tls {
            RequireTls::No => {}
            RequireTls::Yes => f.write_str(" REQUIRETLS")?,
        }
        match self.ret {
            None => {}
            Some(Return::Full) => f.write_str(" RET=FULL")?,
            Some(Return::Headers) => f.write_str(" RET=HDRS")?,
        }
        if let Some(id) = &self.envelope_id {
            write!(f, " ENVID={id}")?;
        }
        if let Some(auth) = &self.auth {
            write!(f, " AUTH={auth}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Rcpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RCPT TO:{}", self.to)?;
        match self.notify {
            None => {}
            Some(Notify::Never) => f.write_str(" NOTIFY=NEVER")?,
            Some(Notify::On { success, failure, delay }) => {
                let words = [(success, "SUCCESS"), (failure, "FAILURE"), (delay, "DELAY")];
                let said = words.iter().filter(|(on, _)| *on).map(|(_, word)| *word);
                write!(f, " NOTIFY={}", said.collect::<Vec<_>>().join(","))?;
            }
        }
        if let Some(original) = &self.original {
            write!(f, " ORCPT={original}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auth { mechanism, initial } => {
                f.write_str(match mechanism {
                    Mechanism::Plain => "AUTH PLAIN",
                    Mechanism::Login => "AUTH LOGIN",
                })?;
                initial.iter().try_for_each(|initial| write!(f, " {initial}"))
            }
            Self::Bdat { size, last: Last::No } => write!(f, "BDAT {size}"),
            Self::Bdat { size, last: Last::Yes } => write!(f, "BDAT {size} LAST"),
            Self::Data => f.write_str("DATA"),
            Self::Ehlo(name) => write!(f, "EHLO {name}"),
            Self::Expn => f.write_str("EXPN"),
            Self::Helo(name) => write!(f, "HELO {name}"),
            Self::Help => f.write_str("HELP"),
            Self::Mail(mail) => mail.fmt(f),
            Self::Noop => f.write_str("NOOP"),
            Self::Quit => f.write_str("QUIT"),
            Self::Rcpt(rcpt) => rcpt.fmt(f),
            Self::Rset => f.write_str("RSET"),
            Self::StartTls => f.write_str("STARTTLS"),
            Self::Vrfy => f.write_str("VRFY"),
        }
    }
}
