//! `waxseal backup` and `waxseal restore`.

use std::path::PathBuf;

use serde_json::json;

use super::{
    Context, Exit, Output,
    queue::{fault, load, open},
};
use crate::{
    queue::system_clock,
    secrets::{SecretSource, StoreKeys},
    store::{Access, Settings, restore as bring_back},
};

/// Copy the store into a new directory while it is in use; the store key is not in the copy
#[derive(Debug, clap::Args)]
pub(crate) struct BackupArgs {
    /// A directory that does not exist yet
    directory: PathBuf,
}

/// Bring a copy back into an empty data_dir; nothing is sent until you confirm
#[derive(Debug, clap::Args)]
pub(crate) struct RestoreArgs {
    /// A directory that `waxseal backup` made
    directory: PathBuf,
}

/// Makes a copy.
pub(crate) async fn backup(args: BackupArgs, context: &Context) -> anyhow::Result<Exit> {
    let store = open(context, Access::Visit)?;
    let directory = args.directory;
    store.backup(directory.clone()).await.map_err(|error| fault(&error))?;
    match context.output {
        Output::Json => context.print(format!("{}\n", json!({ "backup": directory })))?,
        Output::Text => context.print(format!(
            "the store is in {}; without the store key, which is not in it, nobody can read it\n",
            directory.display()
        ))?,
    }
    Ok(Exit::Ok)
}

/// Brings one back.
pub(crate) fn restore(args: &RestoreArgs, context: &Context) -> anyhow::Result<Exit> {
    let config = load(context)?;
    let (settings, now) = (Settings::of(&config), system_clock()());
    let source = SecretSource::from(&config.store.key);
    let keys = StoreKeys::existing(&source, &settings.data_dir, &settings.database)
        .map_err(|error| Exit::Config.because(error.to_string()))?;
    // A new key would open nothing of the backup, and stand in the way of the right one.
    let keys = keys.ok_or_else(|| {
        Exit::Config
            .because(format!("{source} is not there; bring back the store key of the backup first"))
    })?;
    let restored =
        bring_back(&args.directory, settings, keys, now).map_err(|error| fault(&error))?;
    match context.output {
        Output::Json => context.print(format!(
            "{}\n",
            json!({ "groups": restored.groups, "last": restored.last, "gap": restored.gap })
        ))?,
        Output::Text => context.print(format!(
            "{} delivery groups are back. What was delivered since the backup would be delivered \
             again, so nothing is sent yet: look at `waxseal queue list`, drop what is done, then \
             run `waxseal queue release --all`.\n",
            restored.groups
        ))?,
    }
    Ok(Exit::Ok)
}
