//! What is said to a stranger.

use waxseal_core::{
    decide::{Because, Plan},
    org::Reach,
};

use super::*;

fn reply(code: u16, enhanced: EnhancedCode) -> Reply {
    Reply::new(code, Some(enhanced), "words")
}

/// Absence, refusal and failure are different: only what is said to RCPT, and what can never work,
/// is final.
#[test]
fn only_what_inside_says_of_the_recipient_is_final() {
    let plan = |last: Route| Plan {
        routes: vec![last],
        because: Vec::<Because>::new(),
        why_not_higher: None,
        reach: Reach::Destination,
        lack: Default::default(),
    };
    let wait = plan(Route::Wait {
        until: None,
        code: EnhancedCode(4, 4, 3),
        reason: "mail.example.com: SERVFAIL".into(),
    });
    let never = plan(Route::GiveUp {
        code: EnhancedCode(5, 7, 10),
        reason: "the way inside is not authenticated".into(),
        doubt: None,
    });
    let said = |command: &str, code: u16, class: u8| Cause::Reply {
        command: command.to_owned(),
        reply: reply(code, EnhancedCode(class, 1, 1)),
    };
    let now = |cause| match answer(Outcome::Rejected { cause }, &wait).0 {
        Answer::Refused(reply) => format!("no {} {}", reply.code, reply.enhanced.unwrap()),
        Answer::Later(reply) => format!("later {} {}", reply.code, reply.enhanced.unwrap()),
        other @ (Answer::Taken | Answer::TooOften) => panic!("{other:?}"),
    };
    assert_eq!(now(said("RCPT", 550, 5)), "no 550 5.1.1");
    assert_eq!(now(said("RCPT", 450, 4)), "later 450 4.1.1");
    assert_eq!(now(said("MAIL", 550, 5)), "later 451 4.3.5");
    assert_eq!(now(said("greeting", 554, 5)), "later 451 4.3.5");
    assert_eq!(now(Cause::Capability("5.7.30 REQUIRETLS".into())), "no 550 5.7.30");
    assert_eq!(now(Cause::Channel("another key".into())), "later 451 4.7.5");
    assert_eq!(now(Cause::Connection("refused".into())), "later 451 4.4.1");
    assert_eq!(now(Cause::Protocol("not SMTP".into())), "later 451 4.5.0");
    assert_eq!(now(Cause::Plan("SERVFAIL".into())), "later 451 4.4.3");
    let outcome = Outcome::Rejected { cause: Cause::Plan("never".into()) };
    assert!(matches!(
        answer(outcome, &never).0,
        Answer::Refused(Reply { code: 550, enhanced: Some(EnhancedCode(5, 7, 10)), .. })
    ));
    let died = Outcome::Disconnected { detail: "at RCPT".into() };
    assert!(matches!(answer(died, &wait).0, Answer::Later(Reply { code: 451, .. })));
}
