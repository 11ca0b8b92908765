//! The two other validators, from Debian (`tests/peers unbound bind9-dnsutils`).

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::{net::UdpSocket, time};
use waxseal_core::{
    dnssec::{Name, RecordType},
    domain::Domain,
};

use super::State;
use crate::peers::process::free_port;

/// The folder of an unpacked Debian package, and where its libraries are.
fn package(name: &str) -> (PathBuf, String) {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let folder = root.join("target/peers").join(name);
    assert!(
        folder.join(".complete").exists(),
        "{name} is not unpacked, so this cannot be tested; run: tests/peers {name}"
    );
    let libraries = ["usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib"];
    let path: Vec<String> =
        libraries.iter().map(|part| folder.join(part).display().to_string()).collect();
    (folder, path.join(":"))
}

/// Where a test may keep the files of an oracle.
fn scratch() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("waxseal-oracle-").tempdir().unwrap()
}

/// A running unbound. Dropping it stops it.
pub(crate) struct Unbound {
    process: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Unbound {
    pub(super) async fn start(upstream: SocketAddr, anchor: &str) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        Self::start_at(address, upstream, anchor).await
    }

    /// The same at an address of 127.0.0.1 that is known to be free.
    pub(crate) async fn start_at(address: SocketAddr, upstream: SocketAddr, anchor: &str) -> Self {
        let (package, libraries) = package("unbound");
        let folder = scratch();
        let anchors: String =
            anchor.lines().map(|line| format!("  trust-anchor: \"{line}\"\n")).collect();
        let text = format!(
            "server:\n  interface: 127.0.0.1@{port}\n  username: \"\"\n  chroot: \"\"\n  \
             directory: \"{dir}\"\n  pidfile: \"\"\n  use-syslog: no\n  logfile: \"\"\n  \
             module-config: \"validator iterator\"\n  do-not-query-localhost: no\n  \
             qname-minimisation: no\n  do-ip6: no\n  num-threads: 1\n{anchors}\
             remote-control:\n  control-enable: no\n\
             forward-zone:\n  name: \".\"\n  forward-addr: 127.0.0.1@{upstream}\n",
            port = address.port(),
            dir = folder.path().display(),
            upstream = upstream.port(),
        );
        let config = folder.path().join("unbound.conf");
        fs::write(&config, text).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let process = Command::new(package.join("usr/sbin/unbound"))
            .env("LD_LIBRARY_PATH", libraries)
            .arg("-d")
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut unbound = Self { process, address, _folder: folder };
        unbound.wait().await;
        unbound
    }

    async fn wait(&mut self) {
        let mut tick = time::interval(Duration::from_millis(20));
        for _ in 0..500 {
            tick.tick().await;
            if let Some(status) = self.process.try_wait().unwrap() {
                let log = fs::read_to_string(self._folder.path().join("log")).unwrap_or_default();
                panic!("unbound ended with {status}:\n{log}");
            }
            let asked = time::timeout(Duration::from_millis(100), self.exchange(".", "SOA"));
            if matches!(asked.await, Ok(Some(_))) {
                return;
            }
        }
        panic!("unbound does not answer");
    }

    /// Flags of the answer; `None` where the port is closed.
    async fn exchange(&self, name: &str, record_type: &str) -> Option<u16> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        socket.connect(self.address).await.unwrap();
        let name = match name {
            "." => Name::root(),
            name => Name::from(&Domain::parse(name).unwrap()),
        };
        let record_type: RecordType = record_type.parse().unwrap();
        // RD, and EDNS with DO and 4096 octets.
        let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        query.extend(name.as_octets());
        query.extend(record_type.to_int().to_be_bytes());
        query.extend([0, 1, 0, 0, 41, 16, 0, 0, 0, 0x80, 0, 0, 0]);
        socket.send(&query).await.ok()?;
        let mut answer = vec![0; 65_535];
        let length = socket.recv(&mut answer).await.ok()?;
        assert!(length >= 12 && answer[..2] == [0x12, 0x34], "a strange answer of unbound");
        Some(u16::from_be_bytes([answer[2], answer[3]]))
    }

    pub(super) async fn ask(&self, name: &str, record_type: &str) -> State {
        for _ in 0..3 {
            let asked = time::timeout(Duration::from_secs(10), self.exchange(name, record_type));
            let Ok(Some(flags)) = asked.await else { continue };
            return match (flags & 0x000f, flags & 0x0020) {
                (2, _) => State::Failed,
                (_, 0) => State::Insecure,
                (..) => State::Secure,
            };
        }
        panic!("unbound does not answer {name} {record_type}");
    }
}

impl Drop for Unbound {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// BIND's validator as a command: it starts from nothing with each question.
pub(super) struct Delv {
    program: PathBuf,
    libraries: String,
    upstream: SocketAddr,
    anchors: PathBuf,
    _folder: tempfile::TempDir,
}

impl Delv {
    pub(super) fn new(upstream: SocketAddr, anchor: &str) -> Self {
        let (package, libraries) = package("bind9-dnsutils");
        let folder = scratch();
        let anchors = folder.path().join("anchors");
        let entry = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [_, _, _, tag, algorithm, digest_type, digest] = words[..] else {
                panic!("an anchor: {line}")
            };
            format!(". static-ds {tag} {algorithm} {digest_type} \"{digest}\";\n")
        };
        let entries: String = anchor.lines().map(entry).collect();
        fs::write(&anchors, format!("trust-anchors {{\n{entries}}};\n")).unwrap();
        let program = package.join("usr/bin/delv");
        Self { program, libraries, upstream, anchors, _folder: folder }
    }

    pub(super) fn ask(&self, name: &str, record_type: &str) -> State {
        let output = Command::new(&self.program)
            .env("LD_LIBRARY_PATH", &self.libraries)
            .arg(format!("@{}", self.upstream.ip()))
            .args(["-p", &self.upstream.port().to_string(), "-a"])
            .arg(&self.anchors)
            .args(["+root=.", "-q", &format!("{name}."), "-t", record_type])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        let verdicts: Vec<&str> = text.lines().filter(|line| line.starts_with("; ")).collect();
        let all = |word: &str| verdicts.iter().any(|line| line.contains(word));
        if all("unsigned answer") {
            State::Insecure
        } else if all("fully validated") {
            State::Secure
        } else {
            assert!(text.contains("resolution failed"), "delv on {name} {record_type}:\n{text}");
            State::Failed
        }
    }
}
