//! `waxseal store-key`: make and change the key that encrypts at rest.

use super::{Context, Exit, queue::load};
use crate::secrets::{SecretSource, StoreKeys};

/// Make a store key, or put a new one in front of the old
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, clap::Subcommand)]
enum Act {
    /// Print a new key file, for systemd-creds encrypt
    New,
    /// New mail gets a new key, old mail keeps its own; takes effect at the next start or reload
    Rotate,
}

/// Runs it.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<Exit> {
    match args.act {
        Act::New => {
            let keys = StoreKeys::random().map_err(|error| Exit::Bug.because(error.to_string()))?;
            context.print(std::str::from_utf8(&keys.file())?)?;
            Ok(Exit::Ok)
        }
        Act::Rotate => match SecretSource::from(&load(context)?.store.key) {
            SecretSource::File(path) => {
                let id = StoreKeys::rotate(&path)
                    .map_err(|error| Exit::Config.because(error.to_string()))?;
                context.print(format!("the store key is now {id}; a running server takes it up when it is reloaded, or meets what commands seal with it\n"))?;
                Ok(Exit::Ok)
            }
            SecretSource::Credential(name) => Err(Exit::Config.because(format!(
                "credential:{name} is the unit's: put the line that `waxseal store-key new` prints in front of the old one and encrypt both again"
            ))),
        },
    }
}
