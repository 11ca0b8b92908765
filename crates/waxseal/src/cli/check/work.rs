//! Which domains: from the command line, from a file, and which of them are done already.

use std::{
    collections::HashSet,
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::{super::Exit, report::Report};

/// The most bytes of a list of domains.
const MOST_LIST: u64 = 256 << 20;

/// The longest line of a list; what is longer is no domain name.
const MOST_LINE: usize = 4_096;

/// The domains of the command line and then of `from`, each once; `-` is standard input. Empty
/// lines and what follows a `#` are skipped; of a CSV line the first cell counts.
pub(super) fn list(given: &[String], from: Option<&Path>) -> anyhow::Result<Vec<String>> {
    let mut seen = HashSet::new();
    let mut work = Vec::new();
    let mut add = |text: &str| {
        let mut text = text.to_owned();
        if text.len() > MOST_LINE {
            let end = (0..=MOST_LINE).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
            text.truncate(end);
        }
        if seen.insert(text.to_ascii_lowercase()) {
            work.push(text);
        }
    };
    given.iter().for_each(|domain| add(domain));
    if let Some(path) = from {
        let unread =
            |why: std::io::Error| Exit::Usage.because(format!("{}: {why}", path.display()));
        let source: Box<dyn Read> = if path.as_os_str() == "-" {
            Box::new(std::io::stdin().lock())
        } else {
            Box::new(File::open(path).map_err(unread)?)
        };
        for line in BufReader::new(source.take(MOST_LIST)).split(b'\n') {
            let line = line.map_err(unread)?;
            let line = String::from_utf8_lossy(&line);
            let text = line.split('#').next().unwrap_or_default();
            let text = text.split([',', ';', '\t']).next().unwrap_or_default().trim();
            if !text.is_empty() {
                add(text);
            }
        }
    }
    Ok(work)
}

/// What was done before and is kept, so that a run of thousands can be broken off.
pub(super) struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Opens a journal; yields it with what it holds. A last line that was cut off by a crash is
    /// done again.
    pub(super) fn open(path: &Path) -> anyhow::Result<(Self, Vec<Report>)> {
        let told = || format!("{}: the file of --resume cannot be used", path.display());
        let mut reports = Vec::new();
        let mut whole = 0_u64;
        if path.exists() {
            let mut reader = BufReader::new(File::open(path).with_context(told)?);
            let mut line = Vec::new();
            loop {
                line.clear();
                let read = reader.read_until(b'\n', &mut line).with_context(told)?;
                if read == 0 || line.last() != Some(&b'\n') {
                    break;
                }
                let report: Report = serde_json::from_slice(&line).map_err(|why| {
                    Exit::Usage.because(format!(
                        "{}: line {} was not written by `waxseal check --resume`: {why}",
                        path.display(),
                        reports.len().saturating_add(1),
                    ))
                })?;
                reports.push(report);
                whole = whole.saturating_add(u64::try_from(read).unwrap_or(0));
            }
        }
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .with_context(told)?;
        file.set_len(whole).with_context(told)?;
        let mut journal = Self { path: path.to_owned(), file };
        std::io::Seek::seek(&mut journal.file, std::io::SeekFrom::End(0)).with_context(told)?;
        Ok((journal, reports))
    }

    /// Keeps a report.
    pub(super) fn add(&mut self, report: &Report) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(report)?;
        line.push(b'\n');
        self.file
            .write_all(&line)
            .with_context(|| format!("{}: the report cannot be kept", self.path.display()))
    }
}
