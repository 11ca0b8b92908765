//! Clients that speak SMTP line by line, with and without TLS, fast and slow.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};
use tokio_rustls::TlsConnector;

use super::world::{Identity, World};

trait Both: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Both for T {}

/// One connection of a client.
pub(crate) struct Wire {
    tcp: Option<TcpStream>,
    tls: Option<Box<dyn Both>>,
    read: Vec<u8>,
}

impl Wire {
    pub(crate) async fn connect(from: IpAddr, to: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(from, 0)).unwrap();
        let stream = socket.connect(to).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { tcp: Some(stream), tls: None, read: Vec::new() }
    }

    fn stream(&mut self) -> &mut dyn Both {
        match (&mut self.tls, &mut self.tcp) {
            (Some(tls), _) => tls,
            (None, Some(tcp)) => tcp,
            (None, None) => panic!("the handshake failed before"),
        }
    }

    /// TLS with a client that trusts the world's CA.
    pub(crate) async fn secure(mut self, world: &World, identity: Option<Identity>) -> Self {
        self.try_secure(&world.authority.roots(), identity).await.unwrap();
        self
    }

    pub(crate) async fn try_secure(
        &mut self,
        roots: &Arc<RootCertStore>,
        identity: Option<Identity>,
    ) -> io::Result<()> {
        assert!(self.read.is_empty(), "unread: {:?}", self.read);
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(Arc::clone(roots));
        let config = match identity {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
            None => builder.with_no_client_auth(),
        };
        let name = ServerName::try_from("gw.example.com").unwrap();
        let tcp = self.tcp.take().unwrap();
        let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
        self.tls = Some(Box::new(tls));
        Ok(())
    }

    /// Writes; a server that has closed already is found out by what it said.
    pub(crate) async fn write(&mut self, octets: &[u8]) {
        let stream = self.stream();
        if stream.write_all(octets).await.is_ok() {
            let _ = stream.flush().await;
        }
    }

    /// The next line; `None` at the end of the connection.
    pub(crate) async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.read.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.read.drain(..at + 2).take(at).collect();
                return Some(String::from_utf8(line).unwrap());
            }
            let mut space = [0; 4_096];
            match self.stream().read(&mut space).await {
                Ok(0) | Err(_) => return None,
                Ok(more) => self.read.extend_from_slice(&space[..more]),
            }
        }
    }

    /// A whole reply, continuation lines included.
    pub(crate) async fn reply(&mut self) -> String {
        let mut lines = Vec::new();
        while let Some(line) = self.line().await {
            let last = line.as_bytes().get(3) != Some(&b'-');
            lines.push(line);
            if last {
                break;
            }
        }
        lines.join("\n")
    }

    /// Everything up to the end of the connection.
    pub(crate) async fn rest(&mut self) -> String {
        let mut lines = Vec::new();
        while let Some(line) = self.line().await {
            lines.push(line);
        }
        lines.join("\n")
    }

    /// Greeting and EHLO.
    pub(crate) async fn greeted(&mut self) {
        let greeting = self.reply().await;
        assert!(greeting.starts_with("220 gw.example.com"), "{greeting:?}");
        self.says("EHLO client.example", "250").await;
    }

    /// A line, and how the reply has to begin.
    pub(crate) async fn says(&mut self, line: &str, reply: &str) {
        self.write(format!("{line}\r\n").as_bytes()).await;
        let found = self.reply().await;
        assert!(found.starts_with(reply), "{line}: {reply} was expected, and {found:?} came");
    }

    /// Writes a piece at every tick until the server says something.
    pub(crate) async fn drip(&mut self, piece: &[u8], tick: Duration) -> String {
        let (mut reads, mut writes) = tokio::io::split(self.tcp.take().unwrap());
        let mut ticks = tokio::time::interval(tick);
        let mut said = Vec::new();
        loop {
            tokio::select! {
                read = reads.read_buf(&mut said) => match read {
                    Ok(0) | Err(_) => return String::from_utf8(said).unwrap(),
                    Ok(_) => {}
                },
                _ = ticks.tick() => {
                    let _ = writes.write_all(piece).await;
                }
            }
        }
    }
}
