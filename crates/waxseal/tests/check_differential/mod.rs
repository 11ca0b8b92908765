//! `waxseal check` beside tools that other people wrote: ldns-dane, posttls-finger and checkdmarc
//! look at the same domains. Where they say something else, `docs/check-differences.md` explains it.

mod differences;
mod namespace;
mod ours;
mod tools;
mod world;

use std::collections::BTreeMap;

use self::{
    differences::compare,
    ours::Ours,
    tools::{checkdmarc, ldns_dane, posttls_finger},
    world::World,
};

/// What is said of each case.
type Said = BTreeMap<String, String>;

#[test]
fn ldns_dane_matches_the_same_certificates() {
    World::with(|world| {
        let ours = Ours::ask(world);
        compare("ldns-dane", &ldns_dane(world), &ours.associations());
    });
}

#[test]
fn posttls_finger_makes_of_a_host_what_we_make_of_it() {
    World::with(|world| {
        let ours = Ours::ask(world);
        compare("posttls-finger", &posttls_finger(world), &ours.channels());
    });
}

#[test]
fn checkdmarc_reads_the_same_records() {
    World::with(|world| {
        let ours = Ours::ask(world);
        compare("checkdmarc", &checkdmarc(world), &ours.records());
    });
}
