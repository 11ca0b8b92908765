//! Hostile bytes as answers and as proofs: the body of the fuzz target `dns_answer`.

use domain::base::Message;

use super::{
    Anchors, Bundle, Memo, Name, Question, RecordType, Response, Step, merge_proofs, validate,
};
use crate::{dns::Proof, time::UnixTime};

/// Reads `bytes` as the answer to every question that a validation asks, and as a recorded
/// proof. Nothing may panic, nothing may be secure (the keys of the root are not in the bytes),
/// and nothing may go on for ever.
///
/// # Panics
/// One of these does not hold.
pub fn fuzz(bytes: &[u8]) {
    let (anchors, memo, now) = (Anchors::iana(), Memo::new(), UnixTime(1_795_305_600));
    let check = |question: &Question, bundle: &Bundle| {
        let step = validate(question, bundle, &anchors, now, &memo);
        if let Step::Done(validated) = &step {
            assert_ne!(validated.proof, Proof::Secure, "{validated:?}");
            assert!(Bundle::from_proof(&validated.proof_bytes).is_ok(), "{validated:?}");
        }
        step
    };
    if let Ok(bundle) = Bundle::from_proof(bytes) {
        let name = Name::split_front(bytes).map_or_else(Name::root, |(name, _)| name);
        for record_type in [RecordType::A, RecordType::TLSA, RecordType::DS] {
            let step = check(&Question::new(name.clone(), record_type), &bundle);
            assert!(matches!(step, Step::Done(_)), "a recorded proof asks for nothing");
        }
        assert!(merge_proofs(&[bytes, bytes]).is_some(), "what can be read can be merged");
    }
    let Some((id, question)) = own_question(bytes) else { return };
    let Ok(response) = Response::parse(bytes, id, &question, now) else { return };
    let mut bundle = Bundle::new();
    bundle.add(&question, &response);
    for _ in 0..64 {
        let Step::Need(questions) = check(&question, &bundle) else { return };
        assert!(!questions.is_empty(), "it needs something");
        for needed in questions {
            bundle.add(&needed, &response);
        }
    }
    assert!(matches!(check(&question, &bundle), Step::Done(_)), "it ends");
}

fn own_question(bytes: &[u8]) -> Option<(u16, Question)> {
    let message = Message::from_slice(bytes).ok()?;
    let asked = message.sole_question().ok()?;
    let question = Question::new(Name::from_wire(asked.qname()), asked.qtype());
    Some((message.header().id(), question))
}
