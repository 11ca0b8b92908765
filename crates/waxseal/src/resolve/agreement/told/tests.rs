use waxseal_core::{
    dnssec::{Question, RrSet, Truncation},
    time::UnixTime,
};

use super::*;

/// An answer with one text for a name.
fn answer(text: Vec<u8>) -> Arc<Response> {
    let set = RrSet {
        owner: Name::from(&name()),
        record_type: RecordType::TXT,
        rdata: vec![text],
        signatures: Vec::new(),
        expires: UnixTime(u64::MAX),
    };
    Arc::new(Response {
        rcode: 0,
        truncation: Truncation::Whole,
        sets: vec![Arc::new(set)],
        expires: UnixTime(u64::MAX),
    })
}

fn name() -> Domain {
    Domain::parse("hostile.example").unwrap()
}

fn said(answer: Arc<Response>) -> Answered {
    let reply = Reply {
        owner: name(),
        record_type: RecordType::TXT,
        answer: Ok(answer),
        bogus: Some("x".repeat(60_000)),
    };
    let address = "192.0.2.53".parse().unwrap();
    Answered { name: name(), address, answers: vec![reply] }
}

/// Attacker: hostile name servers with answers as long as they can be, for a thousand zones. What is kept of an
/// answer is short whatever it says, and holds on to nothing of it; yet one octet is a difference.
#[test]
fn of_an_answer_only_what_is_compared_is_kept() {
    let long = answer(vec![1; 60_000]);
    let gone = Arc::downgrade(&long);
    let all = said(long);
    let kept = told(&all);
    drop(all);
    assert!(gone.upgrade().is_none(), "the answer itself is let go");
    let size = serde_json::to_string(&kept).unwrap().len();
    assert!(size < 1_024, "{size} octets are kept of 120,000");

    let mut other = vec![1; 60_000];
    let same = told(&said(answer(other.clone())));
    other[59_999] = 2;
    let differs = told(&said(answer(other)));
    assert_eq!(same.answers[0].digest, kept.answers[0].digest);
    assert!(differs.answers[0].digest.is_ok());
    assert_ne!(differs.answers[0].digest, kept.answers[0].digest);
}

/// Attacker: a thief of the account at the registrar, whose server makes an alias of the domain. Resolvers
/// that ask it lead mail to wherever that ends, though it names no mail host.
#[test]
fn an_alias_is_where_a_server_leads_mail() {
    let (domain, elsewhere) = ("example.com", Domain::parse("attacker.example").unwrap());
    let domain = Domain::parse(domain).unwrap();
    let wire = |name: &Domain| Name::from(name).as_octets().to_vec();
    let mut message = vec![0, 7, 0x84, 0, 0, 1, 0, 1, 0, 0, 0, 0];
    message.extend(wire(&domain));
    message.extend([0, 15, 0, 1]);
    message.extend(wire(&domain));
    let target = wire(&elsewhere);
    message.extend([0, 5, 0, 1, 0, 0, 0, 60, 0, u8::try_from(target.len()).unwrap()]);
    message.extend(target);
    let question = Question::new(Name::from(&domain), RecordType::MX);
    let response = Response::parse(&message, 7, &question, UnixTime(0)).unwrap();
    let answer = read(&domain, RecordType::MX, &response);
    assert_eq!((answer.records, &answer.exchanges[..]), (1, &[Some(elsewhere)][..]));
}
