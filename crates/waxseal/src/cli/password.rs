//! `waxseal config password`: the line of a password file, from a password that nobody sees.

use std::io::{self, BufRead, IsTerminal, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use serde_json::json;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::{Context, Exit, Output};
use crate::listen::hash;

/// More is not read: the longest password has 255 octets.
const MOST: u64 = 1_024;

type Password = Zeroizing<Vec<u8>>;

/// Runs it: `name` is the account, for the whole line.
pub(crate) async fn run(name: Option<&str>, context: &Context) -> anyhow::Result<Exit> {
    let odd = |name: &str| {
        let first = name.starts_with('#') || name.starts_with(char::is_whitespace);
        name.is_empty() || name.len() > 255 || first || name.contains([':', '\n', '\r'])
    };
    if name.is_some_and(odd) {
        return Err(Exit::Usage.because("an account has 1 to 255 characters, and no colon"));
    }
    let password = if io::stdin().is_terminal() { ask().await? } else { read(io::stdin().lock())? };
    let mut salt = [0; 16];
    aws_lc_rs::rand::fill(&mut salt)
        .map_err(|_| Exit::TryAgain.because("the system has no random numbers"))?;
    let hash = hash(&password, salt).map_err(|why| Exit::Usage.because(why))?;
    context.print(match (context.output, name) {
        (Output::Json, _) => format!("{}\n", json!({ "account": name, "hash": hash })),
        (Output::Text, Some(name)) => format!("{name}:{hash}\n"),
        (Output::Text, None) => format!("{hash}\n"),
    })?;
    Ok(Exit::Ok)
}

/// The first line; what follows it is not ours.
fn read(from: impl BufRead) -> anyhow::Result<Password> {
    let mut line = Zeroizing::new(Vec::with_capacity(MOST as usize));
    from.take(MOST)
        .read_until(b'\n', &mut line)
        .map_err(|error| Exit::Usage.because(format!("the password cannot be read: {error}")))?;
    while line.last().is_some_and(|last| matches!(last, b'\n' | b'\r')) {
        line.pop();
    }
    Ok(line)
}

/// Asks twice at a terminal that shows nothing of it.
async fn ask() -> anyhow::Result<Password> {
    let silent = Silent::begin().map_err(|error| {
        Exit::Usage.because(format!("the terminal would show the password: {error}"))
    })?;
    let (done, asked) = oneshot::channel();
    // A thread of its own: one of the runtime would be waited for after Ctrl-C.
    std::thread::spawn(move || {
        let twice = || anyhow::Ok((prompt("Password: ")?, prompt("Once more: ")?));
        // Nobody listens after Ctrl-C.
        let _ = done.send(twice());
    });
    let stopped = || Exit::Negative.because("stopped, nothing was made");
    let answer = tokio::select! {
        answer = asked => answer.map_err(|_| stopped())?,
        _ = tokio::signal::ctrl_c() => Err(stopped()),
    };
    drop(silent);
    let (first, second) = answer?;
    if *first != *second {
        return Err(Exit::Negative.because("the two are not the same; nothing was made"));
    }
    Ok(first)
}

fn prompt(words: &str) -> anyhow::Result<Password> {
    // Not held while it waits: after Ctrl-C somebody else has something to say there.
    write!(io::stderr(), "{words}")?;
    io::stderr().flush()?;
    read(io::stdin().lock())
}

/// A terminal that shows only the line ends of what is typed, until this is dropped.
struct Silent(Termios);

impl Silent {
    fn begin() -> rustix::io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        silent.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        // Where even this fails there is no terminal any more.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
