//! One function for each command: when it is allowed, and what it answers.

use std::sync::Arc;

use crate::{
    envelope::{Recipient, ReversePath},
    reply::EnhancedCode,
    smtp::{
        address::Path,
        command::{self, ClientName, Command, CommandError, Mail, Rcpt, RequireTls},
        received::Greeting,
    },
};

use super::{Action, AuthOffer, Phase, Server, Standing, StartTls, Transaction, lines};

impl Server {
    pub(super) fn command_line(&mut self, line: &[u8]) -> Option<Action> {
        self.counts.commands += 1;
        if self.counts.commands > self.settings.limits.commands {
            self.close(EnhancedCode(4, 7, 0), "too many commands");
            return None;
        }
        match command::parse(line, self.charset()) {
            Ok(command) => self.command(command),
            Err(error) => {
                self.malformed(line, &error);
                None
            }
        }
    }

    fn malformed(&mut self, line: &[u8], error: &CommandError) {
        let (code, enhanced) = (error.code(), error.enhanced());
        self.refuse(format_args!("{code} {enhanced} {error}"));
        // What follows a chunk that we cannot count would be read as commands.
        if line.get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case(b"BDAT")) {
            self.close(EnhancedCode(4, 7, 0), "a chunk of unknown size");
        }
    }

    fn command(&mut self, command: Command) -> Option<Action> {
        match command {
            Command::Auth { mechanism, initial } => {
                return self.auth(mechanism, initial.as_deref());
            }
            Command::Bdat { size, last } => return self.bdat(size, last),
            Command::Data => self.data(),
            Command::Ehlo(name) => self.ehlo(name),
            Command::Expn => self.refuse(format_args!("502 5.5.1 not offered")),
            Command::Helo(name) => self.helo(name),
            Command::Help => self.say("214 2.0.0 see RFC 5321"),
            Command::Mail(mail) => self.mail(mail),
            Command::Noop => self.say("250 2.0.0 ok"),
            Command::Quit => self.quit(),
            Command::Rcpt(rcpt) => return self.rcpt(rcpt),
            Command::Rset => {
                self.transaction = None;
                self.say("250 2.0.0 ok");
            }
            Command::StartTls => return self.starttls(),
            // Says nothing about who exists (RFC 5321 §3.5.3, §7.3).
            Command::Vrfy => self.say("252 2.5.0 cannot verify, but will take the message"),
        }
        None
    }

    fn ehlo(&mut self, name: ClientName) {
        self.transaction = None;
        self.client = Some((Greeting::Ehlo, name));
        let settings = Arc::clone(&self.settings);
        self.line(format_args!("250-{}", settings.hostname));
        self.say("250-PIPELINING");
        self.line(format_args!("250-SIZE {}", settings.limits.message));
        self.say("250-8BITMIME");
        self.say("250-SMTPUTF8");
        self.say("250-CHUNKING");
        self.say("250-DSN");
        if self.tls.is_some() {
            // RFC 8689 §2: advertised only inside TLS.
            self.say("250-REQUIRETLS");
            match settings.auth {
                AuthOffer::Yes => self.say("250-AUTH PLAIN LOGIN"),
                AuthOffer::No => {}
            }
        } else {
            match settings.starttls {
                StartTls::Offered | StartTls::Required => self.say("250-STARTTLS"),
                StartTls::NotOffered => {}
            }
        }
        self.say("250 ENHANCEDSTATUSCODES");
    }

    fn helo(&mut self, name: ClientName) {
        self.transaction = None;
        self.client = Some((Greeting::Helo, name));
        let settings = Arc::clone(&self.settings);
        self.line(format_args!("250 {}", settings.hostname));
    }

    fn quit(&mut self) {
        let settings = Arc::clone(&self.settings);
        self.line(format_args!("221 2.0.0 {} closing", settings.hostname));
        self.phase = Phase::Closed;
        self.transaction = None;
    }

    fn starttls(&mut self) -> Option<Action> {
        if self.tls.is_some() {
            self.refuse(format_args!("503 5.5.1 TLS is on already"));
            return None;
        }
        match self.settings.starttls {
            StartTls::NotOffered => {
                self.refuse(format_args!("502 5.5.1 STARTTLS is not offered here"));
                None
            }
            StartTls::Offered | StartTls::Required => {
                self.say("220 2.0.0 go ahead");
                self.phase = Phase::Handshake;
                self.transaction = None;
                Some(Action::StartTls)
            }
        }
    }

    fn mail(&mut self, mail: Mail) {
        let Some((greeting, _)) = &self.client else {
            self.refuse(format_args!("503 5.5.1 send EHLO first"));
            return;
        };
        if *greeting == Greeting::Helo && mail != Mail::from(mail.reverse_path.clone()) {
            self.refuse(format_args!("555 5.5.4 parameters need EHLO"));
            return;
        }
        if self.transaction.is_some() {
            self.refuse(format_args!("503 5.5.1 a transaction is under way; send RSET first"));
            return;
        }
        if self.settings.starttls == StartTls::Required && self.tls.is_none() {
            self.refuse(format_args!("530 5.7.0 send STARTTLS first"));
            return;
        }
        if self.counts.transactions >= self.settings.limits.transactions {
            self.close(EnhancedCode(4, 7, 0), "enough messages for one session; connect again");
            return;
        }
        if !self.may_send(&mail.reverse_path) {
            return;
        }
        let limit = self.settings.limits.message;
        if mail.require_tls == RequireTls::Yes && self.tls.is_none() {
            // RFC 8689 §2: it was not offered, because it means nothing without TLS.
            self.refuse(format_args!("555 5.5.4 REQUIRETLS needs TLS; send STARTTLS first"));
        } else if mail.size.is_some_and(|size| usize::try_from(size).is_ok_and(|s| s <= limit)) {
            self.begin(mail);
        } else if mail.size.is_some() {
            self.refuse(format_args!("552 5.3.4 the limit is {limit} octets"));
        } else {
            self.begin(mail);
        }
    }

    fn begin(&mut self, mail: Mail) {
        self.counts.transactions += 1;
        self.transaction =
            Some(Box::new(Transaction { mail, recipients: Vec::new(), chunks: None }));
        self.say("250 2.1.0 sender ok");
    }

    /// Who is not known may not send at all, and who is known only for our sender domains. The
    /// null sender is for notifications, and an MSA must not refuse it (RFC 6409 §3.2). Mail that
    /// comes in may be from anybody: what it may reach is looked at with each RCPT.
    fn may_send(&mut self, reverse_path: &ReversePath) -> bool {
        match &self.standing {
            Standing::Stranger => {
                if self.settings.auth == AuthOffer::Yes {
                    self.refuse(format_args!("530 5.7.0 authentication is needed"));
                } else {
                    self.refuse(format_args!(
                        "550 5.7.1 this host relays only for its own network"
                    ));
                }
                return false;
            }
            Standing::Outside => return self.is_somebody_else(),
            Standing::Shared | Standing::Relay(_) => {}
        }
        let ours = match reverse_path {
            ReversePath::Null => true,
            ReversePath::Mailbox(mailbox) => self.settings.senders.contains(&mailbox.domain),
        };
        if !ours {
            self.refuse(format_args!("550 5.7.1 this host sends no mail from that domain"));
            return false;
        }
        let theirs = match (reverse_path, self.standing.senders()) {
            (ReversePath::Null, _) | (_, None) => true,
            (ReversePath::Mailbox(mailbox), Some(senders)) => senders.contains(&mailbox.domain),
        };
        if !theirs {
            self.refuse(format_args!("550 5.7.1 your certificate is not for that sender domain"));
        }
        theirs
    }

    fn rcpt(&mut self, rcpt: Rcpt) -> Option<Action> {
        let helo = matches!(self.client, Some((Greeting::Helo, _)));
        let limit = self.settings.limits.recipients;
        let Some(transaction) = &mut self.transaction else {
            self.refuse(format_args!("503 5.5.1 send MAIL first"));
            return None;
        };
        if transaction.chunks.is_some() {
            self.refuse(format_args!("503 5.5.1 the message has begun already"));
            return None;
        }
        if helo && (rcpt.notify.is_some() || rcpt.original.is_some()) {
            self.refuse(format_args!("555 5.5.4 parameters need EHLO"));
            return None;
        }
        if transaction.recipients.len() >= limit {
            // RFC 5321 §4.5.3.1.10: 452, and those before it stand. Not an error of the client.
            self.line(format_args!("452 4.5.3 at most {limit} recipients; send the rest again"));
            return None;
        }
        let mailbox = match rcpt.to {
            Path::Mailbox(mailbox) => Some(mailbox),
            Path::Postmaster => self.settings.postmaster.clone(),
            Path::Null => None,
        };
        let Some(mailbox) = mailbox else {
            self.refuse(format_args!("550 5.1.1 there is no mailbox here"));
            return None;
        };
        let recipient = Recipient { mailbox, notify: rcpt.notify, original: rcpt.original };
        match &self.standing {
            Standing::Outside => return self.stranger_names(recipient),
            Standing::Relay(_) | Standing::Shared | Standing::Stranger => self.add(recipient),
        }
        None
    }

    /// Whether DATA or BDAT may begin; else it has been refused.
    pub(super) fn ready_for_message(&mut self) -> bool {
        match &self.transaction {
            None => {
                self.refuse(format_args!("503 5.5.1 send MAIL first"));
                false
            }
            Some(transaction) if transaction.recipients.is_empty() => {
                self.refuse(format_args!("554 5.5.1 no valid recipients"));
                false
            }
            Some(_) => true,
        }
    }
}

const _: () =
    assert!(lines::MAX_COMMAND > 512 + 26 + 17 + 10 + 500 + 11 + 128, "RFC 5321 §4.5.3.1.4");
