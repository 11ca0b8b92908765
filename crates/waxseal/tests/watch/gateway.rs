//! `serve` with regular checks: what a customer would see.

use std::time::Duration;

use waxseal::{config::Config, serve::Gateway, watch::history};
use waxseal_core::domain::Domain;
use waxseal_lab::{
    lab::{Lab, Pinning, SENDER_DOMAIN, is_for},
    sink::Received,
    site::{Attack, Protection},
};

const PATIENCE: Duration = Duration::from_secs(30);

async fn page(gateway: &Gateway) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let address = gateway.page("metrics").unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// One of our own domains is protected by DANE; an attacker on the path to its hosts begins to take
/// STARTTLS out. The postmaster hears of it, at the mail server behind the gateway; and before that, of
/// the other domain of ours, which has no mail host at all and never had one.
#[tokio::test(flavor = "multi_thread")]
async fn the_postmaster_hears_of_a_likely_attack_on_one_of_our_domains() {
    let cell = (Protection::Dane, Attack::StripStartTls);
    let lab = Lab::start(&[cell], &["plain"]).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let text = lab.configuration(folder.path(), Pinning::Unknown).unwrap();
    let text = text.replacen("[checks]\n", "[checks]\nmail = true\n", 1);
    let text = format!("{text}\n[web.metrics]\naddress = \"127.0.0.1:0\"\n");
    let mut config = Config::parse(&text, &folder.path().join("waxseal.toml")).unwrap();
    let name = Domain::parse(&lab.sites()[0].domains()[0]).unwrap();
    let mut own = config.domains[0].clone();
    own.name = name.clone();
    config.domains.push(own);
    // Nobody writes that into a file: it would be refused.
    config.checks.own = Some(Duration::from_secs(1));
    let gateway = Gateway::start(config).await.unwrap();
    let store = gateway.store().clone();
    let now = || waxseal::resolve::Clock::system().now();
    let looked = async {
        while history(&store, &name, now()).await.unwrap().is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, looked).await.unwrap();
    lab.begin(|_| true);
    let postmaster = format!("postmaster@{SENDER_DOMAIN}");
    let inside = lab.inside_sink();
    let letter = async |subject: String| {
        let is_it = |message: &Received| {
            is_for(message, &postmaster)
                && String::from_utf8_lossy(&message.data).contains(&subject)
        };
        let found = inside.find(is_it, PATIENCE).await;
        String::from_utf8_lossy(&found.expect(&subject).data).into_owned()
    };
    letter(format!("Subject: Likely attack: {name}")).await;
    let found = letter(format!("Subject: Broken at the first look: {SENDER_DOMAIN}")).await;
    assert!(found.contains("MX-NO-ADDRESS"), "{found}");
    let letters: Vec<_> =
        inside.all().into_iter().filter(|message| is_for(message, &postmaster)).collect();
    let about = |subject: &str| {
        let texts = letters.iter().map(|letter| String::from_utf8_lossy(&letter.data).into_owned());
        texts.filter(|text| text.contains(subject)).count()
    };
    assert_eq!(about("Subject: Broken at the first look: "), 1, "told once, of that domain only");
    let metrics = page(&gateway).await;
    assert!(metrics.contains("waxseal_checks_total{whose=\"own\",result=\"done\"}"), "{metrics}");
    assert!(metrics.contains("waxseal_own_not_after{kind=\"signature\"}"), "{metrics}");
    assert!(!metrics.contains(name.as_str()), "no domain in a label: {metrics}");
    gateway.stop().await;
}
