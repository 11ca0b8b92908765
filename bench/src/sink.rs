//! A receiving server that costs as little as it can, with STARTTLS.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rustls_pki_types::PrivateKeyDer;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use tokio_rustls::TlsAcceptor;

/// What it does with mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Takes it.
    Takes,
    /// Puts it off: 451 to each MAIL.
    PutsOff,
}

/// What it has seen.
#[derive(Debug, Default)]
pub struct Counters {
    /// Messages taken, or put off.
    pub messages: AtomicU64,
    /// Connections.
    pub connections: AtomicU64,
    /// Sessions that did not use TLS.
    pub cleartext: AtomicU64,
    counted: Notify,
}

impl Counters {
    /// A counter as it stands.
    pub fn read(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }

    fn count(&self, counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
        self.counted.notify_waiters();
    }

    /// Waits until one of the counters has come so far.
    pub async fn reached(&self, counter: &AtomicU64, wanted: u64) {
        loop {
            let mut counted = pin!(self.counted.notified());
            counted.as_mut().enable();
            if Self::read(counter) >= wanted {
                return;
            }
            counted.await;
        }
    }
}

/// A receiving server.
pub struct Sink {
    /// What it has seen.
    pub counters: Arc<Counters>,
    manner: Manner,
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Sink").field(&self.listener).finish()
    }
}

impl Sink {
    /// Takes a port on loopback.
    ///
    /// # Errors
    /// There is none.
    pub async fn bind(manner: Manner) -> anyhow::Result<Self> {
        let issued = rcgen::generate_simple_self_signed(vec!["sink.bench.test".to_owned()])?;
        let key = PrivateKeyDer::try_from(issued.signing_key.serialize_der())
            .map_err(|error| anyhow::anyhow!("{error}"))?;
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![issued.cert.der().clone()], key)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Self { counters: Arc::default(), manner, listener, acceptor })
    }

    /// Its port.
    ///
    /// # Errors
    /// Only what the system says of its own socket.
    pub fn port(&self) -> anyhow::Result<u16> {
        Ok(self.listener.local_addr()?.port())
    }

    /// Serves until it is dropped.
    ///
    /// # Errors
    /// No connection can be taken any more.
    pub async fn serve(self) -> anyhow::Result<()> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            stream.set_nodelay(true)?;
            self.counters.count(&self.counters.connections);
            let (acceptor, counters) = (self.acceptor.clone(), Arc::clone(&self.counters));
            let manner = self.manner;
            tokio::spawn(async move {
                // A peer that leaves without QUIT is no matter for the count.
                let _ = connection(stream, acceptor, &counters, manner).await;
            });
        }
    }
}

async fn connection(
    mut stream: TcpStream,
    acceptor: TlsAcceptor,
    counters: &Counters,
    manner: Manner,
) -> std::io::Result<()> {
    stream.write_all(b"220 sink.bench.test ESMTP\r\n").await?;
    let mut session = Session::new("STARTTLS\r\n250-", manner);
    if session.run(&mut stream, counters).await? == End::StartTls {
        let mut stream = acceptor.accept(stream).await?;
        Session::new("", manner).run(&mut stream, counters).await?;
    } else {
        counters.count(&counters.cleartext);
    }
    Ok(())
}

#[derive(PartialEq, Eq)]
enum End {
    StartTls,
    Quit,
}

/// One stretch of SMTP on one stream.
struct Session {
    offers: &'static str,
    manner: Manner,
    input: Vec<u8>,
    in_data: bool,
}

impl Session {
    const fn new(offers: &'static str, manner: Manner) -> Self {
        Self { offers, manner, input: Vec::new(), in_data: false }
    }

    async fn run(
        &mut self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        counters: &Counters,
    ) -> std::io::Result<End> {
        self.input.reserve(32 * 1024);
        let mut output = Vec::with_capacity(512);
        loop {
            if stream.read_buf(&mut self.input).await? == 0 {
                return Ok(End::Quit);
            }
            let end = self.answer(&mut output, counters);
            stream.write_all(&output).await?;
            stream.flush().await?;
            output.clear();
            if let Some(end) = end {
                return Ok(end);
            }
        }
    }

    /// Answers all that has arrived.
    fn answer(&mut self, output: &mut Vec<u8>, counters: &Counters) -> Option<End> {
        let mut used = 0;
        let mut end = None;
        while end.is_none() {
            let rest = self.input.get(used..).unwrap_or_default();
            if self.in_data {
                let Some(at) = find(rest, b"\r\n.\r\n") else { break };
                used += at + 5;
                self.in_data = false;
                output.extend_from_slice(b"250 2.0.0 taken\r\n");
                counters.count(&counters.messages);
                continue;
            }
            let Some(at) = find(rest, b"\r\n") else { break };
            let verb = rest.get(..4).unwrap_or_default().to_ascii_uppercase();
            used += at + 2;
            match verb.as_slice() {
                b"EHLO" => output.extend_from_slice(
                    format!(
                        "250-sink.bench.test\r\n250-{}PIPELINING\r\n250-SIZE 50000000\r\n\
                         250-ENHANCEDSTATUSCODES\r\n250-SMTPUTF8\r\n250 8BITMIME\r\n",
                        self.offers
                    )
                    .as_bytes(),
                ),
                b"MAIL" if self.manner == Manner::PutsOff => {
                    output.extend_from_slice(b"451 4.3.2 not now\r\n");
                    counters.count(&counters.messages);
                }
                // After a MAIL that was put off in a pipeline (RFC 2920 §3.1).
                b"RCPT" | b"DATA" if self.manner == Manner::PutsOff => {
                    output.extend_from_slice(b"503 5.5.1 MAIL first\r\n");
                }
                b"DATA" => {
                    output.extend_from_slice(b"354 go on\r\n");
                    self.in_data = true;
                }
                b"STAR" => {
                    output.extend_from_slice(b"220 2.0.0 go ahead\r\n");
                    end = Some(End::StartTls);
                }
                b"QUIT" => {
                    output.extend_from_slice(b"221 2.0.0 bye\r\n");
                    end = Some(End::Quit);
                }
                _ => output.extend_from_slice(b"250 2.0.0 ok\r\n"),
            }
        }
        self.input.drain(..used);
        end
    }
}

/// Where `needle` begins in `haystack`. Data that begins with the final dot's line is not sent here.
fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
