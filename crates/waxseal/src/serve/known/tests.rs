//! What is remembered, for how long, and how often the postmaster hears of it.

use waxseal_core::{
    domain::Domain,
    envelope::{Charset, Mailbox, TlsAsk},
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
    let silent = Answer::Later(reply(451, EnhancedCode(4, 4, 1)));
    known.remember(question("ann"), &Answer::Taken, NOW);
    known.remember(question("nobody"), &refused, NOW);
    known.remember(question("bob"), &silent, NOW);
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

/// Attacker: a spammer whose mail is refused inside by the thousand.
#[test]
fn the_postmaster_hears_once_an_hour_how_many_there_were() {
    let unreported = Unreported::default();
    let start = UnixTime(1_800_000_000);
    assert_eq!(unreported.due(start), Some(0), "the first is told at once");
    for second in 0..BETWEEN {
        assert_eq!(unreported.due(start + Duration::from_secs(second)), None);
    }
    assert_eq!(unreported.due(start + Duration::from_secs(BETWEEN)), Some(BETWEEN));
    // A clock that was wrong does not silence it.
    assert_eq!(unreported.due(start), Some(0));
}
