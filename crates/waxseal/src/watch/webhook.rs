//! Alerts to somebody else's system: one POST over HTTPS, signed, within limits.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::hmac;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{ServerName, TrustAnchor};
use tokio::{net::TcpStream, task::JoinSet};
use tokio_rustls::{TlsConnector, client::TlsStream};
use waxseal_core::{dns::Answer, domain::Domain, time::UnixTime};

use crate::{
    config::{self, Private},
    dial::Dialler,
    gather::{Dns, Own},
    secrets::{Secret, SecretSource},
};

/// What a call may take, unless a test is in a hurry.
pub const TIMEOUT: Duration = Duration::from_secs(15);
/// An address that said nothing for so long is not waited for alone: the next one is tried beside it.
const NEXT: Duration = Duration::from_secs(2);
/// The longest head of an answer; its body is not read.
const MAX_HEAD: usize = 16 * 1024;
/// The most addresses that are tried.
const MAX_ADDRESSES: usize = 4;

/// Where alerts are posted.
#[derive(Clone)]
pub struct Webhook {
    config: config::Webhook,
    secret: Option<Secret>,
    own: Own,
    dns: Arc<dyn Dns>,
    dialler: Dialler,
    tls: TlsConnector,
    timeout: Duration,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not its path: many services take that for a password.
        f.debug_tuple("Webhook").field(&self.config.host).finish()
    }
}

/// What a webhook calls with.
#[derive(Clone)]
pub struct Network {
    /// Asks for its addresses.
    pub dns: Arc<dyn Dns>,
    /// Connects.
    pub dialler: Dialler,
    /// Our own addresses.
    pub own: Own,
    /// For one call: addresses, TLS, request and answer.
    pub timeout: Duration,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Network").field(&self.dialler).finish()
    }
}

/// Why a call failed, in words; no part of the URL but its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It may work in a moment.
    Later(String),
    /// It will not before somebody mends something: a refused address, an answer of 4xx.
    Never(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Later(why) | Self::Never(why)) = self;
        f.write_str(why)
    }
}

/// What signs the posts, if anything does.
///
/// # Errors
/// In one sentence: it cannot be read.
pub(crate) fn secret(config: &config::Webhook) -> Result<Option<Secret>, String> {
    let read = config.secret.as_ref().map(|secret| SecretSource::from(secret).read());
    read.transpose().map_err(|error| format!("checks.webhook_secret: {error}"))
}

impl Webhook {
    /// Reads the secret.
    ///
    /// # Errors
    /// In one sentence: the secret cannot be read, or TLS cannot be set up.
    pub fn new(
        config: &config::Webhook,
        network: Network,
        roots: &[TrustAnchor<'static>],
    ) -> Result<Self, String> {
        let secret = secret(config)?;
        let roots: RootCertStore = roots.iter().cloned().collect();
        let mut tls = ClientConfig::builder_with_provider(crate::tls::provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let tls = TlsConnector::from(Arc::new(tls));
        let Network { dns, dialler, own, timeout } = network;
        Ok(Self { config: config.clone(), secret, own, dns, dialler, tls, timeout })
    }

    /// Posts `body` once. `id` goes along, the same for each attempt at one alert.
    ///
    /// # Errors
    /// It was not taken.
    pub async fn post(&self, id: &str, body: &[u8], now: UnixTime) -> Result<(), Failure> {
        let one = self.once(body, id, now);
        tokio::time::timeout(self.timeout, one).await.unwrap_or_else(|_| {
            let (host, limit) = (&self.config.host, self.timeout.as_secs());
            Err(Failure::Later(format!("{host} did not answer within {limit} s")))
        })
    }

    async fn once(&self, body: &[u8], id: &str, now: UnixTime) -> Result<(), Failure> {
        let host = &self.config.host;
        let mut last = Failure::Later(format!("{host} has no address"));
        let mut left = self.addresses().await?.into_iter();
        let mut trying = JoinSet::new();
        loop {
            if let Some(address) = left.next() {
                let (hook, address) = (self.clone(), SocketAddr::new(address, self.config.port));
                trying.spawn(async move { hook.connect(address).await });
            }
            tokio::select! {
                done = trying.join_next() => match done {
                    Some(Ok(Ok(tls))) => return self.exchange(tls, body, id, now).await,
                    Some(Ok(Err(failure))) => last = failure,
                    Some(Err(_)) => {}
                    None => return Err(last),
                },
                () = tokio::time::sleep(NEXT), if left.len() > 0 => {}
            }
        }
    }

    /// Nothing is said before TLS holds: until then another address will do.
    async fn connect(&self, address: SocketAddr) -> Result<TlsStream<TcpStream>, Failure> {
        let host = &self.config.host;
        let name = ServerName::try_from(host.clone())
            .map_err(|_| Failure::Never(format!("{host} cannot be a host name")))?;
        let tcp = self.dialler.connect(address).await;
        let tcp =
            tcp.map_err(|error| Failure::Later(format!("{host} cannot be reached: {error}")))?;
        let tls = self.tls.connect(name, tcp).await;
        tls.map_err(|error| Failure::Later(format!("no TLS with {host}: {error}")))
    }

    /// The addresses that may be connected to: an alert must not become a request inside our own
    /// network, whatever the DNS of the service says (SSRF).
    async fn addresses(&self) -> Result<Vec<IpAddr>, Failure> {
        let host = &self.config.host;
        let all = match host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => {
                let name = Domain::parse(host)
                    .map_err(|error| Failure::Never(format!("{host}: {error}")))?;
                match self.dns.addresses(&name).await.answer {
                    Answer::Found { value, .. } => value,
                    Answer::Absent { .. } => {
                        return Err(Failure::Later(format!("{host} has no address")));
                    }
                    Answer::Failed(failure) => return Err(Failure::Later(failure.to_string())),
                }
            }
        };
        let families = self.dialler.families();
        let may = |address: &IpAddr| match self.config.private {
            Private::Allowed => true,
            Private::Refused => self.own.refuses(*address).is_none(),
        };
        let good: Vec<_> = all
            .into_iter()
            .filter(|address| families.allow(*address))
            .filter(may)
            .take(MAX_ADDRESSES)
            .collect();
        if good.is_empty() {
            return Err(Failure::Never(format!(
                "{host} has no public address; checks.webhook_allow_private = true would allow \
                 others"
            )));
        }
        Ok(good)
    }

    async fn exchange(
        &self,
        tls: TlsStream<TcpStream>,
        body: &[u8],
        id: &str,
        now: UnixTime,
    ) -> Result<(), Failure> {
        let host = &self.config.host;
        let broken = |error: hyper::Error| Failure::Later(format!("{host} broke off: {error}"));
        let (mut requests, connection) = hyper::client::conn::http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .handshake(TokioIo::new(tls))
            .await
            .map_err(broken)?;
        let request = self.request(body, id, now)?;
        let mut connection = std::pin::pin!(connection);
        let mut answer = std::pin::pin!(requests.send_request(request));
        let response = tokio::select! {
            response = &mut answer => response,
            _ = &mut connection => answer.await,
        };
        let status = response.map_err(broken)?.status();
        let words = format!("{host} answered {status}");
        match status {
            status if status.is_success() => Ok(()),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                Err(Failure::Later(words))
            }
            status if status.is_server_error() => Err(Failure::Later(words)),
            // A redirect is not followed: the configuration says where alerts go.
            _ => Err(Failure::Never(words)),
        }
    }

    fn request(
        &self,
        body: &[u8],
        id: &str,
        now: UnixTime,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let authority = match self.config.port {
            443 => self.config.host.clone(),
            port => format!("{}:{port}", self.config.host),
        };
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(&self.config.path)
            .header(header::HOST, authority)
            .header(header::USER_AGENT, concat!("waxseal/", env!("CARGO_PKG_VERSION")))
            .header(header::CONTENT_TYPE, "application/json")
            .header("Waxseal-Alert", id);
        if let Some(secret) = &self.secret {
            request = request.header("Waxseal-Signature", signature(secret, body, now));
        }
        request
            .body(Full::new(Bytes::copy_from_slice(body)))
            .map_err(|error| Failure::Never(error.to_string()))
    }
}

/// `t=SECONDS,v1=HEX`: HMAC-SHA-256 over `SECONDS.BODY`. The time is covered, so that
/// a receiver can refuse what is old.
fn signature(secret: &Secret, body: &[u8], now: UnixTime) -> String {
    let text = secret.text().map_or(secret.bytes(), str::as_bytes);
    let key = hmac::Key::new(hmac::HMAC_SHA256, text);
    let mut context = hmac::Context::with_key(&key);
    context.update(format!("{}.", now.0).as_bytes());
    context.update(body);
    let mut value = format!("t={},v1=", now.0);
    for byte in context.sign().as_ref() {
        value.push_str(&format!("{byte:02x}"));
    }
    value
}
