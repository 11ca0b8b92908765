//! The HTTP listener under every role: bounded in connections and time, with the headers that
//! keep a browser from doing anything that the page does not need.

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    extract::{DefaultBodyLimit, Request},
    http::{HeaderName, HeaderValue, header},
    middleware::{self, Next},
    response::Response,
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use crate::listen::{Origin, Sessions};

/// Connections at once for one role, and from one client where strangers come.
const CONNECTIONS: usize = 256;
const PER_CLIENT: usize = 16;
/// A header has to arrive within this time, and a connection ends after this time.
const HEADER: Duration = Duration::from_secs(10);
const CONNECTION: Duration = Duration::from_mins(5);
/// A stranger's connection: one request and its answer.
const STRANGER: Duration = Duration::from_secs(30);
/// Forms are small.
const BODY: usize = 64 * 1024;

/// A socket that is bound and not yet served.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    /// Where it is bound, the port filled in.
    pub address: SocketAddr,
}

impl Listener {
    /// Binds.
    ///
    /// # Errors
    /// The address is taken, not ours, or below 1024 without the right to it.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }
}

/// The name that a client asked for in the TLS handshake; `None` without TLS, or without a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sni(pub(super) Option<String>);

/// Serves a role until `stop` ends. Connections that are open then are closed by the end of
/// the process.
pub async fn serve(listener: Listener, router: Router, stop: impl Future<Output = ()>) {
    serve_all(listener, router, Guests::Known, stop).await;
}

/// The same over TLS, for strangers: few connections for each, and one request on each.
pub async fn serve_tls(
    listener: Listener,
    router: Router,
    tls: Arc<ServerConfig>,
    stop: impl Future<Output = ()>,
) {
    let acceptor = TlsAcceptor::from(tls);
    serve_all(listener, router, Guests::Strangers(acceptor, Arc::default()), stop).await;
}

/// Who comes.
#[derive(Clone)]
enum Guests {
    /// Our own people and machines.
    Known,
    /// Everybody.
    Strangers(TlsAcceptor, Arc<Sessions>),
}

async fn serve_all(
    listener: Listener,
    router: Router,
    guests: Guests,
    stop: impl Future<Output = ()>,
) {
    let router = router.layer(DefaultBodyLimit::max(BODY)).layer(middleware::from_fn(with_headers));
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut stop = std::pin::pin!(stop);
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = &mut stop => return,
            accepted = listener.socket.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => {
                let (router, guests) = (router.clone(), guests.clone());
                tokio::spawn(async move {
                    match guests {
                        Guests::Known => {
                            let router = router.layer(Extension(Sni(None)));
                            connection(stream, router, KeepAlive::Yes).await;
                        }
                        Guests::Strangers(tls, sessions) => {
                            let origin = Origin::of(from.ip());
                            // Beyond the limit the connection is just closed.
                            if let Ok(_place) = sessions.enter(origin, CONNECTIONS, PER_CLIENT) {
                                secured(stream, router, &tls).await;
                            }
                        }
                    }
                    drop(permit);
                });
            }
            // Out of descriptors: the next moment may be better, and others need the turn.
            Err(error) => {
                tracing::warn!("a web connection cannot be taken: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// The handshake has as long as a header.
async fn secured(stream: TcpStream, router: Router, tls: &TlsAcceptor) {
    match timeout(HEADER, tls.accept(stream)).await {
        Ok(Ok(stream)) => {
            let name = stream.get_ref().1.server_name().map(str::to_owned);
            connection(stream, router.layer(Extension(Sni(name))), KeepAlive::No).await;
        }
        Ok(Err(error)) => tracing::debug!("a web connection came to no TLS: {error}"),
        Err(_) => tracing::debug!("a web connection began no TLS in time"),
    }
}

/// Whether a connection takes a second request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeepAlive {
    Yes,
    No,
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
    router: Router,
    keep: KeepAlive,
) {
    let longest = match keep {
        KeepAlive::Yes => CONNECTION,
        KeepAlive::No => STRANGER,
    };
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER)
        .max_buf_size(16 * 1024)
        .keep_alive(keep == KeepAlive::Yes)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    match timeout(longest, served).await {
        Ok(Ok(())) | Err(_) => {}
        Ok(Err(error)) => tracing::debug!("a web connection broke: {error}"),
    }
}

/// Nothing but our own style sheet and forms; no frames, no sniffing, no referrer, no cache.
const HEADERS: [(HeaderName, &str); 8] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; \
         base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];

async fn with_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
