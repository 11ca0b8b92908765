//! OpenSSL as an oracle for DANE: the same chains and records, in a real handshake.

use std::process::{Command, Stdio};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::{ServerConfig, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::TlsAcceptor;
use waxseal_core::{
    dane::{Tlsa, verify},
    pki::Certificate,
};

use super::*;

const MX: &str = "mx.example.com";

/// A certificate and its key.
struct Holder {
    der: CertificateDer<'static>,
    params: CertificateParams,
    key: KeyPair,
}

struct Wish {
    names: &'static [&'static str],
    common_name: &'static str,
    end: i32,
    authority: bool,
}

const SERVER: Wish = Wish { names: &[MX], common_name: "server", end: 2040, authority: false };
const AUTHORITY: Wish = Wish { names: &[], common_name: "root", end: 2040, authority: true };

fn holder(wish: &Wish, issuer: Option<&Holder>) -> Holder {
    let names: Vec<String> = wish.names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, wish.common_name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(wish.end, 1, 1);
    params.use_authority_key_identifier_extension = issuer.is_some();
    if wish.authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    }
    let key = KeyPair::generate().unwrap();
    let certificate = match issuer {
        Some(issuer) => {
            params.signed_by(&key, &Issuer::from_params(&issuer.params, &issuer.key)).unwrap()
        }
        None => params.self_signed(&key).unwrap(),
    };
    Holder { der: certificate.der().clone(), params, key }
}

fn record(usage: u8, selector: u8, matching: u8, holder: &Holder) -> Tlsa {
    let read = Certificate::read(&holder.der).unwrap();
    let data = read.association(selector, matching).unwrap();
    Tlsa { usage, selector, matching, data }
}

fn wrong(mut record: Tlsa) -> Tlsa {
    if let Some(last) = record.data.last_mut() {
        *last ^= 1;
    }
    record
}

/// Serves a chain on loopback as long as it is kept.
async fn server(chain: &[&Holder]) -> (SocketAddr, JoinSet<()>) {
    let key = PrivatePkcs8KeyDer::from(chain[0].key.serialize_der());
    let chain = chain.iter().map(|holder| holder.der.clone()).collect();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::Pkcs8(key))
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut task = JoinSet::new();
    task.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // Whether the client liked the certificate is the client's to say.
            let _ended = acceptor.accept(stream).await;
        }
    });
    (address, task)
}

/// Whether `openssl s_client` takes the handshake, as RFC 7672 §3.1.1 wants it: no names for
/// usage 3.
async fn openssl(address: SocketAddr, records: &[Tlsa]) -> bool {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-brief", "-verify_return_error", "-dane_ee_no_namechecks"]);
    command.args(["-connect", &address.to_string(), "-dane_tlsa_domain", MX]);
    // Without what this machine trusts and is set to: neither has a say here, and reading them takes
    // most of the time.
    command.args(["-no-CAfile", "-no-CApath", "-no-CAstore"]).env("OPENSSL_CONF", "/dev/null");
    for record in records {
        command.arg("-dane_tlsa_rrdata").arg(record.to_string());
    }
    let output = tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output());
    let output = output.await.unwrap();
    let output = output.expect("openssl cannot be started; install it: apt-get install openssl");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let good = said.contains("Verification: OK");
    // How the session ends does not matter: the server hangs up after the handshake.
    assert!(good || said.contains("certificate verify failed"), "openssl said: {said}");
    good
}

/// Items 16 to 22: what OpenSSL says of a chain and its records, we say too.
#[tokio::test]
async fn openssl_agrees_about_dane() {
    let root = holder(&AUTHORITY, None);
    let middle = holder(&Wish { common_name: "middle", ..AUTHORITY }, Some(&root));
    let over = holder(&Wish { common_name: "over", end: 2021, ..AUTHORITY }, None);
    let leaf = holder(&SERVER, Some(&middle));
    let own = holder(&SERVER, None);
    let odd = [
        holder(&Wish { names: &["mx.example.org"], ..SERVER }, Some(&middle)),
        holder(&Wish { names: &["*.example.com"], ..SERVER }, Some(&middle)),
        holder(&Wish { names: &["*.mx.example.com"], ..SERVER }, Some(&middle)),
        holder(&Wish { names: &[], common_name: MX, ..SERVER }, Some(&middle)),
        holder(&Wish { end: 2021, ..SERVER }, Some(&middle)),
        holder(&Wish { authority: true, ..SERVER }, Some(&middle)),
    ];
    let below_over = holder(&SERVER, Some(&over));
    let by_server = holder(&SERVER, Some(&holder(&SERVER, Some(&middle))));
    let mut chains: Vec<Vec<&Holder>> = vec![
        vec![&leaf, &middle, &root],
        vec![&leaf, &middle],
        vec![&leaf],
        vec![&own],
        vec![&own, &middle, &root],
        vec![&below_over, &over],
        vec![&by_server, &middle],
    ];
    chains.extend(odd.iter().map(|leaf| vec![leaf, &middle]));

    let mut compared = 0;
    for chain in &chains {
        let mut cases = Vec::new();
        for selector in 0..=1 {
            for matching in 0..=2 {
                cases.push(vec![record(3, selector, matching, chain[0])]);
                for anchor in [&root, &middle, &over] {
                    cases.push(vec![record(2, selector, matching, anchor)]);
                }
            }
        }
        let (weak, strong) = (record(3, 1, 1, chain[0]), record(3, 1, 2, chain[0]));
        cases.push(vec![wrong(weak.clone())]);
        cases.push(vec![weak.clone(), strong.clone()]);
        cases.push(vec![weak.clone(), wrong(strong.clone())]);
        cases.push(vec![wrong(weak), strong]);
        cases.push(vec![record(3, 1, 1, &own), record(2, 0, 1, &middle)]);

        let (address, _task) = server(chain).await;
        let sent: Vec<_> = chain.iter().map(|holder| holder.der.clone()).collect();
        for records in cases {
            let ours = verify(&sent, &records, &[domain(MX)], now());
            let theirs = openssl(address, &records).await;
            assert_eq!(ours.is_ok(), theirs, "{records:?} over {}: {ours:?}", chain.len());
            compared += 1;
        }
    }
    assert!(compared >= 300, "{compared} cases");
}
