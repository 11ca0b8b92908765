//! The source: submits messages over several long sessions, in the clear, as an inside mail server
//! would.

use std::{sync::Arc, time::Instant};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufStream},
    net::TcpStream,
};

use waxseal_bench::cpu;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to submit.
    #[arg(long)]
    to: String,
    /// Messages in all.
    #[arg(long)]
    messages: u64,
    /// Sessions side by side.
    #[arg(long)]
    sessions: u64,
    /// Size of each message, in octets.
    #[arg(long)]
    size: usize,
    /// Whether to use STARTTLS is decided by the sink: the ceiling is measured without.
    #[arg(long, default_value = "sender.bench.test")]
    sender_domain: String,
}

/// What the source says at its end.
#[derive(Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) seconds: f64,
    pub(crate) cpu_seconds: f64,
    /// Each wait from the final dot to its 250, in milliseconds: the median and the 99th percentile.
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(submit(args))
}

async fn submit(args: &Args) -> anyhow::Result<()> {
    let started = Instant::now();
    let body: Arc<[u8]> = message(args.size).into();
    let mut sessions = tokio::task::JoinSet::new();
    for session in 0..args.sessions {
        let share =
            args.messages / args.sessions + u64::from(session < args.messages % args.sessions);
        let (to, from, body) = (args.to.clone(), args.sender_domain.clone(), Arc::clone(&body));
        sessions.spawn(async move { one_session(&to, &from, share, &body).await });
    }
    let mut waits = Vec::new();
    while let Some(ended) = sessions.join_next().await {
        waits.extend(ended??);
    }
    waits.sort_by(f64::total_cmp);
    let at = |share: f64| {
        let index = (waits.len() as f64 * share) as usize;
        waits.get(index.min(waits.len().saturating_sub(1))).copied().unwrap_or(0.0)
    };
    let report = Report {
        seconds: started.elapsed().as_secs_f64(),
        cpu_seconds: cpu::of_this_process()?.as_secs_f64(),
        p50_ms: at(0.5),
        p99_ms: at(0.99),
    };
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

/// A plain text message of about `size` octets, dot and all.
fn message(size: usize) -> Vec<u8> {
    let mut text = b"From: ada@sender.bench.test\r\nTo: grace@receiver.bench.test\r\n\
        Subject: benchmark\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\n\
        Message-ID: <1@sender.bench.test>\r\n\r\n"
        .to_vec();
    while text.len() + 5 < size {
        text.extend_from_slice(
            b"The quick brown fox jumps over the lazy dog, and then it rests for a\r\n",
        );
    }
    text.extend_from_slice(b".\r\n");
    text
}

async fn one_session(to: &str, from: &str, messages: u64, body: &[u8]) -> anyhow::Result<Vec<f64>> {
    let stream = TcpStream::connect(to).await.with_context(|| format!("connecting to {to}"))?;
    stream.set_nodelay(true)?;
    let mut stream = BufStream::new(stream);
    expect(&mut stream, "220").await?;
    stream.write_all(b"EHLO source.bench.test\r\n").await?;
    stream.flush().await?;
    expect(&mut stream, "250").await?;
    let flight =
        format!("MAIL FROM:<ada@{from}>\r\nRCPT TO:<grace@receiver.bench.test>\r\nDATA\r\n");
    let mut waits = Vec::new();
    for _ in 0..messages {
        stream.write_all(flight.as_bytes()).await?;
        stream.flush().await?;
        for code in ["250", "250", "354"] {
            expect(&mut stream, code).await?;
        }
        stream.write_all(body).await?;
        stream.flush().await?;
        let sent = Instant::now();
        expect(&mut stream, "250").await?;
        waits.push(sent.elapsed().as_secs_f64() * 1_000.0);
    }
    stream.write_all(b"QUIT\r\n").await?;
    stream.flush().await?;
    Ok(waits)
}

/// Reads one reply, which has to have this code.
async fn expect(stream: &mut BufStream<TcpStream>, code: &str) -> anyhow::Result<()> {
    let mut line = String::new();
    loop {
        line.clear();
        ensure!(stream.read_line(&mut line).await? > 0, "the server closed the session");
        ensure!(line.starts_with(code), "expected {code}, the server said: {}", line.trim_end());
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(());
        }
    }
}
