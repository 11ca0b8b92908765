use std::time::Duration;

use bytes::Bytes;
use waxseal_core::{
    channel::Floor,
    decide::{Fallback, History, Settled},
    domain::Domain,
    envelope::{Direction, Envelope, Mailbox, Recipient},
    queue_id::QueueId,
    reply::{EnhancedCode, Reply},
    time::UnixTime,
};

use super::*;
use crate::store::{Group, Head};

const NOW: UnixTime = UnixTime(1_795_000_000);

/// An attempt for so many recipients, who all took it.
fn attempt(recipients: usize) -> (Turn, Vec<Fate>) {
    let domain = Domain::parse("them.example").unwrap();
    let recipient = |number| Recipient {
        mailbox: Mailbox { local: format!("person{number}"), domain: domain.clone() },
        notify: Default::default(),
        original: None,
    };
    let recipients: Vec<_> = (0..recipients).map(recipient).collect();
    let verdict = Verdict::new(Floor::Encrypted, Fallback::Hold, Duration::ZERO);
    let envelope = Envelope::new(ReversePath::Null, recipients.clone());
    let fate = |recipient: &Recipient| Fate {
        recipient: recipient.clone(),
        outcome: Outcome::Accepted { reply: Reply::new(250, Some(EnhancedCode(2, 0, 0)), "ok") },
        settled: Settled::Done,
        remote: None,
    };
    let fates = recipients.iter().map(fate).collect();
    let group = Group::new(
        domain.clone(),
        recipients,
        verdict,
        History { queued: NOW, ..History::default() },
    );
    let turn = Turn {
        message: QueueId::new(77_777_777).unwrap(),
        head: Head { arrived: NOW, size: 2, envelope, direction: Direction::Outbound },
        group,
        content: Bytes::from_static(b"\r\n"),
        attempt: 1,
        now: NOW,
    };
    (turn, fates)
}

/// Promise P6, against an insider whose attempt would be too large for a record.
#[test]
fn an_attempt_without_evidence_is_itself_on_record() {
    let made = |recipients| {
        let (turn, fates) = attempt(recipients);
        let event = interrupted(&turn, ("gw.us.example", None, Network::Real), &fates, [7; 32]);
        (turn, fates, event)
    };
    let (_, _, event) = made(1_000);
    assert!(Evidence::read(&event.unwrap().body).is_ok());
    let (turn, fates, event) = made(6_000);
    let why = event.unwrap_err();
    assert!(matches!(why, NotRecorded::TooLong(_)), "{why}");
    let event = unrecorded(&turn, None, &fates, &why);
    assert_eq!((event.kind, event.message), (EventKind::Delivery, Some(turn.message)));
    let body: serde_json::Value = serde_json::from_slice(&event.body).unwrap();
    assert_eq!(body["schema"], UNRECORDED);
    assert_eq!((&body["recipients"], &body["accepted"]), (&6_000.into(), &6_000.into()));
    assert!(body["why"].as_str().unwrap().contains("octets"), "{body}");
    assert!(!body.to_string().contains("person"), "{body}");
}
