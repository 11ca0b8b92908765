//! Relays the same messages through Waxseal and through Postfix, in turn, on the same machine, to
//! the same sink, and prints messages/s and the CPU per message of MTA, source and sink.
//!
//! The parts run as processes of their own, so that the CPU of each can be told apart: the MTA's is
//! read from its cgroup, those of source and sink from the kernel's account of the process.

mod mta;
mod rounds;
mod sink;
mod source;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(about = "Waxseal beside Postfix: the same relay work, CPU per message and messages/s")]
struct Args {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    rounds: rounds::Args,
}

#[derive(Subcommand)]
enum Part {
    /// Takes messages over STARTTLS and counts them (started by the benchmark itself).
    Sink(sink::Args),
    /// Submits messages over several sessions (started by the benchmark itself).
    Source(source::Args),
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    match args.part {
        Some(Part::Sink(sink)) => sink::run(&sink),
        Some(Part::Source(source)) => source::run(&source),
        None => rounds::run(&args.rounds),
    }
}
