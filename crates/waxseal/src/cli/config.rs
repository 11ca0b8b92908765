//! `waxseal config`: is the file right, what could stand in it.

use std::fmt::Write as _;

use serde_json::json;

use super::{Context, Exit, Output, password};
use crate::config::{Config, EXAMPLE, schema};

/// Check the configuration, or show what it can contain
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, clap::Subcommand)]
enum Act {
    /// Read the file and say everything that is wrong with it
    Check,
    /// Print every setting at its default, with the reason
    Example,
    /// Print the JSON schema of the file
    Schema,
    /// Make a line of a listener's password file (`auth` of a listener)
    ///
    /// Reads the password from standard input: its first line, or unseen at a terminal.
    Password {
        /// The account; without it only the hash is printed
        name: Option<String>,
    },
}

/// Runs it.
pub(crate) async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    match &args.act {
        Act::Password { name } => password::run(name.as_deref(), context).await,
        Act::Check => check(context),
        Act::Example => {
            context.print(EXAMPLE)?;
            Ok(Exit::Ok)
        }
        Act::Schema => {
            context.print(format!("{:#}\n", schema()?))?;
            Ok(Exit::Ok)
        }
    }
}

fn check(context: &Context) -> anyhow::Result<Exit> {
    let checked = Config::load(&context.config);
    match context.output {
        Output::Json => {
            let faults = checked.as_ref().err().map(|refused| refused.lines.clone());
            let faults = faults.unwrap_or_default();
            let file = context.config.display().to_string();
            context.print(format!(
                "{}\n",
                json!({ "file": file, "ok": faults.is_empty(), "faults": faults })
            ))?;
            Ok(if faults.is_empty() { Exit::Ok } else { Exit::Config })
        }
        Output::Text => {
            let config = checked.map_err(|refused| Exit::Config.because(refused.to_string()))?;
            context.print(summary(&config))?;
            Ok(Exit::Ok)
        }
    }
}

/// What the file comes to, in a few lines.
fn summary(config: &Config) -> String {
    let mut text = String::from("The configuration is right.\n");
    for domain in &config.domains {
        let _ = writeln!(text, "  mail of {} (reports go to {})", domain.name, domain.inside);
    }
    for listen in &config.listeners {
        let _ = writeln!(text, "  comes in at {}", listen.address);
    }
    if config.listeners.is_empty() {
        text.push_str("  comes in nowhere: there is no [[listen]]\n");
    }
    for route in &config.routes {
        let _ = writeln!(text, "  to {} goes by {}", route.domain, route.host);
    }
    if !config.network.is_empty() {
        text.push_str("  TEST BED: [network] map connects elsewhere\n");
    }
    text
}
