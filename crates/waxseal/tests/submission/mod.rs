//! Mail comes in: real sockets, real TLS, and everybody who should not get in.

mod dialogs;
pub(crate) mod people;
mod world;

use std::time::Duration;

use waxseal::listen::{AcceptError, Begin, Kind, Proof, Times};
use waxseal_core::smtp::server::{Grant, Standing, StartTls};

use world::{Authority, World};

const MAIL: [&str; 3] = ["MAIL FROM:<a@example.com>", "RCPT TO:<b@example.net>", "DATA"];

#[tokio::test]
async fn a_message_over_starttls_carries_what_tls_came_to() {
    let world = World::new(|settings| world::smtp(settings).starttls = StartTls::Offered).await;
    let mut client = world.connect().await;
    client.greeted().await;
    client.says("STARTTLS", "220").await;
    let mut client = client.secure(&world, None).await;
    client.says("EHLO client.example", "250").await;
    for (line, reply) in MAIL.into_iter().zip(["250", "250", "354"]) {
        client.says(line, reply).await;
    }
    client.says("Subject: x\r\n\r\nhello\r\n.", "250 2.0.0 accepted as").await;
    let taken = world.inbox.last();
    let message = String::from_utf8(taken.message.to_vec()).unwrap();
    let (received, rest) = message.split_at(message.find("Subject:").unwrap());
    assert_eq!(rest, "Subject: x\r\n\r\nhello\r\n");
    assert!(received.starts_with("Received: from client.example ([127.0.0.1])\r\n"), "{received}");
    let facts = "(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 group X25519MLKEM768)";
    assert!(received.contains(facts), "{received}");
    assert!(received.contains("by gw.example.com with ESMTPS id "), "{received}");
    assert_eq!(taken.client.standing, Standing::Relay(Grant::Network));
    assert!(received.contains(&taken.trace));
}

/// The attacker on the path adds commands behind STARTTLS in the clear (CVE-2011-0411): they are
/// neither obeyed nor carried into the TLS session, which never comes to be.
#[tokio::test]
async fn text_behind_starttls_ends_the_session() {
    // A certificate is enough to be offered STARTTLS.
    let world = World::new(|_| {}).await;
    let mut client = world.connect().await;
    client.greeted().await;
    client.write(b"STARTTLS\r\nMAIL FROM:<a@example.com>\r\n").await;
    let rest = client.rest().await;
    assert!(rest.is_empty() || rest.starts_with("220"), "{rest}");
    assert!(!rest.contains("250"), "{rest}");
}

#[tokio::test]
async fn a_program_of_a_person_signs_in_under_implicit_tls_and_gets_date_and_message_id() {
    let world = World::new(|settings| {
        settings.begin = Begin::Handshake;
        settings.kind = Kind::Submission;
        settings.relay_from.clear();
        world::with_passwords(settings);
    })
    .await;
    let mut client = world.connect().await.secure(&world, None).await;
    client.greeted().await;
    client.says("MAIL FROM:<a@example.com>", "530 5.7.0").await;
    client.says("AUTH PLAIN AGFubmEAd3Jvbmc=", "535 5.7.8").await;
    client.says("AUTH PLAIN AGFubmEAaHVudGVyMg==", "235 2.7.0").await;
    for (line, reply) in MAIL.into_iter().zip(["250", "250", "354"]) {
        client.says(line, reply).await;
    }
    client.says("Subject: x\r\n\r\nhello\r\n.", "250").await;
    let taken = world.inbox.last();
    let message = String::from_utf8(taken.message.to_vec()).unwrap();
    assert!(message.contains("with ESMTPSA id "), "{message}");
    assert!(!message.contains("anna"), "the account is nobody else's business");
    assert!(message.contains("\r\nDate: ") && message.contains("\r\nMessage-ID: <"), "{message}");
    assert_eq!(taken.client.standing, Standing::Relay(Grant::Account("anna".into())));
}

#[tokio::test]
async fn a_client_with_a_certificate_of_our_ca_may_relay_and_others_may_not() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let world = World::with_clients(&ours, &["*"], |settings| {
        settings.relay_from.clear();
        world::smtp(settings).starttls = StartTls::Offered;
    })
    .await;
    for (identity, reply) in [
        (Some(ours.client("mail.example.com")), "250"),
        (Some(theirs.client("mail.example.com")), "550 5.7.1"),
        (None, "550 5.7.1"),
    ] {
        let mut client = world.connect().await;
        client.greeted().await;
        client.says("MAIL FROM:<a@example.com>", "550 5.7.1").await;
        client.says("STARTTLS", "220").await;
        let mut client = client.secure(&world, identity).await;
        client.says("EHLO client.example", "250").await;
        client.says("MAIL FROM:<a@example.com>", reply).await;
    }
}

/// An insider, or another customer of the same CA: the certificate is good, and not one of those
/// that may relay. Neither is a wildcard that covers the name.
#[tokio::test]
async fn another_certificate_of_our_ca_may_not_relay() {
    let ours = Authority::new("ours");
    let (by_key, pin) = ours.client_with_pin("scanner.example.com");
    let listed = ["mail.example.com for example.com", &pin];
    let world = World::with_clients(&ours, &listed, |settings| {
        settings.relay_from.clear();
        world::smtp(settings).starttls = StartTls::Offered;
    })
    .await;
    for (identity, from, reply) in [
        (ours.client("mail.example.com"), "a@example.com", "250"),
        (ours.client("MAIL.Example.COM"), "a@example.com", "250"),
        (ours.client("mail.example.com"), "", "250"),
        // Good for one of our domains, and not for the other.
        (ours.client("mail.example.com"), "a@example.org", "550 5.7.1 your certificate"),
        (ours.client("mail.example.com"), "a@example.net", "550 5.7.1 this host sends no mail"),
        (by_key, "a@example.org", "250"),
        (ours.client("scanner.example.com"), "a@example.org", "550 5.7.1 this host relays only"),
        (ours.client("tenant.example.net"), "a@example.com", "550 5.7.1 this host relays only"),
        (ours.client("*.example.com"), "a@example.com", "550 5.7.1 this host relays only"),
    ] {
        let mut client = world.connect().await;
        client.greeted().await;
        client.says("STARTTLS", "220").await;
        let mut client = client.secure(&world, Some(identity)).await;
        client.says("EHLO client.example", "250").await;
        client.says(&format!("MAIL FROM:<{from}>"), reply).await;
    }
}

/// Another tenant of our cloud comes from the same addresses as we do.
#[tokio::test]
async fn an_address_that_is_shared_is_not_enough() {
    let ours = Authority::new("ours");
    for proof in [Proof::Auth, Proof::ClientCert] {
        let world = World::with_clients(&ours, &["*"], |settings| {
            settings.proof = proof;
            world::smtp(settings).starttls = StartTls::Offered;
            world::with_passwords(settings);
        })
        .await;
        let mut tenant = world.connect().await;
        tenant.greeted().await;
        tenant.says("MAIL FROM:<a@example.com>", "530 5.7.0").await;
        tenant.says("STARTTLS", "220").await;
        let mut tenant = tenant.secure(&world, None).await;
        tenant.says("EHLO client.example", "250").await;
        tenant.says("MAIL FROM:<a@example.com>", "530 5.7.0").await;
        tenant.says("AUTH PLAIN AGFubmEAaHVudGVyMg==", "235").await;
        tenant.says("MAIL FROM:<a@example.com>", "250").await;
    }
}

/// Thief of a password or of a client certificate, outside the networks that may relay: the second
/// proof is asked for beside the network, not in its place.
#[tokio::test]
async fn a_second_proof_does_not_replace_the_network() {
    let ours = Authority::new("ours");
    for (proof, identity) in
        [(Proof::Auth, None), (Proof::ClientCert, Some(ours.client("mail.example.com")))]
    {
        let world = World::with_clients(&ours, &["*"], |settings| {
            settings.proof = proof;
            settings.relay_from = vec!["192.0.2.0/24".parse().unwrap()];
            world::smtp(settings).starttls = StartTls::Offered;
            world::with_passwords(settings);
        })
        .await;
        let mut thief = world.connect().await;
        thief.greeted().await;
        thief.says("STARTTLS", "220").await;
        let mut thief = thief.secure(&world, identity).await;
        thief.says("EHLO client.example", "250").await;
        thief.says("MAIL FROM:<a@example.com>", "530 5.7.0").await;
        thief.says("AUTH PLAIN AGFubmEAaHVudGVyMg==", "535").await;
        thief.says("MAIL FROM:<a@example.com>", "530 5.7.0").await;
    }
}

/// The same with DKIM: somebody else's valid signature proves nothing.
#[tokio::test]
async fn a_shared_network_needs_a_signature_of_our_own_domain() {
    let world = World::new(|settings| settings.proof = Proof::Dkim).await;
    for (signers, reply) in [
        (&["tenant.example"][..], "550 5.7.20"),
        (&[], "550 5.7.20"),
        (&["tenant.example", "example.com"], "250 2.0.0"),
    ] {
        world.inbox.signed_by(signers);
        let mut client = world.connect().await;
        client.greeted().await;
        for (line, reply) in MAIL.into_iter().zip(["250", "250", "354"]) {
            client.says(line, reply).await;
        }
        client.says("From: ceo@example.com\r\n\r\nx\r\n.", reply).await;
    }
    assert_eq!(world.inbox.count(), 1);
}

/// A slow client (slowloris) has as much time for a command as a fast one: what drips does not
/// renew it.
#[tokio::test]
async fn a_command_that_drips_is_cut_off() {
    let world = World::new(|settings| {
        settings.times = Times { command: Duration::from_millis(300), ..settings.times };
    })
    .await;
    let mut client = world.connect().await;
    client.greeted().await;
    let said = client.drip(b"N", Duration::from_millis(20)).await;
    assert!(said.starts_with("421 4.4.2 gw.example.com timeout"), "{said}");
}

/// The same with a message: neither silence nor a drip holds a session.
#[tokio::test]
async fn a_message_that_drips_or_stops_is_cut_off() {
    for (block, message) in [(60_000, 300), (300, 60_000)] {
        let world = World::new(|settings| {
            settings.times.block = Duration::from_millis(block);
            settings.times.message = Duration::from_millis(message);
        })
        .await;
        let mut client = world.connect().await;
        client.greeted().await;
        for (line, reply) in MAIL.into_iter().zip(["250", "250", "354"]) {
            client.says(line, reply).await;
        }
        let said = match block {
            300 => client.rest().await,
            _ => client.drip(b"x", Duration::from_millis(20)).await,
        };
        assert!(said.starts_with("421 4.4.2"), "{said}");
        assert_eq!(world.inbox.count(), 0);
    }
}

/// A client that never finishes the handshake, or never begins it.
#[tokio::test]
async fn a_handshake_has_its_time() {
    let world = World::new(|settings| {
        settings.begin = Begin::Handshake;
        settings.times.handshake = Duration::from_millis(200);
    })
    .await;
    let mut silent = world.connect().await;
    assert_eq!(silent.rest().await, "");
    let mut babbling = world.connect().await;
    babbling.write(b"EHLO client.example\r\n").await;
    assert!(!babbling.rest().await.contains("250"));
}

#[tokio::test]
async fn a_client_that_takes_all_places_is_turned_away_and_others_are_not() {
    let world = World::new(|settings| settings.sessions_per_client = 2).await;
    let mut first = world.connect().await;
    let mut second = world.connect().await;
    first.greeted().await;
    second.greeted().await;
    let said = world.connect().await.rest().await;
    assert!(
        said.starts_with("421 4.7.0 gw.example.com too many sessions from your address"),
        "{said}"
    );
    // From another address of the loopback network.
    world.connect_from([127, 0, 0, 2].into()).await.greeted().await;
    first.says("QUIT", "221").await;
    first.rest().await;
    drop(first);
    // The place comes back when the session has ended, which may take the worker a moment.
    while world.connect().await.line().await.is_none_or(|line| !line.starts_with("220")) {}
}

/// Anybody, who begins many large messages and ends none: they take no more memory than is set
/// aside, small messages and those of others are read, and who was put off may come again.
#[tokio::test]
async fn messages_without_end_take_no_more_than_their_share_of_memory() {
    const LARGE: usize = 300_000;
    let world = World::new(|settings| {
        world::smtp(settings).limits.message = 2 * LARGE;
        (settings.intake, settings.intake_per_client) = (10 * LARGE, LARGE * 5 / 2);
    })
    .await;
    let begin = async |from: [u8; 4]| {
        let mut wire = world.connect_from(from.into()).await;
        wire.greeted().await;
        wire.says("MAIL FROM:<anna@example.com>", "250").await;
        wire.says("RCPT TO:<bob@example.net>", "250").await;
        wire
    };
    let chunk = format!("BDAT {LARGE}\r\n{}", "x".repeat(LARGE));
    let mut open = Vec::new();
    let mut refused = loop {
        let mut wire = begin([127, 0, 0, 1]).await;
        wire.write(chunk.as_bytes()).await;
        let reply = wire.line().await.unwrap();
        if !reply.starts_with("250") {
            assert!(reply.starts_with("452 4.3.1"), "{reply}");
            break wire;
        }
        open.push(wire);
    };
    // How much more than its length a message takes is the allocator's business.
    assert!((1..=2).contains(&open.len()), "{}", open.len());
    begin([127, 0, 0, 1]).await.says("BDAT 1 LAST\r\na", "250").await;
    let mut other = begin([127, 0, 0, 2]).await;
    other.says(chunk.trim_end(), "250").await;
    for mut wire in open {
        wire.says("BDAT 0 LAST", "250").await;
    }
    refused.says("RSET", "250").await;
    refused.says("MAIL FROM:<anna@example.com>", "250").await;
    refused.says("RCPT TO:<bob@example.net>", "250").await;
    refused.write(chunk.as_bytes()).await;
    assert!(refused.line().await.unwrap().starts_with("250"));
}

#[tokio::test]
async fn all_places_taken_is_421() {
    let world = World::new(|settings| settings.sessions = 1).await;
    world.connect().await.greeted().await;
    let mut held = world.connect_from([127, 0, 0, 2].into()).await;
    while held.line().await.is_none_or(|line| !line.starts_with("220")) {
        held = world.connect_from([127, 0, 0, 2].into()).await;
    }
    let said = world.connect().await.rest().await;
    assert!(said.starts_with("421 4.7.0 gw.example.com too many sessions, try again"), "{said}");
}

/// The guesser of passwords with many connections: after twenty failures the address waits, and
/// not even the right password helps.
#[tokio::test]
async fn guessing_is_limited_by_address() {
    let world = World::new(|settings| {
        settings.begin = Begin::Handshake;
        settings.relay_from.clear();
        world::with_passwords(settings);
    })
    .await;
    for _ in 0..10 {
        let mut client = world.connect().await.secure(&world, None).await;
        client.greeted().await;
        client.says("AUTH PLAIN AGFubmEAd3Jvbmc=", "535").await;
        client.says("AUTH PLAIN AG5vYm9keQB3cm9uZw==", "535").await;
    }
    let mut client = world.connect().await.secure(&world, None).await;
    client.greeted().await;
    client.says("AUTH PLAIN AGFubmEAaHVudGVyMg==", "454 4.7.0").await;
}

#[tokio::test]
async fn a_graceful_stop_ends_idle_sessions_and_lets_a_transaction_finish() {
    let mut world = World::new(|_| {}).await;
    let (mut idle, mut busy) = (world.connect().await, world.connect().await);
    idle.greeted().await;
    busy.greeted().await;
    busy.says("MAIL FROM:<a@example.com>", "250").await;
    world.stop();
    assert!(idle.rest().await.starts_with("421 4.3.2"));
    busy.says("RCPT TO:<b@example.net>", "250").await;
    busy.says("DATA", "354").await;
    busy.says("x\r\n.", "250 2.0.0").await;
    assert!(busy.rest().await.starts_with("421 4.3.2"));
    world.ended().await;
    assert_eq!(world.inbox.count(), 1);
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let mut world = World::new(|settings| settings.times.stop = Duration::from_millis(100)).await;
    let mut busy = world.connect().await;
    busy.greeted().await;
    busy.says("MAIL FROM:<a@example.com>", "250").await;
    world.stop();
    world.ended().await;
    assert_eq!(busy.rest().await, "");
}

/// A session that was begun before a reload goes on as it began; the next one sees the new
/// certificate and the new networks.
#[tokio::test]
async fn a_reload_loses_no_session() {
    let world = World::new(|settings| world::smtp(settings).starttls = StartTls::Offered).await;
    let mut old = world.connect().await;
    old.greeted().await;
    old.says("MAIL FROM:<a@example.com>", "250").await;
    let other = Authority::new("another");
    world.replace(|settings| {
        settings.relay_from.clear();
        settings.tls = Some(other.server("gw.example.com"));
    });
    old.says("RCPT TO:<b@example.net>", "250").await;
    let mut new = world.connect().await;
    new.greeted().await;
    new.says("MAIL FROM:<a@example.com>", "550 5.7.1").await;
    new.says("STARTTLS", "220").await;
    assert!(new.try_secure(&other.roots(), None).await.is_ok());
    let mut wrong = world.connect().await;
    wrong.greeted().await;
    wrong.says("STARTTLS", "220").await;
    assert!(wrong.try_secure(&world.authority.roots(), None).await.is_err());
}

/// 250 means that somebody has taken responsibility (promise P4).
#[tokio::test]
async fn what_the_store_does_not_take_is_not_accepted() {
    let world = World::new(|_| {}).await;
    for (error, reply) in [
        (AcceptError::Full, "452 4.3.1"),
        (AcceptError::Internal, "451 4.3.0"),
        (AcceptError::TooMany, "451 4.3.2"),
    ] {
        world.inbox.fail_with(error);
        let mut client = world.connect().await;
        client.greeted().await;
        for (line, reply) in MAIL.into_iter().zip(["250", "250", "354"]) {
            client.says(line, reply).await;
        }
        client.says("x\r\n.", reply).await;
    }
    assert_eq!(world.inbox.count(), 0);
}
