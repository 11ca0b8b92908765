//! What is printed, and how it stands.

use waxseal_lab::dns::{Act, Data, Tampering, Tree, Zone, rtype};

use super::{World, own_zone, tlsa};

const DOMAIN: &str = "mx = [\"mx.own.test\"]\ntlsrpt = [\"mailto:tls@own.test\"]\n\
                      mta_sts = \"testing\"\ndmarc = \"reject\"\n";

fn hosts(world: &World) -> String {
    format!(
        "[[publish.mx]]\nhost = \"mx.own.test\"\ncurrent = [\"{}\"]\nnext = [\"{}\"]\n",
        world.path("now.pem").display(),
        world.path("next.key").display(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_printed_without_a_look() {
    let world = World::new(own_zone()).await;
    let (now, next) = (world.key("now"), world.key("next"));
    let hex = |digest: &[u8]| digest.iter().map(|o| format!("{o:02x}")).collect::<String>();
    world.configure(DOMAIN, &hosts(&world));
    let said = world.publish(&["records", "--offline"]).await;
    assert_eq!(said.code, 0, "{}", said.err);
    for line in [
        "_smtp._tls.own.test. 3600 IN TXT \"v=TLSRPTv1; rua=mailto:tls@own.test\"\n",
        // There is no [web.policy]: this gateway would not answer there.
        "; mta-sts.own.test. 3600 IN CNAME gw.own.test.\n",
        ";     mode: testing\n",
        // Nothing to paste before the policy is served.
        "; _mta-sts.own.test. 3600 IN TXT \"v=STSv1; id=",
        // There may be one already, and nobody looked.
        "; own.test. 3600 IN TXT \"v=spf1 a:gw.own.test ~all\"\n",
        // Reports about DANE are asked for under the name of the MX host (RFC 8460 §1.1).
        "_smtp._tls.mx.own.test. 3600 IN TXT \"v=TLSRPTv1; rua=mailto:tls@own.test\"\n",
        // Nobody looked whether anything that the gateway sends would pass.
        "; _dmarc.own.test. 3600 IN TXT \"v=DMARC1; p=reject\"\n",
        // Nor which keys the host shows.
        &format!("; _25._tcp.mx.own.test. 3600 IN TLSA 3 1 1 {}\n", hex(&now)),
        // From a private key alone: there is no certificate for it yet.
        &format!("; _25._tcp.mx.own.test. 3600 IN TLSA 3 1 1 {}\n", hex(&next)),
    ] {
        assert!(said.out.contains(line), "{line}{}", said.out);
    }
    let json = world.publish(&["mta-sts", "--offline", "--json"]).await.json();
    let text = json["domains"][0]["policy"]["text"].as_str().unwrap();
    assert_eq!(text, "version: STSv1\r\nmode: testing\r\nmx: mx.own.test\r\nmax_age: 1209600\r\n");
    // A script sees as well what people are told: nobody looked, so some of it is not to be pasted.
    let json = world.publish(&["records", "--offline", "--json"]).await.json();
    assert!(json["looked"] == false && json["verdict"].is_null(), "{json}");
    let records = |part: &str| json[part][0]["records"].as_array().unwrap().clone();
    for record in [records("domains"), records("hosts")].concat() {
        let owner = record["owner"].as_str().unwrap();
        let held = !record["hold"].is_null();
        assert_eq!(held, !owner.starts_with("_smtp._tls"), "{record}");
    }
    let tlsa = records("hosts")[0]["hold"].as_str().unwrap().to_owned();
    assert!(tlsa.contains("nobody looked which keys mx.own.test shows"), "{tlsa}");
    let said = world.publish(&["records", "elsewhere.test"]).await;
    assert_eq!(said.code, 64);
    assert!(said.err.contains("it has own.test, mx.own.test"), "{}", said.err);
    // Nothing is asked for, and that is said.
    world.configure("", "");
    for (part, key) in [("mta-sts", "`mta_sts`"), ("tlsrpt", "`tlsrpt`")] {
        let said = world.publish(&[part]).await;
        assert!(said.code == 0 && said.out.contains(key), "{}{}", said.out, said.err);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_record_is_live_missing_different_or_unknown() {
    let place = World::new(own_zone()).await;
    let (now, next) = (place.key("now"), place.key("next"));
    let zone = own_zone()
        .record("_smtp._tls", &Data::txt("v=TLSRPTv1; rua=mailto:tls@own.test"))
        .record("_smtp._tls.mx", &Data::txt("v=TLSRPTv1; rua=mailto:tls@own.test"))
        .record("_dmarc", &Data::txt("v=DMARC1; p=none"))
        .record("@", &Data::txt("v=spf1 include:x.example -all"))
        .record("_25._tcp.mx", &tlsa(&now))
        .record("_25._tcp.mx", &tlsa(&next));
    place.dns.replace(super::tree(zone));
    place.configure(DOMAIN, &hosts(&place));
    let said = place.publish(&["records", "--json"]).await;
    let json = said.json();
    assert_eq!(said.code, 1, "{json}");
    let findings = json["domains"][0]["findings"].as_array().unwrap();
    let standing = |owner: &str, kind: &str| {
        let one = findings
            .iter()
            .find(|one| one["records"][0]["owner"] == owner && one["records"][0]["type"] == kind);
        one.unwrap_or_else(|| panic!("{owner}: {json}"))["standing"].clone()
    };
    assert_eq!(standing("_smtp._tls.own.test", "TXT"), "live");
    assert_eq!(standing("_dmarc.own.test", "TXT"), "differs");
    assert_eq!(standing("own.test", "TXT"), "differs");
    assert_eq!(standing("_mta-sts.own.test", "TXT"), "missing");
    assert_eq!(standing("mta-sts.own.test", "CNAME"), "live");
    assert_eq!(json["hosts"][0]["findings"][0]["standing"], "live", "{json}");
    assert_eq!(json["hosts"][0]["dnssec"][0]["state"], "signed", "{json}");
    // Nobody answers at the policy host: not known, and not "there is none".
    assert_eq!(json["domains"][0]["policy"]["standing"], "unknown", "{json}");
    // Who reads only the last line knows as well.
    let text = place.publish(&["records"]).await;
    let last = "in all: 2 different, 1 missing, 1 could not be found out, 4 live, 1 host shows unknown keys";
    assert_eq!(text.out.lines().last(), Some(format!("; {last}").as_str()), "{}", text.out);
    let text = place.publish(&["tlsrpt"]).await;
    assert_eq!(text.code, 0, "{}{}", text.out, text.err);
    assert!(
        text.out
            .contains("; TLSRPT at _smtp._tls.own.test: live\n_smtp._tls.own.test. 3600 IN TXT"),
        "{}",
        text.out
    );
    place.dns.tamper(Tampering::only("_smtp._tls.own.test", rtype::TXT, Act::Fail(2)));
    let unknown = place.publish(&["tlsrpt"]).await;
    assert_eq!(unknown.code, 2, "{}{}", unknown.out, unknown.err);
    assert!(unknown.out.contains("could not be found out"), "{}", unknown.out);
}

/// All of it can be added to the zone: what would break a record that is there is a comment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_to_paste_double_no_record_and_lose_no_other_sender() {
    let senders: Vec<String> = (0..11).map(|nth| format!("include:s{nth}.example")).collect();
    let senders = senders.join(" ");
    let zone = own_zone()
        .record("@", &Data::txt(&format!("v=spf1 {senders} -all")))
        .record("_dmarc", &Data::txt("v=DMARC1; p=none; sp=reject"));
    let world = World::new(zone).await;
    world.configure(DOMAIN, "");
    let said = world.publish(&["records"]).await;
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    let dmarc = "; _dmarc.own.test. 3600 IN TXT \"v=DMARC1; p=reject; sp=reject\"\n";
    assert!(said.out.contains(dmarc), "{}", said.out);
    let spf = said.out.lines().find(|line| line.contains("IN TXT \"v=spf1")).unwrap();
    assert!(spf.starts_with("; own.test. 3600 IN TXT \"v=spf1 a:gw.own.test include:s0."), "{spf}");
    assert!(spf.ends_with(&format!("{senders} -all\"")), "{spf}");
    for line in said.out.lines().filter(|line| !line.starts_with(';')) {
        assert!(!line.contains("v=spf1") && !line.contains("DMARC"), "{line}");
        // Nobody serves the policy yet, so its id is nothing to paste.
        assert!(!line.contains("STSv1"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_sub_command_the_current_step_is_shown() {
    let zone = own_zone().record("_smtp._tls", &Data::txt("v=TLSRPTv1; rua=mailto:tls@own.test"));
    let world = World::new(zone).await;
    world.configure(DOMAIN, "");
    let said = world.publish(&[]).await;
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.starts_with("own.test\n  1. done"), "{}", said.out);
    assert!(said.out.contains("2. now   read two weeks of reports"), "{}", said.out);
    assert!(said.out.contains("until 20"), "{}", said.out);
    let plan = world.publish(&["--json"]).await.json();
    assert_eq!(plan["domains"][0]["plan"][1]["state"], "current", "{plan}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_used_is_refused_with_its_name() {
    let world = World::new(own_zone()).await;
    world.write("empty.pem", "no key\n");
    world.write("huge.pem", &"x".repeat(300 * 1024));
    for (file, why) in [
        ("missing.pem", "No such file"),
        ("empty.pem", "neither a certificate nor a key"),
        ("huge.pem", "larger than 256 KiB"),
    ] {
        let path = world.path(file).display().to_string();
        let hosts = format!("[[publish.mx]]\nhost = \"mx.own.test\"\ncurrent = [\"{path}\"]\n");
        world.configure("", &hosts);
        let said = world.publish(&["tlsa"]).await;
        assert_eq!(said.code, 78, "{}", said.err);
        assert!(said.err.contains(&path) && said.err.contains(why), "{}", said.err);
    }
    world.configure(DOMAIN, "");
    let said = world.publish(&["records", "--update"]).await;
    assert_eq!(said.code, 78, "{}", said.err);
    assert!(said.err.contains("--update needs [publish.update]"), "{}", said.err);
    // A file that is not ours is not overwritten.
    let state = world.path("data/publish.json");
    std::fs::write(&state, "{\"mail\":1}").unwrap();
    let said = world.publish(&["gate"]).await;
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(said.err.contains("is not what `publish` remembered"), "{}", said.err);
    assert_eq!(std::fs::read_to_string(&state).unwrap(), "{\"mail\":1}");
}

/// Names that a hoster looks after: zones of their own below ours.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn delegated_names_are_looked_at_in_their_own_zones() {
    let own = |name: &str| Zone::new(name).signed();
    let world = World::new(own_zone()).await;
    let zones = vec![
        own("test"),
        own("invalid").record("ns.lab", &Data::A(super::NS.parse().unwrap())),
        own_zone(),
        own("_dmarc.own.test").record("@", &Data::txt("v=DMARC1; p=reject")),
        own("_mta-sts.own.test").record("@", &Data::txt("v=STSv1; id=theirs;")),
    ];
    world.dns.replace(Tree::build(zones).unwrap());
    world.configure("mx = [\"mx.own.test\"]\nmta_sts = \"testing\"\ndmarc = \"reject\"\n", "");
    let json = world.publish(&["records", "--json"]).await.json();
    let findings = json["domains"][0]["findings"].as_array().unwrap();
    let of = |owner: &str| findings.iter().find(|one| one["owner"] == owner).unwrap();
    assert_eq!(of("_dmarc.own.test")["standing"], "live", "{json}");
    assert_eq!(of("_mta-sts.own.test")["standing"], "differs", "{json}");
    // Their servers are found and asked: only the policy host is not.
    let json = world.publish(&["gate", "--json"]).await.json();
    for item in json["items"].as_array().unwrap() {
        for gap in item["unknown"].as_array().unwrap() {
            assert_eq!(gap["of"], "mta-sts.own.test", "{json}");
        }
    }
}
