//! TXT records from a hostile zone: an id of the grammar, or none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waxseal_core::sts::announced;

fuzz_target!(|data: &[u8]| {
    // Lines stand for records.
    let records: Vec<&[u8]> = data.split(|byte| *byte == b'\n').collect();
    if let Ok(id) = announced(&records) {
        assert!((1..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        let ours = records.iter().filter(|record| record.starts_with(b"v=STSv1"));
        assert!(ours.count() >= 1);
    }
});
