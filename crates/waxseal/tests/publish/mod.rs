//! `waxseal publish` as an administrator uses it, against the lab's DNS and our own policy host.

mod gate;
mod policy_host;
mod records;
mod remembered;
mod servers;
mod shown;
mod unknown;

use std::{fmt::Write as _, fs, net::SocketAddr, path::PathBuf, process::Command, time::Duration};

use rcgen::{CertificateParams, KeyPair, PublicKeyData as _};
use serde_json::Value;
use waxseal_lab::dns::{Data, DnsServer, Tree, Zone};

/// Where `ns.lab.invalid`, the name server of every zone of the lab, is said to be.
const NS: &str = "192.0.2.53";
/// Where our policy host is said to be.
const POLICY: &str = "192.0.2.80";
/// Where our mail host is said to be.
const MX: &str = "192.0.2.25";

/// What a command said.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|_| panic!("{}{}", self.out, self.err))
    }
}

/// A lab with the domain `own.test`, and a configuration for it.
struct World {
    dns: DnsServer,
    folder: tempfile::TempDir,
    /// Addresses beside those of the name server.
    map: Vec<(String, SocketAddr)>,
}

/// The zone of `own.test` that a test begins with.
fn own_zone() -> Zone {
    Zone::new("own.test")
        .signed()
        .ttl(1)
        .record("@", &Data::mx(10, "mx.own.test"))
        .record("mx", &Data::A(MX.parse().unwrap()))
        .record("mta-sts", &Data::A(POLICY.parse().unwrap()))
}

/// The zones that lead to the name server.
fn tree(own: Zone) -> Tree {
    let invalid = Zone::new("invalid").signed().record("ns.lab", &Data::A(NS.parse().unwrap()));
    Tree::build(vec![Zone::new("test").signed(), invalid, own]).unwrap()
}

impl World {
    async fn new(own: Zone) -> Self {
        let dns = DnsServer::start(tree(own)).await.unwrap();
        let map = vec![(format!("{NS}:53"), dns.addr())];
        Self { dns, folder: tempfile::tempdir().unwrap(), map }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    /// A key and its certificate as PEM files; answers the digest that TLSA `3 1 1` has.
    fn key(&self, name: &str) -> Vec<u8> {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec!["mx.own.test".to_owned()])
            .unwrap()
            .self_signed(&key)
            .unwrap();
        self.write(&format!("{name}.pem"), &certificate.pem());
        self.write(&format!("{name}.key"), &key.serialize_pem());
        let spki = key.subject_public_key_info();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &spki).as_ref().to_vec();
        fs::write(self.path(&format!("{name}.digest")), &digest).unwrap();
        digest
    }

    /// What [`Self::key`] answered for this name.
    fn digest(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(&format!("{name}.digest"))).unwrap()
    }

    /// Writes a configuration: `domain` below `[domain.publish]`, `more` at the end.
    fn configure(&self, domain: &str, more: &str) -> PathBuf {
        let folder = self.folder.path().display();
        self.write("root.ds", &self.dns.root_ds());
        fs::create_dir_all(self.path("data")).unwrap();
        if !self.path("roots.pem").exists() {
            let ca = waxseal_lab::ca::Ca::new("nobody's").unwrap();
            self.write("roots.pem", &ca.pem());
        }
        let mut text = format!(
            "hostname = \"gw.own.test\"\ndata_dir = \"{folder}/data\"\n\
             [dns]\nupstream = [\"{dns}\"]\ntrust_anchors = \"{folder}/root.ds\"\n\
             [tls]\nroots = \"{folder}/roots.pem\"\n\
             [store]\nkey = \"file:{folder}/store.key\"\n\
             [web.metrics]\naddress = \"127.0.0.1:0\"\n\
             [[domain]]\nname = \"own.test\"\ninside = \"127.0.0.1:1\"\ninside_tls = \"opportunistic\"\n\
             [domain.publish]\n{domain}\n\
             [[listen]]\naddress = \"127.0.0.1:0\"\ntls = \"none\"\n\
             [delivery]\nfamilies = [\"ipv4\"]\n[checks]\npace = 60000\n\
             {more}\n[network.map]\n",
            dns = self.dns.addr(),
        );
        for (from, to) in &self.map {
            writeln!(text, "\"{from}\" = \"{to}\"").unwrap();
        }
        // Nobody is there unless a test puts somebody there: refused at once, and asked nowhere else.
        for from in [format!("{MX}:25"), format!("{POLICY}:443")] {
            if !self.map.iter().any(|(known, _)| *known == from) {
                writeln!(text, "\"{from}\" = \"127.0.0.1:1\"").unwrap();
            }
        }
        self.write("waxseal.toml", &text)
    }

    async fn publish(&self, words: &[&str]) -> Said {
        self.run(&[&["publish"], words].concat()).await
    }

    async fn run(&self, words: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waxseal"));
        command.args(words).arg("-c").arg(self.path("waxseal.toml"));
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        Said {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Asks until the exit code is `code`.
    async fn until(&self, words: &[&str], code: i32) -> Said {
        let mut tick = tokio::time::interval(Duration::from_millis(200));
        let mut last = String::new();
        for _ in 0..150 {
            tick.tick().await;
            let said = self.publish(words).await;
            if said.code == code {
                return said;
            }
            last = format!("{}\n{}{}", said.code, said.out, said.err);
        }
        panic!("publish {words:?} never ended with {code}: {last}");
    }
}

fn tlsa(digest: &[u8]) -> Data {
    Data::Tlsa { usage: 3, selector: 1, matching: 1, data: digest.to_vec() }
}
