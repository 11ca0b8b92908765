//! The sink: takes every message over STARTTLS as cheaply as it can, and counts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use anyhow::Context;
use rustls_pki_types::PrivateKeyDer;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use tokio_rustls::TlsAcceptor;

use crate::cpu;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Messages after which the sink reports and ends.
    #[arg(long)]
    expect: u64,
}

/// What the sink says at its end.
#[derive(Serialize, Deserialize)]
pub(crate) struct Report {
    /// From the first connection to the last message.
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    pub(crate) connections: u64,
    /// Sessions that did not use TLS.
    pub(crate) cleartext: u64,
}

#[derive(Default)]
struct Counters {
    messages: AtomicU64,
    connections: AtomicU64,
    cleartext: AtomicU64,
    done: Notify,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(args))
}

async fn serve(args: &Args) -> anyhow::Result<()> {
    let issued = rcgen::generate_simple_self_signed(vec!["sink.bench.test".to_owned()])?;
    let key = PrivateKeyDer::try_from(issued.signing_key.serialize_der())
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![issued.cert.der().clone()], key)?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());

    let counters = Arc::new(Counters::default());
    let expect = args.expect;
    let accepting = {
        let counters = Arc::clone(&counters);
        async move {
            let mut started = None;
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        started.get_or_insert_with(Instant::now);
                        let (stream, _) = accepted?;
                        stream.set_nodelay(true)?;
                        counters.connections.fetch_add(1, Ordering::Relaxed);
                        let (acceptor, counters) = (acceptor.clone(), Arc::clone(&counters));
                        tokio::spawn(async move {
                            // A peer that leaves without QUIT is no matter for the count.
                            let _ = connection(stream, acceptor, &counters, expect).await;
                        });
                    }
                    () = counters.done.notified() => {
                        return anyhow::Ok(started.map_or(0.0, |at| at.elapsed().as_secs_f64()));
                    }
                }
            }
        }
    };
    let seconds = accepting.await.context("sink")?;
    let report = Report {
        seconds,
        cpu_seconds: cpu::of_this_process()?.as_secs_f64(),
        connections: counters.connections.load(Ordering::Relaxed),
        cleartext: counters.cleartext.load(Ordering::Relaxed),
    };
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

async fn connection(
    mut stream: TcpStream,
    acceptor: TlsAcceptor,
    counters: &Counters,
    expect: u64,
) -> std::io::Result<()> {
    stream.write_all(b"220 sink.bench.test ESMTP\r\n").await?;
    let mut session = Session::new("STARTTLS\r\n250-");
    if session.run(&mut stream, counters, expect).await? == End::StartTls {
        let mut stream = acceptor.accept(stream).await?;
        Session::new("").run(&mut stream, counters, expect).await?;
    } else {
        counters.cleartext.fetch_add(1, Ordering::Relaxed);
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
    input: Vec<u8>,
    in_data: bool,
}

impl Session {
    fn new(offers: &'static str) -> Self {
        Self { offers, input: Vec::with_capacity(32 * 1024), in_data: false }
    }

    async fn run(
        &mut self,
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
        counters: &Counters,
        expect: u64,
    ) -> std::io::Result<End> {
        let mut output = Vec::with_capacity(512);
        loop {
            if stream.read_buf(&mut self.input).await? == 0 {
                return Ok(End::Quit);
            }
            let end = self.answer(&mut output, counters, expect);
            stream.write_all(&output).await?;
            stream.flush().await?;
            output.clear();
            if let Some(end) = end {
                return Ok(end);
            }
        }
    }

    /// Answers all that has arrived.
    fn answer(&mut self, output: &mut Vec<u8>, counters: &Counters, expect: u64) -> Option<End> {
        let mut used = 0;
        let mut end = None;
        while end.is_none() {
            let rest = self.input.get(used..).unwrap_or_default();
            if self.in_data {
                let Some(at) = find(rest, b"\r\n.\r\n") else { break };
                used += at + 5;
                self.in_data = false;
                output.extend_from_slice(b"250 2.0.0 taken\r\n");
                if counters.messages.fetch_add(1, Ordering::Relaxed) + 1 == expect {
                    counters.done.notify_one();
                }
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
