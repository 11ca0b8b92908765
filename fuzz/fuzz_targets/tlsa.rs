//! TLSA records from a hostile zone against certificates from a hostile server. Nobody holds a key
//! here that signs anything, so below a trust anchor nothing may ever match.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waxseal_core::{
    dane::{How, Tlsa, verify},
    domain::Domain,
    time::UnixTime,
};

fuzz_target!(|data: &[u8]| {
    let [usage, selector, matching, cut, rest @ ..] = data else { return };
    let cut = usize::from(*cut).min(rest.len());
    let (association, certificates) = rest.split_at(cut);
    let half = certificates.len() / 2;
    let (leaf, issuer) = certificates.split_at(half);
    let chain = [leaf.into(), issuer.into()];
    let record = Tlsa {
        usage: usage % 5,
        selector: selector % 3,
        matching: matching % 4,
        data: association.to_vec(),
    };
    // A record that names a certificate exactly, too: the paths behind a match are reached.
    let exact = Tlsa { usage: usage % 5, selector: 0, matching: 0, data: issuer.to_vec() };
    let Ok(name) = Domain::parse("mx.example.com") else { return };
    let held = verify(&chain, &[record, exact], &[name], UnixTime(1_780_272_000));
    if let Ok(held) = held {
        assert!(held.record.is_usable());
        if held.how == How::EndEntity {
            assert_eq!(held.record.usage, 3);
        }
    }
});
