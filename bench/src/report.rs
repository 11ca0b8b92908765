//! What was measured, beside what it may be.

use std::{fmt::Write, process::ExitCode};

use serde::Serialize;

use crate::machine::Machine;

/// How a report is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A table.
    Text,
    /// One JSON document.
    Json,
}

/// What a number may be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "bound", content = "value", rename_all = "kebab-case")]
pub enum Budget {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
    /// It is only told.
    None,
}

impl Budget {
    /// Measured over budget: up to 1 is good for [`Self::AtMost`], from 1 on for [`Self::AtLeast`].
    fn ratio(self, value: f64) -> Option<f64> {
        match self {
            Self::AtMost(budget) | Self::AtLeast(budget) => Some(value / budget),
            Self::None => None,
        }
    }

    /// Whether a value is within it.
    pub fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(budget) => value <= budget,
            Self::AtLeast(budget) => value >= budget,
            Self::None => true,
        }
    }
}

/// One number.
#[derive(Clone, Debug, Serialize)]
struct Row {
    what: String,
    measured: f64,
    unit: &'static str,
    budget: Budget,
    ratio: Option<f64>,
    holds: bool,
}

/// All numbers of one run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    machine: Machine,
    rows: Vec<Row>,
}

impl Default for Report {
    fn default() -> Self {
        Self { machine: Machine::this(), rows: Vec::new() }
    }
}

impl Report {
    /// Adds a number.
    pub fn add(&mut self, what: impl Into<String>, measured: (f64, &'static str), budget: Budget) {
        let (measured, unit) = measured;
        let (ratio, holds) = (budget.ratio(measured), budget.holds(measured));
        self.rows.push(Row { what: what.into(), measured, unit, budget, ratio, holds });
    }

    /// Adds an amount of memory, in MB of 10^6 bytes as in the budgets.
    pub fn add_memory(&mut self, what: impl Into<String>, bytes: u64, budget: Budget) {
        self.add(what, (bytes as f64 / 1e6, "MB"), budget);
    }

    /// Prints everything; failure where a budget is missed.
    ///
    /// # Errors
    /// Never for what [`Self::add`] takes.
    pub fn finish(&self, format: Format) -> anyhow::Result<ExitCode> {
        match format {
            Format::Text => print!("{}", self.table()),
            Format::Json => println!("{}", serde_json::to_string_pretty(self)?),
        }
        let holds = self.rows.iter().all(|row| row.holds);
        Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn table(&self) -> String {
        let width = self.rows.iter().map(|row| row.what.chars().count()).max().unwrap_or(0);
        let mut text = format!("\n{}\n\n", self.machine);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:width$}  {:>12}      {:>14}  {:>6}",
            "", "measured", "budget", "ratio"
        );
        for Row { what, measured, unit, budget, ratio, holds } in &self.rows {
            let budget = match budget {
                Budget::AtMost(most) => format!("<= {}", number(*most)),
                Budget::AtLeast(least) => format!(">= {}", number(*least)),
                Budget::None => String::new(),
            };
            let ratio = ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
            let missed = if *holds { "" } else { "  MISSED" };
            let measured = number(*measured);
            let line =
                format!("{what:width$}  {measured:>12} {unit:<4} {budget:>14}  {ratio:>6}{missed}");
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
    }
}

/// Three digits that matter, thousands apart.
fn number(value: f64) -> String {
    if value.abs() < 10.0 {
        return format!("{value:.2}");
    }
    if value.abs() < 100.0 {
        return format!("{value:.1}");
    }
    let whole = format!("{value:.0}");
    let mut grouped = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// The median: one disturbed round does not count.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests;
