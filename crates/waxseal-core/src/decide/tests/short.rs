//! Since when something falls short, and what counts beside a host that is down.

use super::world::{HOUR, NOW};
use crate::{
    decide::{Lack, Patience, Short, Sighting},
    outcome::{Cause, Outcome},
    reply::Reply,
};

const WEAK: &str = "mx1.example.net: the server does not offer STARTTLS";

fn seen(refused: Option<&str>, good: bool) -> Sighting {
    Sighting { refused: refused.map(str::to_owned), good }
}

fn dead() -> Outcome {
    Outcome::Deferred { cause: Cause::Connection("connecting to 192.0.2.2:25: refused".into()) }
}

fn reply(command: &str) -> Outcome {
    let reply = Reply::new(451, None, "later");
    Outcome::Deferred { cause: Cause::Reply { command: command.into(), reply } }
}

fn cut() -> Outcome {
    Outcome::Disconnected { detail: "at MAIL".into() }
}

fn garbage() -> Outcome {
    Outcome::Deferred { cause: Cause::Protocol("no SMTP reply".into()) }
}

/// Attacker on the path: he takes STARTTLS from the first host and keeps us from the second, in
/// whatever way. Patience begins, and when it is over the channel is what stands in the way; both
/// reasons are told, before and after.
#[test]
fn a_dead_host_beside_a_weak_one_does_not_switch_patience_off() {
    let weak = seen(Some(WEAK), false);
    for outcome in [dead(), garbage(), cut(), reply("the greeting")] {
        let short = Short::default().after(Lack::Nothing, &weak, [&outcome], NOW);
        assert_eq!((short.since, short.first_seen.refused), (Some(NOW), Some(NOW)));
        let lasts = weak.weigh(outcome.clone(), Lack::Nothing, Patience::Lasts);
        assert!(!matches!(lasts, Outcome::Deferred { cause: Cause::Channel(_) }), "{lasts:?}");
        let over = weak.weigh(outcome, Lack::Nothing, Patience::Over);
        let Outcome::Deferred { cause: Cause::Channel(words) } = over else { panic!("{over:?}") };
        assert!(words.starts_with(WEAK) && words.contains("; "), "{words}");
    }
    let Outcome::Deferred { cause: Cause::Connection(words) } =
        weak.weigh(dead(), Lack::Nothing, Patience::Lasts)
    else {
        panic!()
    };
    assert!(words.contains("STARTTLS") && words.contains("192.0.2.2"), "{words}");
}

/// The same with a host that is not even asked, such as by TLSA that were broken on the way.
#[test]
fn a_dead_host_beside_one_that_must_not_be_asked_does_not_either() {
    let nothing = seen(None, false);
    let short = Short::default().after(Lack::Channel, &nothing, [&dead()], NOW);
    assert_eq!((short.since, short.first_seen.refused), (Some(NOW), None));
    let over = nothing.weigh(dead(), Lack::Channel, Patience::Over);
    assert!(matches!(over, Outcome::Deferred { cause: Cause::Channel(_) }), "{over:?}");
}

/// A host that is merely down, one that is busy with our own mail, and one that answers the mail
/// over a good channel say nothing against the channel.
#[test]
fn nothing_else_counts_as_a_weak_channel() {
    let nothing = seen(None, false);
    assert_eq!(nothing.weigh(dead(), Lack::Nothing, Patience::Over), dead());
    assert_eq!(Short::default().after(Lack::Nothing, &nothing, [&dead()], NOW), Short::default());
    let busy = Outcome::Deferred { cause: Cause::Busy("our other messages".into()) };
    assert_eq!(seen(Some(WEAK), false).weigh(busy.clone(), Lack::Nothing, Patience::Over), busy);
    let good = seen(Some(WEAK), true);
    assert_eq!(good.weigh(reply("RCPT"), Lack::Nothing, Patience::Over), reply("RCPT"));
    let lacking = Outcome::Rejected { cause: Cause::Capability("REQUIRETLS".into()) };
    assert_eq!(good.weigh(lacking.clone(), Lack::Nothing, Patience::Over), lacking);
}

/// What began stays until a host answers the mail itself over a good channel. Attacker on the path:
/// a reply that he forges before TLS gives no patience back.
#[test]
fn only_an_answer_over_a_good_channel_gives_patience_back() {
    let weak = seen(Some(WEAK), false);
    let short = Short::default().after(Lack::Nothing, &weak, [&dead()], NOW);
    let later = NOW + HOUR;
    let nothing = seen(None, false);
    assert_eq!(short.after(Lack::Nothing, &nothing, [&dead()], later), short);
    assert_eq!(short.after(Lack::Nothing, &nothing, [&reply("EHLO")], later), short);
    assert_eq!(short.after(Lack::Nothing, &seen(None, true), [&cut()], later), short);
    let answered = short.after(Lack::Nothing, &seen(None, true), [&reply("RCPT")], later);
    assert_eq!(answered, Short::default());
    let denied = short.after(Lack::Destination, &nothing, [], later);
    assert_eq!((denied.since, denied.first_seen.denied), (Some(NOW), Some(later)));
}
