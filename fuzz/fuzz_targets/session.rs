//! A hostile client of the whole incoming machine: where its bytes are cut does not matter, and a
//! stranger hands in nothing.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use waxseal_core::{
    domain::Domain,
    smtp::server::{
        Action, AuthOffer, Grant, Limits, Server, Settings, Standing, StartTls, Taken, Verified,
    },
};

fn session(octets: &[u8], size: usize, standing: Standing) -> (Vec<u8>, usize) {
    let settings = Settings {
        hostname: Domain::parse("gw.example.com").expect("a name"),
        senders: [Domain::parse("example.com").expect("a name")].into(),
        postmaster: None,
        starttls: StartTls::NotOffered,
        auth: AuthOffer::No,
        limits: Limits { message: 2_000, ..Limits::default() },
    };
    let mut machine = Server::new(Arc::new(settings), standing, None);
    let (mut inbox, mut said, mut taken) = (Vec::new(), Vec::new(), 0);
    for piece in octets.chunks(size) {
        inbox.extend_from_slice(piece);
        loop {
            let step = machine.step(&inbox);
            inbox.drain(..step.consumed);
            said.append(machine.output());
            match step.action {
                Action::Read => break,
                Action::Close => return (said, taken),
                Action::Take(incoming) => {
                    assert!(!incoming.envelope.recipients.is_empty());
                    taken += 1;
                    machine.taken(Taken::Accepted("one".into()));
                }
                Action::Verify(credentials) => machine.verified(credentials.user, Verified::No),
                Action::StartTls | Action::Wait => unreachable!("neither is offered"),
            }
        }
    }
    (said, taken)
}

fuzz_target!(|data: &[u8]| {
    let begun = [b"EHLO c\r\n", data].concat();
    let relay = || Standing::Relay(Grant::Network);
    let whole = session(&begun, begun.len(), relay());
    assert_eq!(session(&begun, 1, relay()), whole);
    assert_eq!(session(&begun, 5, relay()), whole);
    assert_eq!(session(&begun, begun.len(), Standing::Stranger).1, 0);
});
