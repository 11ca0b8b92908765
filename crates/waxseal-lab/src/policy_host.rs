//! Hosts that serve MTA-STS policies: real HTTPS (RFC 8461 §3.3).

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, RwLock},
};

use anyhow::Result;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, header, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use crate::ca::Identity;

/// What a policy host answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 200, `text/plain`, this text.
    Policy(String),
    /// 200 with this media type and text.
    MediaType(String, String),
    /// 301 to this address, which a client must not follow (RFC 8461 §3.3).
    Redirect(String),
    /// 404 with a friendly page.
    NotFound,
    /// A policy, and then comment after comment up to so many octets.
    Huge(usize),
    /// The connection is taken and nothing is ever said.
    Slow,
    /// The connection is cut before TLS: somebody drops the packets.
    Blocked,
}

/// How a policy host behaves.
#[derive(Clone)]
pub struct PolicyPersonality {
    /// What it shows in the handshake.
    pub identity: Identity,
    /// What it answers.
    pub answer: Answer,
}

/// The text of a policy for hosts `mx` with a life of a week.
pub fn policy_text(mode: &str, mx: &[&str]) -> String {
    let hosts: String = mx.iter().map(|host| format!("mx: {host}\r\n")).collect();
    format!("version: STSv1\r\nmode: {mode}\r\n{hosts}max_age: 604800\r\n")
}

/// A running policy host. Dropping it stops it.
pub struct PolicyHost {
    address: SocketAddr,
    personality: Arc<RwLock<PolicyPersonality>>,
    requests: Arc<RwLock<Vec<String>>>,
    _task: JoinSet<()>,
}

impl PolicyHost {
    /// Listens on 127.0.0.1.
    ///
    /// # Errors
    /// No socket on loopback can be had.
    pub async fn start(personality: PolicyPersonality) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let personality = Arc::new(RwLock::new(personality));
        let requests = Arc::new(RwLock::new(Vec::new()));
        let mut task = JoinSet::new();
        task.spawn(serve(listener, Arc::clone(&personality), Arc::clone(&requests)));
        Ok(Self { address, personality, requests, _task: task })
    }

    /// Where it listens.
    pub const fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Behaves so from now on.
    pub fn become_like(&self, personality: PolicyPersonality) {
        if let Ok(mut current) = self.personality.write() {
            *current = personality;
        }
    }

    /// The requests that came so far: host and path.
    pub fn requests(&self) -> Vec<String> {
        self.requests.read().map(|log| log.clone()).unwrap_or_default()
    }
}

async fn serve(
    listener: TcpListener,
    personality: Arc<RwLock<PolicyPersonality>>,
    requests: Arc<RwLock<Vec<String>>>,
) {
    let mut sessions = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let Ok(personality) = personality.read().map(|p| p.clone()) else { continue };
        let requests = Arc::clone(&requests);
        sessions.spawn(async move {
            let _ended = session(stream, personality, requests).await;
        });
        while sessions.try_join_next().is_some() {}
    }
}

async fn session(
    stream: TcpStream,
    personality: PolicyPersonality,
    requests: Arc<RwLock<Vec<String>>>,
) -> Result<()> {
    if personality.answer == Answer::Blocked {
        return Ok(());
    }
    let stream = TlsAcceptor::from(personality.identity.config).accept(stream).await?;
    let answer = personality.answer;
    let service = service_fn(move |request: Request<Incoming>| {
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        if let Ok(mut log) = requests.write() {
            log.push(format!("{}{}", host.unwrap_or_default(), request.uri().path()));
        }
        let answer = answer.clone();
        async move { Ok::<_, Infallible>(respond(answer).await) }
    });
    hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await?;
    Ok(())
}

async fn respond(answer: Answer) -> Response<Full<Bytes>> {
    let plain = "text/plain; charset=utf-8".to_owned();
    let (status, name, value, body) = match answer {
        Answer::Policy(text) => (200, header::CONTENT_TYPE, plain, text),
        Answer::MediaType(media_type, text) => (200, header::CONTENT_TYPE, media_type, text),
        Answer::Redirect(target) => (301, header::LOCATION, target, String::new()),
        Answer::NotFound => (404, header::CONTENT_TYPE, plain, "no such page".to_owned()),
        Answer::Huge(size) => {
            let mut text = policy_text("enforce", &["*.example"]);
            let rest = size.saturating_sub(text.len());
            text.push_str(&"x-filler: 0123456789\r\n".repeat(rest / 22 + 1));
            (200, header::CONTENT_TYPE, plain, text)
        }
        Answer::Slow | Answer::Blocked => std::future::pending().await,
    };
    Response::builder()
        .status(status)
        .header(name, value)
        .body(Full::new(Bytes::from(body)))
        .unwrap_or_default()
}
