//! The two MTAs under test, each started with its committed configuration.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use anyhow::ensure;
use waxseal_bench::{
    cpu::Cgroup,
    machine::{self, root},
    server::{Server, free_port},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Waxseal,
    Postfix,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Waxseal => "waxseal",
            Self::Postfix => "postfix",
        }
    }
}

/// A running MTA that relays to the sink.
pub(crate) struct Mta {
    pub(crate) server: Server,
    // Removed after the server has ended.
    pub(crate) cgroup: Cgroup,
    _folder: tempfile::TempDir,
}

impl Mta {
    pub(crate) fn start(kind: Kind, sink: u16, data: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("waxseal-bench-").tempdir_in(data)?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777))?;
        let port = free_port()?;
        let fill = |template: &str| {
            template
                .replace("{folder}", &folder.path().display().to_string())
                .replace("{sink}", &sink.to_string())
                .replace("{port}", &port.to_string())
        };
        let cgroup = Cgroup::create(kind.name())?;
        let command = match kind {
            Kind::Waxseal => waxseal(&cgroup, folder.path(), fill)?,
            Kind::Postfix => postfix(&cgroup, folder.path(), fill)?,
        };
        let server = Server::start(kind.name(), command, port, folder.path())?;
        Ok(Self { server, cgroup, _folder: folder })
    }
}

fn waxseal(
    cgroup: &Cgroup,
    folder: &Path,
    fill: impl Fn(&str) -> String,
) -> anyhow::Result<std::process::Command> {
    let program = machine::waxseal()?;
    fs::create_dir(folder.join("data"))?;
    let configuration = folder.join("waxseal.toml");
    fs::write(&configuration, fill(include_str!("../../relay/waxseal.toml")))?;
    let mut command = cgroup.command(&program.display().to_string());
    command.arg("serve").arg("-c").arg(configuration);
    Ok(command)
}

fn postfix(
    cgroup: &Cgroup,
    folder: &Path,
    fill: impl Fn(&str) -> String,
) -> anyhow::Result<std::process::Command> {
    let package = root()?.join("target/peers/postfix");
    ensure!(package.join(".complete").exists(), "unpack it first: tests/peers postfix");
    let package = package.display().to_string();
    let fill = |template: &str| fill(template).replace("{package}", &package);
    for name in ["etc", "spool", "data"] {
        fs::create_dir(folder.join(name))?;
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755))?;
    }
    for queue in [
        "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming",
        "maildrop", "pid", "private", "public", "saved", "trace",
    ] {
        fs::create_dir(folder.join("spool").join(queue))?;
    }
    fs::write(folder.join("etc/main.cf"), fill(include_str!("../../relay/main.cf")))?;
    fs::write(folder.join("etc/master.cf"), fill(include_str!("../../relay/master.cf")))?;
    let folder_name = folder.display();
    let start = format!(
        "cd {folder_name}/spool && chown -R postfix . && chown root . pid \
         && chgrp postdrop maildrop public && chmod 730 maildrop && chmod 710 public \
         && chown postfix {folder_name}/data && export MAIL_CONFIG={folder_name}/etc \
         && exec {package}/usr/lib/postfix/sbin/master -c {folder_name}/etc -d"
    );
    let mut command = cgroup.command(&root()?.join("tests/run-peer").display().to_string());
    command.arg("postfix").arg(folder.join("namespace")).args(["bash", "-c", &start]);
    Ok(command)
}
