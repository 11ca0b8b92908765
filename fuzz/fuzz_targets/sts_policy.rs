//! Policy files from hostile hosts: parsed or refused, never more than the limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waxseal_core::sts::{Mode, Policy};

fuzz_target!(|data: &[u8]| {
    if let Ok(policy) = Policy::parse(data) {
        assert!(policy.max_age.as_secs() <= 31_557_600);
        assert!(policy.mode == Mode::None || !policy.mx.is_empty());
    }
});
