//! The command line (DESIGN §9): one file a sub-command. Results go to standard output,
//! diagnostics to standard error.

mod backup;
mod charset;
mod check;
mod config;
#[cfg(feature = "demo")]
mod demo;
mod dns;
mod evidence;
mod exception;
mod exit;
mod explain;
mod fold;
mod password;
mod publish;
mod queue;
mod replay;
mod serve;
mod store_key;
#[cfg(test)]
mod tests;

use std::{
    borrow::Cow,
    ffi::OsString,
    fmt::Write as _,
    io::{IsTerminal, Write},
    panic::{self, AssertUnwindSafe},
    path::PathBuf,
};

use clap::{Parser, Subcommand, ValueEnum, error::ErrorKind};

pub use exit::Exit;

/// Where the configuration is looked for without `--config`.
pub const DEFAULT_CONFIG: &str = "/etc/waxseal/waxseal.toml";

/// Outbound email that is secure by default, with proof.
#[derive(Debug, Parser)]
#[command(name = "waxseal", version, arg_required_else_help = true)]
struct Line {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What every sub-command understands.
#[derive(Debug, clap::Args)]
struct Global {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", global = true, default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    /// Print the result as JSON
    #[arg(long, global = true)]
    json: bool,
    /// When to use colour
    #[arg(long, value_enum, value_name = "WHEN", global = true, default_value = "auto")]
    color: Color,
    /// Say only what failed
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Say more; twice: everything
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

/// The sub-commands: one variant and one arm in [`dispatch`] each, in alphabetical order.
#[derive(Debug, Subcommand)]
enum Command {
    Backup(backup::BackupArgs),
    Check(check::Args),
    Config(config::Args),
    #[cfg(feature = "demo")]
    Demo(demo::Args),
    Dns(dns::Args),
    Evidence(evidence::Args),
    Exception(exception::Args),
    Explain(explain::Args),
    Publish(publish::Args),
    Queue(queue::Args),
    Replay(replay::Args),
    Restore(backup::RestoreArgs),
    StoreKey(store_key::Args),
    Serve(serve::Args),
}

/// Runs one sub-command.
async fn dispatch(command: Command, context: &Context) -> anyhow::Result<Exit> {
    match command {
        Command::Backup(args) => backup::backup(args, context).await,
        Command::Check(args) => check::run(&args, context).await,
        Command::Config(args) => config::run(&args, context).await,
        #[cfg(feature = "demo")]
        Command::Demo(args) => demo::run(&args, context).await,
        Command::Dns(args) => dns::run(&args, context).await,
        Command::Evidence(args) => evidence::run(args, context).await,
        Command::Exception(args) => exception::run(args, context).await,
        Command::Explain(args) => explain::run(&args, context).await,
        Command::Publish(args) => publish::run(args, context).await,
        Command::Queue(args) => queue::run(args, context).await,
        Command::Replay(args) => replay::run(args, context).await,
        Command::Restore(args) => backup::restore(&args, context),
        Command::StoreKey(args) => store_key::run(&args, context),
        Command::Serve(args) => serve::run(&args, context).await,
    }
}

/// `--color`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

/// How a result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// For people.
    Text,
    /// One JSON document, or JSON Lines where the contract says so.
    Json,
}

/// Whether escape sequences are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    /// Colours and bold.
    Colour,
    /// Only text.
    Plain,
}

impl Paint {
    /// A text that stands out.
    fn bold(self, text: &str) -> String {
        match self {
            Self::Colour => format!("\u{1b}[1m{text}\u{1b}[0m"),
            Self::Plain => text.to_owned(),
        }
    }
}

/// How much is said on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voice {
    /// Only what failed.
    Quiet,
    /// What an operator wants to know.
    Normal,
    /// `-v`: steps.
    Verbose,
    /// `-vv`: everything.
    Debug,
}

/// What every sub-command is given.
#[derive(Clone, Debug)]
pub struct Context {
    /// `-c/--config`; may not exist, for commands that can do without.
    pub config: PathBuf,
    /// `--json`
    pub output: Output,
    /// `--color`, resolved for standard output.
    pub paint: Paint,
    /// `-q/-v`
    pub voice: Voice,
}

impl Context {
    fn new(global: Global) -> Self {
        let coloured = match global.color {
            Color::Always => true,
            Color::Never => false,
            // https://no-color.org: any value that is not empty. A dumb terminal shows the codes.
            Color::Auto => {
                std::io::stdout().is_terminal()
                    && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                    && std::env::var_os("TERM").is_some_and(|value| value != "dumb")
            }
        };
        Self {
            config: global.config,
            output: if global.json { Output::Json } else { Output::Text },
            paint: if coloured { Paint::Colour } else { Paint::Plain },
            voice: match (global.quiet, global.verbose) {
                (true, _) => Voice::Quiet,
                (false, 0) => Voice::Normal,
                (false, 1) => Voice::Verbose,
                (false, _) => Voice::Debug,
            },
        }
    }

    /// Prints a result; standard output that was closed early (`| head`) is no error.
    ///
    /// # Errors
    /// Standard output cannot be written, for example because the disk is full.
    pub fn print(&self, text: impl AsRef<str>) -> anyhow::Result<()> {
        let text = match self.output {
            Output::Json => harmless(text.as_ref()),
            Output::Text => charset::shown(text.as_ref()),
        };
        let mut out = std::io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        match written {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Prints a result for people: on a terminal, long lines are broken where words end.
    ///
    /// # Errors
    /// As [`Context::print`].
    pub fn show(&self, text: &str) -> anyhow::Result<()> {
        match fold::columns() {
            Some(columns) if self.output == Output::Text => self.print(fold::fold(text, columns)),
            Some(_) | None => self.print(text),
        }
    }

    /// Prints a zone file: on a terminal, long comments are broken where words end, and stay comments.
    ///
    /// # Errors
    /// As [`Context::print`].
    pub fn zone(&self, text: &str) -> anyhow::Result<()> {
        match fold::columns() {
            Some(columns) if self.output == Output::Text => {
                self.print(fold::fold_zone(text, columns))
            }
            Some(_) | None => self.print(text),
        }
    }

    /// Says something to the operator on standard error, unless `-q`.
    pub fn say(&self, text: impl AsRef<str>) {
        if self.voice != Voice::Quiet {
            complain(text.as_ref());
        }
    }
}

/// JSON that steers no terminal and says the same to a program: what JSON does not ask to be escaped and a
/// terminal obeys (C1 controls), or what turns the direction of writing, is escaped. It stands in strings
/// only.
fn harmless(json: &str) -> Cow<'_, str> {
    let steers = |c: char| {
        matches!(c, '\u{7f}'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}')
            || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !json.contains(steers) {
        return Cow::Borrowed(json);
    }
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if steers(c) {
            let _ = write!(text, "\\u{:04x}", u32::from(c));
        } else {
            text.push(c);
        }
    }
    Cow::Owned(text)
}

/// Standard error, and nothing to be done where even that fails.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Parses the command line of this process and does what it says.
pub fn main() -> Exit {
    panic::set_hook(Box::new(|bug| {
        complain(&format!(
            "waxseal: this is a bug, please report it: {bug}\n(waxseal {})",
            env!("CARGO_PKG_VERSION")
        ));
    }));
    panic::catch_unwind(AssertUnwindSafe(|| run(std::env::args_os()))).unwrap_or(Exit::Bug)
}

/// Does what a command line says.
fn run(line: impl IntoIterator<Item = OsString>) -> Exit {
    let line = match Line::try_parse_from(line) {
        Ok(line) => line,
        Err(error) => {
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            let _ = error.print();
            return if asked { Exit::Ok } else { Exit::Usage };
        }
    };
    let context = Context::new(line.global);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("waxseal: the runtime cannot be started: {error}"));
            return Exit::TryAgain;
        }
    };
    match runtime.block_on(dispatch(line.command, &context)) {
        Ok(exit) => exit,
        Err(error) => {
            complain(&format!("waxseal: {error:#}"));
            Exit::of(&error)
        }
    }
}
