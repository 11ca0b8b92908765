use super::*;

fn chain(bytes: &[u8]) -> Chain {
    (BlobId::of(bytes), bytes.into())
}

#[test]
fn the_second_time_gives_the_very_same_proof() {
    let merged = Merged::default();
    // A proof without records is one.
    let nothing = chain(&[]);
    let (id, first) = merged.of(&nothing, &nothing).unwrap();
    assert_eq!(id, BlobId::of(&first));
    let (again, second) = merged.of(&nothing, &nothing).unwrap();
    assert_eq!(again, id);
    assert!(Arc::ptr_eq(&first, &second));
}

/// A damaged blob does not become a proof, however often it is asked about.
#[test]
fn what_is_no_proof_stays_none() {
    let merged = Merged::default();
    let (good, bad) = (chain(&[]), chain(b"no record begins like this"));
    for _ in 0..2 {
        assert_eq!(merged.of(&good, &bad), None);
    }
}
