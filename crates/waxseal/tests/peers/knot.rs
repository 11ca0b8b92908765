//! Knot as an authoritative server that signs and takes updates, a second one that lags behind it, and
//! unbound as the resolver that believes them.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::{net::UdpSocket, time};
use waxseal_core::{
    dnssec::{Name, RecordType},
    domain::Domain,
};

use super::process::{free_port, package};

/// The name server's secret for updates, in base64, and its name there.
pub(super) const TSIG: (&str, &str) =
    ("waxseal.key", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");

/// A server that was started. Dropping it stops it.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    process: Child,
    folder: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A program of an unpacked package.
fn program(package_name: &str, path: &str) -> Command {
    let folder = package(package_name);
    let libraries = ["usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib"];
    let libraries: Vec<String> =
        libraries.iter().map(|part| folder.join(part).display().to_string()).collect();
    let mut command = Command::new(folder.join(path));
    command.env("LD_LIBRARY_PATH", libraries.join(":")).stdin(Stdio::null());
    command
}

fn scratch() -> tempfile::TempDir {
    let folder = tempfile::Builder::new().prefix("waxseal-knot-").tempdir().unwrap();
    for name in ["db", "run", "zones"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    folder
}

/// What all Knots here share: no rights are dropped, nothing is kept outside the folder.
fn head(folder: &Path, port: u16) -> String {
    let folder = folder.display();
    format!(
        "server:\n  rundir: \"{folder}/run\"\n  listen: 127.0.0.1@{port}\n  user: root:root\n\
         log:\n  - target: stderr\n    any: info\n\
         database:\n  storage: \"{folder}/db\"\n"
    )
}

/// The signed zones `.` and `zone`; the server may be told new TXT and TLSA records. `records` are
/// those of `zone`, `glue` those of its name servers in the root.
pub(super) async fn primary(zone: &str, records: &str, glue: &str) -> (Server, String) {
    let (folder, port) = (scratch(), free_port());
    let (key, secret) = TSIG;
    let base = folder.path().display();
    let text = format!(
        "{head}key:\n  - id: {key}\n    algorithm: hmac-sha256\n    secret: {secret}\n\
         acl:\n  - id: update\n    key: {key}\n    action: update\n    update-type: [TLSA, TXT]\n  \
         - id: transfer\n    address: 127.0.0.1\n    action: transfer\n\
         policy:\n  - id: lab\n    algorithm: ecdsap256sha256\n    single-type-signing: on\n    \
         cds-cdnskey-publish: none\n    dnskey-ttl: 3\n    zone-max-ttl: 3\n\
         template:\n  - id: default\n    storage: \"{base}/zones\"\n    \
         zonefile-load: difference-no-serial\n    zonefile-sync: -1\n    journal-content: all\n    \
         serial-policy: increment\n    dnssec-signing: on\n    dnssec-policy: lab\n    \
         acl: [update, transfer]\n\
         zone:\n  - domain: .\n    file: root.zone\n  - domain: {zone}\n    file: own.zone\n",
        head = head(folder.path(), port),
    );
    let config = folder.path().join("knot.conf");
    fs::write(&config, text).unwrap();
    for zone in [".", zone] {
        let words = ["generate", "algorithm=ecdsap256sha256", "ksk=yes", "zsk=yes"];
        keymgr(&config, zone, &words);
    }
    let ds = |zone: &str| {
        let lines = keymgr(&config, zone, &["ds"]);
        lines.lines().find(|line| line.contains(" 13 2 ")).unwrap().to_owned()
    };
    let soa = "SOA ns.invalid. hostmaster.invalid. 1 3600 600 86400 3";
    let root = format!("$ORIGIN .\n$TTL 3\n. {soa}\n. NS ns1.{zone}.\n{}\n{glue}", ds(zone));
    fs::write(folder.path().join("zones/root.zone"), root).unwrap();
    let own = format!("$ORIGIN {zone}.\n$TTL 3\n@ {soa}\n{records}");
    fs::write(folder.path().join("zones/own.zone"), own).unwrap();
    let anchor = ds(".").replacen(". DS", ". IN DS", 1);
    (knotd(folder, port, zone).await, anchor)
}

/// Takes the zones from `primary` when it starts, and again only when it is told to.
pub(super) async fn secondary(zone: &str, primary: &Server) -> Server {
    let (folder, port) = (scratch(), free_port());
    let text = format!(
        "{head}remote:\n  - id: primary\n    address: 127.0.0.1@{from}\n\
         template:\n  - id: default\n    storage: \"{base}/zones\"\n    zonefile-load: none\n    \
         zonefile-sync: -1\n    journal-content: all\n    master: primary\n\
         zone:\n  - domain: .\n  - domain: {zone}\n",
        head = head(folder.path(), port),
        from = primary.address.port(),
        base = folder.path().display(),
    );
    fs::write(folder.path().join("knot.conf"), text).unwrap();
    knotd(folder, port, zone).await
}

fn keymgr(config: &Path, zone: &str, words: &[&str]) -> String {
    let output =
        program("knot", "usr/sbin/keymgr").arg("-c").arg(config).arg(zone).args(words).output();
    let output = output.unwrap();
    assert!(output.status.success(), "keymgr: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

async fn knotd(folder: tempfile::TempDir, port: u16, zone: &str) -> Server {
    let log = fs::File::create(folder.path().join("log")).unwrap();
    let process = program("knot", "usr/sbin/knotd")
        .arg("-c")
        .arg(folder.path().join("knot.conf"))
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let server = Server { address, process, folder };
    server.until_answers(zone, "SOA").await;
    server
}

impl Server {
    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Tells a secondary to look at its primary now, and waits until both say the same.
    pub(super) async fn refresh(&self, zone: &str, primary: &Self) {
        let mut tick = time::interval(Duration::from_millis(100));
        for _ in 0..100 {
            tick.tick().await;
            let told = program("knot", "usr/sbin/knotc")
                .arg("-c")
                .arg(self.file("knot.conf"))
                .args(["zone-refresh", zone])
                .output()
                .unwrap();
            assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
            let here = ask(self.address, zone, "SOA").await;
            if here.is_some() && here == ask(primary.address, zone, "SOA").await {
                return;
            }
        }
        panic!("the secondary did not follow");
    }

    async fn until_answers(&self, name: &str, record_type: &str) {
        let mut tick = time::interval(Duration::from_millis(50));
        for _ in 0..200 {
            tick.tick().await;
            let said = ask(self.address, name, record_type).await;
            // NOERROR with an answer.
            if said.is_some_and(|m| m.get(3).is_some_and(|f| f & 15 == 0) && m.get(7) != Some(&0)) {
                return;
            }
        }
        let log = fs::read_to_string(self.file("log")).unwrap_or_default();
        panic!("{} does not answer {name} {record_type}:\n{log}", self.address);
    }
}

/// One question over UDP; the answer as it came.
async fn ask(server: SocketAddr, name: &str, record_type: &str) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    socket.connect(server).await.unwrap();
    let name = Name::from(&Domain::parse(name).unwrap());
    let record_type: RecordType = record_type.parse().unwrap();
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend(name.as_octets());
    query.extend(record_type.to_int().to_be_bytes());
    query.extend([0, 1]);
    socket.send(&query).await.ok()?;
    let mut answer = vec![0; 4_096];
    let length = time::timeout(Duration::from_millis(500), socket.recv(&mut answer)).await.ok()?;
    answer.truncate(length.ok()?);
    Some(answer)
}

/// A resolver that validates, at port 53 of `address`, where the C library of Postfix asks.
pub(super) async fn unbound(
    address: Ipv4Addr,
    servers: &[&Server],
    (zone, anchor): (&str, &str),
) -> Server {
    let folder = scratch();
    let servers: String = servers
        .iter()
        .map(|server| format!("  stub-addr: 127.0.0.1@{}\n", server.address.port()))
        .collect();
    // Both zones by name, for the addresses in them lead nowhere.
    let stub = |zone: &str| format!("stub-zone:\n  name: \"{zone}\"\n  stub-prime: no\n{servers}");
    let text = format!(
        "server:\n  interface: {address}@53\n  username: \"\"\n  chroot: \"\"\n  \
         directory: \"{dir}\"\n  pidfile: \"\"\n  use-syslog: no\n  logfile: \"\"\n  \
         module-config: \"validator iterator\"\n  do-not-query-localhost: no\n  do-ip6: no\n  \
         val-log-level: 2\n  local-zone: \"test.\" nodefault\n  num-threads: 1\n  trust-anchor: \"{anchor}\"\n\
         remote-control:\n  control-enable: no\n\
         {root}{own}",
        dir = folder.path().display(),
        root = stub("."),
        own = stub(zone),
    );
    fs::write(folder.path().join("unbound.conf"), text).unwrap();
    let log = fs::File::create(folder.path().join("log")).unwrap();
    let process = program("unbound", "usr/sbin/unbound")
        .arg("-d")
        .arg("-c")
        .arg(folder.path().join("unbound.conf"))
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let server = Server { address: SocketAddr::from((address, 53)), process, folder };
    server.until_answers(zone, "SOA").await;
    server
}
