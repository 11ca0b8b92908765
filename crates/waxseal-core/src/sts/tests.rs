//! Numbers in the comments are those of the checklist in `docs/rfc.md`.

use std::time::Duration;

use proptest::prelude::*;

use super::{
    cache::{Discovery, FETCH_PAUSE, LEAST, Next, REFRESH, Remembered, with_preloaded},
    *,
};
use crate::{
    dns::{Absence, FailureKind, LookupFailure},
    domain::Domain,
    facts::{Known, StsFact, StsFailure},
    time::UnixTime,
};

const NOW: UnixTime = UnixTime(1_780_272_000);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

/// Item 26 (RFC 8461 §3.1): which TXT records announce a policy.
#[test]
fn one_record_announces_a_policy() {
    let good = [
        "v=STSv1; id=20160831085700Z;",
        "v=STSv1; id=20160831085700Z",
        "v=STSv1;id=20160831085700Z;",
        "v=STSv1 ; id=20160831085700Z ;",
        "v=STSv1; x=y; id=20160831085700Z",
        "v=STSv1;\tid=20160831085700Z; some.ext-1_x=va:l/ue;",
    ];
    for text in good {
        assert_eq!(announced(&[text]).as_deref(), Ok("20160831085700Z"), "{text}");
    }
    let malformed = [
        "v=STSv1;",
        "v=STSv1; id=",
        "v=STSv1; id=with space",
        "v=STSv1; id=with-hyphen",
        "v=STSv1; id=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "v=STSv1; id=a; id=b",
        "v=STSv1; id",
        "v=STSv1;; id=a",
        "v=STSv1; =x; id=a",
        "v=STSv1; -x=y; id=a",
        "v=STSv1; x=a=b; id=a",
        "v=STSv1; x=\u{e9}; id=a",
    ];
    for text in malformed {
        assert!(matches!(announced(&[text]), Err(NotAnnounced::Malformed(_))), "{text}");
    }
    for text in ["", "v=spf1 -all", "v=STSv10; id=a", "v=STSv1", "v=stsv1; id=a", " v=STSv1; id=a"]
    {
        assert_eq!(announced(&[text]), Err(NotAnnounced::None), "{text}");
    }
    // Strings of other records do not matter; two of ours are none.
    let other = "google-site-verification=1";
    assert_eq!(announced(&[other, "v=STSv1; id=a", "v=spf1 -all"]).as_deref(), Ok("a"));
    let two = announced(&["v=STSv1; id=a", other, "v=STSv1; id=a"]);
    assert_eq!(two, Err(NotAnnounced::Several(2)));
    assert_eq!(announced::<&str>(&[]), Err(NotAnnounced::None));
}

const POLICY: &str = "version: STSv1\r\nmode: enforce\r\nmx: mail.example.com\r\nmx: *.example.net\r\nmax_age: 604800\r\n";

/// Item 28 (RFC 8461 §3.2): line ends, unknown keys, duplicates.
#[test]
fn a_policy_is_read_as_it_is_meant() {
    let expected = Policy {
        mode: Mode::Enforce,
        mx: vec![
            MxPattern::Host(domain("mail.example.com")),
            MxPattern::OneBelow(domain("example.net")),
        ],
        max_age: Duration::from_secs(604_800),
    };
    let spellings = [
        POLICY.to_owned(),
        POLICY.replace("\r\n", "\n"),
        POLICY.trim_end().to_owned(),
        POLICY.replace(": ", ":"),
        POLICY.replace(": ", ":  \t "),
        POLICY.replace("\r\n", " \t\r\n"),
        format!("{POLICY}\r\n"),
        format!("{POLICY}mode: none\r\nmax_age: 1\r\nversion: STSv2\r\n"),
        format!("extension: any thing: \u{fc}\r\n{POLICY}Mode: none\r\n"),
    ];
    for text in spellings {
        assert_eq!(Policy::parse(text.as_bytes()), Ok(expected.clone()), "{text:?}");
    }
    assert_eq!(expected.to_string(), POLICY);
}

/// Item 29 (RFC 8461 §3.2): what a policy must have. Hostile file.
#[test]
fn what_is_not_a_policy_is_refused_with_its_line() {
    let cases = [
        (POLICY.replace("version: STSv1", "x: y"), None, "the version is missing"),
        (POLICY.replace("STSv1", "STSv2"), Some(1), "the version is not STSv1"),
        (POLICY.replace("mode: enforce\r\n", ""), None, "the mode is missing"),
        (POLICY.replace("enforce", "Enforce"), Some(2), "the mode is none of"),
        (POLICY.replace("max_age", "maxage"), None, "the max_age is missing"),
        (POLICY.replace("604800", "-1"), Some(5), "the max_age is not a number"),
        (POLICY.replace("604800", "12345678901"), Some(5), "the max_age is not a number"),
        (POLICY.replace("604800", "1e5"), Some(5), "the max_age is not a number"),
        (POLICY.replace("mx: ", "my: "), None, "an mx is missing"),
        (POLICY.replace("*.example.net", "*"), Some(4), "the mx is not a host name"),
        (POLICY.replace("*.example.net", "mail.*.net"), Some(4), "the mx is not a host name"),
        (POLICY.replace("*.example.net", ".example.net"), Some(4), "the mx is not a host name"),
        (POLICY.replace("*.example.net", "b\u{fc}.example"), Some(4), "the mx is not a host name"),
        (POLICY.replace("*.example.net", "a\0b"), Some(4), "a control character"),
        (POLICY.replace("\r\nmax", "\rmax"), Some(4), "a control character"),
        ("<html>404</html>".into(), Some(1), "no colon"),
        (String::new(), None, "the version is missing"),
    ];
    for (text, line, why) in cases {
        let error = Policy::parse(text.as_bytes()).unwrap_err();
        assert_eq!(error.line, line, "{text:?}");
        assert!(error.why.starts_with(why), "{text:?}: {error}");
    }
    assert!(Policy::parse(b"version: STSv1\nmode: none\nmax_age: 0\n\xff: x").is_err());
    let none = Policy::parse(b"version: STSv1\nmode: none\nmax_age: 86400").unwrap();
    assert_eq!((none.mode, none.mx), (Mode::None, vec![]));
}

/// Item 29: a remote `max_age` is cut to a year, so that no clock overflows.
#[test]
fn max_age_is_cut_to_a_year() {
    for (text, seconds) in
        [("0", 0), ("31557600", 31_557_600), ("31557601", 31_557_600), ("9999999999", 31_557_600)]
    {
        let policy = Policy::parse(POLICY.replace("604800", text).as_bytes()).unwrap();
        assert_eq!(policy.max_age.as_secs(), seconds);
        let written = written_max_age(POLICY.replace("604800", text).as_bytes());
        assert_eq!(written, text.parse().ok(), "what the owner is told");
    }
}

/// Item 30 (RFC 8461 §3.3): 64 KiB is read, one octet more is not.
#[test]
fn a_policy_has_a_longest_length() {
    let filler = MAX_POLICY_BYTES - POLICY.len();
    let mut text = POLICY.to_owned() + "x: " + &"y".repeat(filler - 3);
    assert_eq!(text.len(), MAX_POLICY_BYTES);
    assert!(Policy::parse(text.as_bytes()).is_ok());
    text.push('y');
    assert_eq!(Policy::parse(text.as_bytes()).unwrap_err().why, "it is longer than 64 KiB");
}

/// Item 38 (RFC 8461 §4.1): a wildcard stands for exactly one label.
#[test]
fn a_wildcard_stands_for_one_label() {
    let pattern = MxPattern::parse("*.example.com").unwrap();
    for (host, expected) in [
        ("mail.example.com", true),
        ("MAIL.Example.com.", true),
        ("example.com", false),
        ("a.b.example.com", false),
        ("mail.example.com.example.org", false),
        ("mailexample.com", false),
    ] {
        assert_eq!(pattern.matches(&domain(host)), expected, "{host}");
    }
    let host = MxPattern::parse("Mail.Example.com").unwrap();
    assert!(host.matches(&domain("mail.example.com")));
    assert!(!host.matches(&domain("x.mail.example.com")));
}

/// RFC 8461 §4.1, the other way round: lines that no MX host needs.
#[test]
fn what_a_policy_lists_beside_the_mx_hosts_is_told_once_each() {
    let lines = [
        "mx1.example.com",
        "old.example.com",
        "*.example.com",
        "*.spare.example.com",
        "OLD.example.com.",
        "*.spare.example.com",
    ];
    let mx = lines.iter().map(|line| MxPattern::parse(line).unwrap()).collect();
    let policy = Policy { mode: Mode::Enforce, mx, max_age: Duration::from_hours(24) };
    let unused = |hosts: &[&str]| -> Vec<String> {
        let hosts: Vec<_> = hosts.iter().map(|host| domain(host)).collect();
        policy.unused(&hosts).iter().map(ToString::to_string).collect()
    };
    assert_eq!(unused(&["mx1.example.com"]), ["old.example.com", "*.spare.example.com"]);
    assert_eq!(unused(&["mx1.example.com", "old.example.com", "a.spare.example.com"]), [""; 0]);
    assert_eq!(
        unused(&["a.b.example.com"]),
        ["mx1.example.com", "old.example.com", "*.example.com", "*.spare.example.com"]
    );
}

proptest! {
    /// Exactly what [`Policy::allows`] would miss without the line.
    #[test]
    fn a_line_is_unused_where_it_matches_no_host(
        mx in proptest::collection::vec("(\\*\\.)?([ab]\\.)?[ab]\\.example", 1..6),
        hosts in proptest::collection::vec("[ab]\\.[ab]\\.example", 0..4),
    ) {
        let hosts: Vec<_> = hosts.iter().map(|host| domain(host)).collect();
        let mx = mx.iter().map(|line| MxPattern::parse(line).unwrap()).collect();
        let policy = Policy { mode: Mode::Enforce, mx, max_age: Duration::from_hours(24) };
        let unused = policy.unused(&hosts);
        for line in &policy.mx {
            let matches = hosts.iter().any(|host| line.matches(host));
            prop_assert_eq!(unused.iter().filter(|one| **one == line).count(), usize::from(!matches));
        }
    }
}

fn policy(mode: Mode, max_age: Duration) -> Policy {
    Policy { mode, mx: vec![MxPattern::Host(domain("mx.example.com"))], max_age }
}

fn announce(id: &str) -> Discovery {
    Discovery::Announced(id.into())
}

fn lookup_failure() -> LookupFailure {
    let name = (&domain("_mta-sts.example.com")).into();
    LookupFailure { name, kind: FailureKind::ServFail, detail: "SERVFAIL".into() }
}

fn unreachable() -> StsFailure {
    StsFailure::Fetch("blocked".into())
}

fn known(id: &str) -> Remembered {
    let policy = policy(Mode::Enforce, DAY * 7);
    Remembered::default().fetched(Some(id.into()), Ok(policy), NOW)
}

/// Item 32 (RFC 8461 §3.3, §10.2), attacker on the path: he hides the record, forges another `id`,
/// blocks or breaks the policy host. What is cached holds until it runs out.
#[test]
fn a_cached_policy_holds_whatever_fails() {
    let later = NOW + DAY * 2;
    let discoveries = [
        announce("1"),
        announce("2"),
        Discovery::NotAnnounced(Absence::Unconfirmed),
        Discovery::NotAnnounced(Absence::Secure),
        Discovery::Failed(lookup_failure()),
    ];
    let failures = [
        unreachable(),
        StsFailure::Certificate("self-signed".into()),
        StsFailure::Invalid("html".into()),
    ];
    for discovery in &discoveries {
        for failure in &failures {
            let mut state = known("1").discovered(discovery, later);
            state = state.fetched(Some("2".into()), Err(failure.clone()), later);
            let fact = state.fact(discovery, Known::Cached, later);
            let StsFact::Policy { policy, known, id, .. } = fact else { panic!("{discovery:?}") };
            assert_eq!(
                (policy.mode, known, id.as_deref()),
                (Mode::Enforce, Known::Cached, Some("1"))
            );
            // After max_age it is gone.
            let over = NOW + DAY * 7;
            let fact = state.fact(discovery, Known::Cached, over);
            assert!(!matches!(fact, StsFact::Policy { .. }), "{discovery:?}");
            let before = UnixTime(over.0 - 1);
            assert!(matches!(state.fact(discovery, Known::Cached, before), StsFact::Policy { .. }));
        }
    }
}

/// Item 31 (RFC 8461 §3.3): a failed fetch is not repeated for five minutes, but for another `id`.
#[test]
fn a_failed_fetch_pauses_for_its_id() {
    let state = Remembered::default();
    assert_eq!(state.next(&announce("1"), NOW), Next::Fetch);
    let state = state.fetched(Some("1".into()), Err(unreachable()), NOW);
    assert_eq!(state.next(&announce("1"), NOW), Next::Rest);
    assert_eq!(
        state.next(&announce("1"), (NOW + FETCH_PAUSE).before(Duration::from_secs(1))),
        Next::Rest
    );
    assert_eq!(state.next(&announce("1"), NOW + FETCH_PAUSE), Next::Fetch);
    assert_eq!(state.next(&announce("2"), NOW), Next::Fetch);
    // While it pauses the failure is the fact, since it began.
    let fact = state.fact(&announce("1"), Known::Cached, NOW + HOUR);
    assert_eq!(fact, StsFact::Unknown { failure: unreachable(), since: NOW });
}

/// Item 34 (RFC 8461 §3.1, §5.1): a new `id` means a new fetch; the same one does not.
#[test]
fn a_new_id_is_fetched() {
    let state = known("1");
    assert_eq!(state.next(&announce("1"), NOW + DAY * 3), Next::Rest);
    assert_eq!(state.next(&announce("2"), NOW + HOUR), Next::Fetch);
    assert_eq!(state.next(&announce("1"), NOW + DAY * 7), Next::Fetch);
    let state = state.fetched(Some("2".into()), Ok(policy(Mode::None, DAY)), NOW + HOUR);
    let fact = state.fact(&announce("2"), Known::Cached, NOW + HOUR);
    let StsFact::Policy { policy, id, fetched_at, expires, refresh_failed, .. } = fact else {
        panic!()
    };
    assert_eq!((policy.mode, id.as_deref(), refresh_failed), (Mode::None, Some("2"), None));
    assert_eq!((fetched_at, expires), (NOW + HOUR, NOW + HOUR + DAY));
}

/// Item 33 (RFC 8461 §3.3): refreshed daily, well before it ends, and not hammered.
#[test]
fn a_policy_is_refreshed_before_it_ends() {
    let week = known("1");
    assert!(!week.refresh_due((NOW + REFRESH).before(Duration::from_secs(1))));
    assert!(week.refresh_due(NOW + REFRESH));
    let hour = Remembered::default().fetched(None, Ok(policy(Mode::Enforce, HOUR)), NOW);
    assert!(!hour.refresh_due(NOW + HOUR / 3));
    assert!(hour.refresh_due(NOW + HOUR / 2));
    assert!(!hour.refresh_due(NOW + HOUR), "it is over: the next message fetches it");
    let failed = week.fetched(Some("1".into()), Err(unreachable()), NOW + REFRESH);
    assert!(!failed.refresh_due(NOW + REFRESH + HOUR / 2));
    assert!(failed.refresh_due(NOW + REFRESH + HOUR));
    assert!(!Remembered::default().refresh_due(NOW));
}

/// A clock that was a year ahead when the policy was fetched, or could not be, and was set right since: nobody
/// waits for that year to come.
#[test]
fn what_was_noted_by_a_clock_that_was_ahead_holds_up_no_fetch() {
    let ahead = NOW + DAY * 365;
    let discovery = Discovery::Announced("1".into());
    let failed = Remembered::default().fetched(Some("1".into()), Err(unreachable()), ahead);
    assert_eq!(failed.next(&discovery, ahead), Next::Rest);
    assert_eq!(failed.next(&discovery, NOW), Next::Fetch);
    // A second is no clock that was set.
    assert_eq!(failed.next(&discovery, ahead.before(Duration::from_secs(1))), Next::Rest);
    let year = Ok(policy(Mode::Enforce, DAY * 365));
    let kept = Remembered::default().fetched(Some("1".into()), year, ahead);
    assert!(kept.refresh_due(NOW) && kept.may_be_stale(&discovery, NOW));
    assert_eq!(kept.next(&discovery, NOW), Next::Rest, "it holds meanwhile");
    let failed = kept.fetched(Some("1".into()), Err(unreachable()), NOW);
    assert!(!failed.refresh_due(NOW + FETCH_PAUSE / 2), "but not without a pause");
}

/// RFC 8461 §3.2 allows a `max_age` of 0, for instance on the way out (§8.3): the attempt that
/// fetched such a policy knows it, whatever its mode, and nobody fetches it in the background.
#[test]
fn a_policy_without_an_age_counts_for_the_attempt_that_fetched_it() {
    for mode in [Mode::Enforce, Mode::Testing, Mode::None] {
        let state = Remembered::default().discovered(&announce("1"), NOW);
        assert_eq!(state.next(&announce("1"), NOW), Next::Fetch);
        let state = state.fetched(Some("1".into()), Ok(policy(mode, Duration::ZERO)), NOW);
        let StsFact::Policy { policy, expires, .. } =
            state.fact(&announce("1"), Known::FirstFetch, NOW)
        else {
            panic!("{mode:?}")
        };
        assert_eq!((policy.mode, expires), (mode, NOW + LEAST));
        assert!((0..=60).all(|later| !state.refresh_due(NOW + Duration::from_secs(later))));
        assert_eq!(state.next(&announce("1"), NOW + LEAST), Next::Fetch);
    }
}

/// Promise P1: not finding out is `Unknown` and counts its time from the first failure; a clean
/// answer ends it.
#[test]
fn not_finding_out_is_not_absence() {
    let failing = Discovery::Failed(lookup_failure());
    let state = Remembered::default().discovered(&failing, NOW);
    let state = state.discovered(&failing, NOW + HOUR);
    let StsFact::Unknown { since, failure } = state.fact(&failing, Known::Cached, NOW + HOUR)
    else {
        panic!()
    };
    assert_eq!((since, failure), (NOW, StsFailure::Record(lookup_failure())));
    let clean = Discovery::NotAnnounced(Absence::Secure);
    let state = state.discovered(&clean, NOW + HOUR);
    assert_eq!(
        state.fact(&clean, Known::Cached, NOW + HOUR),
        StsFact::Absent { absence: Absence::Secure }
    );
    assert!(state.is_empty(NOW + HOUR));
    let again = state.discovered(&failing, NOW + DAY);
    assert_eq!(again.failing_since, Some(NOW + DAY));
}

/// Attacker on the path to DNS or to the policy host, at first contact: one look-up that he broke days ago,
/// when nobody had mail afterwards, does not use up the patience of today.
#[test]
fn failures_that_are_days_apart_are_two() {
    let failing = Discovery::Failed(lookup_failure());
    let unreached = |state: Remembered, at| state.fetched(Some("1".into()), Err(unreachable()), at);
    let state = unreached(Remembered::default().discovered(&failing, NOW), NOW + HOUR);
    let daily = state.clone().discovered(&failing, NOW + DAY);
    assert_eq!(daily.failing_since, Some(NOW), "it goes on");
    let later = NOW + HOUR + DAY + Duration::from_secs(1);
    assert_eq!(unreached(state.clone(), later).failing_since, Some(later));
    let fact = state.discovered(&failing, later).fact(&failing, Known::Cached, later);
    assert!(matches!(fact, StsFact::Unknown { since, .. } if since == later), "{fact:?}");
}

/// Attacker at first contact: he hides the record, breaks discovery, or has a fooled CA and serves
/// `none`. What the administrator preloaded stands (promise P3).
#[test]
fn a_preloaded_enforce_is_not_lowered() {
    let file = policy(Mode::Enforce, DAY);
    let live = |mode| {
        let state = Remembered::default().fetched(Some("1".into()), Ok(policy(mode, DAY)), NOW);
        state.fact(&announce("1"), Known::FirstFetch, NOW)
    };
    let unknown = StsFact::Unknown { failure: unreachable(), since: NOW };
    let absent = StsFact::Absent { absence: Absence::Unconfirmed };
    for fact in [unknown, absent, live(Mode::None), live(Mode::Testing)] {
        let StsFact::Policy { policy, known, .. } = with_preloaded(fact, &file, NOW, NOW) else {
            panic!()
        };
        assert_eq!((policy.mode, known), (Mode::Enforce, Known::Preloaded));
    }
    let StsFact::Policy { known, id, .. } = with_preloaded(live(Mode::Enforce), &file, NOW, NOW)
    else {
        panic!()
    };
    assert_eq!((known, id.as_deref()), (Known::Cached, Some("1")));
}

/// Attacker at first contact with a fooled CA: his policy names his host. It stays a first contact,
/// whatever the administrator preloaded for the true hosts.
#[test]
fn a_preloaded_policy_vouches_for_no_other_host() {
    let file = policy(Mode::Enforce, DAY);
    let evil = Policy {
        mx: vec![MxPattern::Host(Domain::parse("mx.evil.example").unwrap())],
        ..policy(Mode::Enforce, DAY)
    };
    let state = Remembered::default().fetched(Some("1".into()), Ok(evil), NOW);
    let live = state.fact(&announce("1"), Known::FirstFetch, NOW);
    let StsFact::Policy { known, .. } = with_preloaded(live, &file, NOW, NOW) else { panic!() };
    assert_eq!(known, Known::FirstFetch);
}

/// Attacker: on the path of DNS while a policy still holds. The hour of patience begins when it has
/// run out, not before (RFC 8461 §3.3).
#[test]
fn a_failure_under_a_policy_that_holds_uses_up_no_patience() {
    let failing = Discovery::Failed(lookup_failure());
    let state = known("1").discovered(&failing, NOW + DAY);
    let after = NOW + DAY * 7;
    assert!(state.held(after).is_none());
    let state = state.discovered(&failing, after);
    let StsFact::Unknown { since, .. } = state.fact(&failing, Known::Cached, after) else {
        panic!()
    };
    assert_eq!(since, after);
}

/// Item 33: what is remembered comes back from the store as it was.
#[test]
fn what_is_remembered_survives_the_store() {
    let state = known("1").discovered(&Discovery::Failed(lookup_failure()), NOW).fetched(
        Some("2".into()),
        Err(StsFailure::Record(lookup_failure())),
        NOW + HOUR,
    );
    let json = serde_json::to_string(&state).unwrap();
    assert_eq!(serde_json::from_str::<Remembered>(&json).unwrap(), state);
}

fn any_pattern() -> impl Strategy<Value = MxPattern> {
    ("[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?(\\.[a-z]{1,6}){1,3}", any::<bool>()).prop_map(
        |(name, wildcard)| {
            let name = Domain::parse(&name).unwrap();
            if wildcard { MxPattern::OneBelow(name) } else { MxPattern::Host(name) }
        },
    )
}

proptest! {
    /// Hostile file: no octets make the parsers panic.
    #[test]
    fn no_octets_make_the_parsers_panic(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Policy::parse(&octets);
        let _ = announced(std::slice::from_ref(&octets));
        let _ = announced(&[[b"v=STSv1;".as_slice(), &octets].concat()]);
    }

    /// What is printed is read back as the same.
    #[test]
    fn a_printed_policy_reads_back(
        mode in prop_oneof![Just(Mode::Enforce), Just(Mode::Testing), Just(Mode::None)],
        mx in proptest::collection::vec(any_pattern(), 1..6),
        max_age in 0..=31_557_600_u64,
    ) {
        let policy = Policy { mode, mx, max_age: Duration::from_secs(max_age) };
        prop_assert_eq!(Policy::parse(policy.to_string().as_bytes()), Ok(policy.clone()));
        let bare = policy.to_string().replace('\r', "");
        prop_assert_eq!(Policy::parse(bare.as_bytes()), Ok(policy));
    }
}
