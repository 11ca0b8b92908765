//! Which domains: from the command line, from a file, and which of them are done already.

use std::{
    collections::HashSet,
    fs::{File, OpenOptions, TryLockError},
    io::{BufRead, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use waxseal_core::domain::Domain;

use super::{super::Exit, report::Report};
use crate::survey::{Depth, Scope};

/// The most bytes of a list of domains.
const MOST_LIST: u64 = 256 << 20;

/// The longest line of a list; what is longer is no domain name.
const MOST_LINE: usize = 4_096;

/// The longest first line of a journal.
const MOST_HEADER: u64 = 64 << 10;

/// The domains of the command line and then of `from`, each once; `-` is standard input. Empty
/// lines and what follows a `#` are skipped; of a CSV line the first cell counts, without its quotes.
/// A domain is one however it is written.
pub(super) fn list(given: &[String], from: Option<&Path>) -> anyhow::Result<Vec<String>> {
    let mut seen = HashSet::new();
    let mut work = Vec::new();
    let mut add = |text: &str| {
        let mut text = text.to_owned();
        if text.len() > MOST_LINE {
            let end = (0..=MOST_LINE).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
            text.truncate(end);
        }
        let key = Domain::parse(&text)
            .map_or_else(|_| text.to_ascii_lowercase(), |domain| domain.to_string());
        if seen.insert(key) {
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
        read(source, MOST_LIST, add).map_err(unread)?;
    }
    Ok(work)
}

/// Adds what the lines of a list name. Of a line no more is kept than a name can have.
///
/// # Errors
/// It cannot be read, is no UTF-8 as its first octets say, or has more than `most` octets: its last line
/// could be cut into another domain.
pub(super) fn read(source: impl Read, most: u64, mut add: impl FnMut(&str)) -> std::io::Result<()> {
    let mut reader = BufReader::new(source.take(most.saturating_add(1)));
    let (mut line, mut is_first) = (Vec::new(), true);
    loop {
        line.clear();
        let room = u64::try_from(MOST_LINE).unwrap_or(u64::MAX);
        if reader.by_ref().take(room).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let is_cut = line.len() == MOST_LINE && line.last() != Some(&b'\n');
        if is_cut {
            reader.skip_until(b'\n')?;
        }
        let octets = if std::mem::take(&mut is_first) { after_mark(&line)? } else { &line };
        let text = String::from_utf8_lossy(octets);
        let cell = text.split(['#', ',', ';', '\t']).next().unwrap_or_default();
        let is_whole = !is_cut || cell.len() < text.len();
        let cell = cell.trim();
        let quoted = cell.strip_prefix('"').and_then(|cell| cell.strip_suffix('"'));
        let cell = quoted.map_or(cell, str::trim);
        if !is_whole {
            // What follows could be spaces, and then another word: it is not the name that it begins with.
            add(&format!("{cell}\u{2026}"));
        } else if !cell.is_empty() {
            add(cell);
        }
    }
    if reader.get_ref().limit() == 0 {
        return Err(std::io::Error::other(format!(
            "the list is longer than {most} bytes; split it into several"
        )));
    }
    Ok(())
}

/// The first line without the mark by which editors know UTF-8.
fn after_mark(line: &[u8]) -> std::io::Result<&[u8]> {
    if line.starts_with(&[0xff, 0xfe]) || line.starts_with(&[0xfe, 0xff]) {
        return Err(std::io::Error::other("the list is in UTF-16; save it as UTF-8"));
    }
    Ok(line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line))
}

/// What a journal was made by: reports of another depth or of other selectors answer another
/// question. It is the first line of a journal, and the mark by which one is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    /// The version of the format.
    waxseal_check_resume: u32,
    depth: Depth,
    selectors: Vec<String>,
    internet_nl: bool,
    /// Whether nothing was used that a gateway knew.
    #[serde(default)]
    pub(super) fresh: bool,
}

/// The version of the format.
const FORMAT: u32 = 2;

impl Header {
    /// For this scope, with or without the shape of Internet.nl's results.
    pub(super) fn new(scope: &Scope, internet_nl: Option<&Path>) -> Self {
        Self {
            waxseal_check_resume: FORMAT,
            depth: scope.depth,
            selectors: scope.selectors.clone(),
            internet_nl: internet_nl.is_some(),
            fresh: false,
        }
    }
}

/// The longest line of a journal: a report of 20 hosts with all their addresses and ten profiles is a
/// hundredth of it.
const MOST_REPORT: u64 = 64 << 20;

/// What was done before and is kept, so that a run of thousands can be broken off.
pub(super) struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Opens a journal; `each` is shown what it holds, with where that stands: thousands are not kept in
    /// memory. A last line that was cut off by a crash is done again. A file that is no journal of this
    /// scope is left as it is.
    ///
    /// # Errors
    /// It is another file, of another scope, cannot be read or written, or another run holds it: two would
    /// write over each other's lines.
    pub(super) fn open(
        path: &Path,
        header: &Header,
        mut each: impl FnMut(u64, Report),
    ) -> anyhow::Result<Self> {
        let told = || format!("{}: the file of --resume cannot be used", path.display());
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .with_context(told)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Exit::TryAgain.because(format!(
                    "{}: another `waxseal check --resume` is at work on it; wait for its end, or name \
                     another file",
                    path.display(),
                )));
            }
            Err(TryLockError::Error(why)) => return Err(why).with_context(told),
        }
        let mut whole = 0_u64;
        if file.metadata().with_context(told)?.len() > 0 {
            let mut reader = BufReader::new(&file);
            let mut line = Vec::new();
            let read = reader.by_ref().take(MOST_HEADER).read_until(b'\n', &mut line);
            let read = read.with_context(told)?;
            is_header(&line, header)
                .map_err(|why| Exit::Usage.because(format!("{}: {why}", path.display())))?;
            whole = whole.saturating_add(u64::try_from(read).unwrap_or(0));
            for number in 2_u64.. {
                line.clear();
                let read = reader.by_ref().take(MOST_REPORT).read_until(b'\n', &mut line);
                let read = u64::try_from(read.with_context(told)?).unwrap_or(MOST_REPORT);
                let is_whole = line.last() == Some(&b'\n');
                if !is_whole && read < MOST_REPORT {
                    break;
                }
                let report = serde_json::from_slice(&line).map_err(|why| {
                    Exit::Usage.because(format!(
                        "{}: line {number} was not written by `waxseal check --resume`: {why}",
                        path.display(),
                    ))
                })?;
                each(whole, report);
                whole = whole.saturating_add(read);
            }
        }
        file.set_len(whole).with_context(told)?;
        let mut journal = Self { path: path.to_owned(), file };
        journal.file.seek(SeekFrom::End(0)).with_context(told)?;
        if whole == 0 {
            journal.line(header)?;
        }
        Ok(journal)
    }

    /// The report that stands there.
    ///
    /// # Errors
    /// The file cannot be read any more, or somebody else wrote to it.
    pub(super) fn read(&mut self, at: u64) -> anyhow::Result<Report> {
        let told = || format!("{}: what is kept cannot be read again", self.path.display());
        let mut line = Vec::new();
        self.file.seek(SeekFrom::Start(at)).with_context(told)?;
        BufReader::new(&self.file)
            .take(MOST_REPORT)
            .read_until(b'\n', &mut line)
            .with_context(told)?;
        self.file.seek(SeekFrom::End(0)).with_context(told)?;
        serde_json::from_slice(&line).with_context(told)
    }

    /// Keeps a report.
    pub(super) fn add(&mut self, report: &Report) -> anyhow::Result<()> {
        self.line(report)
    }

    fn line(&mut self, value: &impl Serialize) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        self.file
            .write_all(&line)
            .with_context(|| format!("{}: the report cannot be kept", self.path.display()))
    }
}

/// Whether the first line of a file is this header; if not, in words.
fn is_header(line: &[u8], wanted: &Header) -> Result<(), String> {
    let found = line.strip_suffix(b"\n").and_then(|line| serde_json::from_slice(line).ok());
    match found {
        Some(Header { waxseal_check_resume: FORMAT, .. }) if found.as_ref() == Some(wanted) => Ok(()),
        Some(Header { waxseal_check_resume: FORMAT, .. }) => Err(
            "it was begun with other --dns-only, --selector, --internet-nl or --fresh; use the \
             same, or another file for --resume"
                .to_owned(),
        ),
        Some(_) | None => Err(
            "it is not empty and was not written by `waxseal check --resume` of this version; name \
             another file"
                .to_owned(),
        ),
    }
}
