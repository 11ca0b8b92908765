//! Receiving servers with a personality: real SMTP on loopback.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, RwLock},
};

use anyhow::{Context, Result, bail};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use crate::{
    aged::{self, Aged, Answer},
    ca::Identity,
    sink::{Received, Sink, TlsFacts, Transcript},
};

/// What a server does with STARTTLS (RFC 3207).
#[derive(Clone)]
pub enum StartTls {
    /// It does not offer it.
    Absent,
    /// It shows this identity.
    Works(Identity),
    /// It speaks nothing newer than TLS 1.0: its ServerHello says 3.1, whatever was offered.
    Legacy,
    /// It takes what is old in the clear; what is left is for its TLS library, if it has one.
    Aged(Option<Identity>, Aged),
    /// Its certificate has so many octets.
    HugeCertificate(usize),
    /// Another server behind it speaks TLS; it listens there.
    Through(SocketAddr),
}

/// A point of the session at which something can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The 220 at the start.
    Greeting,
    /// EHLO.
    Ehlo,
    /// STARTTLS.
    StartTls,
    /// MAIL FROM.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// DATA.
    Data,
    /// The end of the message.
    Dot,
}

/// What goes wrong there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This reply, without the CRLF, instead of the usual one; nothing is stored.
    Reply(String),
    /// The connection is closed. At [`Step::Dot`] the message was stored before.
    Close,
    /// Nothing is said any more.
    Silence,
    /// A line without an end.
    EndlessLine,
    /// Line after line without an end, each as part of one reply with this code.
    EndlessReply(u16),
}

/// How a server behaves.
#[derive(Clone)]
pub struct Personality {
    /// Name in the greeting.
    pub name: String,
    /// STARTTLS.
    pub starttls: StartTls,
    /// EHLO keywords, STARTTLS not among them.
    pub extensions: Vec<String>,
    /// EHLO keywords under TLS only.
    pub under_tls: Vec<String>,
    /// What goes wrong, and where.
    pub faults: Vec<(Step, Fault)>,
    /// The local parts that exist here; `None`: all do.
    pub knows: Option<Vec<String>>,
    /// A recipient with these words in the address is put off with 450.
    pub put_off: Option<String>,
}

impl Personality {
    /// A modern, healthy server.
    pub fn new(name: &str, starttls: StartTls) -> Self {
        let usual = [
            "PIPELINING",
            "SIZE 52428800",
            "8BITMIME",
            "SMTPUTF8",
            "CHUNKING",
            "ENHANCEDSTATUSCODES",
        ];
        Self {
            name: name.to_owned(),
            starttls,
            extensions: usual.map(str::to_owned).to_vec(),
            under_tls: Vec::new(),
            faults: Vec::new(),
            knows: None,
            put_off: None,
        }
    }

    /// Puts this recipient off.
    #[must_use]
    pub fn putting_off(mut self, recipient: &str) -> Self {
        self.put_off = Some(recipient.to_owned());
        self
    }

    /// With this going wrong there.
    #[must_use]
    pub fn failing(mut self, step: Step, fault: Fault) -> Self {
        self.faults.push((step, fault));
        self
    }

    /// Offers DSN (RFC 3461).
    #[must_use]
    pub fn dsn(mut self) -> Self {
        self.extensions.push("DSN".to_owned());
        self
    }

    /// Offers REQUIRETLS under TLS (RFC 8689 §2).
    #[must_use]
    pub fn requiretls(mut self) -> Self {
        self.under_tls.push("REQUIRETLS".to_owned());
        self
    }

    /// Knows only these local parts.
    #[must_use]
    pub fn knowing(mut self, locals: &[&str]) -> Self {
        self.knows = Some(locals.iter().map(|local| (*local).to_owned()).collect());
        self
    }

    fn has(&self, argument: &str) -> bool {
        let local = argument.trim_start_matches('<').rsplit_once('@').map(|(local, _)| local);
        let known = |known: &Vec<String>| known.iter().any(|known| Some(known.as_str()) == local);
        self.knows.as_ref().is_none_or(known)
    }

    /// Does not offer this keyword.
    #[must_use]
    pub fn without(mut self, keyword: &str) -> Self {
        self.extensions.retain(|extension| extension.split(' ').next() != Some(keyword));
        self
    }

    fn puts_off(&self, argument: &str) -> bool {
        self.put_off.as_ref().is_some_and(|recipient| argument.contains(recipient))
    }

    fn fault(&self, step: Step) -> Option<&Fault> {
        self.faults.iter().find(|(at, _)| *at == step).map(|(_, fault)| fault)
    }
}

/// A running server. Dropping it stops it.
pub struct MxServer {
    address: SocketAddr,
    personality: Arc<RwLock<Personality>>,
    transcript: Transcript,
    generation: watch::Sender<u64>,
    _task: JoinSet<()>,
}

impl MxServer {
    /// Listens on 127.0.0.1; messages go to `sink`.
    ///
    /// # Errors
    /// No socket on loopback can be had.
    pub async fn start(personality: Personality, sink: Sink) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let personality = Arc::new(RwLock::new(personality));
        let transcript = Transcript::default();
        let (generation, changes) = watch::channel(0);
        let host =
            Host { personality: Arc::clone(&personality), transcript: transcript.clone(), sink };
        let mut task = JoinSet::new();
        task.spawn(host.serve(listener, changes));
        Ok(Self { address, personality, transcript, generation, _task: task })
    }

    /// Where it listens.
    pub const fn addr(&self) -> SocketAddr {
        self.address
    }

    /// All that clients said to it, under TLS too.
    pub const fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    /// How it behaves now.
    pub fn personality(&self) -> Personality {
        self.personality.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Behaves so from now on; sessions that are open end.
    pub fn become_like(&self, personality: Personality) {
        if let Ok(mut current) = self.personality.write() {
            *current = personality;
        }
        self.generation.send_modify(|number| *number += 1);
    }
}

struct Host {
    personality: Arc<RwLock<Personality>>,
    transcript: Transcript,
    sink: Sink,
}

impl Host {
    async fn serve(self, listener: TcpListener, changes: watch::Receiver<u64>) {
        let mut sessions = JoinSet::new();
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let Ok(personality) = self.personality.read().map(|p| p.clone()) else { continue };
            let number = self.transcript.open();
            let (transcript, sink) = (self.transcript.clone(), self.sink.clone());
            let session = Session { personality, transcript, sink, number, tls: None };
            let mut changes = changes.clone();
            changes.mark_unchanged();
            sessions.spawn(async move {
                tokio::select! {
                    _ended = session.run(stream) => {}
                    _changed = changes.changed() => {}
                }
            });
            while sessions.try_join_next().is_some() {}
        }
    }
}

struct Session {
    personality: Personality,
    transcript: Transcript,
    sink: Sink,
    number: usize,
    tls: Option<TlsFacts>,
}

/// How talking ended.
enum End {
    Quit,
    StartTls,
}

impl Session {
    async fn run(mut self, stream: TcpStream) -> Result<()> {
        stream.set_nodelay(true)?;
        let mut stream = BufStream::new(stream);
        let greeting = format!("220 {} ESMTP lab", self.personality.name);
        self.reply(&mut stream, Step::Greeting, &greeting).await?;
        match self.talk(&mut stream).await? {
            End::Quit => return Ok(()),
            End::StartTls => {}
        }
        // Dropping the buffer forgets what came too early (RFC 3207 §4.2).
        let mut stream = stream.into_inner();
        let identity = match self.personality.starttls.clone() {
            StartTls::Absent => bail!("STARTTLS was refused before"),
            StartTls::Legacy => return legacy_hello(&mut stream).await,
            StartTls::HugeCertificate(size) => return huge_certificate(&mut stream, size).await,
            StartTls::Aged(identity, aged) => {
                let hello = aged::record(&mut stream).await?;
                return match (aged.answer(&hello, identity.is_some())?, identity) {
                    (Answer::Library, Some(identity)) => {
                        let (read, write) = stream.into_split();
                        let read = std::io::Cursor::new(hello).chain(read);
                        self.under_tls(tokio::io::join(read, write), identity).await
                    }
                    (Answer::Octets(octets), _) => aged::say(&mut stream, &octets).await,
                    (Answer::Library, None) => bail!("there is no library"),
                };
            }
            StartTls::Through(address) => {
                let mut behind = TcpStream::connect(address).await?;
                tokio::io::copy_bidirectional(&mut stream, &mut behind).await?;
                return Ok(());
            }
            StartTls::Works(identity) => identity,
        };
        self.under_tls(stream, identity).await
    }

    async fn under_tls<S: AsyncRead + AsyncWrite + Unpin>(
        mut self,
        stream: S,
        identity: Identity,
    ) -> Result<()> {
        let stream = TlsAcceptor::from(identity.config).accept(stream).await?;
        let (_, session) = stream.get_ref();
        self.tls = Some(TlsFacts {
            version: session.protocol_version().map(|v| format!("{v:?}")).unwrap_or_default(),
            suite: session
                .negotiated_cipher_suite()
                .map(|suite| format!("{:?}", suite.suite()))
                .unwrap_or_default(),
            sni: session.server_name().map(str::to_owned),
        });
        let mut stream = BufStream::new(stream);
        self.talk(&mut stream).await?;
        stream.shutdown().await?;
        Ok(())
    }

    async fn reply<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut BufStream<S>,
        step: Step,
        usual: &str,
    ) -> Result<()> {
        let text = match self.personality.fault(step) {
            None => usual,
            Some(Fault::Reply(text)) => text,
            Some(Fault::Close) => bail!("closed at {step:?}"),
            Some(Fault::Silence) => std::future::pending().await,
            Some(Fault::EndlessLine) => loop {
                stream.write_all(&[b'x'; 1_024]).await?;
                stream.flush().await?;
            },
            Some(Fault::EndlessReply(code)) => loop {
                say(stream, &format!("{code}-x")).await?;
                stream.flush().await?;
            },
        };
        say(stream, text).await
    }

    async fn line<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut BufStream<S>,
    ) -> Result<Vec<u8>> {
        stream.flush().await?;
        let mut line = Vec::new();
        stream.read_until(b'\n', &mut line).await?;
        self.transcript.record(self.number, &line);
        anyhow::ensure!(line.ends_with(b"\n"), "closed by the client");
        Ok(line)
    }

    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut BufStream<S>,
    ) -> Result<End> {
        let (mut mail, mut recipients, mut body) = (String::new(), Vec::new(), Vec::new());
        loop {
            let line = String::from_utf8_lossy(&self.line(stream).await?).trim_end().to_owned();
            let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            let argument = line.split_once(':').map_or("", |(_, rest)| rest.trim()).to_owned();
            match verb.as_str() {
                "EHLO" | "HELO" => self.reply(stream, Step::Ehlo, &self.keywords()).await?,
                "STARTTLS" if self.offers_tls() => {
                    self.reply(stream, Step::StartTls, "220 2.0.0 go ahead").await?;
                    stream.flush().await?;
                    if self.personality.fault(Step::StartTls).is_none() {
                        return Ok(End::StartTls);
                    }
                }
                "MAIL" => {
                    (mail, recipients, body) = (argument, Vec::new(), Vec::new());
                    self.reply(stream, Step::Mail, "250 2.1.0 ok").await?;
                }
                "RCPT" if !self.personality.has(&argument) => {
                    say(stream, "550 5.1.1 nobody of that name here").await?;
                }
                "RCPT" if self.personality.puts_off(&argument) => {
                    say(stream, "450 4.2.0 later").await?;
                }
                "RCPT" => {
                    if self.personality.fault(Step::Rcpt).is_none() {
                        recipients.push(argument);
                    }
                    self.reply(stream, Step::Rcpt, "250 2.1.5 ok").await?;
                }
                "DATA" if recipients.is_empty() => say(stream, "503 5.5.1 no recipient").await?,
                "DATA" => {
                    self.reply(stream, Step::Data, "354 go on").await?;
                    if self.personality.fault(Step::Data).is_none() {
                        let data = self.data(stream).await?;
                        self.finish(stream, (&mail, &recipients), data).await?;
                    }
                }
                "BDAT" => {
                    let mut words = line.split(' ').skip(1);
                    let size: usize = words.next().context("BDAT without a size")?.parse()?;
                    anyhow::ensure!(size <= 52_428_800, "a chunk beyond SIZE");
                    let mut chunk = vec![0; size];
                    stream.read_exact(&mut chunk).await?;
                    self.transcript.record(self.number, &chunk);
                    body.extend(chunk);
                    if words.next().is_some_and(|word| word.eq_ignore_ascii_case("LAST")) {
                        let data = std::mem::take(&mut body);
                        self.finish(stream, (&mail, &recipients), data).await?;
                    } else {
                        say(stream, "250 2.0.0 chunk").await?;
                    }
                }
                "RSET" | "NOOP" => say(stream, "250 2.0.0 ok").await?,
                "QUIT" => {
                    say(stream, "221 2.0.0 bye").await?;
                    stream.flush().await?;
                    return Ok(End::Quit);
                }
                _ => say(stream, "500 5.5.1 what?").await?,
            }
        }
    }

    fn offers_tls(&self) -> bool {
        self.tls.is_none() && !matches!(self.personality.starttls, StartTls::Absent)
    }

    fn keywords(&self) -> String {
        let mut keywords = vec![self.personality.name.clone()];
        keywords.extend(self.personality.extensions.iter().cloned());
        if self.offers_tls() {
            keywords.push("STARTTLS".to_owned());
        }
        if self.tls.is_some() {
            keywords.extend(self.personality.under_tls.iter().cloned());
        }
        let last = keywords.pop().unwrap_or_default();
        let mut text: String = keywords.iter().map(|word| format!("250-{word}\r\n")).collect();
        text.push_str(&format!("250 {last}"));
        text
    }

    /// Reads up to the line that is only a dot; only CRLF ends a line (RFC 5321 §4.1.1.4).
    async fn data<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut BufStream<S>,
    ) -> Result<Vec<u8>> {
        let mut data: Vec<u8> = Vec::new();
        loop {
            let line = self.line(stream).await?;
            let fresh = data.is_empty() || data.ends_with(b"\r\n");
            if fresh && line == b".\r\n" {
                return Ok(data);
            }
            let stuffed = fresh && line.starts_with(b".");
            data.extend(line.get(usize::from(stuffed)..).unwrap_or_default());
        }
    }

    async fn finish<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut BufStream<S>,
        (mail, recipients): (&str, &[String]),
        data: Vec<u8>,
    ) -> Result<()> {
        if !matches!(self.personality.fault(Step::Dot), Some(Fault::Reply(_))) {
            self.sink.store(Received {
                host: self.personality.name.clone(),
                mail: mail.to_owned(),
                recipients: recipients.to_vec(),
                data,
                tls: self.tls.clone(),
            });
        }
        self.reply(stream, Step::Dot, "250 2.0.0 taken").await
    }
}

async fn say<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufStream<S>,
    text: &str,
) -> Result<()> {
    stream.write_all(text.as_bytes()).await?;
    stream.write_all(b"\r\n").await?;
    Ok(())
}

/// What a server of 1999 says to a ClientHello: version 3.1, RSA, AES-CBC (RFC 2246 §7.4.1.3).
async fn legacy_hello(stream: &mut TcpStream) -> Result<()> {
    let mut header = [0; 5];
    stream.read_exact(&mut header).await?;
    let [_, _, _, high, low] = header;
    let mut hello = vec![0; usize::from(u16::from_be_bytes([high, low]))];
    stream.read_exact(&mut hello).await?;
    let mut answer = vec![22, 3, 1, 0, 42, 2, 0, 0, 38, 3, 1];
    answer.extend([0x42; 32]);
    answer.extend([0, 0, 0x2f, 0]);
    stream.write_all(&answer).await?;
    // The client's alert, then its end.
    let mut rest = Vec::new();
    stream.take(1_024).read_to_end(&mut rest).await?;
    Ok(())
}

/// TLS 1.2 with a certificate of this size: in records as large as they may be.
async fn huge_certificate(stream: &mut TcpStream, size: usize) -> Result<()> {
    let mut header = [0; 5];
    stream.read_exact(&mut header).await?;
    let [_, _, _, high, low] = header;
    let mut hello = vec![0; usize::from(u16::from_be_bytes([high, low]))];
    stream.read_exact(&mut hello).await?;
    let mut flight = vec![2, 0, 0, 38, 3, 3];
    flight.extend([0x42; 32]);
    flight.extend([0, 0xc0, 0x2f, 0]);
    let length = |octets: usize| u32::try_from(octets).unwrap_or(0).to_be_bytes();
    for (kind, rest) in [(Some(11), size + 6), (None, size + 3), (None, size)] {
        flight.extend(kind);
        flight.extend(length(rest).get(1..).unwrap_or_default());
    }
    flight.extend(std::iter::repeat_n(0x30, size));
    for part in flight.chunks(16_384) {
        let length = u16::try_from(part.len())?.to_be_bytes();
        stream.write_all(&[&[22, 3, 3], length.as_slice(), part].concat()).await?;
    }
    Ok(())
}
