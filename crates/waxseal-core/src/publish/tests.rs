mod caches;
mod clock;
mod doors;
mod lifetime;
mod shown;
mod signed_update;
mod standing;

use std::{net::Ipv4Addr, time::Duration};

use super::{
    gate::{
        Door, Guessed, HostKeys, How, Item, Key, Named, PolicyFacts, Seen, ServerView, State,
        Verdict,
    },
    readiness::{Signed, readiness},
    rollout::{Progress, Step},
    update::{Algorithm, Change, Prerequisite, UpdateError},
    *,
};
use crate::{
    dane::Tlsa,
    dns::{Absence, Answer, Authenticity, Denial, FailureKind, LookupFailure},
    domain::Domain,
    facts::StsFailure,
    sts::{MxPattern, Policy},
    time::UnixTime,
};

const NOW: UnixTime = UnixTime(1_800_000_000);
/// In seconds.
const DAY: u64 = 86_400;
const HOUR: Duration = Duration::from_secs(3_600);

fn name(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn later(seconds: u64) -> UnixTime {
    NOW + Duration::from_secs(seconds)
}

fn found<T>(value: T, authenticity: Authenticity) -> Answer<T> {
    Answer::Found { value, authenticity, expires: later(300), chain: None }
}

fn absent<T>() -> Answer<T> {
    let (denial, absence) = (Denial::NxDomain, Absence::Secure);
    Answer::Absent { denial, absence, expires: later(300), chain: None }
}

fn failed<T>(kind: FailureKind) -> Answer<T> {
    let detail = "no upstream answered in time".to_owned();
    Answer::Failed(LookupFailure { name: (&name("example.com")).into(), kind, detail })
}

fn texts_of(texts: &[&str]) -> Answer<Vec<Vec<u8>>> {
    found(texts.iter().map(|text| text.as_bytes().to_vec()).collect(), Authenticity::Secure)
}

fn policy(mode: sts::Mode, hosts: &[&str]) -> Policy {
    let mx = hosts.iter().map(|host| MxPattern::Host(name(host))).collect();
    Policy { mode, mx, max_age: Duration::from_secs(1_209_600) }
}

#[test]
fn records_are_lines_of_a_zone_file() {
    let domain = name("example.com");
    let policy = policy(sts::Mode::Testing, &["mx.example.com"]);
    let announcement = texts::mta_sts(&domain, &policy, HOUR).unwrap();
    let id = texts::policy_id(&policy);
    assert_eq!(
        announcement.to_string(),
        format!("_mta-sts.example.com. 3600 IN TXT \"v=STSv1; id={id};\"")
    );
    // Ours is what our own reader of strangers' records understands.
    let Data::Txt(text) = &announcement.data else { panic!() };
    assert_eq!(sts::announced(&[text]).unwrap(), id);
    let host = texts::policy_host(&domain, &name("gw.example.com"), HOUR).unwrap();
    assert_eq!(host.to_string(), "mta-sts.example.com. 3600 IN CNAME gw.example.com.");
    let rua = ["mailto:tls@example.com".to_owned(), "https://r.example/x".to_owned()];
    assert_eq!(
        texts::tlsrpt(&domain, &rua, HOUR).unwrap().to_string(),
        "_smtp._tls.example.com. 3600 IN TXT \"v=TLSRPTv1; rua=mailto:tls@example.com,https://r.example/x\""
    );
    assert_eq!(
        texts::dmarc(&domain, "reject", &["mailto:d@example.com".to_owned()], HOUR)
            .unwrap()
            .to_string(),
        "_dmarc.example.com. 3600 IN TXT \"v=DMARC1; p=reject; rua=mailto:d@example.com\""
    );
    assert_eq!(
        texts::dkim(&domain, &name("s1"), None, HOUR).unwrap().to_string(),
        "s1._domainkey.example.com. 3600 IN TXT \"v=DKIM1; p=\""
    );
    let own = texts::own_mechanisms(&["192.0.2.1".parse().unwrap()], &domain);
    assert_eq!(
        texts::spf(&domain, &own, HOUR).to_string(),
        "example.com. 3600 IN TXT \"v=spf1 ip4:192.0.2.1 ~all\""
    );
    let tlsa = texts::tlsa(&name("mx.example.com"), vec![texts::end_entity([0xab; 32]); 2], HOUR);
    let tlsa = tlsa.unwrap();
    assert_eq!(tlsa.len(), 1, "the same key once");
    let line = format!("_25._tcp.mx.example.com. 3600 IN TLSA 3 1 1 {}", "ab".repeat(32));
    assert_eq!(tlsa[0].to_string(), line);
    assert_eq!(texts::issuer([1; 32]).usage, 2);
}

#[test]
fn long_texts_are_cut_into_strings_and_quoted() {
    let text = format!("{}\"\\\u{e4}", "x".repeat(254));
    let record = texts::dkim(&name("example.com"), &name("s"), Some(text), HOUR).unwrap();
    let value = record.value();
    assert!(value.ends_with("\\\"\" \"\\\\\\195\\164\""), "{value}");
    let rdata = record.rdata();
    assert_eq!((rdata[0], rdata[256], rdata.len()), (255, 3, 2 + 258));
}

#[test]
fn another_policy_has_another_id_and_the_same_the_same() {
    let one = policy(sts::Mode::Testing, &["a.example", "b.example"]);
    assert_eq!(texts::policy_id(&one), texts::policy_id(&one.clone()));
    let others = [
        policy(sts::Mode::Enforce, &["a.example", "b.example"]),
        policy(sts::Mode::Testing, &["a.example"]),
        Policy { max_age: Duration::from_secs(1), ..one.clone() },
    ];
    for other in others {
        assert_ne!(texts::policy_id(&one), texts::policy_id(&other));
    }
    assert_eq!(texts::policy(Mta::Off, &[], HOUR), None);
}

#[test]
fn a_record_is_live_missing_different_or_unknown() {
    let record =
        texts::tlsrpt(&name("example.com"), &["mailto:t@example.com".into()], HOUR).unwrap();
    let standing = |answer| text(record.clone(), "v=TLSRPTv1", &answer).standing;
    assert_eq!(standing(texts_of(&["v=TLSRPTv1;rua=mailto:t@example.com;"])), Standing::Live);
    assert_eq!(standing(texts_of(&["site-verification=1"])), Standing::Missing);
    assert_eq!(standing(absent()), Standing::Missing);
    let other =
        Standing::Differs { found: vec!["v=TLSRPTv1; rua=mailto:x@example.org".to_owned()] };
    assert_eq!(standing(texts_of(&["v=TLSRPTv1; rua=mailto:x@example.org"])), other);
    let unknown = standing(failed(FailureKind::Timeout));
    assert!(matches!(unknown, Standing::Unknown { why } if why.contains("no upstream")));
    let twice = texts_of(&["v=TLSRPTv1; rua=mailto:t@example.com"; 2]);
    let two = text(record, "v=TLSRPTv1", &twice);
    assert!(two.fix.contains("with several, none counts"), "{}", two.fix);
}

/// Attacker: whoever writes the records of a domain. What they wrote is shown without control
/// characters and at bounded length.
#[test]
fn what_strangers_wrote_is_shown_tamed() {
    let record =
        texts::tlsrpt(&name("example.com"), &["mailto:t@example.com".into()], HOUR).unwrap();
    let evil = format!("v=TLSRPTv1;\u{1b}[2J\n{}", "x".repeat(60_000));
    let many = vec![evil.as_str(); 1_000];
    let Standing::Differs { found } = text(record, "v=TLSRPTv1", &texts_of(&many)).standing else {
        panic!()
    };
    assert_eq!(found.len(), 16);
    assert!(found.iter().all(|text| text.len() <= 300 && !text.contains(['\u{1b}', '\n'])));
}

#[test]
fn spf_keeps_what_others_need() {
    let own = ["ip4:192.0.2.1".to_owned()];
    let record = texts::spf(&name("example.com"), &own, HOUR);
    let look = |texts: &[&str]| spf(record.clone(), &own, &texts_of(texts));
    assert_eq!(look(&["v=spf1 include:x.example +ip4:192.0.2.1 -all"]).standing, Standing::Live);
    assert_eq!(look(&["v=spf10 x", "other"]).standing, Standing::Missing);
    // A mechanism that fails on purpose lets nobody send.
    assert!(matches!(look(&["v=spf1 -ip4:192.0.2.1 ~all"]).standing, Standing::Differs { .. }));
    assert!(look(&["v=spf1 -all", "v=spf1 ~all"]).fix.contains("leave one"));
}

#[test]
fn tlsa_records_count_only_where_all_are_there_and_signed() {
    let keys = vec![texts::end_entity([1; 32]), texts::end_entity([2; 32])];
    let mx = name("mx.example.com");
    let wanted = texts::tlsa(&mx, keys.clone(), HOUR).unwrap();
    let look = |value: Vec<Tlsa>, sure| tlsa(&mx, wanted.clone(), &found(value, sure));
    assert_eq!(look(keys.clone(), Authenticity::Secure).standing, Standing::Live);
    let unsigned = look(keys.clone(), Authenticity::Insecure);
    assert!(unsigned.fix.contains("sign the zone"), "{}", unsigned.fix);
    let half = look(vec![keys[0].clone()], Authenticity::Secure);
    assert!(half.fix.contains("the 1 of these"), "{}", half.fix);
    let stale = [keys, vec![texts::end_entity([9; 32])]].concat();
    let stale = look(stale, Authenticity::Secure);
    assert!(stale.fix.contains("remove them"), "{}", stale.fix);
    assert_eq!(tlsa(&mx, wanted.clone(), &absent()).standing, Standing::Missing);
    let unknown = tlsa(&mx, wanted, &failed(FailureKind::Bogus)).standing;
    assert!(matches!(unknown, Standing::Unknown { .. }));
}

// === the gate for keys ===

fn stages(
    tlsrpt: &Standing,
    mode: Result<Option<sts::Mode>, String>,
    memory: &DomainMemory,
) -> Vec<(Step, Progress)> {
    let certificates = &rollout::Certificates::Pass;
    let dane = &[Standing::Live];
    let facts = rollout::Facts { tlsrpt, mode, dane, certificates, memory, now: NOW };
    rollout::plan(&facts).into_iter().map(|stage| (stage.step, stage.progress)).collect()
}

fn current(stages: &[(Step, Progress)]) -> Option<Step> {
    let mut all =
        stages.iter().filter(|(_, progress)| matches!(progress, Progress::Current { .. }));
    let first = all.next().map(|(step, _)| *step);
    assert!(all.next().is_none(), "one step at a time: {stages:?}");
    first
}

#[test]
fn the_roll_out_goes_step_by_step() {
    let mut memory = DomainMemory::default();
    let missing = Standing::Missing;
    assert_eq!(current(&stages(&missing, Ok(None), &memory)), Some(Step::Reports));
    memory.tlsrpt_since = Some(NOW.before(HOUR));
    let all = stages(&Standing::Live, Ok(None), &memory);
    assert_eq!(current(&all), Some(Step::Baseline));
    let until = NOW.before(HOUR) + rollout::WEEKS;
    assert_eq!(all[1].1, Progress::Current { until: Some(until) });
    memory.tlsrpt_since = Some(NOW.before(rollout::WEEKS));
    assert_eq!(current(&stages(&Standing::Live, Ok(None), &memory)), Some(Step::Testing));
    let testing = Ok(Some(sts::Mode::Testing));
    memory.policy.mode = Some((sts::Mode::Testing, NOW.before(HOUR)));
    assert_eq!(current(&stages(&Standing::Live, testing.clone(), &memory)), Some(Step::Watch));
    memory.policy.mode = Some((sts::Mode::Testing, NOW.before(rollout::WEEKS)));
    assert_eq!(current(&stages(&Standing::Live, testing, &memory)), Some(Step::Enforce));
    let enforce = Ok(Some(sts::Mode::Enforce));
    assert_eq!(current(&stages(&Standing::Live, enforce, &memory)), None);
    // Failing to find out is not the same as nothing.
    let all = stages(&Standing::Live, Err("SERVFAIL".to_owned()), &memory);
    assert_eq!(all[2].1, Progress::Unknown);
    // A waiting step may have been left behind: which one is current is not known.
    memory.tlsrpt_since = Some(NOW);
    let all = stages(&Standing::Live, Err("SERVFAIL".to_owned()), &memory);
    assert_eq!((all[1].1, all[2].1), (Progress::Unknown, Progress::Later));
    assert_eq!(current(&all), None);
}

fn keys_of(ds: Answer<Vec<Vec<u8>>>, dnskey: Answer<Vec<Vec<u8>>>) -> readiness::Facts {
    readiness::Facts { zone: name("example.com"), ds, dnskey, cds: absent() }
}

#[test]
fn a_zone_is_told_what_it_lacks_for_dnssec() {
    let key = vec![vec![1, 1, 3, 13, 1, 2, 3, 4]];
    let ds = |algorithm, digest| vec![vec![0, 1, algorithm, digest, 9, 9]];
    let secure = |value| found(value, Authenticity::Secure);
    let good = readiness(&keys_of(secure(ds(13, 2)), secure(key.clone())));
    assert_eq!((good.state, good.steps.len()), (Signed::Yes, 0));
    let old = readiness(&keys_of(secure(ds(7, 1)), secure(key.clone())));
    assert!(old.steps.len() == 2 && old.steps[0].contains("roll to"), "{old:?}");
    let unsigned = readiness(&keys_of(absent(), absent()));
    assert!(unsigned.state == Signed::No && unsigned.steps[0].contains("switch on signing"));
    let island = readiness(&keys_of(absent(), found(key.clone(), Authenticity::Insecure)));
    assert!(island.steps[1].starts_with("example.com. IN DS "), "{island:?}");
    let keyless = readiness(&keys_of(secure(ds(13, 2)), absent()));
    assert_eq!(keyless.state, Signed::Broken);
    assert_eq!(
        readiness(&keys_of(secure(ds(13, 2)), failed(FailureKind::Bogus))).state,
        Signed::Broken
    );
    assert_eq!(
        readiness(&keys_of(failed(FailureKind::Timeout), secure(key))).state,
        Signed::Unknown
    );
}

/// The DS record and its tag against an example made with BIND's `dnssec-dsfromkey` (RFC 4034 §5.4
/// for the tag; RFC 4509 §2 for the digest).
#[test]
fn the_ds_record_of_rfc_4509_comes_out() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let public = STANDARD
        .decode(
            "AQOeiiR0GOMYkDshWoSKz9XzfwJr1AYtsmx3TGkJaNXVbfi/2pHm822aJ5iI9BMzNXxeYCmZDRD99WYwYqUSdjMm\
             mAphXdvxegXd/M5+X7OrzKBaMbCVdFLUUh6DhweJBjEVv5f2wwjM9XzcnOf+EPbtG9DMBmADjFDc2w/rljwvFw==",
        )
        .unwrap();
    let key = [vec![1, 0, 3, 5], public].concat();
    // With SEP, which the example lacks, the tag is one more.
    let sep = [vec![1, 1, 3, 5], key[4..].to_vec()].concat();
    let facts = readiness::Facts {
        zone: name("dskey.example.com"),
        ds: absent(),
        dnskey: found(vec![key, sep], Authenticity::Insecure),
        cds: absent(),
    };
    let steps = readiness(&facts).steps;
    let ds: Vec<_> = steps.iter().filter(|step| step.contains(" IN DS ")).collect();
    assert_eq!(ds.len(), 1, "only keys with SEP: {steps:?}");
    assert!(ds[0].starts_with("dskey.example.com. IN DS 60486 5 2 "), "{ds:?}");
}

// === updates ===
