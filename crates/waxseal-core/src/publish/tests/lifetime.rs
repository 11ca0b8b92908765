//! How long caches may hold an answer.

use super::*;
use crate::{
    dnssec::{Name, Question, RecordType},
    publish::lifetime::{LONGEST, lifetime},
};

/// Type, TTL and RDATA of a record at the name that was asked for.
type Plain = (u16, u32, Vec<u8>);

const SOA: u16 = 6;
const RRSIG: u16 = 46;
const NSEC: u16 = 47;
const TLSA: u16 = 52;

fn message(answer: &[Plain], authority: &[Plain]) -> Vec<u8> {
    let owner = Name::from(&name("_25._tcp.mx.example.com"));
    let count = |records: &[Plain]| u8::try_from(records.len()).unwrap();
    let mut message = vec![0, 1, 0x84, 0, 0, 1, 0, count(answer), 0, count(authority), 0, 0];
    message.extend(owner.as_octets());
    message.extend([0, 52, 0, 1]);
    for (kind, ttl, rdata) in answer.iter().chain(authority) {
        message.extend([0xc0, 12]);
        message.extend(kind.to_be_bytes());
        message.extend([0, 1]);
        message.extend(ttl.to_be_bytes());
        message.extend(u16::try_from(rdata.len()).unwrap().to_be_bytes());
        message.extend(rdata);
    }
    message
}

fn tlsa(ttl: u32) -> Plain {
    (TLSA, ttl, [vec![3, 1, 1], vec![7; 32]].concat())
}

fn soa(ttl: u32, minimum: u32) -> Plain {
    let times = [1u32, 3_600, 600, 86_400, minimum];
    let times: Vec<u8> = times.iter().flat_map(|one| one.to_be_bytes()).collect();
    (SOA, ttl, [vec![0, 0], times].concat())
}

fn signature(covered: u16, ttl: u32, original: u32) -> Plain {
    let mut rdata = covered.to_be_bytes().to_vec();
    rdata.extend([13, 5]);
    rdata.extend(original.to_be_bytes());
    rdata.extend([0; 10]);
    rdata.extend([0]);
    rdata.extend([9; 64]);
    (RRSIG, ttl, rdata)
}

fn nsec(ttl: u32) -> Plain {
    (NSEC, ttl, vec![0, 0, 1, 0x40])
}

fn seconds(answer: &[Plain], authority: &[Plain]) -> u64 {
    let question = Question::new(Name::from(&name("_25._tcp.mx.example.com")), RecordType::TLSA);
    lifetime(&message(answer, authority), &question).as_secs()
}

#[test]
fn the_ttl_that_was_signed_counts_where_a_server_counted_it_down() {
    assert_eq!(seconds(&[tlsa(60)], &[]), 60);
    assert_eq!(seconds(&[tlsa(60), signature(TLSA, 60, 7_200)], &[]), 7_200);
}

/// RFC 2308 §5
#[test]
fn absence_lives_as_long_as_the_smaller_of_ttl_and_minimum() {
    assert_eq!(seconds(&[], &[soa(3_600, 300)]), 300);
    assert_eq!(seconds(&[], &[soa(120, 300)]), 120);
    assert_eq!(seconds(&[], &[soa(120, 300), signature(SOA, 120, 3_600)]), 300);
    // Caches may make the same answer from the proof.
    assert_eq!(seconds(&[], &[soa(3_600, 300), nsec(900), signature(NSEC, 900, 900)]), 900);
}

/// Attacker: on the path, adds a TTL of 68 years to one answer. The door is shut for a week at most.
#[test]
fn no_ttl_counts_for_longer_than_caches_keep_anything() {
    assert_eq!(seconds(&[tlsa(0x7fff_ffff)], &[]), LONGEST.as_secs());
    assert_eq!(seconds(&[tlsa(60), signature(TLSA, 60, u32::MAX)], &[]), LONGEST.as_secs());
    let question = Question::new(Name::root(), RecordType::TLSA);
    for length in 0..80 {
        lifetime(&message(&[tlsa(60)], &[soa(1, 1)])[..length], &question);
    }
}
