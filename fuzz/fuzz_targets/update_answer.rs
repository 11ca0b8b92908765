//! Answers to our updates from whoever sits at that address: never a yes without the key.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waxseal_core::{
    dnssec::{Name, Question, RecordType},
    domain::Domain,
    publish::{
        Clock, Memory,
        lifetime::{LONGEST, lifetime},
        update::{Algorithm, Key, request, response},
    },
    time::UnixTime,
};

fuzz_target!(|data: &[u8]| {
    let name = Domain::parse("waxseal.key").unwrap();
    let key = Key::new(&name, Algorithm::HmacSha256, &[7; 32]).unwrap();
    let now = UnixTime(1_800_000_000);
    let asked = request(&name, (&[], &[]), &key, 0x1234, now).unwrap();
    assert!(response(&asked, &key, data, now).is_err());
    // What was remembered is a file that somebody may have edited.
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(mut memory) = Memory::read(text)
    {
        assert_eq!(Memory::read(&memory.write()), Ok(memory.clone()));
        memory.begin(Clock { now, boot: "this start".to_owned(), up: 1_000 });
    }
    // And what name servers say of how long it lives.
    let question = Question::new(Name::from(&name), RecordType::TLSA);
    assert!(lifetime(data, &question) <= LONGEST);
});
