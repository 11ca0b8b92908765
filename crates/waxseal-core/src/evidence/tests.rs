//! What a record keeps, what it hides, and that it can be decided again.

use std::time::Duration;

use super::{
    Again, Connection, Decided, Difference, Ending, Evidence, Interrupted, Message, Network,
    NotEvidence, Opening, Schema, Sealer, Tls, ToRecipient, Try, Why, replay,
};
use crate::{
    channel::Level,
    decide::{Ask, Case, DelayNotice, Fallback, FirstSeen, Origin, Settled, Verdict, plan},
    dns::{Absence, Answer, Authenticity},
    domain::Domain,
    envelope::Mailbox,
    facts::{Dane, Facts, HostFacts, MxFact, NoTlsa, Peer, StsFact},
    memory::Memory,
    org::{Terms, Told},
    outcome::{Cause, Outcome},
    queue_id::QueueId,
    reply::{EnhancedCode, Reply},
    time::UnixTime,
};

const NOW: UnixTime = UnixTime(1_800_000_000);
const SECRET: &str = "bob.secret@them.example";

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

fn facts() -> Facts {
    let addresses = vec!["192.0.2.1".parse().unwrap()];
    let authenticity = Authenticity::Insecure;
    Facts {
        destination: domain("them.example"),
        at: NOW,
        mx: MxFact::Found { authenticity, expanded: None, chain: None },
        hosts: vec![HostFacts {
            host: Peer::Name(domain("mx.them.example")),
            preference: 10,
            port: 25,
            addresses: Answer::Found { value: addresses, authenticity, expires: NOW, chain: None },
            refused: Vec::new(),
            expanded: None,
            dane: Dane::Absent(NoTlsa::InsecureAddress),
        }],
        sts: StsFact::Absent { absence: Absence::Unconfirmed },
        witnesses: Vec::new(),
    }
}

fn decided() -> Decided {
    let officer = Mailbox { local: "officer".into(), domain: domain("us.example") };
    let floor = crate::channel::Floor::Encrypted;
    let verdict = Verdict {
        notify: vec![Told::Mailbox(officer)],
        ..Verdict::new(floor, Fallback::Hold, Duration::from_hours(4))
    };
    let (terms, ask, facts, memory) =
        (Terms::default(), Ask::default(), facts(), Memory::default());
    let case = Case {
        terms: &terms,
        ask: &ask,
        verdict: &verdict,
        facts: &facts,
        memory: &memory,
        origin: Origin::Person,
        short_since: None,
        first_seen: FirstSeen::default(),
    };
    Decided::new(&case, plan(&case, 7, NOW), 7, NOW)
}

fn evidence() -> (Evidence, Vec<Opening>) {
    let mut sealer = Sealer::new([9; 32]);
    let reply = Reply::new(450, Some(EnhancedCode(4, 2, 1)), format!("<{SECRET}> is full"));
    let outcome = Outcome::Deferred { cause: Cause::Reply { command: "RCPT".into(), reply } };
    let settled = Settled::Retry {
        at: NOW + Duration::from_mins(30),
        notice: DelayNotice::NotDue,
        code: EnhancedCode(4, 2, 1),
        reason: format!("RCPT: <{SECRET}> is full"),
    };
    let record = Evidence {
        schema: Schema::Delivery1,
        software: "0.1.0".into(),
        gateway: "gw.us.example".into(),
        config: None,
        network: Network::Real,
        message: Message {
            id: QueueId::new(12_345).unwrap(),
            size: 1_000,
            arrived: NOW,
            sender_domain: Some(domain("us.example")),
            sender: sealer.seal("message/sender", "ann@us.example"),
            content: sealer.seal("message/content", "00ff"),
        },
        attempt: 1,
        decided: Some(decided()),
        interrupted: None,
        tries: vec![Try {
            route: 0,
            peer: Peer::Name(domain("mx.them.example")),
            address: "192.0.2.1:25".parse().unwrap(),
            connection: Connection::New,
            tls: Tls::NotReached,
            level: Some(Level::Encrypted),
            held: Vec::new(),
            refusal: None,
            cause: None,
            accepted: Vec::new(),
            transcript: sealer.seal("tries/0/transcript", format!("RCPT TO:<{SECRET}>")),
            started: NOW,
            finished: NOW,
        }],
        recipients: vec![ToRecipient::seal(&mut sealer, 0, SECRET, &outcome, &settled)],
        level: Some(Level::Encrypted),
        alarms: Vec::new(),
    };
    (record, sealer.finish())
}

#[test]
fn canonical_bytes_survive_reading() {
    let (record, _) = evidence();
    let bytes = record.canonical().unwrap();
    let read = Evidence::read(&bytes).unwrap();
    assert_eq!(read, record);
    assert_eq!(read.canonical().unwrap(), bytes);
    assert!(bytes.starts_with(br#"{"schema":"waxseal/delivery/1","#));
}

#[test]
fn the_outcome_is_there_without_the_words() {
    let (record, _) = evidence();
    let ended = &record.recipients[0].ended;
    assert_eq!((ended.ending, ended.cause), (Ending::Deferred, Some(Why::Reply)));
    assert_eq!(ended.reply, Some((450, Some(EnhancedCode(4, 2, 1)))));
}

/// The reader of the log who must not learn addresses.
#[test]
fn no_address_stands_in_a_record() {
    let (record, _) = evidence();
    let text = String::from_utf8(record.canonical().unwrap()).unwrap();
    for personal in ["bob.secret", "ann@", "officer"] {
        assert!(!text.contains(personal), "{personal} in {text}");
    }
}

#[test]
fn each_value_opens_its_own_commitment_and_no_other() {
    let (record, openings) = evidence();
    let address = openings.iter().find(|opening| opening.place == "recipients/0/address").unwrap();
    assert_eq!(address.value, SECRET);
    assert!(address.opens(record.recipients[0].address));
    assert!(!address.opens(record.recipients[0].ended.words));
    let other = Opening { value: "eve@them.example".into(), ..address.clone() };
    assert!(!other.opens(record.recipients[0].address));
    let moved = Opening { place: "recipients/1/address".into(), ..address.clone() };
    assert!(!moved.opens(record.recipients[0].address));
}

/// Somebody with the log and a list of addresses, after retention erased the salts.
#[test]
fn equal_addresses_have_other_commitments_in_other_records() {
    let seal = |secret| Sealer::new(secret).seal("recipients/0/address", SECRET);
    assert_ne!(seal([1; 32]), seal([2; 32]));
}

#[test]
fn a_record_is_decided_again_and_alike() {
    let (record, _) = evidence();
    assert_eq!(replay(&record), Ok(Again::Alike));
}

/// What a crash cut off has a record like any other, and claims no decision that it cannot show.
#[test]
fn an_interrupted_attempt_has_the_common_form_and_nothing_to_decide_again() {
    let (mut record, _) = evidence();
    let Some(decided) = record.decided.take() else { panic!("the record has a decision") };
    record.interrupted = Some(Interrupted {
        at: NOW,
        destination: decided.facts.destination,
        ask: decided.ask,
        verdict: decided.verdict,
        origin: decided.origin,
        short_since: None,
    });
    let read = Evidence::read(&record.canonical().unwrap()).unwrap();
    assert_eq!(read, record);
    assert_eq!(replay(&read), Ok(Again::NotRecorded));
    assert_eq!(read.destination().unwrap().as_str(), "them.example");
    assert_eq!((read.at(), read.verdict().unwrap().rule.as_str()), (Some(NOW), "default"));
}

#[test]
fn a_plan_that_does_not_follow_is_found() {
    let (mut record, _) = evidence();
    let decided = record.decided.as_mut().unwrap();
    decided.facts.hosts[0].preference = 10;
    decided.verdict.floor = crate::channel::Floor::Authenticated;
    let difference: Difference = replay(&record).unwrap_err();
    assert!(!difference.is_of_another_version());
    let text = difference.to_string();
    assert!(text.starts_with("route 1: mx.them.example with TLS (encrypted) then"), "{text}");
    record.decided.as_mut().unwrap().decider = 0;
    let text = replay(&record).unwrap_err().to_string();
    assert!(text.starts_with("decided differently by v0"), "{text}");
}

/// A hostile file: too long, too deep, of another layout, cut.
#[test]
fn hostile_records_are_refused() {
    let long = vec![b' '; Evidence::MAX_BYTES + 1];
    assert_eq!(Evidence::read(&long), Err(NotEvidence::TooLong));
    let deep = vec![b'['; 100_000];
    let bytes = evidence().0.canonical().unwrap();
    let other = String::from_utf8(bytes.clone()).unwrap().replace("delivery/1", "delivery/9");
    for hostile in [&deep[..], other.as_bytes(), &bytes[..bytes.len() - 1], b""] {
        assert!(matches!(Evidence::read(hostile), Err(NotEvidence::Unreadable(_))));
    }
}

/// Who was accepted by which host is in the record; a record of a version before, which does not
/// say it, is read and written as it was.
#[test]
fn each_recipient_has_the_level_of_the_channel_that_took_it() {
    let (mut record, _) = evidence();
    let bytes = record.canonical().unwrap();
    assert!(!String::from_utf8(bytes).unwrap().contains("accepted\":"));
    assert_eq!(record.level_for(0), None, "deferred");
    record.recipients[0].ended.ending = Ending::Accepted;
    assert_eq!(record.level_for(0), Some(Level::Encrypted), "as a record of before says");
    let better = Try { level: Some(Level::Dane), accepted: vec![1], ..record.tries[0].clone() };
    record.tries[0].accepted = vec![0];
    record.tries.push(better);
    assert_eq!(record.level_for(0), Some(Level::Encrypted));
    assert_eq!(record.level_for(1), Some(Level::Dane));
    assert_eq!(record.level_for(2), None);
    let bytes = record.canonical().unwrap();
    assert_eq!(Evidence::read(&bytes).unwrap(), record);
}
