//! What our MX hosts really show, and what is not sent because of it.

use std::{fs, os::unix::fs::PermissionsExt};

use waxseal_lab::{
    ca::{Ca, Identity, ServerKey, Validity},
    dns::Data,
    mx::{MxServer, Personality, StartTls},
    sink::Sink,
};

use super::{World, own_zone, tlsa};

/// A primary server that nobody listens at: what is sent to it is refused by the system.
fn nobody(world: &World) -> String {
    let secret = world.write("tsig", "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    format!(
        "[publish.update]\nserver = \"127.0.0.1:1\"\ntsig_name = \"key\"\ntsig_key = \"file:{}\"\n",
        secret.display()
    )
}

fn showing(identity: &Identity) -> Personality {
    Personality::new("mx.own.test", StartTls::Works(identity.clone()))
}

/// A host that shows the key `old` although the configuration says `new`; records of both are there.
async fn after_a_change() -> (World, MxServer, Identity) {
    let (old, new) = (ServerKey::generate().unwrap(), ServerKey::generate().unwrap());
    let identity = |key| Identity::self_signed(key, &["mx.own.test"], Validity::Current).unwrap();
    let (shown, fresh) = (identity(&old), identity(&new));
    let zone = own_zone()
        .record("_25._tcp.mx", &tlsa(&shown.spki_sha256))
        .record("_25._tcp.mx", &tlsa(&fresh.spki_sha256));
    let mut world = World::new(zone).await;
    let server = MxServer::start(showing(&shown), Sink::default()).await.unwrap();
    world.map.push(("192.0.2.25:25".to_owned(), server.addr()));
    let key = world.write("new.key", &new.pem());
    let more = format!(
        "{}[[publish.mx]]\nhost = \"mx.own.test\"\ncurrent = [\"{}\"]\n",
        nobody(&world),
        key.display()
    );
    world.configure("", &more);
    (world, server, fresh)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_record_of_a_key_that_is_still_shown_is_not_pruned() {
    let (world, server, fresh) = after_a_change().await;
    let prune = ["tlsa", "--update", "--prune"];
    let said = world.publish(&prune).await;
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    assert!(
        said.out.contains("NOT REMOVED: _25._tcp.mx.own.test: ECDSA P-256 key"),
        "{}",
        said.out
    );
    assert!(said.out.contains("which 192.0.2.25 shows"), "{}", said.out);
    assert!(!said.out.contains("127.0.0.1:1"), "nothing was sent: {}", said.out);
    // Without a wish to prune it is said as well, and by the gate.
    let json = world.publish(&["tlsa", "--json"]).await.json();
    assert_eq!(json["hosts"][0]["shown"][0]["place"], "nowhere", "{json}");
    let gate = world.publish(&["gate", "--only", "key"]).await;
    assert_eq!(gate.code, 1, "{}", gate.out);
    assert!(gate.out.contains("it is shown and not configured"), "{}", gate.out);
    // The new key is deployed: the record may go.
    server.become_like(showing(&fresh));
    let said = world.publish(&prune).await;
    assert!(said.out.contains("in `current`") && said.out.contains("127.0.0.1:1"), "{}", said.out);
    assert!(!said.out.contains("NOT REMOVED"), "{}", said.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_pruned_where_the_keys_cannot_be_seen_unless_that_is_asked_for() {
    let (world, server, _) = after_a_change().await;
    server.become_like(Personality::new("mx.own.test", StartTls::Absent));
    let said = world.publish(&["tlsa", "--update", "--prune"]).await;
    // Nothing was seen to be wrong with them: it could not be found out.
    assert_eq!(said.code, 2, "{}{}", said.out, said.err);
    assert!(said.out.contains("NOT REMOVED: _25._tcp.mx.own.test: which keys"), "{}", said.out);
    assert!(said.out.contains("192.0.2.25: STARTTLS is not offered (--unseen"), "{}", said.out);
    assert!(!said.out.contains("127.0.0.1:1"), "{}", said.out);
    let said = world.publish(&["tlsa", "--update", "--prune", "--unseen"]).await;
    assert!(said.out.contains("127.0.0.1:1"), "it was sent: {}", said.out);
}

/// Records that no key needs are the only ones that go: where there are none, nothing is sent, and what is wrong
/// with the others stays wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_pruned_of_unsigned_records_that_are_all_needed() {
    let zone = waxseal_lab::dns::Zone::new("own.test")
        .ttl(1)
        .record("@", &Data::mx(10, "mx.own.test"))
        .record("mx", &Data::A(super::MX.parse().unwrap()));
    let world = World::new(zone.clone()).await;
    let zone = zone.record("_25._tcp.mx", &tlsa(&world.key("now")));
    world.dns.replace(super::tree(zone));
    let file = world.path("now.pem").display().to_string();
    let host = format!("[[publish.mx]]\nhost = \"mx.own.test\"\ncurrent = [\"{file}\"]\n");
    world.configure("", &(nobody(&world) + &host));
    for prune in [&["tlsa", "--update", "--prune"][..], &["tlsa", "--update"]] {
        let said = world.publish(prune).await;
        assert_eq!(said.code, 1, "{}{}", said.out, said.err);
        assert!(said.out.contains("to do: sign the zone with DNSSEC"), "{}", said.out);
        assert!(!said.out.contains("not in DNS yet"), "{}", said.out);
        assert!(!said.out.contains("NOT REMOVED"), "{}", said.out);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_step_to_enforce_is_held_by_a_certificate_that_strangers_refuse() {
    let mut world = World::new(own_zone()).await;
    let ca = Ca::new("everybody's").unwrap();
    world.write("roots.pem", &ca.pem());
    let key = ServerKey::generate().unwrap();
    let own = Identity::self_signed(&key, &["mx.own.test"], Validity::Current).unwrap();
    let server = MxServer::start(showing(&own), Sink::default()).await.unwrap();
    world.map.push(("192.0.2.25:25".to_owned(), server.addr()));
    world.configure("mx = [\"mx.own.test\"]\nmta_sts = \"testing\"\n", "");
    let text = async |world: &World| {
        let json = world.publish(&["--json"]).await.json();
        json["domains"][0]["plan"][4]["text"].as_str().unwrap().to_owned()
    };
    let said = text(&world).await;
    assert!(said.contains("repair first") && said.contains("192.0.2.25"), "{said}");
    server.become_like(showing(&ca.issue(&key, &["mx.own.test"], Validity::Current).unwrap()));
    let said = text(&world).await;
    assert!(said.starts_with("set `mta_sts = \"enforce\"`"), "{said}");
    server
        .become_like(showing(&ca.issue(&key, &["mx.elsewhere.test"], Validity::Current).unwrap()));
    let said = text(&world).await;
    assert!(said.contains("mx.elsewhere.test"), "{said}");
}

/// A mistake: `current` names another key than the host shows. Without records all mail comes; with these
/// records it would be refused at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_records_of_a_host_are_not_sent_where_they_do_not_cover_what_it_shows() {
    let (world, server, fresh) = after_a_change().await;
    world.dns.replace(super::tree(own_zone()));
    let text = fs::read_to_string(world.path("waxseal.toml")).unwrap();
    world.write("root.ds", &world.dns.root_ds());
    world.write("waxseal.toml", &text);
    for part in ["tlsa", "records"] {
        let said = world.publish(&[part, "--update"]).await;
        assert_eq!(said.code, 1, "{}{}", said.out, said.err);
        let why = "NOT SENT: _25._tcp.mx.own.test: a person has to decide: not yet, for mail";
        let pasted = |line: &str| line.starts_with("_25._tcp");
        assert!(!said.out.lines().any(pasted), "nothing to paste: {}", said.out);
        assert!(
            said.out.contains(why) && said.out.contains("name it in `current`"),
            "{}",
            said.out
        );
        assert!(!said.out.contains("127.0.0.1:1"), "nothing was sent: {}", said.out);
    }
    server.become_like(showing(&fresh));
    let said = world.publish(&["tlsa", "--update"]).await;
    assert!(said.out.contains("127.0.0.1:1"), "it was sent: {}", said.out);
}

/// A mistake that nobody can see from here (port 25 is closed to this machine): `current` may name another key
/// than the host shows, and its first records would stop all mail of senders with DANE.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_records_of_a_host_are_not_sent_where_its_keys_cannot_be_seen() {
    let (world, server, _) = after_a_change().await;
    server.become_like(Personality::new("mx.own.test", StartTls::Absent));
    let text = fs::read_to_string(world.path("waxseal.toml")).unwrap();
    // None at all, and one that nobody can use: either way ours would be the first that counts.
    let unusable = Data::Tlsa { usage: 1, selector: 1, matching: 1, data: vec![1; 32] };
    for zone in [own_zone(), own_zone().record("_25._tcp.mx", &unusable)] {
        world.dns.replace(super::tree(zone));
        world.write("root.ds", &world.dns.root_ds());
        world.write("waxseal.toml", &text);
        let said = world.publish(&["tlsa", "--update"]).await;
        assert_eq!(said.code, 2, "{}{}", said.out, said.err);
        let why =
            "NOT SENT: _25._tcp.mx.own.test: the first TLSA records of a host, and which keys";
        assert!(said.out.contains(why) && said.out.contains("--unseen sends them"), "{}", said.out);
        assert!(!said.out.contains("127.0.0.1:1"), "nothing was sent: {}", said.out);
        assert!(said.err.contains("DO NOT PUBLISH its first TLSA records"), "{}", said.err);
        let json = world.publish(&["tlsa", "--update", "--json"]).await.json();
        assert_eq!(json["not_done"][0]["reason"], "unseen", "{json}");
        assert_eq!(json["not_done"][0]["owner"], "_25._tcp.mx.own.test", "{json}");
        assert_eq!(json["verdict"], "unknown", "{json}");
        // Nor is there anything to paste.
        for part in ["tlsa", "records"] {
            let said = world.publish(&[part]).await;
            assert!(!said.out.lines().any(|line| line.starts_with("_25._tcp")), "{}", said.out);
            assert!(said.out.contains("; _25._tcp.mx.own.test. "), "to copy by hand: {}", said.out);
            assert!(said.out.contains("to do: NOT YET"), "{}", said.out);
        }
        let said = world.publish(&["tlsa", "--update", "--unseen"]).await;
        assert!(said.out.contains("127.0.0.1:1"), "it was sent: {}", said.out);
    }
    // A host with records that count takes more of them: they turn nobody away.
    world.dns.replace(super::tree(own_zone().record("_25._tcp.mx", &tlsa(&[7; 32]))));
    world.write("root.ds", &world.dns.root_ds());
    let said = world.publish(&["tlsa", "--update"]).await;
    assert!(said.out.contains("127.0.0.1:1"), "it was sent: {}", said.out);
}

/// Attacker: another user of the machine, who could read the secret that changes our zone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tsig_secret_that_others_can_read_is_refused() {
    let (world, _server, _) = after_a_change().await;
    fs::set_permissions(world.path("tsig"), fs::Permissions::from_mode(0o644)).unwrap();
    let said = world.publish(&["tlsa", "--update"]).await;
    assert_eq!(said.code, 78, "{}{}", said.out, said.err);
    assert!(said.err.contains("others can read this secret") && said.err.contains("chmod 600"));
    fs::remove_file(world.path("tsig")).unwrap();
    let said = world.publish(&["tlsa", "--update"]).await;
    assert!(said.code == 78 && said.err.contains("tsig"), "{}{}", said.out, said.err);
}

/// A hoster looks after the reports: the name is an alias, and servers ignore in silence what is added beside one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sent_to_a_name_that_is_an_alias() {
    let to = |name: &str| Data::Cname(waxseal_lab::dns::Name::new(name));
    let zone = own_zone()
        .record("_dmarc", &to("theirs.own.test"))
        .record("_smtp._tls", &to("nothing.own.test"))
        .record("_25._tcp.mx", &to("keys.own.test"))
        .record("keys", &tlsa(&[7; 32]))
        .record("theirs", &Data::txt("v=DMARC1; p=none"));
    let world = World::new(zone).await;
    world.key("now");
    let file = world.path("now.pem").display().to_string();
    let host = format!("[[publish.mx]]\nhost = \"mx.own.test\"\ncurrent = [\"{file}\"]\n");
    let domain = "dmarc = \"reject\"\ntlsrpt = [\"mailto:t@own.test\"]\n";
    world.configure(domain, &(nobody(&world) + &host));
    let update = ["records", "--update", "--replace", "--prune", "--unseen", "--json"];
    let said = world.publish(&update).await;
    let json = said.json();
    assert_eq!((said.code, &json["verdict"]), (1, &"closed".into()), "{json}");
    let not_done = json["not_done"].as_array().unwrap();
    for owner in ["_dmarc.own.test", "_smtp._tls.own.test", "_25._tcp.mx.own.test"] {
        let one = not_done.iter().find(|one| one["owner"] == owner).unwrap();
        assert_eq!(one["reason"], "by-hand", "{json}");
        let text = one["text"].as_str().unwrap();
        assert!(text.contains(&format!("{owner} is an alias (CNAME) of ")), "{text}");
    }
    // Pasted beside an alias they would break the zone.
    let said = world.publish(&["records"]).await;
    for owner in ["_dmarc", "_smtp._tls.own", "_25._tcp"] {
        assert!(!said.out.lines().any(|line| line.starts_with(owner)), "{}", said.out);
    }
}

/// Others may have put it there: a text that is not ours is replaced only by who asks for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_adds_and_replaces_only_on_request() {
    let zone = own_zone()
        .record("_dmarc", &Data::txt("v=DMARC1; p=none"))
        .record("_smtp._tls", &Data::txt("v=TLSRPTv1; rua=mailto:a@x.example"))
        .record("_smtp._tls", &Data::txt("site=1"));
    let (unproven, zone) =
        (zone.clone(), zone.record("@", &Data::txt("v=spf1 a:gw.own.test ~all")));
    // Without SPF and DKIM all mail of the domain would be turned away.
    let world = World::new(unproven).await;
    world.configure("dmarc = \"reject\"\n", &nobody(&world));
    let said = world.publish(&["records", "--update", "--replace"]).await;
    assert!(said.out.contains("_dmarc.own.test: a person has to decide: NOT YET"), "{}", said.out);
    let world = World::new(zone).await;
    let domain = "dmarc = \"reject\"\ntlsrpt = [\"mailto:t@own.test\"]\n";
    world.configure(domain, &nobody(&world));
    let said = world.publish(&["records", "--update"]).await;
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    let dmarc = "NOT SENT: _dmarc.own.test: another record stands there: --replace";
    assert!(said.out.contains(dmarc), "{}", said.out);
    assert!(!said.out.contains("127.0.0.1:1"), "{}", said.out);
    let said = world.publish(&["records", "--update", "--replace"]).await;
    let unsent = "NOT SENT: _dmarc.own.test: 127.0.0.1:1 (zone own.test): Connection refused";
    assert!(said.out.contains(unsent) && !said.out.contains(dmarc), "{}", said.out);
    // Texts of others at the same name: an update would take them along.
    let by_hand = "_smtp._tls.own.test: a person has to decide";
    assert!(said.out.contains(by_hand), "{}", said.out);
}
