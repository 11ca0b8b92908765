//! A line on a terminal that says how far it is.

use std::io::{IsTerminal as _, Write as _};

use super::super::{Context, Voice};

/// How many are done; drawn only on a terminal, on standard error.
pub(super) struct Progress {
    total: usize,
    done: usize,
    shown: bool,
}

impl Progress {
    pub(super) fn new(context: &Context, total: usize, done: usize) -> Self {
        let shown = total > 1 && context.voice != Voice::Quiet && std::io::stderr().is_terminal();
        let progress = Self { total, done, shown };
        progress.draw();
        progress
    }

    pub(super) fn one_more(&mut self) {
        self.done = self.done.saturating_add(1);
        self.draw();
    }

    pub(super) fn draw(&self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r{}", bar(self.done, self.total));
        }
    }

    pub(super) fn clear(&self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\u{1b}[K");
        }
    }
}

/// `[####......] 40 of 100`
pub(super) fn bar(done: usize, total: usize) -> String {
    const WIDE: usize = 30;
    let full = done.saturating_mul(WIDE).checked_div(total).unwrap_or(0).min(WIDE);
    format!("[{}{}] {done} of {total}", "#".repeat(full), ".".repeat(WIDE - full))
}
