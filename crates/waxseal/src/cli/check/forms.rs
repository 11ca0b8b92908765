//! What is made of reports. Each is told at once, and no more of it stays in memory than the forms that
//! were asked for need in the end: thousands of domains are looked at for hours.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, BufWriter, Write},
    os::unix::fs::{MetadataExt as _, fchown},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde_json::{Value, json};
use waxseal_core::{assess::Quoted, time::UnixTime};

use super::{
    super::{Context, Exit, Output},
    Args, FEW,
    compare::{self, Compared, Provider},
    csv, html,
    internet_nl::{self, Shape},
    json,
    report::{Compare, Report},
    standing::{self, Tally},
    text,
};
use crate::queue::system_clock;

/// The schema of the answer to `--compare --json`; another number where a key goes or means something
/// else.
const COMPARED: &str = "waxseal/check-compare/1";

/// The reports of one run, as far as the forms need them.
pub(super) struct Forms<'a> {
    args: &'a Args,
    context: &'a Context,
    /// How many there will be.
    total: usize,
    exits: Exits,
    tally: Tally,
    /// For `--compare`.
    compared: Compared,
    /// For a table without it, by the place of the domain in the list.
    rows: Vec<(usize, String)>,
    /// For a page.
    pages: Vec<(usize, Report)>,
    /// For `--internet-nl`.
    shape: Shape,
    /// Of how many domains something is open that a probe asks, since a delivery stood in for it.
    unprobed: usize,
}

/// What the exit code is made of.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Exits {
    done: usize,
    unresolved: bool,
    negative: bool,
    unknown: bool,
}

impl Exits {
    pub(super) fn add(&mut self, report: &Report) {
        self.done = self.done.saturating_add(1);
        self.unresolved |= report.unresolved().is_some();
        self.negative |= report.exit() == Exit::Negative;
        self.unknown |= report.exit() == Exit::Unknown;
    }

    /// An input that is no domain, or one that nobody answers for, makes the whole run unknown: nothing
    /// is known of whatever was meant. Otherwise something wrong outweighs something unknown.
    pub(super) const fn verdict(self) -> Exit {
        match self {
            Self { unresolved: true, .. } => Exit::Unknown,
            Self { negative: true, .. } => Exit::Negative,
            Self { unknown: true, .. } => Exit::Unknown,
            Self { .. } => Exit::Ok,
        }
    }
}

impl<'a> Forms<'a> {
    /// For a run over so many domains.
    pub(super) fn new(args: &'a Args, context: &'a Context, total: usize) -> Self {
        Self {
            args,
            context,
            total,
            exits: Exits::default(),
            tally: Tally::default(),
            compared: Compared::default(),
            rows: Vec::new(),
            pages: Vec::new(),
            shape: Shape::default(),
            unprobed: 0,
        }
    }

    pub(super) const fn context(&self) -> &'a Context {
        self.context
    }

    /// Tells of a report, and keeps what is needed of it in the end. `place` is that of its domain in
    /// the list: tables can be laid beside it, whatever came first.
    pub(super) fn take(&mut self, place: usize, mut report: Report) -> anyhow::Result<()> {
        let Self { args, context, total, .. } = *self;
        self.exits.add(&report);
        self.tally.add(&report);
        let compared = if args.compare { Compare::Yes } else { Compare::No };
        self.unprobed = self.unprobed.saturating_add(report.lacks_a_probe(compared).into());
        if args.compare {
            self.compared.add(place, &report);
        } else {
            context.show(&match context.output {
                Output::Json => format!("{}\n", json::contract(&report)),
                Output::Text if total <= FEW => text::page(&report, context.paint),
                Output::Text => text::line(&report, context.paint),
            })?;
        }
        if args.csv.is_some() && !args.compare {
            self.rows.push((place, csv::row(&report)));
        }
        if args.internet_nl.is_some() {
            self.shape.add(&mut report);
        }
        if args.html.is_some() {
            self.pages.push((place, report));
        }
        Ok(())
    }

    /// `3 of 7`
    pub(super) fn progress(&self) -> String {
        format!("{} of {}", self.exits.done, self.total)
    }

    /// What the process exits with.
    pub(super) const fn verdict(&self) -> Exit {
        self.exits.verdict()
    }

    /// Writes what is made from all reports together.
    pub(super) fn finish(&mut self, began: UnixTime) -> anyhow::Result<()> {
        let Self { args, context, .. } = *self;
        let (providers, left_out) = std::mem::take(&mut self.compared).providers();
        let written = self.write(&providers, began);
        if args.compare {
            for (name, why) in &left_out {
                context.say(format!("not compared: {}: {why}", text::shown(name.as_str())));
            }
            context.print(match context.output {
                Output::Json => format!("{}\n", self::compared(&providers, &left_out)),
                Output::Text => compare::table(&providers, left_out.len(), context.paint),
            })?;
        } else if context.output == Output::Text && self.total > FEW {
            let told = match (args.html.as_deref().or(args.csv.as_deref()), &written) {
                (Some(path), Ok(())) => format!("{} tells all of it", path.display()),
                (Some(_), Err(_)) => "what should tell all of it could not be written".to_owned(),
                (None, _) => "--html or --csv tells all of it".to_owned(),
            };
            let tally = standing::lines(&self.tally, context.paint);
            context.show(&format!("\n{} domains; {told}\n{tally}", self.exits.done))?;
        }
        if self.unprobed > 0 {
            context.say(unprobed(self.unprobed, self.exits.done));
        }
        written
    }

    /// The files. What can be written is, whatever becomes of the others.
    fn write(&mut self, providers: &[Provider], began: UnixTime) -> anyhow::Result<()> {
        let compared = self.args.compare.then_some(providers);
        let partial = (self.exits.done < self.total).then(|| {
            format!(
                "Interrupted: {} domains were looked at; of the others nothing is said here.",
                self.progress()
            )
        });
        let Self { args, rows, pages, shape, tally, .. } = self;
        let page = args.html.as_deref().map(|path| {
            pages.sort_by_key(|(place, _)| *place);
            let reports: Vec<_> = pages.iter().map(|(_, report)| report).collect();
            write(path, |out| html::page(reports, (tally, partial), compared, out))
        });
        let table = args.csv.as_deref().map(|path| {
            rows.sort_unstable_by_key(|(place, _)| *place);
            write(path, |out| match compared {
                Some(providers) => out.write_all(compare::csv(providers).as_bytes()),
                None => csv::table(rows.iter().map(|(_, row)| row.as_str()), out),
            })
        });
        let shape = args.internet_nl.as_deref().map(|path| {
            let file = internet_nl::file(shape, began, system_clock()());
            write(path, |out| Ok(serde_json::to_writer_pretty(out, &file)?))
        });
        [page, table, shape].into_iter().flatten().collect()
    }
}

/// Why something is not known, and how it will be.
fn unprobed(open: usize, total: usize) -> String {
    format!(
        "not probed: of {open} of {total} domains hosts were seen by recent deliveries alone; what those do not \
         show (REQUIRETLS, old TLS, weak suites and groups) is not known; --fresh looks"
    )
}

/// Providers side by side, as `docs/check.md` lists its keys.
pub(super) fn compared(providers: &[Provider], left_out: &[(Quoted, String)]) -> Value {
    let left_out = left_out.iter().map(|(domain, why)| json!({ "domain": domain, "why": why }));
    json!({
        "schema": COMPARED,
        "providers": providers,
        "left_out": left_out.collect::<Vec<_>>(),
    })
}

/// The whole of it, or what was there before: whoever makes a report each night keeps the last one when
/// the disk is full.
pub(super) fn write(
    path: &Path,
    text: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> anyhow::Result<()> {
    let place = Place::of(path);
    let written = place.open().and_then(|file| {
        let mut out = BufWriter::new(file);
        text(&mut out)?;
        out.flush()?;
        place.keep()
    });
    if written.is_err() {
        place.clear();
    }
    written.with_context(|| format!("{}: the report cannot be written", path.display()))
}

/// Where a report is written.
enum Place {
    /// Beside the file whose place it takes in the end.
    Beside { made: File, fresh: PathBuf, file: PathBuf },
    /// To what is no file (`/dev/stdout`, a pipe), or where nothing can be put beside it.
    There(PathBuf),
}

impl Place {
    fn of(path: &Path) -> Self {
        Self::beside(path).unwrap_or_else(|| Self::There(path.to_owned()))
    }

    fn beside(path: &Path) -> Option<Self> {
        // Where links lead; it is there since we asked whether it can be written.
        let file = path.canonicalize().ok().filter(|file| file.is_file())?;
        let mut name = OsString::from(".");
        name.push(file.file_name()?);
        name.push(format!(".{}", std::process::id()));
        let fresh = file.with_file_name(name);
        // Follows no link that somebody laid there.
        let made = File::create_new(&fresh).ok()?;
        let alike = fs::metadata(&file).and_then(|old| like(&made, &old));
        let place = Self::Beside { made, fresh, file };
        match alike {
            Ok(()) => Some(place),
            Err(_) => {
                place.clear();
                None
            }
        }
    }

    fn open(&self) -> io::Result<File> {
        match self {
            Self::Beside { made, .. } => made.try_clone(),
            Self::There(file) => File::create(file),
        }
    }

    fn keep(&self) -> io::Result<()> {
        match self {
            Self::Beside { made, fresh, file } => {
                made.sync_all()?;
                fs::rename(fresh, file)
            }
            Self::There(_) => Ok(()),
        }
    }

    fn clear(&self) {
        match self {
            // The first fault is the one that is told.
            Self::Beside { fresh, .. } => drop(fs::remove_file(fresh)),
            Self::There(_) => {}
        }
    }
}

/// Who may not read the old one may not read the new one, and who may still may.
fn like(made: &File, old: &fs::Metadata) -> io::Result<()> {
    let new = made.metadata()?;
    if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
        fchown(made, Some(old.uid()), Some(old.gid()))?;
    }
    made.set_permissions(old.permissions())
}
