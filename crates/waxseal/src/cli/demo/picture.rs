//! The matrix as a picture: one block a message class, attacks down, protections across.

use std::fmt::Write;

use waxseal_lab::{Attack, Protection};

use super::{
    Shown,
    table::{Message, Outcome},
};
use crate::cli::Paint;

const LABEL: usize = 23;
const COLUMN: usize = 9;

/// The whole picture; no line is longer than 100 columns.
pub(super) fn draw(results: &[Shown], paint: Paint) -> String {
    let mut out = String::new();
    let legend = [Outcome::Delivered, Outcome::Intercepted, Outcome::Held]
        .map(|outcome| format!("{} {}", glyph(outcome, paint), meaning(outcome)))
        .join("\n  ");
    let _ =
        writeln!(out, "Across: what the recipient has. Down: what happens on the way.\n  {legend}");
    for message in Message::ALL {
        block(&mut out, message, results, paint);
    }
    out
}

const fn heading(protection: Protection) -> &'static str {
    match protection {
        Protection::None => "no TLS",
        Protection::Opportunistic => "TLS only",
        Protection::StsTesting => "sts-test",
        Protection::StsCold => "sts-cold",
        Protection::StsCached => "sts-known",
        Protection::Dane => "dane",
        Protection::DaneAndSts => "dane+sts",
        Protection::Pinned => "pinned",
    }
}

const fn meaning(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Delivered => "delivered, and nobody on the way could read it",
        Outcome::Intercepted => "intercepted: the attacker read sender, recipient or body",
        Outcome::Held => "held by the gateway: nothing was said to anybody",
    }
}

/// A shape and a colour each, so that either alone is enough.
fn glyph(outcome: Outcome, paint: Paint) -> String {
    let (shape, colour) = match outcome {
        Outcome::Delivered => ('✓', "32"),
        Outcome::Intercepted => ('✗', "1;31"),
        Outcome::Held => ('■', "33"),
    };
    match paint {
        Paint::Colour => format!("\x1b[{colour}m{shape}\x1b[0m"),
        Paint::Plain => shape.to_string(),
    }
}

fn block(out: &mut String, message: Message, results: &[Shown], paint: Paint) {
    let title = format!("{}: {}", message.name().to_uppercase(), message.demand());
    let title = match paint {
        Paint::Colour => format!("\x1b[1m{title}\x1b[0m"),
        Paint::Plain => title,
    };
    let _ = write!(out, "\n{title}\n{:LABEL$}", "");
    for protection in Protection::ALL {
        let _ = write!(out, "{:^COLUMN$}", heading(protection));
    }
    out.push('\n');
    for attack in Attack::ALL {
        let mut row = format!("{:LABEL$}", attack.name());
        for protection in Protection::ALL {
            let cell = results.iter().find(|shown| {
                let scenario = &shown.scenario;
                (scenario.message, scenario.attack, scenario.protection)
                    == (message, attack, protection)
            });
            let half = COLUMN / 2;
            let _ = write!(row, "{:half$}", "");
            match cell {
                Some(shown) => {
                    row.push_str(&glyph(shown.outcome, paint));
                    row.push(if shown.as_expected() { ' ' } else { '!' });
                }
                None => row.push_str("  "),
            }
            let rest = COLUMN - half - 2;
            let _ = write!(row, "{:rest$}", "");
        }
        let _ = writeln!(out, "{}", row.trim_end());
    }
    let _ = writeln!(out, "{}", sentence(message, results));
}

/// One plain sentence on what the block shows, counted from it.
fn sentence(message: Message, results: &[Shown]) -> String {
    let mine = || results.iter().filter(|shown| shown.scenario.message == message);
    let attacked = |shown: &&Shown| {
        !matches!(
            shown.scenario.attack,
            Attack::Nobody | Attack::ExpiredCert | Attack::WrongName | Attack::Tls10Only
        )
    };
    let attacks = mine().filter(attacked).count();
    let read =
        mine().filter(attacked).filter(|shown| shown.outcome == Outcome::Intercepted).count();
    let strong = |shown: &&Shown| {
        matches!(
            shown.scenario.protection,
            Protection::Dane | Protection::DaneAndSts | Protection::Pinned
        )
    };
    let intercepted = |shown: &&Shown| shown.outcome == Outcome::Intercepted;
    let read_strong = mine().filter(strong).filter(intercepted).count();
    let unexpected = mine().filter(|shown| !shown.as_expected()).count();
    let detail = match (read, read_strong) {
        (0, _) => "the floor leaves them nothing",
        (_, 0) => "none where the recipient has DANE or a pin",
        _ => "publishing protects nobody whose sender does not look",
    };
    let mut text = format!("{read} of {attacks} attacks read the mail: {detail}.");
    if unexpected > 0 {
        let _ = write!(text, "\n{unexpected} came out otherwise than expected (!).");
    }
    text
}
