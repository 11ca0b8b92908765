//! A throw-away home for a gateway: folder, certificate, configuration.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    machine,
    server::{Server, free_port},
};

/// A folder with all that a gateway needs; removed when it is dropped.
#[derive(Debug)]
pub struct Home(tempfile::TempDir);

impl Home {
    /// A new one below `data`, which should be on a disk and not in memory.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn new(data: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(data)?;
        let folder =
            tempfile::Builder::new().prefix("waxseal-bench-").tempdir_in(data.canonicalize()?)?;
        Ok(Self(folder))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// `data_dir` of its configuration.
    pub fn data_dir(&self) -> PathBuf {
        self.path().join("data")
    }

    /// The file of the store key.
    pub fn store_key(&self) -> PathBuf {
        self.path().join("store.key")
    }

    /// A certificate for a server (P-256, signed by itself) in `certificate.pem`, its key in
    /// `key.pem`. Answers the certificate.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn certify(&self, name: &str) -> anyhow::Result<PathBuf> {
        let issued = rcgen::generate_simple_self_signed(vec![name.to_owned()])?;
        let certificate = self.path().join("certificate.pem");
        fs::write(&certificate, issued.cert.pem())?;
        fs::write(self.path().join("key.pem"), issued.signing_key.serialize_pem())?;
        Ok(certificate)
    }

    /// Starts `waxseal serve` with a configuration in which `{folder}`, `{port}`, `{closed}` (a
    /// port where nobody listens) and these others are filled in.
    ///
    /// # Errors
    /// It was not built, or does not start.
    pub fn serve(&self, template: &str, others: &[(&str, String)]) -> anyhow::Result<Server> {
        let (port, closed) = (free_port()?, free_port()?);
        let mut text = template
            .replace("{folder}", &self.path().display().to_string())
            .replace("{port}", &port.to_string())
            .replace("{closed}", &closed.to_string());
        for (name, value) in others {
            text = text.replace(&format!("{{{name}}}"), value);
        }
        let configuration = self.path().join("waxseal.toml");
        fs::write(&configuration, text)?;
        let mut command = Command::new(machine::waxseal()?);
        command.arg("serve").arg("-c").arg(configuration);
        Server::start("waxseal", command, port, self.path())
    }
}
