//! SMTP as state machines without input or output: who drives them owns the socket, the clock
//! and the TLS session. The [`server`] takes mail in, the [`client`] hands it on, and both share
//! the grammar (RFC 5321).

pub mod address;
pub mod auth;
pub mod client;
pub mod command;
pub mod data;
pub mod header;
pub mod received;
pub mod reply;
pub mod server;
