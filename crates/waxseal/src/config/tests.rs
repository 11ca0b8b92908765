use serde_json::Value;

use super::*;

/// What has to be written.
const LEAST: &str = r#"
hostname = "gw.example.com"
[[domain]]
name = "example.com"
inside = "mail.example.com:25"
[[listen]]
address = "[::]:25"
"#;

/// One route with only what a route needs.
const LEAST_ROUTE: &str =
    "[[route]]\ndomain = \"partner.example\"\nhost = \"mx.partner.example\"\n";

/// One MX host with only what it needs.
const LEAST_MX: &str = "[[publish.mx]]\nhost = \"mx.example.com\"\n";

fn parsed(text: &str) -> Config {
    Config::parse(text, Path::new("/etc/waxseal/waxseal.toml")).unwrap()
}

fn refused(text: &str) -> String {
    Config::parse(text, Path::new("w.toml")).unwrap_err().to_string()
}

/// On the path: who forges our DNS forges plain questions to others, too.
#[test]
fn others_are_asked_over_tls_or_on_this_machine() {
    let dns = |keys: &str| format!("{LEAST}[dns]\n{keys}\n");
    for fine in ["tls://192.0.2.53#dns.example", "127.0.0.1:5353", "[::1]:5353"] {
        assert_eq!(parsed(&dns(&format!("confirm = [{fine:?}]"))).dns.confirm.len(), 1);
    }
    let plain = refused(&dns("confirm = [\"192.0.2.53\"]"));
    assert!(plain.contains("dns.confirm") && plain.contains("tls://ADDRESS#NAME"), "{plain}");
    let own = "\"tls://192.0.2.53#dns.example\"";
    let same = refused(&dns(&format!("upstream = [{own}]\nconfirm = [{own}]")));
    assert!(same.contains("would confirm itself"), "{same}");
}

#[test]
fn the_example_uncommented_is_exactly_the_defaults() {
    let mut written = parsed(&uncommented());
    // Who writes a max_age vouches for it, also where it is the default; nothing else may differ.
    for domain in &mut written.domains {
        assert_eq!(domain.publish.max_age_said.take(), Some(domain.publish.max_age));
    }
    assert_eq!(written, parsed(&format!("{LEAST}{LEAST_ROUTE}{LEAST_MX}")));
}

#[test]
fn the_example_as_it_is_shipped_changes_nothing() {
    let unset = Config::parse("", Path::new("/etc/waxseal/waxseal.toml"));
    assert_eq!(Config::parse(EXAMPLE, Path::new("/etc/waxseal/waxseal.toml")), unset);
}

#[test]
fn the_example_names_every_key() {
    /// The path of every setting that the example leaves out.
    fn missing(value: &Value, path: &str, found: &mut Vec<String>) {
        match value {
            Value::Null => found.push(path.to_owned()),
            Value::Object(keys) => {
                for (key, value) in keys {
                    missing(value, &format!("{path}.{key}"), found);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| missing(item, path, found)),
            Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let raw: raw::Raw = toml::from_str(&uncommented()).unwrap();
    let mut found = Vec::new();
    missing(&serde_json::to_value(&raw).unwrap(), "", &mut found);
    assert!(found.is_empty(), "missing in waxseal.example.toml: {found:?}");
}

#[test]
fn every_setting_of_the_example_says_why() {
    fn silent(nodes: &BTreeMap<String, keys::Node>, path: &str, found: &mut Vec<String>) {
        for (name, node) in nodes {
            let path = format!("{path}.{name}");
            match node {
                keys::Node::Setting(doc, _) | keys::Node::Free(doc) if doc.is_empty() => {
                    found.push(path);
                }
                keys::Node::Setting(..) | keys::Node::Free(_) => {}
                keys::Node::Table(_, inner) | keys::Node::List(_, inner) => {
                    silent(inner, &path, found);
                }
            }
        }
    }
    let mut found = Vec::new();
    silent(&keys::vocabulary().unwrap(), "", &mut found);
    // Said by the heading of their table.
    found.retain(|path| {
        !path.starts_with(".delivery.timeouts.")
            && ![".web.policy.address", ".web.portal.address", ".network.map", ".listen.address"]
                .contains(&path.as_str())
    });
    assert!(found.is_empty(), "no reason given: {found:?}");
}

#[test]
fn a_wrong_key_is_refused_with_line_and_nearest() {
    assert_eq!(
        refused("hostname = \"gw.example.com\"\n\n[dns]\nupstraem = []\n"),
        "w.toml:4: dns.upstraem: there is no such key; did you mean \"upstream\"?"
    );
    assert_eq!(
        refused("[[listen]]\naddress = \"[::]:25\"\nrelay_form = []\n"),
        "w.toml:3: listen.relay_form: there is no such key; did you mean \"relay_from\"?"
    );
    assert_eq!(
        refused("trust_anchors = \"root.ds\"\n"),
        "w.toml:1: trust_anchors: there is no such key here; it belongs in [dns]"
    );
    assert_eq!(
        refused("[delivery]\nconnect = \"3s\"\n"),
        "w.toml:2: delivery.connect: there is no such key here; it belongs in [delivery.timeouts]"
    );
    assert_eq!(
        refused("[smtp]\nx = 1\n"),
        "w.toml:1: smtp: there is no such key; `waxseal config example` shows all"
    );
}

#[test]
fn all_wrong_keys_are_said_at_once() {
    let text = refused("hostnam = \"a.example\"\n[stroe]\n[tls]\nroot = \"system\"\n");
    assert_eq!(text.lines().count(), 3, "{text}");
}

#[test]
fn a_wrong_value_is_refused_with_line_and_key() {
    let line = refused("[[domain]]\nname = \"exa mple.com\"\ninside = \"m.example\"\n");
    assert!(line.starts_with("w.toml:2: domain[0].name: "), "{line}");
    let line = refused("[delivery]\nport = 99999\n");
    assert!(line.starts_with("w.toml:2: delivery.port: "), "{line}");
    let line = refused("[delivery]\nlifetime = \"5 days\"\n");
    assert!(line.starts_with("w.toml:2: delivery.lifetime: \"5 days\" is no span"), "{line}");
    let line = refused("[rules]\nmode = \"observe\"\n");
    assert!(line.starts_with("w.toml:2: rules.mode: ") && line.contains("monitor"), "{line}");
    let line = refused("[dns]\nupstream = [\"192.0.2.53\", \"dns.example\"]\n");
    assert!(line.starts_with("w.toml:2: dns.upstream"), "{line}");
    let line = refused("[dns\n");
    assert!(line.starts_with("w.toml:1: "), "{line}");
}

#[test]
fn a_secret_in_the_file_is_refused_and_not_repeated() {
    for text in [
        "[store]\nkey = \"hunter2-hunter2\"\n".to_owned(),
        "[author]\ndkim_selector = \"s\"\ndkim_key = \"hunter2-hunter2\"\n".to_owned(),
        format!("{LEAST_ROUTE}auth_user = \"we\"\nauth_secret = \"hunter2-hunter2\"\n"),
        "[store]\nurl = \"postgres://waxseal:hunter2@db/waxseal\"\n".to_owned(),
    ] {
        let line = refused(&text);
        assert!(line.contains("never written here") || line.contains("store.url"), "{line}");
        assert!(!line.contains("hunter2"), "{line}");
    }
}

/// What an open relay, or a password in the clear, would begin with.
#[test]
fn dangerous_combinations_are_refused_with_their_line() {
    let cases = [
        (
            "[[listen]]\naddress = \"[::]:25\"\nrelay_from = [\"0.0.0.0/0\"]\n",
            "w.toml:3: listen[0].relay_from",
        ),
        ("[[listen]]\naddress = \"192.0.2.1:25\"\ntls = \"none\"\n", "w.toml:3: listen[0].tls"),
        (
            "[[listen]]\naddress = \"127.0.0.1:25\"\ntls = \"none\"\nauth = \"p\"\n",
            "w.toml:3: listen[0].tls",
        ),
        (
            "[[listen]]\naddress = \"[::]:25\"\nproof = \"client-cert\"\n",
            "w.toml:3: listen[0].proof",
        ),
        ("[[listen]]\naddress = \"[::]:25\"\nproof = \"auth\"\n", "w.toml:3: listen[0].proof"),
        // A CA has other customers, and insiders.
        (
            "[[listen]]\naddress = \"[::]:25\"\nclient_ca = \"ca.pem\"\n",
            "w.toml:3: listen[0].client_ca: say in `clients`",
        ),
        (
            "[[listen]]\naddress = \"[::]:25\"\nclients = [\"mail.example.com\"]\n",
            "w.toml:3: listen[0].clients",
        ),
        (
            "[[listen]]\naddress = \"[::]:25\"\nclient_ca = \"ca.pem\"\nclients = [\"* for example.net\"]\n",
            "w.toml:4: listen[0].clients: example.net is no [[domain]] of ours",
        ),
        ("[tls]\ncertificate = \"a.pem\"\n", "w.toml:2: tls.certificate"),
        ("[store]\nkey = \"file:/var/lib/waxseal/key\"\n", "w.toml:2: store.key"),
        ("[web.admin]\naddress = \"0.0.0.0:8080\"\n", "w.toml:2: web.admin.address"),
        (
            "[[route]]\ndomain = \"*\"\nhost = \"relay.example\"\ntls = \"encrypted\"\nauth_user = \"we\"\nauth_secret = \"file:/k\"\n",
            "w.toml:4: route[0].tls",
        ),
        (
            "[[route]]\ndomain = \"*\"\nhost = \"relay.example\"\ntls = \"pinned\"\n",
            "w.toml:4: route[0].tls",
        ),
        (
            "[[domain]]\nname = \"a.example\"\ninside = \"192.0.2.1\"\n",
            "w.toml:1: domain[0].inside_tls",
        ),
        ("[[domain]]\nname = \"a.example\"\n", "w.toml:1: domain[0]"),
        ("[delivery]\nretry = []\n", "w.toml:2: delivery.retry"),
        ("[delivery]\nconcurrency = 0\n", "w.toml:2: delivery.concurrency"),
        ("[limits]\nmessage = \"1 KiB\"\n", "w.toml:2: limits.message"),
    ];
    for (text, line) in cases {
        let said = refused(text);
        assert!(said.starts_with(line), "{text}\n{said}");
    }
}

/// The usual port says what a listener is for, and the administrator may say otherwise.
#[test]
fn what_a_listener_is_for_follows_from_its_port_unless_it_is_said() {
    let kind = |text: &str| parsed(&format!("[[listen]]\n{text}\n")).listeners[0].kind;
    for port in [465, 587] {
        assert_eq!(kind(&format!("address = \"[::]:{port}\"")), ListenKind::Submission);
    }
    assert_eq!(kind("address = \"[::]:25\"\nauth = \"passwords\""), ListenKind::Relay);
    assert_eq!(kind("address = \"[::]:2525\"\nkind = \"submission\""), ListenKind::Submission);
    assert_eq!(kind("address = \"[::]:587\"\nkind = \"relay\""), ListenKind::Relay);
    assert!(refused("[[listen]]\nkind = \"mx\"\n").contains("listen[0].kind"));
}

/// A listener that anybody may use has nothing that lets anybody relay, and mail is not handed to
/// ourselves.
#[test]
fn a_listener_for_inbound_mail_relays_for_nobody() {
    let listener = "[[listen]]\naddress = \"[::]:25\"\nkind = \"inbound\"\n";
    assert_eq!(parsed(listener).listeners[0].kind, ListenKind::Inbound);
    for (setting, key) in [
        ("relay_from = [\"10.0.0.0/8\"]", "relay_from"),
        ("auth = \"passwords\"", "auth"),
        ("client_ca = \"ca.pem\"\nclients = [\"*\"]", "client_ca"),
        ("proof = \"dkim\"", "proof"),
        ("tls = \"implicit\"", "tls"),
        ("tls = \"required\"", "tls"),
    ] {
        let said = refused(&format!("{listener}{setting}\n"));
        assert!(said.starts_with(&format!("w.toml:4: listen[0].{key}: ")), "{setting}\n{said}");
    }
    let domain = "[[domain]]\nname = \"a.example\"\ninside_tls = \"encrypted\"\ninside = ";
    let inside = |inside: &str, listener: &str| {
        format!("hostname = \"gw.a.example\"\n{domain}{inside:?}\n{listener}")
    };
    for (there, listener) in [
        ("127.0.0.1:25", listener),
        ("[::1]:25", listener),
        ("gw.a.example:25", listener),
        ("192.0.2.1:25", "[[listen]]\naddress = \"192.0.2.1:25\"\n"),
    ] {
        let said = refused(&inside(there, listener));
        assert!(said.starts_with("w.toml:5: domain[0].inside: leads to our own"), "{said}");
    }
    for there in ["127.0.0.1:2525", "mail.a.example:25", "192.0.2.2:25"] {
        assert_eq!(parsed(&inside(there, listener)).listeners.len(), 1);
    }
}

#[test]
fn what_cannot_be_published_is_refused_with_its_line() {
    let domain =
        "[[domain]]\nname = \"a.example\"\ninside = \"mail.a.example\"\n[domain.publish]\n";
    for (setting, key) in [
        ("mta_sts = \"enforce\"", "mta_sts"),
        ("mta_sts_max_age = \"400d\"", "mta_sts_max_age"),
        ("mta_sts_certificate = \"a.pem\"", "mta_sts_certificate"),
        ("tlsrpt = [\"postmaster@a.example\"]", "tlsrpt"),
        ("tlsrpt = [\"mailto:a@b.example;v=x\"]", "tlsrpt"),
        ("dmarc = \"strict\"", "dmarc"),
        ("dmarc_reports = [\"https://a.example\"]", "dmarc_reports"),
        ("spf = [\"a b\"]", "spf"),
        ("dkim = [\"s1\"]", "dkim"),
        ("dkim = [\"s1=hunter2\"]", "dkim"),
        ("dkim = [\"s1=file:/a\", \"s1=file:/b\"]", "dkim"),
        ("dkim = [\"s1=file:/a\"]\ndkim_retired = [\"s1\"]", "dkim_retired"),
    ] {
        let line = if key == "dkim_retired" { 6 } else { 5 };
        let said = refused(&format!("{domain}{setting}\n"));
        let begin = format!("w.toml:{line}: domain[0].publish.{key}: ");
        assert!(said.starts_with(&begin), "{setting}\n{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    let update = "[publish.update]\nserver = \"192.0.2.53\"\n";
    let named = "tsig_name = \"k\"\ntsig_key = \"file:/k\"\n";
    assert!(refused(update).contains("belong together"));
    let tls = update.replace("192.0.2.53", "tls://192.0.2.53#ns.example");
    assert!(refused(&format!("{tls}{named}")).contains("publish.update.server"));
    let sha1 = format!("{update}{named}tsig_algorithm = \"hmac-sha1\"\n");
    assert!(refused(&sha1).starts_with("w.toml:5: publish.update.tsig_algorithm: "));
    assert!(refused("[publish]\nttl = \"2d\"\n").starts_with("w.toml:2: publish.ttl: "));
    let many = format!("[[publish.mx]]\nhost = \"mx.example\"\nnext = {:?}\n", vec!["k"; 9]);
    assert!(refused(&many).contains("at most 8 files"));
    let near = refused(&format!("{domain}mta_stst = \"off\"\n"));
    assert!(near.ends_with("did you mean \"mta_sts\"?"), "{near}");
}

#[test]
fn values_print_as_they_are_written() {
    fn same<T: std::str::FromStr<Err = BadValue> + fmt::Display>(texts: &[&str]) {
        for text in texts {
            match text.parse::<T>() {
                Ok(value) => assert_eq!(value.to_string(), *text),
                Err(error) => panic!("{text}: {error}"),
            }
        }
    }
    same::<Span>(&["0s", "30s", "5m", "90m", "4h", "2d"]);
    same::<Size>(&["512", "64 KiB", "50 MiB", "2 GiB"]);
    same::<Endpoint>(&["mail.example.com:25", "192.0.2.1:2525", "[2001:db8::1]:25"]);
    same::<SecretRef>(&["credential:store-key", "file:/run/key"]);
    same::<Upstream>(&["192.0.2.53:53", "tls://[2001:db8::53]:853#dns.example"]);
    same::<RouteDomain>(&["*", ".example.net", "example.net"]);
    let key = format!("sha256:{}", "0a".repeat(32));
    same::<RelayClient>(&["*", "mail.example.com", "* for example.com example.org", &key]);
    for wrong in ["", "* for ", "mail.example.com for", "sha256:0a", "*.example.com", "a for b c!"]
    {
        assert!(wrong.parse::<RelayClient>().is_err(), "{wrong}");
    }
    same::<Network>(&["10.0.0.0/8", "2001:db8::/32"]);
    for wrong in ["", "s", "5", "5w", "-1s", "99999999999999999999d", "4000d"] {
        assert!(wrong.parse::<Span>().is_err(), "{wrong}");
    }
    for wrong in ["", "MiB", "1 TiB", "99999999999 GiB"] {
        assert!(wrong.parse::<Size>().is_err(), "{wrong}");
    }
    for wrong in ["10.0.0.1/8", "10.0.0.0/33", "x"] {
        assert!(wrong.parse::<Network>().is_err(), "{wrong}");
    }
    for wrong in ["file:key", "credential:", "credential:../x", "hunter2"] {
        assert!(wrong.parse::<SecretRef>().is_err(), "{wrong}");
    }
    for wrong in ["mail:0", "mail:70000", "ma il:25", ""] {
        assert!(wrong.parse::<Endpoint>().is_err(), "{wrong}");
    }
    let hex = "sha256:".to_owned() + &"0a".repeat(32);
    assert_eq!(hex.parse::<KeyPin>().unwrap().0, [10; 32]);
    assert!("sha256:0a".parse::<KeyPin>().is_err());
}

#[test]
fn paths_are_relative_to_the_file_that_names_them() {
    let config = parsed("[rules]\nfile = \"rules.toml\"\n[tls]\nroots = \"/etc/ca.pem\"\n");
    assert_eq!(config.rules.file, Some("/etc/waxseal/rules.toml".into()));
    assert_eq!(config.tls.roots, Roots::File("/etc/ca.pem".into()));
    assert_eq!(config.store.place, StorePlace::Sqlite("/var/lib/waxseal/waxseal.db".into()));
}

/// A hostile or damaged file: bounded, and one line.
#[test]
fn a_file_that_is_no_configuration_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("w.toml");
    let said = Config::load(&file).unwrap_err().to_string();
    assert!(said.starts_with(&file.display().to_string()), "{said}");
    std::fs::write(&file, vec![b'#'; 5 << 20]).unwrap();
    assert!(Config::load(&file).unwrap_err().to_string().contains("4 MiB"));
    std::fs::write(&file, [0xff, 0xfe, 0]).unwrap();
    assert!(Config::load(&file).is_err());
    std::fs::write(&file, "a = ".to_owned() + &"[".repeat(100_000)).unwrap();
    assert!(Config::load(&file).is_err());
}

#[test]
fn the_schema_knows_what_the_parser_knows() {
    let schema = schema().unwrap();
    let property = |path: &str| schema.pointer(path).cloned().unwrap_or_default();
    assert_eq!(property("/properties/delivery/properties/port/default"), 25);
    assert_eq!(property("/properties/listen/items/properties/relay_from/type"), "array");
    assert_eq!(property("/properties/network/properties/map/type"), "object");
    assert_eq!(property("/additionalProperties"), false);
    let doc = property("/properties/dns/properties/timeout/description");
    assert!(doc.as_str().unwrap().contains("upstream"), "{doc}");
}

#[test]
fn the_nearest_key_is_the_one_a_person_meant() {
    let near = |wrong| nearest(wrong, ["hostname", "data_dir", "tls", "dns"].into_iter());
    assert_eq!(near("hostnmae"), Some("hostname"));
    assert_eq!(near("datadir"), Some("data_dir"));
    assert_eq!(near("tsl"), Some("tls"));
    assert_eq!(near("completely_else"), None);
    assert_eq!(near(&"x".repeat(1_000_000)), None);
}
