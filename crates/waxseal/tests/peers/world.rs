//! The Internet between the gateway and a real receiver: signed DNS of the lab, the receiver's
//! certificate, and `waxseal serve` as its own process with a configuration that anybody could
//! write (plus the map that a test bed needs).

use std::{
    fmt::Write,
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt,
    process::{Child, Command, Stdio},
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PublicKeyData,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time,
};
use waxseal_lab::dns::{Data, DnsServer, Tree, Zone};

use super::process::{Identity, Peer, free_port, package};

/// Where the receiver's name leads.
const RECEIVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
/// The receiver's domain.
pub(crate) const DOMAIN: &str = "receiver.test";
/// The receiver's host.
pub(crate) const HOST: &str = "mx.receiver.test";

/// A private CA and a certificate of it for [`HOST`].
pub(crate) struct Authority {
    pub(crate) identity: Identity,
    /// SHA-256 of the end entity's key: the data of TLSA `3 1 1`.
    key_digest: Vec<u8>,
    /// SHA-256 of the CA's certificate: the data of TLSA `2 0 1`.
    authority_digest: Vec<u8>,
    authority_pem: String,
}

/// What the receiver publishes about its certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Published {
    /// TLSA `3 1 1`.
    Key,
    /// TLSA `2 0 1`.
    Authority,
    /// TLSA `3 1 1` of another key: an attacker's certificate, or a roll gone wrong.
    AnotherKey,
    /// Nothing.
    Nothing,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "Receiver CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let leaf = CertificateParams::new(vec![HOST.to_owned()])
            .unwrap()
            .signed_by(&key, &issuer)
            .unwrap();
        let sha256 = |bytes: &[u8]| digest(&SHA256, bytes).as_ref().to_vec();
        Self {
            identity: Identity {
                chain: format!("{}{}", leaf.pem(), issuer.pem()),
                key: key.serialize_pem(),
            },
            key_digest: sha256(&key.subject_public_key_info()),
            authority_digest: sha256(issuer.der()),
            authority_pem: issuer.pem(),
        }
    }

    fn tlsa(&self, published: Published) -> Option<Data> {
        let (usage, selector, data) = match published {
            Published::Key => (3, 1, self.key_digest.clone()),
            Published::Authority => (2, 0, self.authority_digest.clone()),
            Published::AnotherKey => (3, 1, vec![0xa5; 32]),
            Published::Nothing => return None,
        };
        Some(Data::Tlsa { usage, selector, matching: 1, data })
    }
}

/// How mail leaves.
pub(crate) struct Way {
    /// Where the receiver listens.
    pub(crate) port: u16,
    /// At that port.
    pub(crate) published: Published,
    /// A `[[route]]`, or nothing; `FOLDER` is the gateway's folder.
    pub(crate) route: String,
    /// What the file `smarthost` in that folder holds.
    pub(crate) secret: &'static str,
}

/// A gateway that runs, and the way to a receiver.
pub(crate) struct World {
    pub(crate) gateway: SocketAddr,
    process: Child,
    folder: tempfile::TempDir,
    // Answers until the test ends.
    _dns: DnsServer,
}

impl World {
    /// Starts DNS and the gateway; `floor` is what the organisation demands of all mail.
    pub(crate) async fn start(
        peer: &Peer,
        authority: &Authority,
        published: Published,
        floor: &str,
    ) -> Self {
        let way = Way { port: 25, published, route: String::new(), secret: "" };
        Self::by(peer, authority, &way, floor).await
    }

    /// As [`Self::start`], by `way`.
    pub(crate) async fn by(peer: &Peer, authority: &Authority, way: &Way, floor: &str) -> Self {
        let mut zone = Zone::new(DOMAIN)
            .signed()
            .record("@", &Data::mx(10, HOST))
            .record("mx", &Data::A(RECEIVER));
        if let Some(tlsa) = authority.tlsa(way.published) {
            zone = zone.record(&format!("_{}._tcp.mx", way.port), &tlsa);
        }
        let dns = DnsServer::start(Tree::build(vec![Zone::new("test").signed(), zone]).unwrap());
        let dns = dns.await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("root.ds", &dns.root_ds());
        write("roots.pem", &authority.authority_pem);
        write("rules.toml", &format!("[default]\nrequire = \"{floor}\"\n"));
        let mut configuration = format!(
            "hostname = \"gw.sender.test\"\ndata_dir = \"{folder}/data\"\n\
             [dns]\nupstream = [\"{dns}\"]\ntrust_anchors = \"{folder}/root.ds\"\n\
             [tls]\nroots = \"{folder}/roots.pem\"\n\
             [store]\nkey = \"file:{folder}/store.key\"\n\
             [web.metrics]\naddress = \"127.0.0.1:0\"\n\
             [rules]\nfile = \"{folder}/rules.toml\"\n\
             [[domain]]\nname = \"sender.test\"\ninside = \"127.0.0.1:1\"\n\
             inside_tls = \"opportunistic\"\n\
             [[listen]]\naddress = \"127.0.0.1:{port}\"\ntls = \"none\"\n\
             relay_from = [\"127.0.0.0/8\"]\n",
            folder = folder.path().display(),
            dns = dns.addr(),
        );
        configuration.push_str(&way.route.replace("FOLDER", &folder.path().display().to_string()));
        let (there, from) = (peer.address, way.port);
        writeln!(configuration, "[network.map]\n\"{RECEIVER}:{from}\" = \"{there}\"").unwrap();
        let secret = folder.path().join("smarthost");
        fs::write(&secret, way.secret).unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        write("waxseal.toml", &configuration);
        fs::create_dir(folder.path().join("data")).unwrap();
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_waxseal"))
            .args(["serve", "-c"])
            .arg(folder.path().join("waxseal.toml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let gateway = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut world = Self { gateway, process, folder, _dns: dns };
        world.wait_for_greeting().await;
        world
    }

    async fn wait_for_greeting(&mut self) {
        let mut tick = time::interval(Duration::from_millis(20));
        for _ in 0..1_000 {
            tick.tick().await;
            if let Some(status) = self.process.try_wait().unwrap() {
                panic!("the gateway ended with {status}:\n{}", self.log());
            }
            let Ok(mut stream) = TcpStream::connect(self.gateway).await else { continue };
            let mut code = [0; 3];
            if stream.read_exact(&mut code).await.is_ok() && code == *b"220" {
                let _ = stream.write_all(b"QUIT\r\n").await;
                return;
            }
        }
        panic!("the gateway did not greet within 20 s:\n{}", self.log());
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Submits one message with swaks, a client that is not ours.
    /// Answers the message's id.
    pub(crate) fn submit(&self, recipient: &str) -> String {
        let output = Command::new("perl")
            .arg(package("swaks").join("usr/bin/swaks"))
            .args(["--server", &self.gateway.to_string(), "--helo", "mail.sender.test"])
            .args(["--from", "ada@sender.test", "--to", recipient])
            .args(["--header", "Subject: through the gateway", "--suppress-data"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "the gateway did not take it:\n{said}\n{}", self.log());
        let id =
            said.lines().find_map(|line| line.split_once("accepted as ")).map(|(_, id)| id.trim());
        id.unwrap_or_else(|| panic!("no id:\n{said}")).to_owned()
    }

    /// Runs a sub-command against this gateway's configuration.
    pub(crate) fn waxseal(&self, arguments: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_waxseal"))
            .arg("-c")
            .arg(self.folder.path().join("waxseal.toml"))
            .args(arguments)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr)
    }

    /// Waits until `arguments` print `expected`.
    pub(crate) async fn until(&self, arguments: &[&str], expected: &str) -> String {
        let mut tick = time::interval(Duration::from_millis(100));
        let mut said = String::new();
        for _ in 0..150 {
            tick.tick().await;
            said = self.waxseal(arguments);
            if said.contains(expected) {
                return said;
            }
        }
        panic!("waxseal {arguments:?} did not come to say {expected:?}:\n{said}\n{}", self.log());
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
