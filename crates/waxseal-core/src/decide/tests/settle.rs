//! What follows from an attempt.

use std::time::Duration;

use super::world::NOW;
use crate::{
    decide::{DelayNotice, DelayTold, History, Origin, Route, Settled, settle},
    org::Schedule,
    outcome::{Cause, Outcome},
    reply::{EnhancedCode, Reply},
    time::UnixTime,
};

/// Our own limits say nothing of the host: no pause of hours for what has not been tried, late in
/// its life or held.
#[test]
fn what_waits_for_its_turn_comes_back_soon() {
    let busy = Outcome::Deferred { cause: Cause::Busy("its turn has not come".into()) };
    let late = history(9, Duration::from_hours(20));
    let held = History { held_since: Some(NOW), ..late };
    for history in [history(1, Duration::ZERO), late, held] {
        let (last, schedule) = (wait(), Schedule::default());
        match settle(&busy, &last, &history, &schedule, NOW) {
            Settled::Retry { at, .. } | Settled::Hold { at, .. } => {
                assert_eq!(at, NOW + Duration::from_mins(1));
            }
            other => panic!("{other:?}"),
        }
    }
}

fn history(attempts: u32, queued_ago: Duration) -> History {
    History { queued: NOW.before(queued_ago), attempts, ..History::default() }
}

fn refused() -> Outcome {
    Outcome::Deferred { cause: Cause::Connection("connection refused".into()) }
}

fn channel() -> Outcome {
    Outcome::Deferred { cause: Cause::Channel("no STARTTLS".into()) }
}

fn wait() -> Route {
    Route::Wait { until: None, code: EnhancedCode(4, 7, 10), reason: "no TLS".into() }
}

fn hold() -> Route {
    Route::Hold { code: EnhancedCode(5, 7, 10), reason: "no TLS".into() }
}

fn after(outcome: &Outcome, last: &Route, history: &History) -> Settled {
    settle(outcome, last, history, &Schedule::default(), NOW)
}

fn retry_at(settled: &Settled) -> UnixTime {
    match settled {
        Settled::Retry { at, .. } | Settled::Hold { at, .. } => *at,
        Settled::Done | Settled::Bounce { .. } | Settled::Drop { .. } => panic!("{settled:?}"),
    }
}

#[test]
fn the_first_retry_is_thirty_minutes_away_and_later_ones_further() {
    let minutes = |attempts| {
        let settled = after(&refused(), &wait(), &history(attempts, Duration::ZERO));
        retry_at(&settled).since(NOW).as_secs() / 60
    };
    assert_eq!([1, 2, 3, 4, 5, 6, 60].map(minutes), [30, 30, 60, 120, 180, 180, 180]);
}

#[test]
fn an_unreachable_destination_is_given_up_after_the_lifetime() {
    let days = |days: u64| Duration::from_hours(24 * days);
    assert!(matches!(
        after(&refused(), &hold(), &history(9, days(4))),
        Settled::Retry { code: EnhancedCode(4, 4, 1), .. }
    ));
    assert!(matches!(
        after(&refused(), &hold(), &history(9, days(5))),
        Settled::Bounce { code: EnhancedCode(5, 4, 7), .. }
    ));
}

#[test]
fn a_host_that_is_down_never_triggers_the_fallback_of_the_floor() {
    let settled = after(&refused(), &hold(), &history(3, Duration::from_hours(10)));
    assert!(matches!(settled, Settled::Retry { .. }), "{settled:?}");
}

#[test]
fn the_sender_hears_once_that_mail_is_late() {
    let mut history = history(4, Duration::from_hours(4));
    let notice = |history: &History| match after(&channel(), &wait(), history) {
        Settled::Retry { notice, .. } => notice,
        settled => panic!("{settled:?}"),
    };
    assert_eq!(notice(&history), DelayNotice::Due);
    history.delay_told = DelayTold::Told;
    assert_eq!(notice(&history), DelayNotice::NotDue);
}

#[test]
fn nobody_is_told_about_mail_of_machines() {
    let history = History { origin: Origin::Automatic, ..history(4, Duration::from_hours(24)) };
    for last in [wait(), hold()] {
        let settled = after(&channel(), &last, &history);
        let quiet = matches!(&settled, Settled::Retry { notice: DelayNotice::NotDue, .. });
        assert!(quiet, "{settled:?}");
    }
    let no = Reply::new(550, Some(EnhancedCode(5, 1, 1)), "no such user");
    let no = Outcome::Rejected { cause: Cause::Reply { command: "RCPT".into(), reply: no } };
    assert!(matches!(after(&no, &wait(), &history), Settled::Drop { .. }));
}

#[test]
fn held_mail_is_still_tried_and_returned_when_nobody_decides() {
    let mut history = history(5, Duration::from_hours(5));
    let held = after(&channel(), &hold(), &history);
    let Settled::Hold { at, until, code, .. } = held else { panic!("{held:?}") };
    assert_eq!(until, NOW + Duration::from_hours(48));
    assert!(at > NOW && at < until);
    assert_eq!(code, EnhancedCode(5, 7, 10));

    history.held_since = Some(NOW.before(Duration::from_hours(48)));
    for outcome in [channel(), refused()] {
        assert!(matches!(after(&outcome, &hold(), &history), Settled::Bounce { .. }));
    }
}

#[test]
fn a_permanent_reply_is_returned_with_the_code_of_the_peer() {
    let reply = Reply::new(550, Some(EnhancedCode(5, 1, 1)), "no such user");
    let outcome = Outcome::Rejected { cause: Cause::Reply { command: "RCPT".into(), reply } };
    let settled = after(&outcome, &wait(), &history(1, Duration::ZERO));
    let Settled::Bounce { code, reason } = settled else { panic!("{settled:?}") };
    assert_eq!(code, EnhancedCode(5, 1, 1));
    assert!(reason.contains("no such user"));
}

#[test]
fn missing_extensions_have_their_codes() {
    let code = |missing: &str| {
        let outcome = Outcome::Rejected { cause: Cause::Capability(missing.into()) };
        let last = Route::GiveUp { code: EnhancedCode(5, 7, 10), reason: "no".into(), doubt: None };
        match after(&outcome, &last, &history(1, Duration::ZERO)) {
            Settled::Bounce { code, .. } => code,
            settled => panic!("{settled:?}"),
        }
    };
    assert_eq!(code("REQUIRETLS"), EnhancedCode(5, 7, 30));
    assert_eq!(code("SMTPUTF8"), EnhancedCode(5, 6, 7));
    assert_eq!(code("8BITMIME"), EnhancedCode(5, 6, 3));
    assert_eq!(code("SIZE"), EnhancedCode(5, 3, 4));
}

/// RFC 8689 §5, in the words in which the client really says it: what a machine sent, such as a
/// report, does not end because the next host lacks the keyword.
#[test]
fn what_the_client_says_is_missing_has_its_code_and_ends_no_report() {
    let words = "5.7.30 the peer does not offer REQUIRETLS, which the sender asked for";
    let outcome = Outcome::Rejected { cause: Cause::Capability(words.into()) };
    let last = Route::GiveUp { code: EnhancedCode(5, 7, 10), reason: "no".into(), doubt: None };
    let Settled::Bounce { code, reason } = after(&outcome, &last, &history(1, Duration::ZERO))
    else {
        panic!("not returned")
    };
    assert_eq!(code, EnhancedCode(5, 7, 30));
    assert!(reason.starts_with("the peer does not offer REQUIRETLS"), "{reason}");
    let machine = History { origin: Origin::Automatic, ..history(1, Duration::ZERO) };
    let settled = after(&outcome, &last, &machine);
    assert!(matches!(settled, Settled::Retry { .. }), "{settled:?}");
}

/// Attacker on the path, who resets the TLS handshake once: mail with REQUIRETLS is not returned for
/// that. What a host lacks over a good channel is the end all the same.
#[test]
fn a_doubtful_end_waits_for_a_second_look_at_the_channel() {
    let code = EnhancedCode(5, 7, 10);
    let doubt = Some(NOW + Duration::from_mins(20));
    let last = Route::GiveUp { code, reason: "no host".into(), doubt };
    let settled = after(&channel(), &last, &history(1, Duration::ZERO));
    assert_eq!(retry_at(&settled), NOW + Duration::from_mins(20));
    let lacking = Outcome::Rejected { cause: Cause::Capability("REQUIRETLS".into()) };
    let settled = after(&lacking, &last, &history(1, Duration::ZERO));
    assert!(matches!(settled, Settled::Bounce { code: EnhancedCode(5, 7, 30), .. }), "{settled:?}");
    let over = Route::GiveUp { code, reason: "no host".into(), doubt: Some(NOW) };
    let settled = after(&channel(), &over, &history(2, Duration::ZERO));
    assert!(matches!(settled, Settled::Bounce { code: EnhancedCode(5, 7, 10), .. }), "{settled:?}");
}

#[test]
fn requiretls_waits_while_a_host_has_not_answered() {
    let outcome = Outcome::Rejected { cause: Cause::Capability("REQUIRETLS".into()) };
    let settled = after(&outcome, &wait(), &history(1, Duration::ZERO));
    assert!(matches!(settled, Settled::Retry { .. }), "{settled:?}");
}

#[test]
fn a_connection_that_died_after_the_dot_is_tried_again_and_said_to_be_unknown() {
    let outcome = Outcome::Unknown { detail: "reset after the final dot".into() };
    let settled = after(&outcome, &wait(), &history(1, Duration::ZERO));
    let Settled::Retry { reason, .. } = settled else { panic!("{settled:?}") };
    assert!(reason.contains("maybe delivered"));
}

#[test]
fn a_known_end_of_the_obstacle_shortens_the_wait() {
    let soon = NOW + Duration::from_mins(10);
    let last = Route::Wait {
        until: Some(soon),
        code: EnhancedCode(4, 7, 5),
        reason: "the policy is unknown".into(),
    };
    let plan = Outcome::Deferred { cause: Cause::Plan("wait".into()) };
    assert_eq!(retry_at(&after(&plan, &last, &history(1, Duration::ZERO))), soon);
}
