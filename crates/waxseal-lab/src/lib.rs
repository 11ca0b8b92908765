//! A small Internet on loopback: signed DNS, MX personalities, policy hosts, attackers on the path.
//! For tests and `waxseal demo`; it needs no privileges and makes no traffic outside.

pub mod dns;
