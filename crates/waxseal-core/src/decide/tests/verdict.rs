//! What the rules say.

use std::time::Duration;

use super::world::{HOUR, NOW, domain};
use crate::{
    channel::Floor,
    decide::{Fallback, MessageView, Origin, Verdict, inbound, verdict},
    envelope::{Mailbox, Recipient, ReversePath},
    org::{
        Agreement, Condition, Exception, ExceptionError, Group, Mode, Org, Rule, Scope, ValueMatch,
        Who,
    },
    time::UnixTime,
};

fn mailbox(address: &str) -> Mailbox {
    let (local, at) = address.rsplit_once('@').unwrap();
    Mailbox { local: local.into(), domain: domain(at) }
}

fn rule(name: &str, when: Vec<Condition>, require: Floor) -> Rule {
    Rule { name: name.into(), when, require, otherwise: None, patience: None, notify: None }
}

fn to_domain(name: &str) -> Condition {
    Condition::Recipient(vec![Who::Domain(domain(name))])
}

fn judge_at(org: &Org, from: &str, to: &str, headers: &[(&str, &str)], now: UnixTime) -> Verdict {
    let headers: Vec<_> =
        headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let reverse_path = ReversePath::Mailbox(mailbox(from));
    let message = MessageView { reverse_path: &reverse_path, headers: &headers };
    let recipient = Recipient::new(mailbox(to));
    verdict(org, &message, &recipient, now)
}

fn judge(org: &Org, from: &str, to: &str, headers: &[(&str, &str)]) -> Verdict {
    judge_at(org, from, to, headers, NOW)
}

const ANN: &str = "ann@us.example";
const BOB: &str = "bob@them.example";

#[test]
fn without_rules_the_default_holds() {
    let verdict = judge(&Org::default(), ANN, BOB, &[]);
    assert_eq!(verdict.floor, Floor::Encrypted);
    assert_eq!(verdict.fallback, Fallback::Hold);
    assert_eq!(verdict.patience, HOUR * 4);
    assert_eq!(verdict.rule, "default");
}

/// Rules, exceptions and monitor mode are about what leaves us. What cannot be handed over waits as
/// long as any mail: who could repair it is not its sender.
#[test]
fn mail_from_outside_is_judged_by_no_rule() {
    let schedule = crate::org::Schedule { lifetime: HOUR * 7, ..Default::default() };
    let rules = vec![rule("everyone", vec![], Floor::Sealed)];
    let org = Org { rules, schedule, mode: Mode::Monitor, ..Org::default() };
    let verdict = inbound(&org);
    assert_eq!((verdict.floor, verdict.suspended), (Floor::None, None));
    assert_eq!((verdict.fallback, verdict.patience), (Fallback::Bounce, HOUR * 7));
    assert_eq!(verdict.rule, "inbound");
    assert!(verdict.notify.is_empty() && !verdict.is_by_exception());
}

#[test]
fn the_highest_demand_wins_and_all_matches_are_recorded() {
    let org = Org {
        rules: vec![
            rule("partner", vec![to_domain("them.example")], Floor::Authenticated),
            rule("everyone", vec![], Floor::Encrypted),
            Rule {
                otherwise: Some(Fallback::Bounce),
                patience: Some(HOUR),
                ..rule(
                    "tagged",
                    vec![Condition::SubjectTag(vec!["[secure]".into()])],
                    Floor::Qualified,
                )
            },
            rule(
                "tagged too",
                vec![Condition::SubjectTag(vec!["[secure]".into()])],
                Floor::Qualified,
            ),
        ],
        ..Org::default()
    };
    let plain = judge(&org, ANN, BOB, &[("subject", "hello")]);
    assert_eq!((plain.floor, plain.rule.as_str()), (Floor::Authenticated, "partner"));

    let tagged = judge(&org, ANN, BOB, &[("subject", "Re: [SECURE] hello")]);
    assert_eq!((tagged.floor, tagged.rule.as_str()), (Floor::Qualified, "tagged"));
    assert_eq!((tagged.fallback, tagged.patience), (Fallback::Bounce, HOUR));
    let named: Vec<_> = tagged.because.iter().map(|because| because.rfc.as_ref()).collect();
    assert_eq!(named, ["partner", "everyone", "tagged", "tagged too"]);
}

#[test]
fn a_rule_below_the_default_lowers_nothing() {
    let org = Org {
        rules: vec![rule("lax", vec![to_domain("them.example")], Floor::None)],
        ..Org::default()
    };
    let verdict = judge(&org, ANN, BOB, &[]);
    assert_eq!((verdict.floor, verdict.rule.as_str()), (Floor::Encrypted, "default"));
}

#[test]
fn all_conditions_of_a_rule_have_to_hold() {
    let header = |value| Condition::Header { name: "x-class".into(), value };
    let when = vec![
        to_domain("them.example"),
        Condition::Sender(vec![Who::Group("hr".into())]),
        header(ValueMatch::Contains("secret".into())),
    ];
    let mut org = Org { rules: vec![rule("hr", when, Floor::Qualified)], ..Org::default() };
    let mut hr = Group::default();
    hr.add(Who::Mailbox(mailbox("Ann@us.example"))).unwrap();
    hr.add(Who::Below(domain("hr.example"))).unwrap();
    org.groups.insert("hr".into(), hr);
    let secret = [("x-class", "Top Secret")];
    let floor = |from, to, headers: &[(&str, &str)]| judge(&org, from, to, headers).floor;
    assert_eq!(floor(ANN, BOB, &secret), Floor::Qualified);
    assert_eq!(floor("joe@a.b.hr.example", BOB, &secret), Floor::Qualified);
    assert_eq!(floor("joe@hr.example", BOB, &secret), Floor::Encrypted);
    assert_eq!(floor(ANN, BOB, &[("x-class", "public")]), Floor::Encrypted);
    assert_eq!(floor(ANN, BOB, &[]), Floor::Encrypted);
    assert_eq!(floor(ANN, "bob@else.example", &secret), Floor::Encrypted);
}

/// The insider who writes an address with a capital letter.
#[test]
fn a_capital_letter_dodges_no_rule() {
    let whom = vec![Who::Mailbox(mailbox(BOB)), Who::Below(domain("deep.example"))];
    let org = Org {
        rules: vec![rule("bob", vec![Condition::Recipient(whom)], Floor::Authenticated)],
        ..Org::default()
    };
    assert_eq!(judge(&org, ANN, "BOB@them.example", &[]).floor, Floor::Authenticated);
    assert_eq!(judge(&org, ANN, "x@a.deep.example", &[]).floor, Floor::Authenticated);
    assert_eq!(judge(&org, ANN, "x@notdeep.example", &[]).floor, Floor::Encrypted);
}

fn exception(name: &str, floor: Floor) -> Exception {
    Exception {
        domain: domain(name),
        floor,
        since: NOW,
        until: NOW + HOUR * 24,
        reason: "their certificate is being replaced".into(),
        owner: "it@us.example".into(),
    }
}

#[test]
fn an_exception_lowers_one_domain_until_it_ends_and_says_so() {
    let org = Org { exceptions: vec![exception("them.example", Floor::None)], ..Org::default() };
    let verdict = judge(&org, ANN, BOB, &[]);
    assert_eq!(verdict.floor, Floor::None);
    let said = verdict.because.iter().any(|because| because.fact.contains("being replaced"));
    assert!(said, "{:?}", verdict.because);
    assert_eq!(judge(&org, ANN, "x@sub.them.example", &[]).floor, Floor::Encrypted);
    let over = judge_at(&org, ANN, BOB, &[], NOW + HOUR * 24);
    assert_eq!(over.floor, Floor::Encrypted);
}

#[test]
fn an_exception_never_raises() {
    let org =
        Org { exceptions: vec![exception("them.example", Floor::Qualified)], ..Org::default() };
    assert_eq!(judge(&org, ANN, BOB, &[]).floor, Floor::Encrypted);
}

#[test]
fn no_exception_is_for_ever_or_without_reason_and_owner() {
    let longest = Duration::from_hours(24 * 90);
    let with = |change: fn(&mut Exception)| {
        let mut exception = exception("them.example", Floor::None);
        change(&mut exception);
        exception.check(longest).err()
    };
    assert_eq!(with(|_| {}), None);
    assert_eq!(with(|e| e.until = NOW + HOUR * 24 * 90), None);
    let too_long = with(|e| e.until = NOW + HOUR * 24 * 90 + Duration::from_secs(1));
    assert_eq!(too_long, Some(ExceptionError::TooLong { longest }));
    assert_eq!(with(|e| e.until = NOW), Some(ExceptionError::Over));
    assert_eq!(with(|e| e.reason = " ".into()), Some(ExceptionError::NoReason));
    assert_eq!(with(|e| e.owner = String::new()), Some(ExceptionError::NoOwner));
    assert_eq!(with(|e| e.reason = "x\u{1b}[2J".into()), Some(ExceptionError::Text));
    assert_eq!(with(|e| e.owner = "x".repeat(501)), Some(ExceptionError::Text));
}

#[test]
fn the_end_of_an_exception_is_announced() {
    let long = Exception { until: NOW + HOUR * 24 * 30, ..exception("a.example", Floor::None) };
    assert!(!long.ends_soon(NOW));
    assert!(long.ends_soon(NOW + HOUR * 24 * 24));
    assert!(!long.ends_soon(NOW + HOUR * 24 * 30));
}

#[test]
fn monitor_mode_records_what_would_have_bound() {
    let org = Org {
        mode: Mode::Monitor,
        rules: vec![rule("all", vec![], Floor::Qualified)],
        ..Org::default()
    };
    let verdict = judge(&org, ANN, BOB, &[]);
    assert_eq!((verdict.floor, verdict.suspended), (Floor::None, Some(Floor::Qualified)));
}

#[test]
fn mail_of_machines_is_known() {
    let origin = |reverse_path: &ReversePath, value: &str| {
        let headers = [("auto-submitted".to_owned(), value.to_owned())];
        MessageView { reverse_path, headers: &headers }.origin()
    };
    let ann = ReversePath::Mailbox(mailbox(ANN));
    assert_eq!(origin(&ann, "no"), Origin::Person);
    assert_eq!(origin(&ann, "auto-replied; owner-email=x"), Origin::Automatic);
    assert_eq!(origin(&ann, " auto-generated"), Origin::Automatic);
    assert_eq!(origin(&ReversePath::Null, "no"), Origin::Automatic);
}

#[test]
fn the_nearest_agreement_counts() {
    let agreement = |name: &str| Agreement { names: vec![domain(name)], ..Agreement::default() };
    let org = Org {
        agreements: vec![
            (Scope::Everything, agreement("smarthost.example")),
            (Scope::Within(domain("them.example")), agreement("all.example")),
            (Scope::Within(domain("deep.them.example")), agreement("deep.example")),
            (Scope::Exactly(domain("them.example")), agreement("exact.example")),
        ],
        ..Org::default()
    };
    let names = |to: &str| org.terms(&domain(to)).agreement.unwrap().names;
    assert_eq!(names("them.example"), [domain("exact.example")]);
    assert_eq!(names("a.them.example"), [domain("all.example")]);
    assert_eq!(names("a.deep.them.example"), [domain("deep.example")]);
    assert_eq!(names("notthem.example"), [domain("smarthost.example")]);
}
