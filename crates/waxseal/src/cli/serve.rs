//! `waxseal serve`: runs the gateway.

use clap::ValueEnum;

use super::{Context, Exit};
use crate::{
    config::Config,
    log,
    serve::{self, StartError},
};

/// Run the gateway
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to run
    #[arg(long, value_enum, value_name = "ROLE", default_value = "all")]
    role: Role,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Role {
    /// Take mail in and send it out
    Gateway,
    /// Serve the portal
    Portal,
    /// Both
    All,
}

/// Runs it until it is told to stop.
pub(crate) async fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    match args.role {
        Role::Gateway | Role::All => {}
        Role::Portal => return Err(Exit::Usage.because("this version has no portal")),
    }
    let config = Config::load(&context.config)
        .map_err(|refused| Exit::Config.because(refused.to_string()))?;
    log::start(config.log, context.voice);
    match serve::run(config, context.config.clone()).await {
        Ok(()) => Ok(Exit::Ok),
        Err(StartError::Config(text)) => Err(Exit::Config.because(text)),
        Err(StartError::Busy(text) | StartError::Broken(text)) => Err(Exit::TryAgain.because(text)),
    }
}
