//! One connection to a mail host: greeting, EHLO, STARTTLS, handshake, EHLO, QUIT. Never MAIL.
//!
//! Everything that is read has a limit: lines and replies by [`ReplyReader`], certificates by
//! rustls (64 KiB), all of one connection by [`Metered`], and by the end of its time.

use std::{io, net::SocketAddr, sync::Arc};

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::TlsConnector;
use waxseal_core::{
    assess::{Contact, OfferedSession, Quoted, StartTlsSeen},
    channel::Legacy,
    domain::Domain,
    hello::{Said, ServerHello, Until, Words},
    reply::{Reply, Severity},
    smtp::reply::ReplyReader,
    time::UnixTime,
};

use super::meter::{Metered, TooMuch, was_too_much};
use crate::{dial::Dialler, tls};

/// EHLO keywords that are kept.
const MOST_KEYWORDS: usize = 64;
/// Octets that are read at once.
const READ: usize = 4_096;

/// One connection to be made.
pub(super) struct Call<'a> {
    pub(super) dialler: &'a Dialler,
    /// Our name for EHLO.
    pub(super) hello: &'a str,
    pub(super) address: SocketAddr,
    pub(super) until: Instant,
}

/// Why a connection ended before STARTTLS could be said.
pub(super) enum Ended {
    /// This machine has no way there.
    NoFamily,
    /// What to say of the host.
    Contact(Contact),
}

impl Ended {
    fn misbehaved(why: impl Into<String>) -> Self {
        Self::Contact(Contact::Misbehaved(why.into()))
    }
}

/// What a host said before TLS.
pub(super) struct Greeted {
    greeting: Quoted,
    keywords: Vec<Quoted>,
    starttls: StartTlsSeen,
}

impl Greeted {
    pub(super) fn contact(&self) -> Contact {
        Contact::Spoke {
            greeting: self.greeting.clone(),
            keywords: self.keywords.clone(),
            starttls: self.starttls.clone(),
        }
    }
}

/// Why a handshake came to nothing.
pub(super) enum Stop {
    /// TLS failed.
    Tls { legacy: Legacy, detail: String },
    /// The connection ended.
    Lost(String),
    /// Its time ended.
    Late(String),
    /// It went over a limit of ours.
    Broke(String),
}

/// A connection on which the peer has said 220 to STARTTLS.
pub(super) struct Line {
    talk: Talk<Metered<TcpStream>>,
    address: SocketAddr,
    hello: String,
}

impl Call<'_> {
    /// Connects and speaks up to STARTTLS. The line is there where a handshake may follow.
    pub(super) async fn greet(&self) -> Result<(Greeted, Option<Line>), Ended> {
        let mut talk = self.connect().await?;
        let greeting = talk.reply().await.map_err(|why| why.ended("the greeting"))?;
        match greeting.severity() {
            Severity::Completed => {}
            Severity::Transient | Severity::Permanent => return Err(turned_away(&greeting)),
            Severity::Continue | Severity::Invalid => {
                let text = format!("the greeting has the code {}", greeting.code);
                return Err(Ended::misbehaved(text));
            }
        }
        let ehlo = format!("EHLO {}", self.hello);
        let reply = talk.ask(&ehlo).await.map_err(|why| why.ended("the reply to EHLO"))?;
        let keywords = match (reply.severity(), reply.code) {
            (Severity::Completed, _) => keywords(&reply),
            // Not known (RFC 5321 §3.2): a server from before ESMTP has no STARTTLS either.
            (_, 500 | 501 | 502 | 504) => Vec::new(),
            (Severity::Transient | Severity::Permanent, _) => return Err(turned_away(&reply)),
            (Severity::Continue | Severity::Invalid, code) => {
                return Err(Ended::misbehaved(format!("EHLO was answered with {code}")));
            }
        };
        let greeting = Quoted::new(&line_of(&greeting));
        let offered = keywords.iter().any(|keyword| keyword.as_str() == "STARTTLS");
        if !offered {
            talk.quit().await;
            let starttls = StartTlsSeen::NotOffered;
            return Ok((Greeted { greeting, keywords, starttls }, None));
        }
        let reply = talk.ask("STARTTLS").await.map_err(|why| why.ended("the reply to STARTTLS"))?;
        let starttls = if reply.code != 220 {
            talk.quit().await;
            StartTlsSeen::Refused(Quoted::new(&line_of(&reply)))
        } else if talk.replies.is_empty() {
            StartTlsSeen::Ready
        } else {
            // What was sent ahead would be read as if it came through TLS (CVE-2011-0411).
            StartTlsSeen::Injected
        };
        let ready = starttls == StartTlsSeen::Ready;
        let hello = self.hello.to_owned();
        let line = ready.then(|| Line { talk, address: self.address, hello });
        Ok((Greeted { greeting, keywords, starttls }, line))
    }

    async fn connect(&self) -> Result<Talk<Metered<TcpStream>>, Ended> {
        let unreachable = |why: String| Ended::Contact(Contact::Unreachable(why));
        let connecting = timeout_at(self.until, self.dialler.connect(self.address));
        match connecting.await {
            Err(_) => Err(unreachable("no answer in time".into())),
            Ok(Err(error)) if is_ours(&error) => Err(Ended::NoFamily),
            Ok(Err(error)) => Err(unreachable(error.to_string())),
            Ok(Ok(stream)) => {
                let stream = Metered::new(stream);
                Ok(Talk { stream, replies: ReplyReader::default(), until: self.until })
            }
        }
    }
}

impl Line {
    /// A full handshake, EHLO again under TLS, and QUIT.
    pub(super) async fn handshake(
        self,
        config: &Arc<ClientConfig>,
        sni: &Domain,
        now: UnixTime,
    ) -> Result<(OfferedSession, Option<Vec<Quoted>>), Stop> {
        let Self { talk, address, hello } = self;
        let until = talk.until;
        let name = ServerName::try_from(sni.as_str().to_owned())
            .unwrap_or_else(|_| ServerName::IpAddress(address.ip().into()));
        let connector = TlsConnector::from(Arc::clone(config));
        let stream = match timeout_at(until, connector.connect(name, talk.stream)).await {
            Err(_) => return Err(Stop::Late("no end of the handshake in time".into())),
            Ok(Err(error)) => return Err(stopped(&error)),
            Ok(Ok(stream)) => stream,
        };
        let session = tls::session(stream.get_ref().1, Some(sni), now).ok_or_else(|| {
            Stop::Tls { legacy: Legacy::No, detail: "the peer showed no certificate".into() }
        })?;
        let offered = OfferedSession::from(&session);
        let mut talk = Talk { stream, replies: ReplyReader::default(), until };
        let reply = talk.ask(&format!("EHLO {hello}")).await.ok();
        let keywords = reply.filter(|reply| reply.severity() == Severity::Completed);
        talk.quit().await;
        Ok((offered, keywords.as_ref().map(keywords_of)))
    }
}

impl Line {
    /// Says this hello, and nothing after the answer: the connection is dropped.
    pub(super) async fn said_to(self, hello: &[u8], until: Until) -> Answer {
        let Self { mut talk, .. } = self;
        let mut words = Words::new(until);
        let mut buffer = [0; READ];
        match timeout_at(talk.until, talk.stream.write_all(hello)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return Answer::Nothing,
        }
        loop {
            let count = match timeout_at(talk.until, talk.stream.read(&mut buffer)).await {
                Ok(Err(error)) if was_too_much(&error) => return Answer::Nothing,
                Ok(Ok(0) | Err(_)) => return words.ended().map_or(Answer::Refused, answer),
                Ok(Ok(count)) => count,
                Err(_) => return words.ended().map_or(Answer::Nothing, answer),
            };
            match words.push(buffer.get(..count).unwrap_or_default()) {
                Ok(Some(said)) => return answer(said),
                Ok(None) => {}
                Err(_) => return Answer::Nothing,
            }
        }
    }
}

/// What came of a hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The host chose.
    Chose(ServerHello),
    /// It refused, with an alert or by hanging up.
    Refused,
    /// It could not be found out.
    Nothing,
}

const fn answer(said: Said) -> Answer {
    match said {
        Said::Hello(hello) => Answer::Chose(hello),
        Said::Alert(_) => Answer::Refused,
    }
}

fn keywords_of(reply: &Reply) -> Vec<Quoted> {
    keywords(reply)
}

/// What failed in TLS: the peer's limits, ours, or the connection.
fn stopped(error: &io::Error) -> Stop {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        None if was_too_much(error) => Stop::Broke(TooMuch.to_string()),
        None if error.kind() == io::ErrorKind::TimedOut => Stop::Late(error.to_string()),
        None => Stop::Lost(error.to_string()),
        Some(rustls::Error::InvalidMessage(
            why @ (rustls::InvalidMessage::HandshakePayloadTooLarge
            | rustls::InvalidMessage::CertificatePayloadTooLarge
            | rustls::InvalidMessage::MessageTooLarge),
        )) => Stop::Broke(format!("a TLS message of more than 64 KiB ({why:?})")),
        Some(inner) => Stop::Tls { legacy: tls::legacy(inner), detail: tls::explain(inner) },
    }
}

/// Whether it is this machine that has no way to addresses of that family.
fn is_ours(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::AddrNotAvailable
            | io::ErrorKind::Unsupported
    )
}

fn turned_away(reply: &Reply) -> Ended {
    Ended::Contact(Contact::TurnedAway(Quoted::new(&line_of(reply))))
}

/// Code and text in one line.
fn line_of(reply: &Reply) -> String {
    let enhanced = reply.enhanced.map(|code| format!("{code} ")).unwrap_or_default();
    format!("{} {enhanced}{}", reply.code, reply.text.join(" "))
}

/// The lines after the first of a 250 to EHLO.
fn keywords(reply: &Reply) -> Vec<Quoted> {
    let lines = reply.text.iter().skip(1).take(MOST_KEYWORDS);
    lines.map(|line| Quoted::new(&line.trim().to_ascii_uppercase())).collect()
}

/// Why no reply came.
enum Mute {
    Closed(String),
    Late,
    Broke(String),
}

impl Mute {
    fn ended(self, awaited: &str) -> Ended {
        match self {
            // It answers, and not us: block lists and busy servers hang up without a word.
            Self::Closed(why) => {
                let text = Quoted::new(&format!("{why} before {awaited}"));
                Ended::Contact(Contact::TurnedAway(text))
            }
            Self::Late => Ended::misbehaved(format!("{awaited} did not come in time")),
            Self::Broke(why) => Ended::misbehaved(format!("{awaited}: {why}")),
        }
    }
}

/// Commands and replies.
struct Talk<S> {
    stream: S,
    replies: ReplyReader,
    until: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    async fn ask(&mut self, command: &str) -> Result<Reply, Mute> {
        let flight = format!("{command}\r\n");
        let writing = async {
            self.stream.write_all(flight.as_bytes()).await?;
            self.stream.flush().await
        };
        match timeout_at(self.until, writing).await {
            Err(_) => return Err(Mute::Late),
            Ok(Err(error)) => return Err(Mute::Closed(error.to_string())),
            Ok(Ok(())) => {}
        }
        self.reply().await
    }

    async fn reply(&mut self) -> Result<Reply, Mute> {
        let mut buffer = [0; READ];
        loop {
            match self.replies.next_reply() {
                Ok(Some(reply)) => return Ok(reply),
                Ok(None) => {}
                Err(error) => return Err(Mute::Broke(error.to_string())),
            }
            match timeout_at(self.until, self.stream.read(&mut buffer)).await {
                Err(_) => return Err(Mute::Late),
                Ok(Err(error)) if was_too_much(&error) => {
                    return Err(Mute::Broke(TooMuch.to_string()));
                }
                Ok(Err(error)) => return Err(Mute::Closed(error.to_string())),
                Ok(Ok(0)) => return Err(Mute::Closed("the peer closed the connection".into())),
                Ok(Ok(count)) => self.replies.push(buffer.get(..count).unwrap_or_default()),
            }
        }
    }

    /// Takes leave; the reply would tell nothing.
    async fn quit(&mut self) {
        let farewell = async {
            self.stream.write_all(b"QUIT\r\n").await?;
            self.stream.shutdown().await
        };
        drop(timeout_at(self.until, farewell).await);
    }
}
