//! One question to one upstream: over UDP and, where the answer does not fit, TCP; or over TLS.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore},
};
use waxseal_core::{
    dns::FailureKind,
    dnssec::{Question, Response, Truncation},
    domain::Domain,
    time::UnixTime,
};

use super::{Settings, Transport, Upstream};

/// What fits into a datagram everywhere without fragments (DNS Flag Day 2020, RFC 9715 §3.2).
const UDP_SIZE: u16 = 1_232;
/// How many TLS connections are kept open to one upstream.
const MOST_IDLE: usize = 8;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) kind: FailureKind,
    pub(super) detail: String,
}

impl Failure {
    pub(super) fn io(to: SocketAddr, error: &io::Error) -> Self {
        Self { kind: FailureKind::Unreachable, detail: format!("upstream {to}: {error}") }
    }

    pub(super) fn malformed(from: SocketAddr, what: impl std::fmt::Display) -> Self {
        Self { kind: FailureKind::Malformed, detail: format!("upstream {from}: {what}") }
    }
}

/// A way to ask one upstream.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) address: SocketAddr,
    tls: Option<Tls>,
}

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    /// A resolver, which recurses for us.
    Resolver,
    /// A server of the zone itself.
    Authority,
}

struct Tls {
    name: Domain,
    connector: TlsConnector,
    idle: Mutex<Vec<TlsStream<TcpStream>>>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Line {
    pub(super) fn new(upstream: &Upstream, settings: &Settings) -> Self {
        let tls = match &upstream.transport {
            Transport::Udp => None,
            Transport::Tls { name } => Some(Tls {
                name: name.clone(),
                connector: connector(settings),
                idle: Mutex::new(Vec::new()),
            }),
        };
        Self { address: upstream.address, tls }
    }

    /// Asks; the caller limits the time.
    pub(super) async fn ask(
        &self,
        question: &Question,
        now: UnixTime,
    ) -> Result<Response, Failure> {
        match &self.tls {
            None => self.over_udp(question, now).await,
            Some(tls) => self.over_tls(tls, question, now).await,
        }
    }

    async fn over_udp(&self, question: &Question, now: UnixTime) -> Result<Response, Failure> {
        let response = datagram((self.address, Whom::Resolver), question, now).await?;
        match response.truncation {
            Truncation::Whole => Ok(response),
            Truncation::Truncated => self.over_tcp(question, now).await,
        }
    }

    async fn over_tcp(&self, question: &Question, now: UnixTime) -> Result<Response, Failure> {
        let fault = |error: io::Error| Failure::io(self.address, &error);
        let mut stream = TcpStream::connect(self.address).await.map_err(fault)?;
        let id = random_id();
        let message =
            framed(&mut stream, &query(Whom::Resolver, question, id)).await.map_err(fault)?;
        Response::parse(&message, id, question, now)
            .map_err(|error| Failure::malformed(self.address, error))
    }

    async fn over_tls(
        &self,
        tls: &Tls,
        question: &Question,
        now: UnixTime,
    ) -> Result<Response, Failure> {
        let id = random_id();
        let query = query(Whom::Resolver, question, id);
        let idle = tls.idle.lock().ok().and_then(|mut idle| idle.pop());
        let mut reused = None;
        if let Some(mut stream) = idle
            && let Ok(message) = framed(&mut stream, &query).await
        {
            reused = Some((stream, message));
        }
        let (stream, message) = match reused {
            Some(reused) => reused,
            None => {
                let fault = |error: io::Error| Failure::io(self.address, &error);
                let mut stream = tls.connect(self.address).await.map_err(fault)?;
                let message = framed(&mut stream, &query).await.map_err(fault)?;
                (stream, message)
            }
        };
        let response = Response::parse(&message, id, question, now)
            .map_err(|error| Failure::malformed(self.address, error))?;
        if let Ok(mut idle) = tls.idle.lock()
            && idle.len() < MOST_IDLE
        {
            idle.push(stream);
        }
        Ok(response)
    }
}

impl Tls {
    async fn connect(&self, to: SocketAddr) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(self.name.as_str().to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        self.connector.connect(name, stream).await
    }
}

fn connector(settings: &Settings) -> TlsConnector {
    let roots = RootCertStore { roots: settings.tls_roots.clone() };
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// One question over UDP; the caller limits the time. A fresh socket for each: its port is random,
/// and so is the id (RFC 5452 §9.2).
pub(super) async fn datagram(
    (to, whom): (SocketAddr, Whom),
    question: &Question,
    now: UnixTime,
) -> Result<Response, Failure> {
    let fault = |error: io::Error| Failure::io(to, &error);
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await.map_err(fault)?;
    // Connected: the kernel drops what other addresses send.
    socket.connect(to).await.map_err(fault)?;
    let id = random_id();
    socket.send(&query(whom, question, id)).await.map_err(fault)?;
    let mut buffer = vec![0; 65_535];
    loop {
        let length = socket.recv(&mut buffer).await.map_err(fault)?;
        let message = buffer.get(..length).unwrap_or_default();
        // A forged answer must not end the wait for the real one.
        if let Ok(response) = Response::parse(message, id, question, now) {
            return Ok(response);
        }
    }
}

/// A message with its length in front, there and back (RFC 1035 §4.2.2): at most 64 KiB.
pub(super) async fn framed(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    query: &[u8],
) -> io::Result<Vec<u8>> {
    // A query has one name of at most 255 octets.
    let length = u16::try_from(query.len()).unwrap_or(u16::MAX);
    // In one write (RFC 7766 §8).
    stream.write_all(&[&length.to_be_bytes(), query].concat()).await?;
    stream.flush().await?;
    let length = stream.read_u16().await?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

/// RD, CD (RFC 4035 §3.2.2), and EDNS with DO (RFC 3225 §3, RFC 6891 §6.1.2). RD is for resolvers:
/// an authority is not asked to look elsewhere.
pub(super) fn query(whom: Whom, question: &Question, id: u16) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    let recursion = match whom {
        Whom::Resolver => 0x01,
        Whom::Authority => 0x00,
    };
    message.extend([recursion, 0x10, 0, 1, 0, 0, 0, 0, 0, 1]);
    message.extend(question.name.as_octets());
    message.extend(question.record_type.to_int().to_be_bytes());
    message.extend([0, 1]);
    message.extend([0, 0, 41]);
    message.extend(UDP_SIZE.to_be_bytes());
    message.extend([0, 0, 0x80, 0, 0, 0]);
    message
}

pub(super) fn random_id() -> u16 {
    let mut id = [0; 2];
    // The generator of aws-lc does not fail once it is seeded; a fixed id would still leave the
    // port to guess.
    let _filled = aws_lc_rs::rand::fill(&mut id);
    u16::from_be_bytes(id)
}

#[cfg(test)]
mod tests;
