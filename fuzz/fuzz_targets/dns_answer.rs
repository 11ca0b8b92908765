//! Hostile answers and recorded proofs: never a panic, never secure, always an end.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| waxseal_core::dnssec::fuzz(data));
