//! Hostile command lines: an answer, never a panic; and what is accepted means the same when it is
//! printed and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use waxseal_core::{envelope::Charset, smtp::command};

fuzz_target!(|data: &[u8]| {
    for charset in [Charset::Ascii, Charset::Utf8] {
        match command::parse(data, charset) {
            Ok(command) => {
                let printed = command.to_string();
                assert!(!printed.contains(['\r', '\n', '\0']), "{printed:?}");
                // What a parameter allowed in MAIL is said again by the parameter.
                assert_eq!(command::parse(printed.as_bytes(), charset), Ok(command), "{printed:?}");
            }
            Err(error) => {
                assert!((500..600).contains(&error.code()));
                assert!(!error.to_string().chars().any(char::is_control));
            }
        }
    }
});
