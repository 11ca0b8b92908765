//! What is printed to be put into the zone: nothing that others need is lost or doubled by it.

use super::*;

/// The texts of what is wanted, and what has to be done.
fn outcome(finding: &Finding) -> (Act, Vec<String>) {
    let text = |record: &Record| match &record.data {
        Data::Txt(text) => text.clone(),
        Data::Tlsa(_) | Data::Cname(_) => panic!("{record}"),
    };
    (finding.act, finding.wanted.iter().map(text).collect())
}

fn spf_of(texts: &[&str]) -> Finding {
    let own = ["ip4:192.0.2.1".to_owned()];
    let record = texts::spf(&name("example.com"), &own, HOUR);
    spf(record, &own, &texts_of(texts))
}

#[test]
fn the_spf_record_to_paste_is_the_live_one_or_the_merged_one() {
    let live = "v=spf1 include:_spf.google.com ip4:192.0.2.1 -all";
    assert_eq!(outcome(&spf_of(&[live])), (Act::Nothing, vec![live.to_owned()]));
    // Whole, however long it is.
    let senders: Vec<String> = (0..60).map(|nth| format!("include:s{nth}.example")).collect();
    let long = format!("v=spf1 {} -all", senders.join(" "));
    let merged = format!("v=spf1 ip4:192.0.2.1 {} -all", senders.join(" "));
    assert_eq!(outcome(&spf_of(&[&long])), (Act::Replace, vec![merged]));
    // Beside other texts no update may replace the set.
    let merged = vec!["v=spf1 ip4:192.0.2.1 mx ~all".to_owned()];
    assert_eq!(outcome(&spf_of(&["v=spf1 mx ~all", "site=1"])), (Act::ByHand, merged));
    let first = outcome(&spf_of(&["site=1"]));
    assert_eq!(first, (Act::Add, vec!["v=spf1 ip4:192.0.2.1 ~all".to_owned()]));
}

#[test]
fn where_spf_contradicts_itself_no_line_is_offered() {
    for texts in [["v=spf1 -all", "v=spf1 ~all"], ["v=spf1 \u{e4} ~all", "x"]] {
        assert_eq!(outcome(&spf_of(&texts)), (Act::ByHand, Vec::new()), "{texts:?}");
    }
    // Nobody looks at what stands behind `all`.
    let hidden = spf_of(&["v=spf1 -all ip4:192.0.2.1"]);
    assert!(matches!(hidden.standing, Standing::Differs { .. }), "{hidden:?}");
}

#[test]
fn what_could_not_be_looked_up_is_not_for_pasting() {
    let own = ["ip4:192.0.2.1".to_owned()];
    let record = texts::spf(&name("example.com"), &own, HOUR);
    assert_eq!(spf(record.clone(), &own, &failed(FailureKind::Timeout)).act, Act::ByHand);
    assert_eq!(text(record, "", &failed(FailureKind::Timeout)).act, Act::ByHand);
}

/// Where neither SPF nor DKIM is there, `p=reject` would have all mail of the domain turned away.
#[test]
fn a_strict_dmarc_record_waits_for_something_that_passes() {
    let finding = |standing: Standing, text: &str, protocol| {
        let mut finding = spf_of(&[]);
        let record = finding.wanted.first().cloned().unwrap().saying(text.to_owned());
        finding.wanted = vec![Record { protocol, ..record }];
        finding.act = Act::Add;
        finding.standing = standing;
        finding
    };
    let dmarc = |text: &str| finding(Standing::Missing, text, Protocol::Dmarc);
    let (live, missing) = (
        finding(Standing::Live, "v=spf1 mx -all", Protocol::Spf),
        finding(Standing::Missing, "v=spf1 mx -all", Protocol::Spf),
    );
    for policy in ["reject", "quarantine"] {
        let mut held = dmarc(&format!("v=DMARC1; p={policy}"));
        hold_dmarc(&mut held, &missing, std::slice::from_ref(&missing));
        assert!(held.act == Act::ByHand && held.fix.starts_with("NOT YET"), "{held:?}");
        for (spf, dkim) in [(&live, &missing), (&missing, &live)] {
            let mut free = dmarc(&format!("v=DMARC1; p={policy}"));
            hold_dmarc(&mut free, spf, std::slice::from_ref(dkim));
            assert_eq!(free.act, Act::Add);
        }
    }
    // That a key was taken back is live, and nothing passes by it.
    let revoked = finding(Standing::Live, "v=DKIM1; p=", Protocol::Dkim);
    let mut held = dmarc("v=DMARC1; p=reject");
    hold_dmarc(&mut held, &missing, &[revoked]);
    assert_eq!(held.act, Act::ByHand);
    // One that asks for it already asks for nothing new with our address in it; a stricter one does.
    for (live, held) in [
        ("v=DMARC1; p=reject", false),
        ("v=DMARC1;p=Reject; rua=mailto:a@x.example", false),
        ("v=DMARC1; p=reject; pct=0", false),
        ("v=DMARC1; p=quarantine", true),
        ("v=DMARC1; p=none", true),
        ("v=DMARC1; p=reject; p=none", true),
    ] {
        let reports = ["mailto:d@example.com".to_owned()];
        let record = texts::dmarc(&name("example.com"), "reject", &reports, HOUR).unwrap();
        let mut finding = text(record, "v=DMARC1", &texts_of(&[live]));
        assert_eq!(finding.act, Act::Replace);
        hold_dmarc(&mut finding, &missing, &[]);
        assert_eq!(finding.act == Act::ByHand, held, "{live}: {finding:?}");
    }
    let mut none = dmarc("v=DMARC1; p=none; sp=reject");
    hold_dmarc(&mut none, &missing, &[]);
    assert_eq!(none.act, Act::Add);
}

#[test]
fn dmarc_keeps_the_tags_and_reports_of_others() {
    let reports = ["mailto:d@example.com".to_owned()];
    let record = texts::dmarc(&name("example.com"), "reject", &reports, HOUR).unwrap();
    let look = |texts: &[&str]| outcome(&text(record.clone(), "v=DMARC1", &texts_of(texts)));
    let live = "v = DMARC1;p=reject; sp=none; rua=mailto:v@vendor.example,mailto:D@example.com!10m";
    assert_eq!(look(&[live]), (Act::Nothing, vec![live.to_owned()]));
    assert_eq!(
        look(&["v=DMARC1; p=none; fo=1; rua=mailto:v@vendor.example"]),
        (
            Act::Replace,
            vec![
                "v=DMARC1; p=reject; rua=mailto:v@vendor.example,mailto:d@example.com; fo=1"
                    .to_owned()
            ]
        )
    );
    let ours = "v=DMARC1; p=reject; rua=mailto:d@example.com".to_owned();
    // Nobody can read these, so nothing is kept of them.
    assert_eq!(look(&["v=DMARC1; p=none; p=reject"]), (Act::Replace, vec![ours.clone()]));
    // With two, none counts, and which one to keep is not for us.
    let two = ["v=DMARC1; p=none", "v=DMARC1; p=reject; sp=none"];
    assert_eq!(look(&two), (Act::ByHand, vec![ours.clone()]));
    assert_eq!(look(&["v=DMARC1; p=none", "site=1"]).0, Act::ByHand);
    assert_eq!(look(&["v=DMARC10; p=none", "site=1"]), (Act::Add, vec![ours]));
}

#[test]
fn tlsrpt_keeps_the_addresses_of_others() {
    let record =
        texts::tlsrpt(&name("example.com"), &["mailto:t@example.com".into()], HOUR).unwrap();
    let look = |texts: &[&str]| outcome(&text(record.clone(), "v=TLSRPTv1", &texts_of(texts)));
    let both = "v=TLSRPTv1; rua=https://v.example/x,mailto:t@example.com";
    assert_eq!(look(&[both]), (Act::Nothing, vec![both.to_owned()]));
    let merged = (Act::Replace, vec![both.to_owned()]);
    assert_eq!(look(&["v=TLSRPTv1;rua=https://v.example/x;"]), merged);
}

#[test]
fn dkim_and_mta_sts_keep_what_else_is_said() {
    let (domain, selector) = (name("example.com"), name("s1"));
    let key = Some("v=DKIM1; k=rsa; p=QUJD".to_owned());
    let record = texts::dkim(&domain, &selector, key, HOUR).unwrap();
    let look = |texts: &[&str]| outcome(&text(record.clone(), "", &texts_of(texts)));
    // `v` and `k` are not said, the key is in two lines, and there is a note.
    let live = "n=2026; p=QU\n JD";
    assert_eq!(look(&[live]), (Act::Nothing, vec![live.to_owned()]));
    let merged = "v=DKIM1; k=rsa; p=QUJD; t=s".to_owned();
    assert_eq!(look(&["v=DKIM1; p=WFla; t=s"]), (Act::Replace, vec![merged]));
    let revoked = texts::dkim(&domain, &selector, None, HOUR).unwrap();
    let live = text(revoked, "", &texts_of(&["v=DKIM1; k=rsa; p="]));
    assert_eq!(live.standing, Standing::Live);
    let policy = policy(sts::Mode::Testing, &["mx.example.com"]);
    let record = texts::mta_sts(&domain, &policy, HOUR).unwrap();
    let Data::Txt(ours) = &record.data else { panic!() };
    let look = |texts: &[&str]| outcome(&text(record.clone(), "v=STSv1", &texts_of(texts)));
    assert_eq!(look(&["v=STSv1; id=old;"]), (Act::Replace, vec![ours.clone()]));
    assert_eq!(look(&[ours.trim_end_matches(';')]).0, Act::Nothing);
}

/// What is cut says so.
#[test]
fn a_text_that_is_shown_in_part_ends_with_three_points() {
    let long = format!("v=spf1 {} -all", "a:x.example ".repeat(50));
    let Standing::Differs { found } = spf_of(&[&long]).standing else { panic!() };
    assert!(found[0].len() == 300 && found[0].ends_with("..."), "{found:?}");
}

#[test]
fn nothing_is_put_beside_an_alias() {
    let record = texts::tlsrpt(&name("example.com"), &["mailto:t@example.com".into()], HOUR);
    let record = record.unwrap();
    let to = (&name("reports.example.net")).into();
    let behind = |answer| text(record.clone(), "v=TLSRPTv1", &answer).behind(&to);
    for answer in [absent(), texts_of(&["site=1"]), texts_of(&["v=TLSRPTv1; rua=mailto:x@y.z"])] {
        let finding = behind(answer);
        assert_eq!(finding.act, Act::ByHand);
        assert!(
            finding.fix.contains("is an alias (CNAME) of reports.example.net"),
            "{}",
            finding.fix
        );
    }
    // What others say there as it is wanted is as good as our own.
    let finding = behind(texts_of(&["v=TLSRPTv1; rua=mailto:t@example.com"]));
    assert_eq!((finding.act, finding.standing), (Act::Nothing, Standing::Live));
}

/// Records that nobody can use bind nobody: ours would be the first (RFC 7672 §2.2).
#[test]
fn the_first_tlsa_records_are_those_that_count_first() {
    let host = name("mx.example.com");
    let of = |value: Vec<Tlsa>| {
        let wanted = texts::tlsa(&host, vec![texts::end_entity([1; 32])], HOUR).unwrap();
        tlsa(&host, wanted, &found(value, Authenticity::Secure))
    };
    let odd =
        |usage, matching, octets| Tlsa { usage, selector: 1, matching, data: vec![7; octets] };
    assert!(of(vec![odd(1, 1, 32)]).is_first());
    assert!(of(vec![odd(3, 1, 31), odd(3, 9, 32)]).is_first());
    assert!(!of(vec![odd(1, 1, 32), odd(3, 2, 64)]).is_first());
    assert!(!of(vec![texts::end_entity([1; 32])]).is_first());
    let finding = of(vec![odd(3, 2, 64)]);
    assert!(finding.fix.contains("SHA-512 stand there, senders go by those"), "{}", finding.fix);
    assert!(!of(vec![odd(3, 1, 32)]).fix.contains("SHA-512"));
    // Unsigned ones count for nobody either. Where all are there, none comes to them.
    let unsigned = |value: Vec<Tlsa>| {
        let wanted = texts::tlsa(&host, vec![texts::end_entity([1; 32])], HOUR).unwrap();
        tlsa(&host, wanted, &found(value, Authenticity::Insecure))
    };
    assert!(unsigned(vec![texts::end_entity([7; 32])]).is_first());
    assert!(!unsigned(vec![texts::end_entity([1; 32])]).is_first());
}

/// Ours may be the one that is too many: then nobody's mail passes.
#[test]
fn an_spf_record_that_asks_dns_too_often_is_said_before_it_is_pasted() {
    let includes = |count: usize| {
        let words: Vec<String> = (0..count).map(|nth| format!("include:s{nth}.example")).collect();
        format!("v=spf1 ip4:192.0.2.9 {} ~all", words.join(" "))
    };
    let own = ["a:gw.example.com".to_owned()];
    let with = |live: &str| {
        let wanted = texts::spf(&name("example.com"), &own, HOUR);
        spf(wanted, &own, &texts_of(&[live]))
    };
    assert!(!with(&includes(9)).fix.contains("NOT YET"));
    let finding = with(&includes(10));
    assert!(finding.fix.contains("NOT YET: more than 10 terms"), "{}", finding.fix);
    assert_eq!(finding.act, Act::Replace);
}
