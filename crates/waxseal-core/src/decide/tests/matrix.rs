//! The whole truth table, as a file that is reviewed as a diff.

use std::fmt::Write;

use super::world::{ASKS, DANE, FLOORS, MEMORIES, MX, STS, World, facts, memory};
use crate::{
    channel::{Floor, Level},
    decide::{Chosen, Need, Obstacle, transport},
    envelope::TlsAsk,
};

/// Everything before the first block of `matrix.txt` is written by hand.
const FIRST_BLOCK: &str = "\n== floor none";

#[test]
fn matrix_shows_every_decision() {
    let kept = include_str!("../matrix.txt");
    let (header, table) = kept.split_at(kept.find(FIRST_BLOCK).unwrap_or(kept.len()));
    let now = table_of_all();
    if table != now {
        panic!(
            "decisions differ from matrix.txt; review this, and keep it if it is right:\n{header}{now}"
        );
    }
}

fn table_of_all() -> String {
    let mut out = String::new();
    for floor in FLOORS {
        // Blocks that do not differ are written once.
        let mut written: Vec<(String, String)> = Vec::new();
        for ask in ASKS {
            for level in MEMORIES {
                let title = format!("message {}, memory {}", asks(ask), remembers(level));
                let rows = rows(floor, ask, level);
                match written.iter_mut().find(|(_, same)| *same == rows) {
                    Some((titles, _)) => write!(titles, "\n   {title}").unwrap(),
                    None => written.push((format!("   {title}"), rows)),
                }
            }
        }
        for (titles, rows) in written {
            write!(out, "\n== floor {floor}\n{titles}\n\n{rows}").unwrap();
        }
    }
    out
}

const fn asks(ask: TlsAsk) -> &'static str {
    match ask {
        TlsAsk::Nothing => "-",
        TlsAsk::RequireTls => "REQUIRETLS",
        TlsAsk::TlsNotRequired => "TLS-Required: No",
    }
}

fn remembers(level: Option<Level>) -> &'static str {
    level.map_or("-", Level::as_str)
}

fn rows(floor: Floor, ask: TlsAsk, level: Option<Level>) -> String {
    let mut out = String::new();
    let mut line = format!("{:8} {:8}", "mx", "tlsa");
    for sts in STS {
        write!(line, " {:11}", sts.name()).unwrap();
    }
    writeln!(out, "{}", line.trim_end()).unwrap();
    for mx in MX {
        for dane in DANE {
            let mut line = format!("{:8} {:8}", mx.name(), dane.name());
            for sts in STS {
                let mut world = World::new(floor, facts(mx, dane, sts));
                world.ask.tls = ask;
                world.memory = memory(level);
                write!(line, " {:11}", cell(transport(&world.ground()))).unwrap();
            }
            writeln!(out, "{}", line.trim_end()).unwrap();
        }
    }
    out
}

fn cell(decided: Result<Chosen, Obstacle>) -> String {
    let need = match decided {
        Ok(chosen) => chosen.need,
        Err(obstacle) => return refusal(&obstacle).to_owned(),
    };
    let parts = [(Need::DANE, "dane"), (Need::STS, "sts"), (Need::ANCHOR, "anchor")];
    let parts: Vec<_> =
        parts.iter().filter(|(part, _)| need.covers(*part)).map(|(_, name)| *name).collect();
    match (parts.is_empty(), need.covers(Need::TLS)) {
        (false, _) => parts.join("+"),
        (true, true) => "tls".into(),
        (true, false) => "clear".into(),
    }
}

const fn refusal(obstacle: &Obstacle) -> &'static str {
    match obstacle {
        Obstacle::NoAddress => "no address!",
        Obstacle::AddressFailed(_) => "address?",
        Obstacle::TlsaFailed(_) => "tlsa?",
        Obstacle::StsUnknown { .. } => "sts?",
        Obstacle::NotListed => "unlisted!",
        Obstacle::BelowFloor(_) => "floor!",
        Obstacle::Remembered(_) => "memory!",
        Obstacle::RequireTls => "reqtls!",
        Obstacle::FirstPolicy => "first!",
    }
}
