//! Many clients that say STARTTLS, EHLO, and then nothing more.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Context, bail, ensure};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader},
    net::{TcpSocket, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use waxseal_bench::open_files;

/// Sessions from one address: the default of `limits.sessions_per_client`.
const EACH: u32 = 100;
/// Handshakes at a time.
const AT_ONCE: usize = 32;

/// Files that are open beside the sessions.
const OTHERS: u64 = 64;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    port: u16,
    #[arg(long)]
    sessions: u32,
    /// The server's, PEM
    #[arg(long)]
    certificate: PathBuf,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    open_files::allow(u64::from(args.sessions) + OTHERS)?;
    crate::runtime()?.block_on(async {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&args.certificate)?)?;
        let config =
            rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let tls = TlsConnector::from(Arc::new(config));
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        let mut opening = JoinSet::new();
        for number in 0..args.sessions {
            let (tls, turns, port) = (tls.clone(), Arc::clone(&turns), args.port);
            opening.spawn(async move {
                let _turn = turns.acquire().await?;
                open(number, port, &tls).await.with_context(|| format!("session {number}"))
            });
        }
        let mut sessions = Vec::new();
        while let Some(opened) = opening.join_next().await {
            sessions.push(opened??);
            if sessions.len() % 2_000 == 0 {
                eprintln!("sessions: {} of {}", sessions.len(), args.sessions);
            }
        }
        println!("ready");
        // Until the benchmark closes our input.
        tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()))
            .await??;
        for session in &mut sessions {
            still_there(session).await?;
        }
        Ok(())
    })
}

/// One session up to the reply to its second EHLO.
async fn open(number: u32, port: u16, tls: &TlsConnector) -> anyhow::Result<TlsStream<TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    let source = u32::from(Ipv4Addr::LOCALHOST) + number / EACH;
    socket.bind(SocketAddr::from((Ipv4Addr::from(source), 0)))?;
    let mut stream = socket.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    expect(&mut stream, "220").await?;
    stream.write_all(b"EHLO client.bench.test\r\n").await?;
    expect(&mut stream, "250").await?;
    stream.write_all(b"STARTTLS\r\n").await?;
    expect(&mut stream, "220").await?;
    let mut stream = tls.connect(ServerName::try_from("gw.bench.test")?, stream).await?;
    stream.write_all(b"EHLO client.bench.test\r\n").await?;
    stream.flush().await?;
    expect(&mut stream, "250").await?;
    Ok(stream)
}

/// Reads one reply, which has to have this code. The server says nothing behind it.
async fn expect(stream: &mut (impl AsyncRead + Unpin), code: &str) -> anyhow::Result<()> {
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    loop {
        line.clear();
        ensure!(lines.read_line(&mut line).await? > 0, "the server closed the session");
        ensure!(line.starts_with(code), "expected {code}, the server said: {}", line.trim_end());
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(());
        }
    }
}

/// A session that the server had closed meanwhile would not have counted.
async fn still_there(stream: &mut TlsStream<TcpStream>) -> anyhow::Result<()> {
    stream.write_all(b"NOOP\r\n").await?;
    stream.flush().await?;
    if let Err(error) = expect(stream, "250").await {
        bail!("a session did not last: {error}");
    }
    Ok(())
}
