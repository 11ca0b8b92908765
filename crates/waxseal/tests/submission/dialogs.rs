//! The dialogues of the core's machine, over TCP and TLS against the real listener.

use std::path::Path;

use waxseal::listen::{AcceptError, Begin, Kind, Proof, Settings};
use waxseal_core::{
    envelope::{Body, Charset, Envelope, Notify, Return, TlsAsk},
    reply::{EnhancedCode, Reply},
    smtp::{
        address,
        server::{Answer, Limits, StartTls},
    },
};

use super::{
    people::Wire,
    world::{World, smtp, with_passwords},
};
use script::{Script, Step, answer, describe, limit};

#[path = "../../../waxseal-core/src/smtp/dialogs/script.rs"]
mod script;

fn apply(script: &Script, settings: &mut Settings) {
    let word = |name: &str| script.settings.get(name).map(String::as_str);
    let default = Limits::default();
    let machine = smtp(settings);
    machine.postmaster =
        word("postmaster").map(|text| address::mailbox(text, Charset::Ascii).unwrap());
    machine.starttls = match word("starttls") {
        None => StartTls::NotOffered,
        Some("offered") => StartTls::Offered,
        Some("required") => StartTls::Required,
        Some(other) => panic!("{other}"),
    };
    machine.limits = Limits {
        message: 10_000,
        recipients: limit(script, "recipients", default.recipients),
        commands: limit(script, "commands", default.commands),
        errors: limit(script, "errors", default.errors),
        transactions: limit(script, "transactions", default.transactions),
        sign_ins: limit(script, "sign_ins", default.sign_ins),
        hops: default.hops,
    };
    match word("standing") {
        None => {}
        Some("stranger") => settings.relay_from.clear(),
        Some("shared") => settings.proof = Proof::Dkim,
        Some("outside") => settings.kind = Kind::Inbound,
        Some(other) => panic!("{other}"),
    }
    if word("starttls").is_none() && word("tls").is_none() {
        settings.tls = None;
    }
    if word("auth").is_some() {
        with_passwords(settings);
    }
    if word("tls").is_some() {
        settings.begin = Begin::Handshake;
    }
}

fn decide(world: &World, word: &str) {
    world.inbox.signed_by(&["example.com"]);
    match word {
        "accepted" => {}
        "full" => world.inbox.fail_with(AcceptError::Full),
        "internal" => world.inbox.fail_with(AcceptError::Internal),
        "too-many" => world.inbox.fail_with(AcceptError::TooMany),
        "unproven" => world.inbox.signed_by(&[]),
        "unproven-now" => world.inbox.keys_cannot_be_had(),
        other => panic!("{other}"),
    }
}

async fn play(step: &Step, client: &mut Wire, world: &World) -> Result<(), String> {
    match step {
        Step::Client(octets) => {
            for piece in octets.chunks(1_000) {
                client.write(piece).await;
            }
        }
        Step::Server(begin) => match client.line().await {
            Some(line) if line.starts_with(begin) => {}
            other => return Err(format!("{begin:?} was expected, and {other:?} came")),
        },
        Step::ServerUpTo(begin) => loop {
            match client.line().await {
                Some(line) if line.starts_with(begin) => break,
                Some(_) => {}
                None => return Err(format!("{begin:?} never came")),
            }
        },
        Step::Tls => {
            client.try_secure(&world.authority.roots(), None).await.map_err(|e| e.to_string())?;
        }
        Step::Closed => {
            let rest = client.rest().await;
            if !rest.is_empty() {
                return Err(format!("nobody expected {rest:?}"));
            }
        }
        Step::Stop => world.stop(),
        Step::Timeout => return Err("time is not in a dialogue over TCP".into()),
        Step::Decide(word) => decide(world, word),
        Step::Recipient(text) => world.inbox.answers(answer(text)),
        Step::Envelope(text) => {
            let found = describe(&world.inbox.last().envelope);
            if found != *text {
                return Err(format!("{text} was expected, and {found} came"));
            }
        }
        Step::Message(octets) => {
            let message = world.inbox.last().message;
            if !message.starts_with(b"Received: from client") || !message.ends_with(octets) {
                return Err(format!("{octets:?} was expected, and {message:?} came"));
            }
        }
    }
    Ok(())
}

/// The same people as in the core's test: strangers, smugglers, guessers. Real sockets cut bytes
/// as they like.
#[tokio::test]
async fn every_dialogue_goes_as_written_over_tcp() {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../waxseal-core/src/smtp/dialogs/server");
    let scripts = script::load(&folder);
    assert!(scripts.len() >= 35);
    let timeless = |script: &&Script| !script.steps.contains(&Step::Timeout);
    for script in scripts.iter().filter(timeless) {
        let world = World::new(|settings| apply(script, settings)).await;
        let mut client = world.connect().await;
        if script.settings.contains_key("tls") {
            client = client.secure(&world, None).await;
        }
        for (nth, step) in script.steps.iter().enumerate() {
            let played = tokio::time::timeout(
                std::time::Duration::from_secs(20),
                play(step, &mut client, &world),
            );
            match played.await {
                Ok(Ok(())) => {}
                Ok(Err(why)) => panic!("{}, step {nth}: {why}", script.name),
                Err(_) => panic!("{}, step {nth}: nothing happened", script.name),
            }
        }
    }
}
