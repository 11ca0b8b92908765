//! What is absent, what is refused and what could not be found out are told apart to the last: in words, in
//! JSON and by the exit code.

use waxseal_lab::{
    ca::{Ca, Identity, ServerKey, Validity},
    dns::{Act, Data, Tampering, rtype},
    mx::{MxServer, Personality, StartTls},
    policy_host::{Answer, PolicyHost, PolicyPersonality},
    sink::Sink,
};

use super::{POLICY, World, gate::hosts, own_zone, tlsa};

const TESTING: &str = "mx = [\"mx.own.test\"]\nmta_sts = \"testing\"\n";

/// One name server whose answer for the next key is `act`.
async fn gate_where(act: Act) -> super::Said {
    let world = World::new(own_zone()).await;
    let (now, next) = (world.key("now"), world.key("next"));
    let zone = own_zone().record("_25._tcp.mx", &tlsa(&now)).record("_25._tcp.mx", &tlsa(&next));
    world.dns.replace(super::tree(zone));
    world.configure("", &hosts(&world));
    world.dns.tamper(Tampering::only("_25._tcp.mx.own.test", rtype::TLSA, act));
    world.publish(&["gate", "--json"]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_fails_or_refuses_leaves_the_gate_unknown_and_says_what_to_do() {
    for (act, how, to_do) in [
        (Act::Fail(2), "silent", "see that ns.lab.invalid runs"),
        (Act::Fail(5), "refused", "let ns.lab.invalid answer for the zone"),
        (Act::StripSignatures, "unproven", "sign it anew"),
    ] {
        let said = gate_where(act).await;
        let json = said.json();
        assert_eq!((said.code, &json["verdict"]), (2, &"unknown".into()), "{json}");
        let item = &json["items"][0];
        assert_eq!((&item["state"], &json["open"]), (&"unknown".into(), &false.into()), "{json}");
        assert_eq!(item["unknown"][0]["of"], "ns.lab.invalid (192.0.2.53)", "{json}");
        assert_eq!(item["unknown"][0]["how"], how, "{json}");
        assert!(item["to_do"][0].as_str().unwrap().contains(to_do), "{json}");
    }
}

/// A world with a policy host that can be made to behave badly, and a public CA.
async fn with_policy_host(zone: waxseal_lab::dns::Zone) -> (World, PolicyHost, Ca, ServerKey) {
    let mut world = World::new(zone).await;
    let ca = Ca::new("everybody's").unwrap();
    world.write("roots.pem", &ca.pem());
    let key = ServerKey::generate().unwrap();
    let identity = ca.issue(&key, &["mta-sts.own.test"], Validity::Current).unwrap();
    let personality = PolicyPersonality { identity, answer: Answer::NotFound };
    let host = PolicyHost::start(personality).await.unwrap();
    world.map.push((format!("{POLICY}:443"), host.addr()));
    world.configure(TESTING, "");
    (world, host, ca, key)
}

/// What a policy host says is a fact, bad as it may be; only one that says nothing leaves us ignorant.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_is_missing_or_ill_served_is_no_failure_to_find_out() {
    let (world, host, ca, key) = with_policy_host(own_zone()).await;
    let with = |validity, answer| PolicyPersonality {
        identity: ca.issue(&key, &["mta-sts.own.test"], validity).unwrap(),
        answer,
    };
    let text = "no policy".to_owned();
    for (personality, code, standing, why, to_do) in [
        (with(Validity::Current, Answer::NotFound), 1, "missing", "404", "serve it first"),
        (
            with(Validity::Expired, Answer::NotFound),
            1,
            "differs",
            "expired",
            "get a certificate of a public CA for mta-sts.own.test",
        ),
        (
            with(Validity::Current, Answer::Policy(text)),
            1,
            "differs",
            "not a policy",
            "serve it as",
        ),
        (with(Validity::Current, Answer::Blocked), 2, "unknown", "no TLS", "answers at port 443"),
    ] {
        host.become_like(personality);
        let gate = world.publish(&["gate", "--only", "id"]).await;
        assert_eq!(gate.code, code, "{}{}", gate.out, gate.err);
        assert!(gate.out.contains(why) && gate.out.contains(to_do), "{}", gate.out);
        let json = world.publish(&["mta-sts", "--json"]).await.json();
        let policy = &json["domains"][0]["policy"];
        assert_eq!(policy["standing"], standing, "{json}");
        assert!(policy["why"].as_str().unwrap().contains(why), "{json}");
        // What nobody knows is not there to be mended.
        let text = world.publish(&["mta-sts"]).await.out;
        let serve = text.contains("to do: let that address serve this");
        assert_eq!(serve, standing != "unknown", "{text}");
        assert!(serve || text.contains("to do: see that it answers at port 443"), "{text}");
    }
}

/// The policy host has addresses: an alias beside them is a zone that no server loads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_alias_is_printed_beside_addresses_that_are_there() {
    let (world, _host, _ca, _key) = with_policy_host(own_zone()).await;
    for command in ["records", "mta-sts"] {
        let said = world.publish(&[command]).await;
        assert!(said.out.contains("; MTA-STS at mta-sts.own.test: live"), "{}", said.out);
        assert!(!said.out.contains("IN CNAME"), "{}", said.out);
    }
}

/// A sender takes any address of the policy host, and keeps the old file under the new id from the one that
/// has it still.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_id_waits_for_the_file_at_each_address_of_the_policy_host() {
    const SECOND: &str = "192.0.2.81";
    let zone = own_zone().record("mta-sts", &Data::A(SECOND.parse().unwrap()));
    let (mut world, host, ca, key) = with_policy_host(zone).await;
    let serving = |answer| PolicyPersonality {
        identity: ca.issue(&key, &["mta-sts.own.test"], Validity::Current).unwrap(),
        answer,
    };
    let second = PolicyHost::start(serving(Answer::NotFound)).await.unwrap();
    world.map.push((format!("{SECOND}:443"), second.addr()));
    world.configure(TESTING, "");
    let json = world.publish(&["mta-sts", "--json"]).await.json();
    let file = json["domains"][0]["policy"]["text"].as_str().unwrap().to_owned();
    host.become_like(serving(Answer::Policy(file.clone())));
    let old = file.replace("testing", "none");
    for (answer, code, why) in [
        (Answer::NotFound, 1, format!("at {SECOND}: mta-sts.own.test answered 404")),
        (Answer::Policy(old), 1, "another policy is still served".to_owned()),
        (Answer::Blocked, 2, format!("at {SECOND}: no TLS")),
        (Answer::Policy(file.clone()), 0, "may be published now".to_owned()),
    ] {
        second.become_like(serving(answer));
        let said = world.publish(&["gate", "--only", "id", "--json"]).await;
        let json = said.json();
        assert_eq!(said.code, code, "{json}");
        assert!(json["items"][0]["because"].as_str().unwrap().contains(&why), "{json}");
    }
}

/// IPv6 on a machine without it: what is served there is not known, and that is said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_of_the_policy_host_that_nobody_could_ask_is_listed() {
    let far = Data::Aaaa(std::net::Ipv6Addr::new(0x2001, 0x4860, 0, 0, 0, 0, 0, 0x80));
    let (world, host, ca, key) = with_policy_host(own_zone().record("mta-sts", &far)).await;
    serve_what_is_wanted(&world, &host, (&ca, &key)).await;
    let aside =
        "mta-sts.own.test (2001:4860::80): its address family is switched off in [delivery]";
    let said = world.publish(&["gate", "--only", "id", "--json"]).await;
    let json = said.json();
    assert_eq!((said.code, &json["items"][0]["not_asked"][0]), (0, &aside.into()), "{json}");
    let because = json["items"][0]["because"].as_str().unwrap();
    assert!(because.starts_with("the policy is served at each address that"), "{json}");
    let said = world.publish(&["mta-sts"]).await;
    assert!(said.out.contains(&format!(";   not asked: {aside}\n")), "{}", said.out);
    let json = world.publish(&["mta-sts", "--json"]).await.json();
    assert_eq!(json["domains"][0]["policy"]["not_asked"][0], aside, "{json}");
}

/// One past the limit could be asked, so no other address speaks for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_addresses_of_the_policy_host_than_sixteen_are_not_asked_and_not_forgotten() {
    let more: Vec<String> = (81..97).map(|last| format!("192.0.2.{last}")).collect();
    let zone = more.iter().fold(own_zone(), |zone, address| {
        zone.record("mta-sts", &Data::A(address.parse().unwrap()))
    });
    let (mut world, host, ca, key) = with_policy_host(zone).await;
    world.map.extend(more.iter().map(|address| (format!("{address}:443"), host.addr())));
    world.configure(TESTING, "");
    serve_what_is_wanted(&world, &host, (&ca, &key)).await;
    let said = world.publish(&["gate", "--only", "id"]).await;
    assert_eq!(said.code, 2, "{}{}", said.out, said.err);
    let why = "at 192.0.2.96: not asked: mta-sts.own.test has more than 16 addresses";
    assert!(said.out.contains(why), "{}", said.out);
}

async fn serve_what_is_wanted(world: &World, host: &PolicyHost, (ca, key): (&Ca, &ServerKey)) {
    let json = world.publish(&["mta-sts", "--json"]).await.json();
    let file = json["domains"][0]["policy"]["text"].as_str().unwrap().to_owned();
    let identity = ca.issue(key, &["mta-sts.own.test"], Validity::Current).unwrap();
    host.become_like(PolicyPersonality { identity, answer: Answer::Policy(file) });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_doors_the_closed_one_decides_the_exit_code() {
    let (world, host, ca, key) = with_policy_host(own_zone()).await;
    let (now, next) = (world.key("now"), world.key("next"));
    let keys = |digests: &[&[u8]]| {
        let zone = own_zone();
        digests.iter().fold(zone, |zone, digest| zone.record("_25._tcp.mx", &tlsa(digest)))
    };
    let identity = ca.issue(&key, &["mta-sts.own.test"], Validity::Current).unwrap();
    host.become_like(PolicyPersonality { identity, answer: Answer::Blocked });
    // The key waits, and of the policy nothing is known.
    world.dns.replace(super::tree(keys(&[&now, &next])));
    world.configure(TESTING, &hosts(&world));
    let said = world.publish(&["gate"]).await;
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    assert!(said.out.contains("closed: 1 of 3, 2 could not be found out; look again at 20"));
    for (only, code) in [("key", 1), ("id", 2), ("mx", 2)] {
        let said = world.publish(&["gate", "--only", only]).await;
        assert_eq!(said.code, code, "{}{}", said.out, said.err);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_steps_say_which_one_is_unknown_and_why() {
    let (world, host, ca, key) = with_policy_host(
        own_zone()
            .record("_smtp._tls", &Data::txt("v=TLSRPTv1; rua=mailto:tls@own.test"))
            .record("_mta-sts", &Data::txt("v=STSv1; id=one;")),
    )
    .await;
    let domain = format!("{TESTING}tlsrpt = [\"mailto:tls@own.test\"]\n");
    world.configure(&domain, "");
    // A host that says that it has no policy is one thing.
    let said = world.publish(&[]).await;
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    assert!(said.out.contains("2. now "), "{}", said.out);
    // One that says nothing is another: it may serve any.
    let identity = ca.issue(&key, &["mta-sts.own.test"], Validity::Current).unwrap();
    host.become_like(PolicyPersonality { identity, answer: Answer::Blocked });
    let said = world.publish(&[]).await;
    assert_eq!(said.code, 2, "{}{}", said.out, said.err);
    assert!(said.out.contains("2. ?   "), "{}", said.out);
    let why = "could not be found out: which MTA-STS policy senders follow: no TLS with mta-sts";
    assert!(said.out.contains(why), "{}", said.out);
    // The record for reports, and the MX records.
    for (name, kind, nth, why) in [
        ("_smtp._tls.own.test", rtype::TXT, 0, "the TLSRPT record"),
        ("_25._tcp.mx.own.test", rtype::TLSA, 5, "_25._tcp.mx.own.test"),
    ] {
        world.dns.tamper(Tampering::only(name, kind, Act::Fail(2)));
        let said = world.publish(&["--json"]).await;
        let json = said.json();
        let step = &json["domains"][0]["plan"][nth];
        assert_eq!((said.code, &step["state"]), (2, &"unknown".into()), "{json}");
        assert!(step["unknown"][0].as_str().unwrap().contains(why), "{json}");
        world.dns.restore();
    }
    world.configure("", "");
    world.dns.tamper(Tampering::only("own.test", rtype::MX, Act::Fail(2)));
    let said = world.publish(&[]).await;
    assert_eq!(said.code, 2, "{}{}", said.out, said.err);
    assert!(
        said.out.contains("could not be found out: the MX records of own.test"),
        "{}",
        said.out
    );
}

/// A mistake: `current` names another key than the host shows. `records` looks, as `--update` does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_not_printed_for_pasting_where_they_lack_the_key_that_is_shown() {
    let mut world = World::new(own_zone()).await;
    world.key("now");
    let key = ServerKey::generate().unwrap();
    let own = Identity::self_signed(&key, &["mx.own.test"], Validity::Current).unwrap();
    let showing = |starttls| Personality::new("mx.own.test", starttls);
    let server = MxServer::start(showing(StartTls::Works(own)), Sink::default()).await.unwrap();
    world.map.push(("192.0.2.25:25".to_owned(), server.addr()));
    let file = world.path("now.pem").display().to_string();
    world.configure(
        "",
        &format!("[[publish.mx]]\nhost = \"mx.own.test\"\ncurrent = [\"{file}\"]\n"),
    );
    let pasted = |out: &str| out.lines().any(|line| line.starts_with("_25._tcp"));
    let said = world.publish(&["records"]).await;
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    assert!(!pasted(&said.out) && said.out.contains("NOT CONFIGURED"), "{}", said.out);
    // Where it cannot be seen, nobody can miss that.
    server.become_like(showing(StartTls::Absent));
    let said = world.publish(&["records"]).await;
    assert!(
        said.err.contains("warning: which keys mx.own.test shows could not be"),
        "{}",
        said.err
    );
    let why =
        "; WARNING: which keys mx.own.test shows could not be found out:\n;   192.0.2.25: STARTTLS";
    assert!(said.out.contains(why) && said.out.contains("before you publish them"), "{}", said.out);
    assert!(!pasted(&said.out), "{}", said.out);
    let said = world.publish(&["records", "--dns-only"]).await;
    assert!(said.err.is_empty() && pasted(&said.out), "{}{}", said.out, said.err);
    assert!(said.out.contains("was not asked (--dns-only)"), "{}", said.out);
    // All is there, and whether that is enough nobody knows.
    world.dns.replace(super::tree(own_zone().record("_25._tcp.mx", &tlsa(&world.digest("now")))));
    world.write("root.ds", &world.dns.root_ds());
    let said = world.publish(&["tlsa"]).await;
    assert_eq!(said.code, 2, "{}{}", said.out, said.err);
    assert_eq!(world.publish(&["tlsa", "--dns-only"]).await.code, 0);
    assert_eq!(world.publish(&["tlsa", "--dns-only", "--update"]).await.code, 64);
}
