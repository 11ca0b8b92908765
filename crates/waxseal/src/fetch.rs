//! Fetches MTA-STS policies over HTTPS (RFC 8461 §3.3): from one host, at one path, without
//! redirects, within limits of time and size.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Incoming},
    header,
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, client::Resumption};
use rustls_pki_types::{ServerName, TrustAnchor};
use tokio_rustls::{TlsConnector, client::TlsStream};
use waxseal_core::{
    dns::Answer,
    domain::Domain,
    facts::StsFailure,
    sts::{MAX_POLICY_BYTES, Policy},
};

use crate::{
    dial::Dialler,
    gather::{Dns, Own, PolicySource, Soon},
};

/// Where every policy is (RFC 8461 §3.3).
const PATH: &str = "/.well-known/mta-sts.txt";

/// The most addresses of a policy host that are tried.
const MAX_ADDRESSES: usize = 4;

/// The longest head of a response.
const MAX_HEAD: usize = 16 * 1024;

/// How policies are fetched.
#[derive(Clone, Debug)]
pub struct Settings {
    /// 443.
    pub port: u16,
    /// For everything together: addresses, TLS, head and body (RFC 8461 §3.3: a minute).
    pub timeout: Duration,
    /// Addresses that are ours; a policy host there is refused like one in a private network.
    pub own: Own,
}

impl Default for Settings {
    fn default() -> Self {
        Self { port: 443, timeout: Duration::from_secs(60), own: Own::default() }
    }
}

/// Fetches policies.
#[derive(Clone)]
pub struct PolicyFetcher {
    settings: Settings,
    dns: Arc<dyn Dns>,
    dialler: Dialler,
    tls: TlsConnector,
}

impl std::fmt::Debug for PolicyFetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PolicyFetcher").field(&self.settings).finish()
    }
}

impl PolicyFetcher {
    /// A fetcher that believes certificates of `roots`.
    ///
    /// # Errors
    /// The cryptographic provider lacks what TLS 1.2 or 1.3 need: a broken build.
    pub fn new(
        settings: Settings,
        dns: Arc<dyn Dns>,
        dialler: Dialler,
        roots: &[TrustAnchor<'static>],
    ) -> Result<Self, rustls::Error> {
        let roots: RootCertStore = roots.iter().cloned().collect();
        let mut config = ClientConfig::builder_with_provider(crate::tls::provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // Each fetch verifies the certificate anew.
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let tls = TlsConnector::from(Arc::new(config));
        Ok(Self { settings, dns, dialler, tls })
    }

    async fn policy(&self, destination: &Domain) -> Result<Policy, StsFailure> {
        let host = destination
            .below("mta-sts")
            .map_err(|error| StsFailure::Fetch(format!("mta-sts.{destination}: {error}")))?;
        let addresses = self.addresses(&host).await?;
        let stream = self.connect(&host, &addresses).await?;
        let file = download(stream, &host).await?;
        Policy::parse(&file).map_err(|error| {
            StsFailure::Invalid(format!("what {host} serves is not a policy: {error}"))
        })
    }

    /// The addresses of the policy host that may be connected to.
    async fn addresses(&self, host: &Domain) -> Result<Vec<IpAddr>, StsFailure> {
        let all = match self.dns.addresses(host).await.answer {
            Answer::Found { value, .. } => value,
            Answer::Absent { .. } => {
                return Err(StsFailure::Fetch(format!("{host} has no address")));
            }
            Answer::Failed(failure) => return Err(StsFailure::Fetch(failure.to_string())),
        };
        let families = self.dialler.families();
        let good: Vec<_> = all
            .into_iter()
            .filter(|address| families.allow(*address))
            .filter(|address| self.settings.own.refuses(*address).is_none())
            .take(MAX_ADDRESSES)
            .collect();
        if good.is_empty() {
            let text = format!("{host} has no public address that we could connect to");
            return Err(StsFailure::Fetch(text));
        }
        Ok(good)
    }

    /// The first address that answers. One with a bad certificate is an answer, too.
    async fn connect(
        &self,
        host: &Domain,
        addresses: &[IpAddr],
    ) -> Result<TlsStream<tokio::net::TcpStream>, StsFailure> {
        let name = ServerName::try_from(host.as_str().to_owned())
            .map_err(|_| StsFailure::Fetch(format!("{host} cannot be a host name")))?;
        let mut last = format!("{host} has no address");
        for address in addresses {
            let address = SocketAddr::new(*address, self.settings.port);
            let tcp = match self.dialler.connect(address).await {
                Ok(tcp) => tcp,
                Err(error) => {
                    last = format!("{host} at {address} cannot be reached: {error}");
                    continue;
                }
            };
            return self.tls.connect(name, tcp).await.map_err(|error| handshake(host, &error));
        }
        Err(StsFailure::Fetch(last))
    }
}

impl PolicySource for PolicyFetcher {
    fn fetch<'a>(&'a self, destination: &'a Domain) -> Soon<'a, Result<Policy, StsFailure>> {
        Box::pin(async move {
            let seconds = self.settings.timeout.as_secs();
            tokio::time::timeout(self.settings.timeout, self.policy(destination))
                .await
                .unwrap_or_else(|_| {
                    let text = format!("mta-sts.{destination} did not finish within {seconds} s");
                    Err(StsFailure::Fetch(text))
                })
        })
    }
}

/// A handshake that failed because of the certificate is a kind of its own (RFC 8460 §4.3.2.2).
fn handshake(host: &Domain, error: &io::Error) -> StsFailure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => {
            StsFailure::Certificate(format!("the certificate of {host} does not hold: {why}"))
        }
        Some(_) | None => StsFailure::Fetch(format!("no TLS with {host}: {error}")),
    }
}

/// One GET over HTTP/1.1.
async fn download(
    stream: TlsStream<tokio::net::TcpStream>,
    host: &Domain,
) -> Result<Vec<u8>, StsFailure> {
    let broken = |error: hyper::Error| StsFailure::Fetch(format!("{host} broke off HTTP: {error}"));
    let (mut requests, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let request = Request::builder()
        .method(Method::GET)
        .uri(PATH)
        .header(header::HOST, host.as_str())
        .header(header::USER_AGENT, concat!("waxseal/", env!("CARGO_PKG_VERSION")))
        .header(header::ACCEPT, "text/plain")
        .body(Empty::<Bytes>::new())
        .map_err(|error| StsFailure::Fetch(error.to_string()))?;
    let exchange = async {
        let response = requests.send_request(request).await.map_err(broken)?;
        check(host, &response)?;
        body(host, response).await
    };
    // The connection is driven beside the exchange and ends with it.
    let mut connection = std::pin::pin!(connection);
    let mut exchange = std::pin::pin!(exchange);
    tokio::select! {
        done = &mut exchange => done,
        ended = &mut connection => match ended {
            // The last of the body may already be here.
            Ok(()) => exchange.await,
            Err(error) => Err(broken(error)),
        },
    }
}

/// 200 and `text/plain`, nothing else: a redirect is not followed, and an error page is no policy
/// (RFC 8461 §3.3).
fn check(host: &Domain, response: &Response<Incoming>) -> Result<(), StsFailure> {
    let status = response.status();
    if status.is_redirection() {
        let text = format!("{host} redirects ({status}), and redirects are not followed");
        return Err(StsFailure::Fetch(text));
    }
    if status != StatusCode::OK {
        return Err(StsFailure::Fetch(format!("{host} answered {status}")));
    }
    let media = response.headers().get(header::CONTENT_TYPE).map(|value| value.as_bytes());
    let essence = media.unwrap_or_default().split(|byte| *byte == b';').next().unwrap_or_default();
    if !essence.trim_ascii().eq_ignore_ascii_case(b"text/plain") {
        return Err(StsFailure::Invalid(format!("what {host} serves is not text/plain")));
    }
    Ok(())
}

/// The body, as far as it is allowed to go.
async fn body(host: &Domain, response: Response<Incoming>) -> Result<Vec<u8>, StsFailure> {
    let too_long =
        || StsFailure::Invalid(format!("{host} serves more than {MAX_POLICY_BYTES} octets"));
    let mut body = response.into_body();
    if body.size_hint().lower() > MAX_POLICY_BYTES as u64 {
        return Err(too_long());
    }
    let mut file = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame
            .map_err(|error| StsFailure::Fetch(format!("{host} broke off the policy: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if file.len().saturating_add(data.len()) > MAX_POLICY_BYTES {
            return Err(too_long());
        }
        file.extend_from_slice(&data);
    }
    Ok(file)
}
