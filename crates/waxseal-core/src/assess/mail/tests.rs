//! Records as they are found in the world, good and bad.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    super::{Published, SpfAll},
    Consent, DmarcPolicy, Reports, consent, dkim, dmarc, security_txt,
    spf::{self, Needs, Told},
};
use crate::{
    dns::{Absence, Answer, Authenticity, Denial, FailureKind, LookupFailure},
    domain::Domain,
    time::UnixTime,
};

fn name(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

/// Follows a record through a small world of TXT records; other lookups find something.
fn follow(record: &str, world: &[(&str, &str)]) -> super::Spf {
    let mut walk = spf::Walk::new(&name("example.com"), record.as_bytes());
    for _ in 0..200 {
        let Some(needs) = walk.needs().cloned() else { return walk.finish() };
        walk.tell(match needs {
            Needs::Txt(at) => {
                match world.iter().filter(|(n, _)| *n == at.as_str()).collect::<Vec<_>>() {
                    found if found.is_empty() => Told::Nothing,
                    found => {
                        Told::Texts(found.iter().map(|(_, t)| t.as_bytes().to_vec()).collect())
                    }
                }
            }
            Needs::Addresses(at) | Needs::Exists(at) | Needs::Mx(at)
                if at.as_str().starts_with("void") =>
            {
                Told::Nothing
            }
            Needs::Addresses(_) | Needs::Exists(_) => Told::Records(1),
            Needs::Mx(name) if name.as_str() == "many.example" => Told::Records(11),
            Needs::Mx(_) => Told::Records(10),
        });
    }
    panic!("the walk does not end");
}

#[test]
fn spf_lookups_are_counted_through_includes_and_the_top_record_has_the_last_word() {
    let world = [("a.example", "v=spf1 a mx -all"), ("b.example", "v=spf1 ip4:192.0.2.0/24 ?all")];
    let spf = follow("v=spf1 ip6:2001:db8::/32 include:a.example include:b.example ~all", &world);
    assert_eq!((spf.all, spf.lookups, spf.void_lookups), (SpfAll::SoftFail, 4, 0));
    assert_eq!(spf.faults, Vec::<String>::new());
    let spf = follow("v=spf1 redirect=a.example", &world);
    assert_eq!((spf.all, spf.lookups), (SpfAll::Fail, 3));
    assert_eq!(follow("v=spf1 redirect=a.example +all", &world).all, SpfAll::Pass);
    assert_eq!(follow("v=spf1 -all include:nothing.example", &world).lookups, 0);
}

#[test]
fn spf_that_receivers_cannot_evaluate_says_why() {
    let two = [("two.example", "v=spf1 -all"), ("two.example", "v=spf1 +all")];
    for (record, world, why) in [
        ("v=spf1 include:none.example -all", &[][..], "has no SPF record"),
        ("v=spf1 include:two.example -all", &two[..], "more than one"),
        ("v=spf1 ip4:192.0.2.0/33 -all", &[][..], "is no network"),
        ("v=spf1 ipv4:192.0.2.1 -all", &[][..], "is no term"),
        ("v=spf1 include -all", &[][..], "names no domain"),
        ("v=spf1 include:bad..example -all", &[][..], "names no domain"),
        ("v=spf1 include:example.com -all", &[][..], "a loop"),
        ("v=spf1 a:void1.example a:void2.example mx:void3.example -all", &[][..], "find nothing"),
    ] {
        let spf = follow(record, world);
        assert!(spf.faults.iter().any(|fault| fault.contains(why)), "{record}: {:?}", spf.faults);
    }
}

/// RFC 7208 §4.6: a syntax error counts behind `all` too, where nothing is looked up any more.
#[test]
fn spf_is_read_to_its_end() {
    let spf = follow("v=spf1 -all ip4:1.2.3", &[]);
    assert!(spf.faults.iter().any(|fault| fault.contains("no network")), "{:?}", spf.faults);
    let spf = follow("v=spf1 -all +all mx ptr include:none.example redirect=none.example", &[]);
    assert_eq!((spf.all, spf.lookups, spf.faults.len()), (SpfAll::Fail, 0, 0));
    assert!(spf.ptr.is_empty());
    let reached = follow("v=spf1 mx exp=why.example -all redirect=none.example foo=bar", &[]);
    assert_eq!(reached.unreached, Vec::<String>::new());
    let all = ["+all", "mx", "ptr", "include:none.example"];
    assert_eq!(spf.unreached, all.map(|term| format!("example.com: {term}")));
}

/// RFC 7208 §5.3, §5.4, §12
#[test]
fn the_prefix_lengths_of_spf_are_read() {
    for good in ["a/24", "a//64", "mx/0//0", "mx:x.example/32//128", "a:%{d1r/}.example/24", "ptr"]
    {
        let spf = follow(&format!("v=spf1 {good} -all"), &[]);
        assert_eq!((spf.faults.len(), spf.lookups), (0, 1), "{good}: {:?}", spf.faults);
    }
    for bad in [
        "a/99",
        "a/",
        "a//",
        "a//129",
        "a/24/64",
        "a/+8",
        "a/024",
        "a:/24",
        "mx/33",
        "mx:x.example/abc",
        "mx:%{d}/33",
        "ptr/24",
        "ip4:192.0.2.0/+24",
        "ip6:2001:db8::/032",
    ] {
        let spf = follow(&format!("v=spf1 {bad} -all"), &[]);
        assert_eq!(spf.faults.len(), 1, "{bad}: {:?}", spf.faults);
    }
}

/// RFC 7208 §6
#[test]
fn an_spf_modifier_that_is_there_twice_is_told() {
    for (twice, name) in [
        ("redirect=a.example redirect=a.example", "`redirect=`"),
        ("exp=a.example -all EXP=b.example", "`exp=`"),
    ] {
        let spf = follow(&format!("v=spf1 {twice}"), &[("a.example", "v=spf1 -all")]);
        assert!(spf.faults.iter().any(|fault| fault.contains(name)), "{twice}: {:?}", spf.faults);
    }
    let unknown = follow("v=spf1 x=1 x=2 exp=a.example -all", &[]);
    assert_eq!(unknown.faults, Vec::<String>::new());
}

/// Only the record that a receiver ends up with has the last word (RFC 7208 §5.2, §6.1): a provider's
/// `redirect` must not hide our own `+all`, nor its `?all` spoil our `-all`.
#[test]
fn a_redirect_inside_an_include_has_no_last_word() {
    let world = [
        ("p.example", "v=spf1 redirect=q.example"),
        ("q.example", "v=spf1 ip4:192.0.2.1 -all"),
        ("r.example", "v=spf1 redirect=s.example"),
        ("s.example", "v=spf1 ?all"),
    ];
    assert_eq!(follow("v=spf1 include:p.example +all", &world).all, SpfAll::Pass);
    assert_eq!(follow("v=spf1 include:r.example -all", &world).all, SpfAll::Fail);
    assert_eq!(follow("v=spf1 redirect=p.example", &world).all, SpfAll::Fail);
}

/// What receivers evaluate is not broken: the same include twice, though each costs its lookups
/// (RFC 7208 §4.6.4), and `ptr` (RFC 7208 §5.5).
#[test]
fn what_is_merely_unwise_in_spf_is_not_broken() {
    let world = [("a.example", "v=spf1 a mx -all"), ("b.example", "v=spf1 include:a.example -all")];
    let spf = follow("v=spf1 include:a.example include:b.example ptr -all", &world);
    assert_eq!(spf.faults, Vec::<String>::new());
    assert_eq!((spf.lookups, spf.ptr), (8, vec![name("example.com")]));
    let each = "include:a.example ".repeat(4);
    let spf = follow(&format!("v=spf1 {each}-all"), &world);
    assert_eq!(spf.faults, ["it costs 12 lookups and receivers stop at 10 (RFC 7208 §4.6.4)"]);
}

/// A name server that is late says nothing about the record: receivers try again.
#[test]
fn a_lookup_that_failed_leaves_spf_unknown_and_not_broken() {
    let follow = |record: &str| {
        let mut walk = spf::Walk::new(&name("example.com"), record.as_bytes());
        while walk.needs().is_some() {
            walk.tell(Told::Failed("no answer in time".into()));
        }
        walk.finish()
    };
    let spf = follow("v=spf1 include:a.example mx -all");
    assert_eq!((spf.all, spf.faults.len(), spf.unknown.len()), (SpfAll::Fail, 0, 2));
    let spf = follow("v=spf1 redirect=a.example");
    assert_eq!((spf.all, spf.faults.len(), spf.unknown.len()), (SpfAll::Unknown, 0, 1));
    assert_eq!(follow("v=spf1 redirect=%{d}.example").all, SpfAll::Unknown);
}

/// Attacker: anybody with a mail server, who writes in the name of a domain whose record ends with
/// `-all` and lets everybody in before that (RFC 7208 §5.2).
#[test]
fn spf_that_lets_everybody_in_by_a_detour_is_open() {
    let world = [
        ("all.example", "v=spf1 ip4:192.0.2.0/24 +all"),
        ("wide.example", "v=spf1 ip4:0.0.0.0/0 -all"),
        ("deep.example", "v=spf1 include:all.example -all"),
        ("good.example", "v=spf1 ip4:10.0.0.0/8 ip6:2001:db8::/32 a/24//64 mx -all"),
        ("exists.example", "v=spf1 exists:there.example -all"),
        ("aside.example", "v=spf1 -include:all.example ?include:wide.example ~all"),
    ];
    let open = |record: &str| follow(record, &world).open;
    for record in [
        "v=spf1 include:all.example -all",
        "v=spf1 include:wide.example -all",
        "v=spf1 include:deep.example -all",
        "v=spf1 redirect=wide.example",
        "v=spf1 ip4:0.0.0.0/1 ip4:128.0.0.0/1 -all",
        "v=spf1 ip6:::/0 -all",
        "v=spf1 a/0 -all",
        "v=spf1 mx//3 -all",
        "v=spf1 exists:there.example -all",
        "v=spf1 include:exists.example -all",
    ] {
        assert!(!open(record).is_empty(), "{record}");
    }
    for record in [
        "v=spf1 include:good.example -all",
        "v=spf1 -include:all.example -all",
        "v=spf1 ?include:deep.example -all",
        "v=spf1 include:aside.example -all",
        "v=spf1 -ip4:0.0.0.0/0 -all",
        "v=spf1 exists:void.example -all",
        "v=spf1 -exists:there.example -all",
        "v=spf1 exists:%{i}.list.example -all",
        "v=spf1 -all ip4:0.0.0.0/0",
    ] {
        assert_eq!(open(record), Vec::<String>::new(), "{record}");
    }
    assert_eq!(open("v=spf1 ip4:0.0.0.0/1 ip4:128.0.0.0/1 -all").len(), 2);
}

/// Each host of an `mx` costs a lookup that is counted apart (RFC 7208 §4.6.4).
#[test]
fn an_mx_with_more_hosts_than_receivers_ask_for_is_a_fault() {
    assert_eq!(follow("v=spf1 mx -all", &[]).faults, Vec::<String>::new());
    let faults = follow("v=spf1 mx:many.example -all", &[]).faults;
    assert!(faults[0].contains("11 hosts"), "{faults:?}");
}

#[test]
fn dmarc_reports_go_to_mailboxes_and_what_is_none_is_set_apart() {
    let record =
        "v=DMARC1; p=none; rua=mailto:a@b.example!10m, dmarc@b.example, https://b.example/r";
    let (published, _) = walk("b.example", &[("_dmarc.b.example", record)]);
    let Published::Found { value, .. } = published else { panic!("{published:?}") };
    assert_eq!(value.rua, ["mailto:a@b.example!10m".into()]);
    assert_eq!(value.rua_unusable, ["dmarc@b.example".into(), "https://b.example/r".into()]);
}

/// The attacker is a domain owner whose records include each other without end.
#[test]
fn spf_that_costs_too_much_is_told_and_following_it_ends() {
    let world: Vec<(String, String)> = (0..100)
        .map(|n| {
            let text = format!("v=spf1 include:n{}.example include:n{}.example -all", n + 1, n + 2);
            (format!("n{n}.example"), text)
        })
        .collect();
    let world: Vec<_> = world.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();
    let spf = follow("v=spf1 include:n0.example -all", &world);
    assert!(spf.lookups > spf::MOST_LOOKUPS && spf.lookups < 100, "{}", spf.lookups);
    assert!(spf.faults.iter().any(|fault| fault.contains("receivers stop at 10")));
}

#[test]
fn a_macro_costs_a_lookup_and_is_not_followed() {
    let spf = follow("v=spf1 exists:%{i}._spf.example.com include:%{d}.example.net -all", &[]);
    assert_eq!((spf.lookups, spf.faults.len()), (2, 0));
}

fn found(texts: &[&str]) -> Answer<Vec<Vec<u8>>> {
    Answer::Found {
        value: texts.iter().map(|text| text.as_bytes().to_vec()).collect(),
        authenticity: Authenticity::Insecure,
        expires: UnixTime(60),
        chain: None,
    }
}

fn absent() -> Answer<Vec<Vec<u8>>> {
    Answer::Absent {
        denial: Denial::NxDomain,
        absence: Absence::Unconfirmed,
        expires: UnixTime(60),
        chain: None,
    }
}

/// Walks through a small world; also tells which names were asked for.
fn walk(domain: &str, world: &[(&str, &str)]) -> (Published<super::Dmarc>, Vec<String>) {
    let mut walk = dmarc::Walk::new(&name(domain));
    let mut asked = Vec::new();
    while let Some(at) = walk.needs() {
        asked.push(at.to_string());
        let texts: Vec<_> =
            world.iter().filter(|(n, _)| *n == at.as_str()).map(|(_, text)| *text).collect();
        walk.tell(if texts.is_empty() { absent() } else { found(&texts) });
    }
    (walk.finish(), asked)
}

#[test]
fn dmarc_is_found_at_the_domain_or_above_it() {
    let world =
        [("_dmarc.example.com", "v=DMARC1; p=reject; sp=quarantine; rua=mailto:d@example.com")];
    let (own, asked) = walk("example.com", &world);
    assert_eq!(own.value().unwrap().policy, DmarcPolicy::Reject);
    assert_eq!(asked, ["_dmarc.example.com"]);
    let (above, asked) = walk("a.b.example.com", &world);
    let above = above.value().unwrap();
    assert_eq!((above.policy, above.at.as_str()), (DmarcPolicy::Quarantine, "example.com"));
    assert_eq!(
        asked,
        ["_dmarc.a.b.example.com", "_dmarc.b.example.com", "_dmarc.example.com", "_dmarc.com"]
    );
}

/// One that nobody can read changes nothing about the rest of the record.
#[test]
fn np_of_a_dmarc_record_is_read() {
    let said = |record: &str| {
        let found = walk("example.com", &[("_dmarc.example.com", record)]).0;
        found.value().map(|record| (record.policy, record.nonexistent))
    };
    let (reject, none) = (DmarcPolicy::Reject, DmarcPolicy::None);
    assert_eq!(said("v=DMARC1; p=reject; np=none"), Some((reject, Some(none))));
    assert_eq!(said("v=DMARC1; p=reject; np=maybe"), Some((reject, None)));
    assert_eq!(said("v=DMARC1; p=reject"), Some((reject, None)));
}

/// RFC 9989 §4.10.1
#[test]
fn a_dmarc_record_without_policy_counts_only_where_reports_are_asked_for() {
    let said = |record: &str| walk("example.com", &[("_dmarc.example.com", record)]).0;
    let reports = said("v=DMARC1; rua=mailto:a@example.com");
    assert!(matches!(reports, Published::Found { .. }), "{reports:?}");
    let nothing = said("v=DMARC1; adkim=s");
    assert!(matches!(nothing, Published::Broken { .. }), "{nothing:?}");
}

/// Receivers of RFC 7489 §6.3 roll dice; those of RFC 9989 do not.
#[test]
fn pct_of_a_dmarc_record_is_read_where_it_weakens() {
    for (pct, percent) in [("0", Some(0)), ("99", Some(99)), ("100", None), ("many", None)] {
        let record = format!("v=DMARC1; p=reject; pct={pct}");
        let (told, _) = walk("example.com", &[("_dmarc.example.com", record.as_str())]);
        assert_eq!(told.value().unwrap().percent, percent, "{pct}");
    }
}

#[test]
fn the_tree_walk_jumps_over_long_names_and_stops_at_psd_n() {
    let long = "a.b.c.d.e.f.g.h.i.j.mail.example.com";
    let world = [("_dmarc.mail.example.com", "v=DMARC1; p=reject; psd=n")];
    let (found, asked) = walk(long, &world);
    assert_eq!(found.value().unwrap().at.as_str(), "mail.example.com");
    assert_eq!(asked.first().unwrap(), &format!("_dmarc.{long}"));
    assert_eq!(asked.get(1).unwrap(), "_dmarc.g.h.i.j.mail.example.com");
    assert_eq!(asked.last().unwrap(), "_dmarc.mail.example.com");
    let (_, asked) = walk(long, &[]);
    assert_eq!(asked.len(), 8);
}

#[test]
fn dmarc_that_does_not_count_is_not_taken_for_absent() {
    let two =
        [("_dmarc.example.com", "v=DMARC1; p=none"), ("_dmarc.example.com", "v=DMARC1; p=reject")];
    assert!(
        matches!(walk("example.com", &two).0, Published::Broken { why, .. } if why.contains("2 DMARC"))
    );
    let bad = [("_dmarc.example.com", "v=DMARC1; p=refuse")];
    assert!(
        matches!(walk("example.com", &bad).0, Published::Broken { why, .. } if why.contains("no policy"))
    );
    for other in ["v=DMARC2; p=reject", "v=spf1 -all"] {
        let other = [("_dmarc.example.com", other)];
        assert!(matches!(walk("example.com", &other).0, Published::Absent { .. }));
    }
    for mistake in ["p=reject; v=DMARC1", "v=dmarc1; p=reject", "\"v=DMARC1; p=reject\""] {
        let world =
            [("_dmarc.sub.example.com", mistake), ("_dmarc.example.com", "v=DMARC1; p=none")];
        let (told, asked) = walk("sub.example.com", &world);
        assert_eq!(told.value().unwrap().at, name("example.com"), "receivers skip it");
        assert_eq!(asked.len(), 3);
        let (told, _) = walk("sub.example.com", &world[..1]);
        assert!(
            matches!(&told, Published::Broken { why, .. } if why.contains("does not begin with")),
            "{mistake}: {told:?}"
        );
    }
    let mut failing = dmarc::Walk::new(&name("sub.example.com"));
    failing.tell(absent());
    failing.tell(Answer::Failed(LookupFailure {
        name: (&name("_dmarc.example.com")).into(),
        kind: FailureKind::ServFail,
        detail: "SERVFAIL".into(),
    }));
    assert_eq!(failing.needs(), None);
    assert!(matches!(failing.finish(), Published::Failed(_)));
}

/// A subdomain is told of the broken record of its organisation, unless another one counts.
#[test]
fn dmarc_that_is_broken_above_the_domain_is_told_with_its_name() {
    let org = "_dmarc.example.com";
    for world in [
        &[(org, "v=DMARC1; p=refuse")][..],
        &[(org, "v=DMARC1; p=none"), (org, "v=DMARC1; p=reject")],
    ] {
        let (told, _) = walk("a.b.example.com", world);
        assert!(
            matches!(&told, Published::Broken { why, .. } if why.contains("record of example.com")),
            "{told:?}"
        );
    }
    let middle = [("_dmarc.b.example.com", "v=DMARC1; p=refuse"), (org, "v=DMARC1; p=reject")];
    assert_eq!(walk("a.b.example.com", &middle).0.value().unwrap().policy, DmarcPolicy::Reject);
    let top = [("_dmarc.com", "v=DMARC1; p=refuse")];
    assert!(matches!(walk("example.com", &top).0, Published::Absent { .. }));
}

#[test]
fn dkim_keys_are_measured() {
    let key =
        dkim::read(b"v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=").unwrap();
    assert_eq!((key.algorithm.as_str(), key.bits, key.revoked), ("ed25519", 256, false));
    assert!(dkim::read(b"v=DKIM1; p=").unwrap().revoked);
    for (bad, why) in [
        (&b"v=DKIM1"[..], "no `p=`"),
        (b"v=DKIM2; p=", "not DKIM1"),
        (b"p=!!!", "base64"),
        (b"p=AAAA", "no RSA key"),
        (b"k=ed25519; p=AAAA", "32 octets"),
        (b"k=rot13; p=AAAA", "nobody defined"),
        (b"p=AAAA; p=AAAA", "twice"),
        (b"h=sha1; p=AAAA", "SHA-256"),
        (b"s=tlsrpt; p=AAAA", "not for mail"),
    ] {
        let error = dkim::read(bad).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}

/// A 1,024 bit key as it was published for years.
#[test]
fn a_short_rsa_key_is_seen() {
    let record = "v=DKIM1; k=rsa; t=y; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYtIxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB";
    let key = dkim::read(record.as_bytes()).unwrap();
    assert_eq!((key.algorithm.as_str(), key.bits, key.testing), ("rsa", 1_024, true));
    // The same key as a bare RSAPublicKey, as RFC 6376 §3.6.1 has it: what is inside of the BIT STRING.
    let (_, whole) = record.split_once("p=").unwrap();
    let bare = &STANDARD.decode(whole).unwrap()[22..];
    let again = format!("h=sha256:sha1; s=email; p={}", STANDARD.encode(bare));
    let again = dkim::read(again.as_bytes()).unwrap();
    assert_eq!((again.digest.as_ref(), again.bits), (key.digest.as_ref(), 1_024));
    assert!(again.digest.is_some_and(|digest| digest.len() == 64));
}

#[test]
fn security_txt_has_a_contact_and_one_date() {
    let good = b"Contact: mailto:security@example.com\r\nExpires: 2027-01-01T00:00:00z\r\n";
    assert_eq!(security_txt::expires(good), Ok(UnixTime(1_798_761_600)));
    for (bad, why) in [
        ("Expires: 2027-01-01T00:00:00Z", "Contact"),
        ("Contact: x", "no Expires"),
        ("Contact: x\nExpires: soon", "no date"),
        (
            "Contact: x\nExpires: 2027-01-01T00:00:00Z\nExpires: 2027-01-01T00:00:00Z",
            "more than one",
        ),
    ] {
        let error = security_txt::expires(bad.as_bytes()).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
    assert!(security_txt::expires(&vec![b'x'; security_txt::MOST_OCTETS + 1]).is_err());
}

proptest::proptest! {
    /// The attacker is a domain owner who writes any octets.
    #[test]
    fn no_record_makes_the_readers_fail(record: Vec<u8>, text in "v=spf1( [+~?-]?(a|mx|ptr|include|exists|redirect|ip4|ip6|all)[:=/]?[a-z.%{}0-9/]{0,12}){0,8}") {
        let _ = dkim::read(&record);
        let _ = security_txt::expires(&record);
        let _ = follow(&text, &[]);
        let mut walk = dmarc::Walk::new(&name("example.com"));
        walk.tell(Answer::Found { value: vec![record], authenticity: Authenticity::Secure, expires: UnixTime(0), chain: None });
        let _ = walk.finish();
    }
}

#[test]
fn each_domain_that_gets_dmarc_reports_is_listed_once() {
    let record = "v=DMARC1; p=none; rua=mailto:a@example.com, mailto:b@r.example!10m, nobody; \
                  ruf=mailto:c@R.example,mailto:d@s.example";
    let (published, _) = walk("example.com", &[("_dmarc.example.com", record)]);
    let listed: Vec<_> = published
        .value()
        .unwrap()
        .report_domains
        .iter()
        .map(|to| (to.domain.as_str(), to.reports, to.consent.clone()))
        .collect();
    let (own, open) = (Consent::NotNeeded, Consent::NotAsked);
    let wanted = [
        ("example.com", Reports::Aggregate, own),
        ("r.example", Reports::Both, open.clone()),
        ("s.example", Reports::Failure, open),
    ];
    assert_eq!(listed, wanted);
    // What a subdomain is told of is the record of its organisation, and its reports go by that.
    let (above, _) = walk("sub.example.com", &[("_dmarc.example.com", record)]);
    assert_eq!(above.value().unwrap().report_domains[0].consent, Consent::NotNeeded);
}

/// RFC 7489 §7.1, RFC 9990 §4. Attacker: a stranger who has reports sent to a victim, or whoever writes
/// a consent that sends them on.
#[test]
fn a_consent_is_a_dmarc_record_that_keeps_the_reports_where_they_were_to_go() {
    let (about, to) = (name("blue.example.com"), name("red.example.net"));
    let asked = consent::name(&about, &to).unwrap();
    assert_eq!(asked.as_str(), "blue.example.com._report._dmarc.red.example.net");
    let long = name(&format!("{}example.com", "label-of-ten.".repeat(17)));
    assert!(consent::name(&long, &to).is_err());

    let read = |texts: &[&str]| {
        let texts: Vec<_> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        consent::read(&to, &texts)
    };
    for good in [
        &["v=DMARC1"][..],
        &["v=DMARC1;"],
        &["v=spf1 -all", "v=DMARC1"],
        &["v=DMARC1; rua=mailto:x@red.example.net"],
        &["v=DMARC1; rua=mailto:x@victim.example", "v=DMARC1"],
    ] {
        assert_eq!(read(good), Ok(()), "{good:?}");
    }
    for bad in [
        &[][..],
        &["v=spf1 -all"],
        &["v=DMARC2"],
        &["p=none; v=DMARC1"],
        &["v=DMARC1; p=none; p=none"],
        &["v=DMARC1; rua=mailto:x@victim.example"],
        &["v=DMARC1; ruf=mailto:a@red.example.net,mailto:x@sub.red.example.net"],
    ] {
        assert!(read(bad).is_err(), "{bad:?}");
    }
}

/// RFC 9989 §4.10.2
#[test]
fn the_organisation_of_a_domain_is_marked_or_the_highest_with_a_record() {
    let find = |domain: &str, world: &[(&str, &str)]| {
        let mut walk = dmarc::Walk::to_organisation(&name(domain));
        while let Some(at) = walk.needs() {
            let texts: Vec<_> =
                world.iter().filter(|(n, _)| *n == at.as_str()).map(|(_, text)| *text).collect();
            walk.tell(if texts.is_empty() { absent() } else { found(&texts) });
        }
        walk.organisation().unwrap().to_string()
    };
    let (plain, no, yes) =
        ("v=DMARC1; p=none", "v=DMARC1; p=none; psd=n", "v=DMARC1; p=none; psd=y");
    let own = ("_dmarc.a.mail.example.com", plain);
    assert_eq!(find("a.mail.example.com", &[]), "a.mail.example.com");
    assert_eq!(find("a.mail.example.com", &[own]), "a.mail.example.com");
    assert_eq!(find("a.mail.example.com", &[own, ("_dmarc.example.com", plain)]), "example.com");
    let marked = [own, ("_dmarc.mail.example.com", no), ("_dmarc.example.com", plain)];
    assert_eq!(find("a.mail.example.com", &marked), "mail.example.com");
    assert_eq!(find("a.mail.example.com", &[("_dmarc.com", yes)]), "example.com");
    assert_eq!(find("com", &[("_dmarc.com", yes)]), "com");

    let mut walk = dmarc::Walk::to_organisation(&name("a.example.com"));
    let _ = walk.needs();
    walk.tell(Answer::Failed(LookupFailure {
        name: (&name("a.example.com")).into(),
        kind: FailureKind::Timeout,
        detail: "no answer in time".into(),
    }));
    assert!(walk.organisation().is_err());
}
