//! One GET over HTTPS from a host that somebody else chose: without redirects, within limits of time
//! and size, and never into a network of ours.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body as _, Incoming},
    header,
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, client::Resumption};
use rustls_pki_types::{ServerName, TrustAnchor};
use tokio::task::JoinSet;
use tokio_rustls::{TlsConnector, client::TlsStream};
use waxseal_core::{
    dns::Answer,
    domain::Domain,
    facts::{Refused, StsFailure},
    pki::Certificate,
    time::UnixTime,
};

use super::Settings;
use crate::{
    dial::{Dialler, FAMILY_OFF},
    gather::{Dns, hostile},
};

/// The most addresses of a host that are tried for mail.
const MAX_ADDRESSES: usize = 4;

/// The longest head of a response.
const MAX_HEAD: usize = 16 * 1024;

/// What is fetched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) host: &'a Domain,
    pub(crate) path: &'a str,
    /// The most octets of it that are read.
    pub(crate) most: usize,
}

/// The same file at each address of a host.
#[derive(Debug)]
pub(crate) struct Each {
    /// Where it was asked for, in the order of the addresses.
    pub(crate) asked: Vec<(IpAddr, Result<Fetched, StsFailure>)>,
    /// Where it was not: each with the reason.
    pub(crate) unasked: Vec<(IpAddr, Unasked)>,
}

/// Why nobody asked an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unasked {
    /// It could have been, and would be one too many.
    TooMany(String),
    /// It cannot be from here: it is none of the public Internet, or of a family that is switched off.
    NoWay(String),
}

/// The addresses of a host.
struct Found {
    /// Those that may be connected to, as DNS gives them; at least one.
    good: Vec<IpAddr>,
    /// The others.
    unasked: Vec<(IpAddr, Unasked)>,
}

/// What a web server answered.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    pub(crate) status: StatusCode,
    /// `Content-Type`, empty where there was none.
    pub(crate) media_type: Vec<u8>,
    /// `Location`.
    pub(crate) location: Option<Vec<u8>>,
    pub(crate) body: Body,
    /// Since when the certificate of the host is valid, and when it runs out.
    pub(crate) certificate_dates: Option<(UnixTime, UnixTime)>,
}

/// The body of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// All of it.
    Whole(Vec<u8>),
    /// More than was wanted: none of it is kept.
    TooLong,
    /// Only that of a 200 is read.
    NotRead,
}

/// Makes such requests.
#[derive(Clone)]
pub(crate) struct Https {
    pub(super) settings: Settings,
    dns: Arc<dyn Dns>,
    dialler: Dialler,
    tls: TlsConnector,
}

impl Https {
    pub(super) fn new(
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

    /// The same, with addresses from here.
    pub(super) fn through(&self, dns: Arc<dyn Dns>) -> Self {
        Self { dns, ..self.clone() }
    }

    /// Fetches it; within the time of the settings.
    pub(crate) async fn get(&self, wanted: Wanted<'_>) -> Result<Fetched, StsFailure> {
        let Wanted { host, .. } = wanted;
        let work = async {
            let Found { mut good, .. } = self.addresses(host).await?;
            good.truncate(MAX_ADDRESSES);
            self.get_at(wanted, &good).await
        };
        self.in_time(host, work).await
    }

    /// Fetches it from each of the first `most` addresses, at the same time; each within the time of the
    /// settings. A sender takes any of them (RFC 8461 §3.3), so whoever checks a domain looks at all; mail
    /// needs one.
    pub(crate) async fn get_each(
        &self,
        wanted: Wanted<'_>,
        most: usize,
    ) -> Result<Each, StsFailure> {
        let found = self.in_time(wanted.host, self.addresses(wanted.host)).await?;
        let Found { good: mut addresses, mut unasked } = found;
        // Name servers turn the order round: which are looked at is the same at each look.
        addresses.sort_unstable();
        let beyond = addresses.split_off(most.min(addresses.len()));
        let why = format!("not asked: {} has more than {most} addresses", wanted.host);
        let too_many = |address| (address, Unasked::TooMany(why.clone()));
        unasked.extend(beyond.into_iter().map(too_many));
        unasked.sort_by_key(|(address, _)| *address);
        let mut asking = JoinSet::new();
        for (place, address) in addresses.into_iter().enumerate() {
            let (https, host, path) = (self.clone(), wanted.host.clone(), wanted.path.to_owned());
            let most = wanted.most;
            asking.spawn(async move {
                let wanted = Wanted { host: &host, path: &path, most };
                let fetched = https.in_time(&host, https.get_at(wanted, &[address])).await;
                (place, address, fetched)
            });
        }
        let mut found = asking.join_all().await;
        found.sort_by_key(|(place, ..)| *place);
        let asked = found.into_iter().map(|(_, address, fetched)| (address, fetched)).collect();
        Ok(Each { asked, unasked })
    }

    async fn in_time<T>(
        &self,
        host: &Domain,
        work: impl Future<Output = Result<T, StsFailure>>,
    ) -> Result<T, StsFailure> {
        let seconds = self.settings.timeout.as_secs();
        tokio::time::timeout(self.settings.timeout, work).await.unwrap_or_else(|_| {
            Err(StsFailure::Unreached(format!("{host} did not finish within {seconds} s")))
        })
    }

    async fn get_at(
        &self,
        wanted: Wanted<'_>,
        addresses: &[IpAddr],
    ) -> Result<Fetched, StsFailure> {
        let stream = self.connect(wanted.host, addresses).await?;
        let leaf = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let read = leaf.and_then(|leaf| Certificate::read(leaf).ok());
        let certificate_dates = read.and_then(|leaf| leaf.dates().ok());
        let fetched = download(stream, wanted).await?;
        Ok(Fetched { certificate_dates, ..fetched })
    }

    /// The addresses that may be connected to, and the others.
    async fn addresses(&self, host: &Domain) -> Result<Found, StsFailure> {
        let all = match self.dns.addresses(host).await.answer {
            Answer::Found { value, .. } => value,
            Answer::Absent { .. } => {
                return Err(StsFailure::Fetch(format!("{host} has no address")));
            }
            Answer::Failed(failure) => return Err(StsFailure::Unreached(failure.to_string())),
        };
        let families = self.dialler.families();
        let own = &self.settings.own;
        let is_of_ours = self.settings.ours.iter().any(|ours| host.is_within(ours));
        let refused = |address: IpAddr| match is_of_ours {
            true => hostile(address),
            false => own.refuses(address),
        };
        let is_this = all.iter().any(|address| own.refuses(*address) == Some(Refused::Own));
        let (public, inside): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|address| refused(*address).is_none());
        if public.is_empty() && is_of_ours && is_this {
            // Inside, names often lead to other addresses than outside.
            let text = format!("{host} is this gateway, seen from inside: not looked at");
            return Err(StsFailure::Unreached(text));
        }
        if public.is_empty() {
            return Err(StsFailure::Fetch(format!("{host} has no public address")));
        }
        let (good, other): (Vec<_>, Vec<_>) =
            public.into_iter().partition(|address| families.allow(*address));
        if good.is_empty() {
            let text = format!("{host} has only addresses of a family that we have no way to");
            return Err(StsFailure::Unreached(text));
        }
        let no_way = |why: &str| {
            let why = why.to_owned();
            move |address| (address, Unasked::NoWay(why.clone()))
        };
        let inside = inside.into_iter().map(no_way("it is no public address"));
        let other = other.into_iter();
        let other = other.map(no_way(FAMILY_OFF));
        Ok(Found { good, unasked: inside.chain(other).collect() })
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
        Err(StsFailure::Unreached(last))
    }
}

/// A handshake that failed because of the certificate is a kind of its own (RFC 8460 §4.3.2.2).
fn handshake(host: &Domain, error: &io::Error) -> StsFailure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => {
            StsFailure::Certificate(format!("the certificate of {host} does not hold: {why}"))
        }
        Some(_) => StsFailure::Fetch(format!("no TLS with {host}: {error}")),
        // The connection ended: by whom, nobody knows.
        None => StsFailure::Unreached(format!("no TLS with {host}: {error}")),
    }
}

/// One GET over HTTP/1.1.
async fn download(
    stream: TlsStream<tokio::net::TcpStream>,
    wanted: Wanted<'_>,
) -> Result<Fetched, StsFailure> {
    let Wanted { host, path, most } = wanted;
    let broken = |error: hyper::Error| StsFailure::Fetch(format!("{host} broke off HTTP: {error}"));
    let (mut requests, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(MAX_HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let request = Request::builder()
        .method(Method::GET)
        .uri(path)
        .header(header::HOST, host.as_str())
        .header(header::USER_AGENT, concat!("waxseal/", env!("CARGO_PKG_VERSION")))
        .header(header::ACCEPT, "text/plain")
        .body(Empty::<Bytes>::new())
        .map_err(|error| StsFailure::Fetch(error.to_string()))?;
    let exchange = async {
        let response = requests.send_request(request).await.map_err(broken)?;
        let named = |name| response.headers().get(name).map(|value| value.as_bytes().to_vec());
        let media_type = named(header::CONTENT_TYPE).unwrap_or_default();
        let (status, location) = (response.status(), named(header::LOCATION));
        let body = match status {
            StatusCode::OK => body(host, response, most).await?,
            _ => Body::NotRead,
        };
        Ok(Fetched { status, media_type, location, body, certificate_dates: None })
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

/// The body, as far as it is allowed to go.
async fn body(
    host: &Domain,
    response: Response<Incoming>,
    most: usize,
) -> Result<Body, StsFailure> {
    let mut body = response.into_body();
    if body.size_hint().lower() > most as u64 {
        return Ok(Body::TooLong);
    }
    let mut file = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame
            .map_err(|error| StsFailure::Fetch(format!("{host} broke off the file: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        if file.len().saturating_add(data.len()) > most {
            return Ok(Body::TooLong);
        }
        file.extend_from_slice(&data);
    }
    Ok(Body::Whole(file))
}
