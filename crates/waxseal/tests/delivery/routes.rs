//! From host to host, as the plan says.

use waxseal_core::{
    channel::{Demand, Legacy, Level, TlsSeen},
    decide::RequireTls,
    outcome::{Cause, Outcome},
};
use waxseal_lab::mx::{Fault, Personality, StartTls, Step};

use super::{Gateway, Host, impatient, is_accepted, is_refused_channel, recipient, route};

async fn failing(step: Step, fault: Fault) -> Host {
    Host::like(|personality| personality.failing(step, fault)).await
}

fn says(reply: &str) -> Fault {
    Fault::Reply(reply.to_owned())
}

/// A port where nobody listens.
async fn nobody() -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn what_is_temporary_goes_to_the_next_host() {
    for (step, fault) in [
        (Step::Greeting, says("421 4.3.2 busy")),
        (Step::Greeting, says("554 5.3.2 no service here")),
        (Step::Greeting, Fault::Close),
        (Step::Ehlo, says("421 4.3.2 busy")),
        (Step::Ehlo, Fault::Close),
        (Step::StartTls, says("454 4.7.0 not now")),
        (Step::StartTls, Fault::Close),
        (Step::Mail, says("451 4.3.0 later")),
        (Step::Mail, Fault::Close),
        (Step::Rcpt, says("450 4.2.0 greylisted")),
        (Step::Rcpt, says("421 4.3.2 bye")),
        (Step::Data, says("451 4.3.0 disk")),
        (Step::Data, Fault::Close),
        (Step::Dot, says("451 4.7.0 later")),
    ] {
        let (broken, healthy) = (failing(step, fault.clone()).await, Host::start().await);
        let delivery = Gateway::new().deliver(vec![broken.encrypt(), healthy.encrypt()]).await;
        assert!(is_accepted(&delivery), "{step:?} {fault:?} {:?}", delivery.outcomes);
        assert_eq!((delivery.tries.len(), delivery.end), (2, None));
        assert!(broken.sink.all().is_empty());
        assert_eq!(healthy.sink.all().len(), 1);
    }
}

#[tokio::test]
async fn what_is_permanent_ends_the_matter() {
    for (step, command) in [(Step::Mail, "MAIL"), (Step::Rcpt, "RCPT"), (Step::Dot, "final dot")] {
        let (broken, healthy) = (failing(step, says("550 5.7.1 no")).await, Host::start().await);
        let delivery = Gateway::new().deliver(vec![broken.encrypt(), healthy.encrypt()]).await;
        assert!(
            matches!(
                &delivery.outcomes[0],
                Outcome::Rejected { cause: Cause::Reply { command: said, reply } }
                    if said == command && reply.code == 550
            ),
            "{:?}",
            delivery.outcomes
        );
        assert_eq!(delivery.tries.len(), 1);
        assert!(healthy.sink.all().is_empty());
    }
}

/// The message may have been taken: it must not go to the next host at once.
#[tokio::test]
async fn unknown_is_not_tried_elsewhere() {
    let (broken, healthy) = (failing(Step::Dot, Fault::Close).await, Host::start().await);
    let delivery = Gateway::new().deliver(vec![broken.encrypt(), healthy.encrypt()]).await;
    assert!(matches!(delivery.outcomes[0], Outcome::Unknown { .. }), "{:?}", delivery.outcomes);
    assert_eq!(broken.sink.all().len(), 1);
    assert!(healthy.sink.all().is_empty());
}

/// The same where the peer says nothing after the final dot.
#[tokio::test]
async fn silence_after_the_final_dot_is_unknown() {
    let host = failing(Step::Dot, Fault::Silence).await;
    let delivery = Gateway::with(impatient).deliver(vec![host.encrypt()]).await;
    assert!(matches!(delivery.outcomes[0], Outcome::Unknown { .. }), "{:?}", delivery.outcomes);
    assert_eq!(host.sink.all().len(), 1);
}

/// Before the final dot it is a matter of trying again.
#[tokio::test]
async fn silence_before_the_final_dot_is_not_unknown() {
    for step in [Step::Mail, Step::Rcpt, Step::Data] {
        let host = failing(step, Fault::Silence).await;
        let delivery = Gateway::with(impatient).deliver(vec![host.encrypt()]).await;
        assert!(
            matches!(&delivery.outcomes[0], Outcome::Disconnected { detail } if detail.contains("no answer in time")),
            "{:?}",
            delivery.outcomes
        );
        assert!(host.sink.all().is_empty());
    }
}

/// STARTTLS refused: opportunistic mail goes on without, and the next message asks again.
#[tokio::test]
async fn a_refused_starttls_is_asked_for_again() {
    let host = failing(Step::StartTls, says("454 4.7.0 not now")).await;
    let gateway = Gateway::new();
    assert!(is_accepted(&gateway.deliver(vec![host.opportunistic()]).await));
    assert_eq!(gateway.deliverer.idle_connections(), 0);
    host.server.become_like(Personality::new(super::MX, StartTls::Works(host.identity.clone())));
    let delivery = gateway.deliver(vec![host.opportunistic()]).await;
    assert_eq!(delivery.tries[0].level(), Some(Level::Encrypted));
}

#[tokio::test]
async fn each_recipient_has_an_own_outcome() {
    let host = Host::start().await;
    let many: Vec<_> = (0..150).map(|number| recipient(&format!("r{number}"))).collect();
    let delivery = Gateway::new().deliver_to(vec![host.encrypt()], &many).await;
    assert!(is_accepted(&delivery));
    assert_eq!(delivery.outcomes.len(), 150);
    // RFC 5321 §4.5.3.1.8: every server takes 100 at once.
    let sizes: Vec<usize> = host.sink.all().iter().map(|m| m.recipients.len()).collect();
    assert_eq!(sizes, [100, 50]);
}

#[tokio::test]
async fn an_address_that_nobody_answers_at_is_followed_by_the_next() {
    let host = Host::start().await;
    let mut both = host.encrypt();
    both.addresses.insert(0, nobody().await);
    let delivery = Gateway::new().deliver(vec![both]).await;
    assert!(is_accepted(&delivery), "{:?}", delivery.outcomes);
    assert!(matches!(delivery.tries[0].cause, Some(Cause::Connection(_))));
    assert_eq!(delivery.tries[1].address, host.address());
}

#[tokio::test]
async fn without_a_host_the_plan_speaks() {
    let delivery = Gateway::new().deliver(vec![]).await;
    assert_eq!(delivery.end, Some(0));
    assert!(
        matches!(&delivery.outcomes[0], Outcome::Deferred { cause: Cause::Plan(why) } if why == "no host took it")
    );
}

fn legacy(personality: Personality) -> Personality {
    Personality { starttls: StartTls::Legacy, ..personality }
}

/// A peer of 1999: opportunistic mail goes without TLS, and why is recorded.
#[tokio::test]
async fn tls_that_is_too_old_counts_as_none() {
    let host = Host::like(legacy).await;
    let gateway = Gateway::new();
    let delivery = gateway.deliver(vec![host.opportunistic()]).await;
    assert!(is_accepted(&delivery), "{:?}", delivery.outcomes);
    let attempt = delivery.tries.last().unwrap();
    assert_eq!(attempt.level(), Some(Level::Cleartext));
    assert!(
        matches!(
            attempt.seen.as_ref().unwrap().tls,
            TlsSeen::HandshakeFailed { legacy: Legacy::TooOld, .. }
        ),
        "{:?}",
        attempt.seen
    );
    // The next message tries TLS again, so this connection is not kept.
    assert_eq!(gateway.deliverer.idle_connections(), 0);

    let delivery = gateway.deliver(vec![host.encrypt()]).await;
    assert!(is_refused_channel(&delivery), "{:?}", delivery.outcomes);
    assert_eq!(host.sink.all().len(), 1);
}

fn require_tls(mut host: waxseal_core::decide::HostRoute) -> waxseal_core::decide::HostRoute {
    host.require_tls = RequireTls::Yes;
    host
}

/// RFC 8689 §4.2.1: no host understands REQUIRETLS, so the message is returned; but not while
/// there is one that could not be asked.
#[tokio::test]
async fn require_tls_is_never_dropped() {
    let (without, with) = (Host::start().await, Host::like(Personality::requiretls).await);
    let delivery = Gateway::new().deliver(vec![require_tls(without.dane())]).await;
    assert!(
        matches!(&delivery.outcomes[0], Outcome::Rejected { cause: Cause::Capability(why) } if why.starts_with("5.7.30")),
        "{:?}",
        delivery.outcomes
    );
    let unreachable = route(nobody().await, Demand::Encrypt);
    let hosts = vec![require_tls(without.dane()), require_tls(unreachable)];
    let delivery = Gateway::new().deliver(hosts).await;
    assert!(matches!(delivery.outcomes[0], Outcome::Deferred { .. }));
    assert!(without.sink.all().is_empty());

    let hosts = vec![require_tls(without.dane()), require_tls(with.dane())];
    let delivery = Gateway::new().deliver(hosts).await;
    assert!(is_accepted(&delivery), "{:?}", delivery.outcomes);
    assert!(with.sink.all()[0].mail.contains("REQUIRETLS"));
}

/// Attacker on the path before the first host, where nobody is authenticated: he lets it take one
/// recipient and puts the other off, so that the second host, by DANE, takes that one. What is said
/// of the first is not what the second achieved.
#[tokio::test]
async fn each_recipient_has_the_level_of_the_host_that_took_it() {
    let first = Host::like(|personality| personality.putting_off("put-off")).await;
    let second = Host::start().await;
    let people = [recipient("taken"), recipient("put-off")];
    let delivery = Gateway::new().deliver_to(vec![first.encrypt(), second.dane()], &people).await;
    assert!(is_accepted(&delivery), "{:?}", delivery.outcomes);
    let level = |at| delivery.carried(at).and_then(|tried| tried.level());
    assert_eq!((level(0), level(1)), (Some(Level::Encrypted), Some(Level::Dane)));
    assert_eq!(delivery.level(), Some(Level::Encrypted));

    let second = failing(Step::Rcpt, says("450 4.2.0 later")).await;
    let delivery = Gateway::new().deliver_to(vec![first.encrypt(), second.dane()], &people).await;
    assert_eq!(delivery.tries.len(), 2);
    assert_eq!(delivery.level(), Some(Level::Encrypted), "the second host took nobody");
    assert_eq!(delivery.carried(1).map(|tried| &tried.peer), None);
}

/// Attacker on the path, who keeps us from the primary host: a backup without TLS does not decide
/// for it, so the mail is tried again and not returned (RFC 8689 §4.2.1).
#[tokio::test]
async fn a_weak_backup_does_not_speak_for_a_primary_that_is_away() {
    let backup = Host::clear().await;
    for demand in [Demand::Encrypt, backup.dane().demand] {
        let primary = route(nobody().await, demand.clone());
        let weak = route(backup.address(), demand);
        for hosts in [vec![primary.clone(), weak.clone()], vec![weak, primary]] {
            let delivery = Gateway::new().deliver(hosts).await;
            assert!(
                matches!(delivery.outcomes[0], Outcome::Deferred { cause: Cause::Connection(_) }),
                "{:?}",
                delivery.outcomes
            );
        }
    }
    let mut two = route(backup.address(), Demand::Encrypt);
    two.addresses.push(nobody().await);
    assert!(is_refused_channel(&Gateway::new().deliver(vec![two]).await), "its host has answered");
}
