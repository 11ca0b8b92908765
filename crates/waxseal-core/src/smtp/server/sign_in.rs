//! AUTH (RFC 4954): only under TLS, only before a transaction, a few times.

use crate::{
    reply::EnhancedCode,
    smtp::{
        auth::{self, Credentials, Malformed},
        command::Mechanism,
    },
};

use super::{Action, AuthOffer, Grant, Phase, Server, Standing, Verified};

/// Which response of the client comes next.
#[derive(Debug)]
pub(super) enum Expect {
    Plain,
    LoginUser,
    LoginPassword(String),
}

impl Server {
    pub(super) fn auth(&mut self, mechanism: Mechanism, initial: Option<&str>) -> Option<Action> {
        if self.client.is_none() {
            self.refuse(format_args!("503 5.5.1 send EHLO first"));
        } else if self.settings.auth == AuthOffer::No {
            self.refuse(format_args!("502 5.5.1 AUTH is not offered here"));
        } else if self.tls.is_none() {
            // RFC 4954 §4: 538 went with RFC 2554; 5.7.11 says what to do.
            self.refuse(format_args!("538 5.7.11 AUTH needs TLS; send STARTTLS first"));
        } else if self.transaction.is_some() {
            self.refuse(format_args!("503 5.5.1 AUTH may not stand inside a transaction"));
        } else if matches!(self.standing, Standing::Relay(Grant::Account(_))) {
            self.refuse(format_args!("503 5.5.1 already authenticated"));
        } else {
            let expect = match mechanism {
                Mechanism::Plain => Expect::Plain,
                Mechanism::Login => Expect::LoginUser,
            };
            if let Some(initial) = initial {
                return self.sign_in_response(expect, initial.as_bytes());
            }
            self.prompt(expect);
        }
        None
    }

    fn prompt(&mut self, expect: Expect) {
        self.say(match expect {
            Expect::Plain => "334 ",
            Expect::LoginUser => "334 VXNlcm5hbWU6",
            Expect::LoginPassword(_) => "334 UGFzc3dvcmQ6",
        });
        self.phase = Phase::SignIn(expect);
    }

    pub(super) fn sign_in_response(&mut self, expect: Expect, line: &[u8]) -> Option<Action> {
        if line == b"*" {
            self.refuse(format_args!("501 5.7.0 authentication cancelled"));
            return None;
        }
        match credentials(expect, line) {
            Ok(Answer::Next(expect)) => {
                self.prompt(expect);
                None
            }
            Ok(Answer::Complete(credentials)) => {
                self.phase = Phase::Verifying;
                Some(Action::Verify(credentials))
            }
            Err(Malformed) => {
                self.refuse(format_args!("501 5.5.2 not what the mechanism asks for"));
                self.count_sign_in();
                None
            }
        }
    }

    /// The answer to [`Action::Verify`].
    pub fn verified(&mut self, user: String, verified: Verified) {
        if !matches!(self.phase, Phase::Verifying) {
            return;
        }
        self.phase = Phase::Command;
        match verified {
            Verified::Yes => {
                self.standing = Standing::Relay(Grant::Account(user));
                self.say("235 2.7.0 authenticated");
            }
            Verified::No => {
                self.refuse(format_args!("535 5.7.8 user name or password is wrong"));
                self.count_sign_in();
            }
            Verified::TooOften => {
                self.line(format_args!("454 4.7.0 too many failures from your address; wait"));
                self.close(EnhancedCode(4, 7, 0), "too many failures");
            }
            Verified::Unavailable => {
                self.line(format_args!("454 4.7.0 passwords cannot be checked now"));
            }
        }
    }

    fn count_sign_in(&mut self) {
        self.counts.sign_ins += 1;
        if self.counts.sign_ins >= self.settings.limits.sign_ins {
            self.close(EnhancedCode(4, 7, 0), "too many failures of authentication");
        }
    }
}

enum Answer {
    Next(Expect),
    Complete(Credentials),
}

fn credentials(expect: Expect, line: &[u8]) -> Result<Answer, Malformed> {
    Ok(match expect {
        Expect::Plain => Answer::Complete(auth::plain(line)?),
        Expect::LoginUser => Answer::Next(Expect::LoginPassword(auth::login_user(line)?)),
        Expect::LoginPassword(user) => {
            Answer::Complete(Credentials { user, password: auth::login_password(line)? })
        }
    })
}
