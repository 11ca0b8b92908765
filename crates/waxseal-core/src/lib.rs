//! Waxseal's judgement: everything that is decided, and nothing that is asked or done.
//!
//! This crate has no sockets, files, clock, randomness or logging. Whoever calls it passes the
//! facts, the time and the seed, and gets a value back; so every decision can be replayed from a
//! record (promise P5) and every protocol machine can be tested without a network.
//!
//! | room | what is in it |
//! |---|---|
//! | [`domain`], [`envelope`], [`reply`], [`time`], [`dns`] | values that are parsed once |
//! | [`facts`] | what was observed about a destination |
//! | [`channel`] | what a connection was, what it had to be, and the proof that it may carry mail |
//! | [`dane`], [`sts`], [`pki`] | what TLSA records, policies and certificates say |
//! | [`org`] | what the organisation demands |
//! | [`decide`] | verdict, plan, settlement |
//! | [`memory`] | what was achieved before: it may raise a demand, never lower one |
//! | [`evidence`] | the record of an attempt |
//! | [`guideline`] | what authorities say of TLS parameters, as data |
//! | [`assess`] | what a domain's mail security is worth |
//! | [`publish`] | what we say about ourselves in DNS, and when it may change |
//! | [`smtp`] | mail in and mail out, without sockets |

pub mod assess;
pub mod channel;
pub mod dane;
pub mod decide;
pub mod dkim;
pub mod dns;
pub mod dnssec;
pub mod domain;
pub mod envelope;
pub mod evidence;
pub mod facts;
pub mod guideline;
pub mod hello;
pub mod memory;
pub mod org;
pub mod outcome;
pub mod pki;
pub mod publish;
pub mod queue_id;
pub mod reply;
pub mod smtp;
pub mod sts;
pub mod time;
pub mod tlsrpt;
pub mod witness;
