//! What is said to a stranger, and what is remembered.

use waxseal_core::{
    decide::{Because, Plan},
    domain::Domain,
    envelope::{Charset, Mailbox, TlsAsk},
    org::Reach,
};

use super::*;

fn question(local: &str) -> Question {
    let domain = Domain::parse("example.com").unwrap();
    let mailbox = Mailbox { local: local.to_owned(), domain };
    Question { mailbox, charset: Charset::Ascii, tls: TlsAsk::Nothing, octets: 0 }
}

fn reply(code: u16, enhanced: EnhancedCode) -> Reply {
    Reply::new(code, Some(enhanced), "words")
}

const NOW: UnixTime = UnixTime(1_800_000_000);

#[test]
fn who_exists_is_known_for_longer_than_who_does_not_and_nobody_for_ever() {
    let known = Known::default();
    let refused = Answer::Refused(reply(550, EnhancedCode(5, 1, 1)));
    known.remember(question("ann"), &Answer::Taken, NOW);
    known.remember(question("nobody"), &refused, NOW);
    known.remember(question("bob"), &silent(), NOW);
    assert_eq!(known.recall(&question("ann"), NOW), Remembered::Answer(Answer::Taken));
    assert_eq!(known.recall(&question("nobody"), NOW), Remembered::Answer(refused));
    assert_eq!(
        known.recall(&question("bob"), NOW),
        Remembered::Nothing,
        "that nobody could be asked is no fact"
    );
    // Only inside knows whether these are the same (RFC 5321 §2.4).
    assert_eq!(known.recall(&question("Ann"), NOW), Remembered::Nothing);
    let tls = Question { tls: TlsAsk::RequireTls, ..question("ann") };
    assert_eq!(known.recall(&tls, NOW), Remembered::Nothing, "it may lack REQUIRETLS");
    assert_eq!(known.recall(&question("nobody"), NOW + REFUSED), Remembered::Nothing);
    assert_eq!(known.recall(&question("ann"), NOW + REFUSED), Remembered::Answer(Answer::Taken));
    assert_eq!(known.recall(&question("ann"), NOW + TAKEN), Remembered::Nothing);
}

/// That a long message is not taken says nothing of others; that somebody does not exist does, and
/// that one is taken holds for the shorter ones.
#[test]
fn the_largest_size_taken_is_remembered_and_absence_holds_for_all() {
    let known = Known::default();
    let sized = |local, octets| Question { octets, ..question(local) };
    let taken = || Remembered::Answer(Answer::Taken);
    for about_size in [
        reply(552, EnhancedCode(5, 3, 4)),
        reply(550, EnhancedCode(5, 3, 4)),
        reply(554, EnhancedCode(5, 2, 3)),
        reply(552, EnhancedCode(5, 2, 2)),
    ] {
        let known = Known::default();
        let refused = Answer::Refused(about_size);
        known.remember(sized("ann", 9_000), &refused, NOW);
        known.remember(sized("ann", 9_500), &refused, NOW);
        for octets in [9_000, 9_001, 80_000] {
            assert_eq!(
                known.recall(&sized("ann", octets), NOW),
                Remembered::Answer(refused.clone())
            );
        }
        for octets in [0, 1, 8_999] {
            assert_eq!(known.recall(&sized("ann", octets), NOW), Remembered::Nothing);
        }
        assert_eq!(known.recall(&sized("ann", 9_000), NOW + REFUSED), Remembered::Nothing);
    }
    known.remember(sized("ann", 9_000), &Answer::Taken, NOW);
    for octets in [0, 1, 8_999, 9_000] {
        assert_eq!(known.recall(&sized("ann", octets), NOW), taken(), "{octets}");
    }
    assert_eq!(known.recall(&sized("ann", 9_001), NOW), Remembered::Existence);
    // Asked at the same time, answered later: it takes nothing away, and prolongs nothing.
    known.remember(sized("ann", 100), &Answer::Taken, NOW + TAKEN / 2);
    assert_eq!(known.recall(&sized("ann", 9_000), NOW), taken());
    assert_eq!(known.recall(&sized("ann", 100), NOW + TAKEN), Remembered::Nothing);
    known.remember(sized("ann", 20_000), &Answer::Taken, NOW);
    assert_eq!(known.recall(&sized("ann", 20_000), NOW), taken());
    // Who is too long now still exists, and who is gone is gone.
    let too_long = Answer::Refused(reply(552, EnhancedCode(5, 3, 4)));
    known.remember(sized("ann", 50_000), &too_long, NOW);
    assert_eq!(known.recall(&sized("ann", 20_000), NOW), taken());
    let refused = Answer::Refused(reply(550, EnhancedCode(5, 1, 1)));
    known.remember(sized("ann", 50_000), &refused, NOW);
    assert_eq!(known.recall(&question("ann"), NOW), Remembered::Answer(refused.clone()));
    known.remember(sized("nobody", 700), &refused, NOW);
    for octets in [0, 1, 700, 9_000_000] {
        let recalled = known.recall(&sized("nobody", octets), NOW);
        assert_eq!(recalled, Remembered::Answer(refused.clone()), "{octets}");
    }
}

/// Attacker: somebody with a dictionary. What is remembered stays small, and the names of those who
/// exist stay in it.
#[test]
fn a_dictionary_fills_no_memory_and_pushes_nobody_out() {
    let known = Known::default();
    known.remember(question("ann"), &Answer::Taken, NOW);
    let mut long = reply(550, EnhancedCode(5, 1, 1));
    long.text = vec!["x".repeat(500); 100];
    for nth in 0..=2 * MOST {
        known.remember(question(&format!("n{nth}")), &Answer::Refused(long.clone()), NOW);
    }
    let kept = known.refused.0.lock().unwrap();
    assert!(kept.len() <= MOST, "{}", kept.len());
    assert!(kept.values().all(|(reply, _)| reply.text.concat().len() <= WORDS));
    assert_eq!(known.recall(&question("ann"), NOW), Remembered::Answer(Answer::Taken));
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
