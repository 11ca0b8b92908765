//! A hostile client of the whole incoming machine: where its bytes are cut does not matter, a
//! stranger hands in nothing, and somebody outside only mail for us.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use waxseal_core::{
    domain::Domain,
    envelope::Recipient,
    smtp::server::{
        Action, Answer, AuthOffer, Grant, Limits, Server, Settings, Standing, StartTls, Taken,
        Verified,
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
                    let recipients = &incoming.envelope.recipients;
                    assert!(!recipients.is_empty());
                    if incoming.standing == Standing::Outside {
                        let ours = |to: &Recipient| to.mailbox.domain.as_str() == "example.com";
                        assert!(recipients.iter().all(ours));
                    }
                    taken += 1;
                    machine.taken(Taken::Accepted("one".into()));
                }
                Action::Ask(question) => {
                    assert_eq!(question.mailbox.domain.as_str(), "example.com");
                    machine.answered(Answer::Taken);
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
    let outside = session(&begun, begun.len(), Standing::Outside);
    assert_eq!(session(&begun, 3, Standing::Outside), outside);
});
