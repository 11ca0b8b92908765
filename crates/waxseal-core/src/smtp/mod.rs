//! SMTP as state machines without input or output: who drives them owns the socket, the clock
//! and the TLS session.

pub mod client;
pub mod reply;
