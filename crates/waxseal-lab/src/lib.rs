//! A small Internet on loopback: signed DNS, MX personalities, policy hosts, attackers.
