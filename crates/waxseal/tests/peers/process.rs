//! What all peers share: a process, its port, and the maildir that it delivers to.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use tokio::{io::AsyncReadExt, net::TcpStream, time};

/// A certificate and its key for a peer to present, as PEM.
pub(crate) struct Identity {
    pub(crate) chain: String,
    pub(crate) key: String,
}

/// A running mail server. Dropping it stops it and everything it started.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    process: Child,
    folder: tempfile::TempDir,
}

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The folder that a Debian package was unpacked to.
pub(crate) fn package(name: &str) -> PathBuf {
    let folder = root().join("target/peers").join(name);
    assert!(
        folder.join(".complete").exists(),
        "{name} is not unpacked, so this cannot be tested; run: tests/peers {name}"
    );
    folder
}

/// A loopback port that is free, and that no other test is given: below those that the system hands
/// out, which the next connection of another test could take before the server has it.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 100).unwrap() * 200;
    loop {
        let port = 10_000 + (start + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        let address = (Ipv4Addr::LOCALHOST, port);
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            return port;
        }
    }
}

/// A folder that every user may enter: servers drop their rights and still have to deliver here.
pub(crate) fn shared_folder() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("waxseal-peer-").tempdir().unwrap();
    open_to_all(folder.path());
    folder
}

/// Lets every user of this machine read and write a folder of throw-away data.
pub(crate) fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
}

impl Peer {
    /// Starts `command` (run in the namespace of `package`) and waits for its greeting on `port`.
    pub(crate) async fn start(
        package_name: &str,
        folder: tempfile::TempDir,
        port: u16,
        command: &[&str],
    ) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self::start_at(package_name, folder, address, command).await
    }

    /// The same on another address of loopback.
    pub(crate) async fn start_at(
        package_name: &str,
        folder: tempfile::TempDir,
        address: SocketAddr,
        command: &[&str],
    ) -> Self {
        let log = fs::File::create(folder.path().join("stderr")).unwrap();
        let process = Command::new(root().join("tests/run-peer"))
            .arg(package_name)
            .arg(folder.path().join("namespace"))
            .args(command)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut peer = Self { address, process, folder };
        peer.wait_for_greeting().await;
        peer
    }

    async fn wait_for_greeting(&mut self) {
        let mut tick = time::interval(Duration::from_millis(20));
        for _ in 0..500 {
            tick.tick().await;
            if let Some(status) = self.process.try_wait().unwrap() {
                panic!("the peer ended with {status} before it greeted:\n{}", self.log());
            }
            let Ok(mut stream) = TcpStream::connect(self.address).await else { continue };
            let mut code = [0; 3];
            let read = time::timeout(Duration::from_secs(5), stream.read_exact(&mut code)).await;
            if matches!(read, Ok(Ok(_))) && code == *b"220" {
                return;
            }
        }
        panic!("the peer did not greet within 10 s:\n{}", self.log());
    }

    /// What the server printed and logged so far.
    pub(crate) fn log(&self) -> String {
        ["stderr", "log"]
            .iter()
            .filter_map(|name| fs::read_to_string(self.folder.path().join(name)).ok())
            .collect()
    }

    /// A file in its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file that the server writes; empty until it does.
    pub(crate) fn reads(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }

    /// Waits until `count` messages were delivered, and returns them.
    pub(crate) async fn delivered(&self, count: usize) -> Vec<String> {
        let new = self.folder.path().join("mail/new");
        let mut tick = time::interval(Duration::from_millis(20));
        for _ in 0..1_000 {
            tick.tick().await;
            let files: Vec<_> = fs::read_dir(&new).into_iter().flatten().flatten().collect();
            if files.len() >= count {
                let read = |file: &fs::DirEntry| {
                    String::from_utf8_lossy(&fs::read(file.path()).unwrap()).into_owned()
                };
                return files.iter().map(read).collect();
            }
        }
        panic!("{count} messages did not arrive within 20 s:\n{}", self.log());
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
