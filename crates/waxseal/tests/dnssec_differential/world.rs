//! The tree: zones of every kind, what happens to their answers, and the questions.

use std::collections::BTreeMap;

use waxseal_lab::dns::{
    Act, Algorithm, Data, Delegation, Denial, KeyLayout, OptOut, Signing, Tampering, Zone, rtype,
};

use super::{Case, State};

/// What the RFCs say about the address of a zone's mail host.
pub(super) struct Expected {
    pub(super) state: State,
    /// Has to stand in our reason.
    pub(super) reason: &'static str,
}

pub(super) struct World {
    pub(super) zones: Vec<Zone>,
    pub(super) tampering: Vec<Tampering>,
    pub(super) cases: Vec<Case>,
    pub(super) expected: BTreeMap<String, Expected>,
}

/// How much is asked about a zone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    All,
    Some,
}

/// Where validators may differ, and why; never so that ours alone is secure.
pub(super) fn may_differ(because: &str, states: [State; 3]) -> bool {
    match states {
        // delv calls denials in an opt-out span validated; RFC 5155 §9.2 forbids to say so.
        [State::Insecure, State::Insecure, State::Secure] => because.contains("opt-out span"),
        // unbound takes a DS with SHA-1 beside one with SHA-256 that fits no key (RFC 4509 §3).
        [State::Failed, State::Secure, State::Failed] => because.contains("sha1-beside-wrong.lab"),
        _ => false,
    }
}

impl World {
    /// A zone like any other, and questions about it.
    fn add(&mut self, origin: &str, zone: Zone, depth: Depth, expected: (State, &'static str)) {
        let zone = zone
            .record("@", &Data::mx(10, &format!("mx1.{origin}")))
            .record("mx1", &Data::A([192, 0, 2, 1].into()))
            .record(
                "_25._tcp.mx1",
                &Data::Tlsa { usage: 3, selector: 1, matching: 1, data: vec![7; 32] },
            )
            .record("alias", &Data::Cname(format!("mx1.{origin}").as_str().into()))
            .record("out", &Data::Cname("mx1.p256-nsec.lab".into()))
            .record("toplain", &Data::Cname("mx1.unsigned.lab".into()))
            .record("tonothing", &Data::Cname("nope.p256-nsec3.lab".into()))
            .record("*.wild", &Data::A([192, 0, 2, 7].into()))
            .record("*.wildalias", &Data::Cname("mx1.p256-nsec.lab".into()))
            .record("there.wild", &Data::txt("hides the wildcard"))
            .record("deep.empty", &Data::txt("below an empty non-terminal"))
            .record("moved", &Data::Dname("p256-nsec.lab".into()));
        self.zones.push(zone);
        let some = [("mx1", "A"), ("@", "MX"), ("nope", "A"), ("mx1", "AAAA"), ("@", "DS")];
        let all = [
            ("_25._tcp.mx1", "TLSA"),
            ("_443._tcp.mx1", "TLSA"),
            ("alias", "A"),
            ("alias", "CNAME"),
            ("out", "A"),
            ("out", "AAAA"),
            ("toplain", "A"),
            ("tonothing", "A"),
            ("x.wild", "A"),
            ("x.wild", "AAAA"),
            ("a.b.wild", "A"),
            ("there.wild", "A"),
            ("x.there.wild", "A"),
            ("x.wildalias", "A"),
            ("empty", "TXT"),
            ("deep.empty", "TXT"),
            ("x.deep.empty", "TXT"),
            ("mx1.moved", "A"),
            ("nope.moved", "A"),
            ("moved", "DNAME"),
            ("moved", "A"),
            ("a.b.c.nope", "A"),
            ("@", "DNSKEY"),
            ("@", "SOA"),
            ("@", "NS"),
            ("mx1", "DS"),
            ("nope", "DS"),
        ];
        let more = if depth == Depth::All { all.as_slice() } else { &[] };
        for (front, record_type) in some.iter().chain(more) {
            let name = if *front == "@" { origin.to_owned() } else { format!("{front}.{origin}") };
            self.cases.push(Case { name, record_type: (*record_type).to_owned() });
        }
        let (state, reason) = expected;
        self.expected.insert(format!("mx1.{origin}"), Expected { state, reason });
    }

    fn tamper(&mut self, rule: Tampering) {
        self.tampering.push(rule);
    }
}

const SECURE: (State, &str) = (State::Secure, "validated from the root down");

fn nsec3(iterations: u16, salt: &[u8], opt_out: OptOut) -> Denial {
    Denial::Nsec3 { iterations, salt: salt.to_vec(), opt_out }
}

fn signing(algorithm: Algorithm, denial: Denial) -> Signing {
    Signing { algorithms: vec![algorithm], denial, ..Signing::default() }
}

pub(super) fn build() -> World {
    let mut world = World {
        zones: vec![
            Zone::new("lab").signed(),
            Zone::new("opt").signed_with(signing(Algorithm::P256, nsec3(0, b"", OptOut::Yes))),
            Zone::new("hashed").signed_with(signing(Algorithm::P256, nsec3(1, b"ab", OptOut::No))),
            Zone::new("plain"),
        ],
        tampering: Vec::new(),
        cases: Vec::new(),
        expected: BTreeMap::new(),
    };
    algorithms(&mut world);
    denials(&mut world);
    delegations(&mut world);
    times(&mut world);
    attacks(&mut world);
    top_level(&mut world);
    world
}

fn algorithms(world: &mut World) {
    let all = [
        ("rsa256", Algorithm::RsaSha256),
        ("rsa512", Algorithm::RsaSha512),
        ("p256", Algorithm::P256),
        ("p384", Algorithm::P384),
        ("ed25519", Algorithm::Ed25519),
    ];
    for (name, algorithm) in all {
        let depth = if algorithm == Algorithm::P256 { Depth::All } else { Depth::Some };
        let origin = format!("{name}-nsec.lab");
        let with = signing(algorithm, Denial::Nsec);
        world.add(&origin, Zone::new(&origin).signed_with(with), depth, SECURE);
        let origin = format!("{name}-nsec3.lab");
        let with = signing(algorithm, nsec3(0, b"", OptOut::No));
        world.add(&origin, Zone::new(&origin).signed_with(with), depth, SECURE);
        let origin = format!("{name}-split.lab");
        let with = Signing { layout: KeyLayout::Split, ..signing(algorithm, Denial::Nsec) };
        world.add(&origin, Zone::new(&origin).signed_with(with), Depth::Some, SECURE);
    }
    let mut add = |name: &str, with: Signing, expected| {
        let origin = format!("{name}.lab");
        world.add(&origin, Zone::new(&origin).signed_with(with), Depth::Some, expected);
    };
    let two = vec![Algorithm::P256, Algorithm::RsaSha256];
    add("two-algorithms", Signing { algorithms: two, ..Signing::default() }, SECURE);
    let half = vec![Algorithm::Unknown(200), Algorithm::P384];
    add("half-known", Signing { algorithms: half, ..Signing::default() }, SECURE);
    add("digest384", Signing { digest: 4, ..Signing::default() }, SECURE);
    let unsupported = (State::Insecure, "only in ways that are not supported");
    add("algorithm200", signing(Algorithm::Unknown(200), Denial::Nsec), unsupported);
    add("algorithm250", signing(Algorithm::Unknown(250), nsec3(0, b"", OptOut::No)), unsupported);
    add("digest99", Signing { digest: 99, ..Signing::default() }, unsupported);
    add("sha1", Signing { digest: 1, ..Signing::default() }, SECURE);
}

fn denials(world: &mut World) {
    let mut add = |name: &str, denial, expected| {
        let origin = format!("{name}.lab");
        let zone = Zone::new(&origin).signed_with(signing(Algorithm::P256, denial));
        world.add(&origin, zone, Depth::All, expected);
    };
    add("salted", nsec3(10, b"\xaa\xbb\xcc", OptOut::No), SECURE);
    add("iterations100", nsec3(100, b"\x01", OptOut::No), SECURE);
    add("iterations200", nsec3(200, b"", OptOut::No), SECURE);
    add("iterations2500", nsec3(2_500, b"\x01\x02", OptOut::No), SECURE);
    add("opted-out", nsec3(0, b"", OptOut::Yes), SECURE);
    for parent in ["opted-out.lab", "salted.lab", "iterations200.lab", "opt", "hashed"] {
        let origin = format!("child.{parent}");
        // Above the limit of iterations nothing is proven about delegations without DS;
        // a DS record is proof enough of one with it.
        world.add(&origin, Zone::new(&origin).signed(), Depth::Some, SECURE);
        let origin = format!("bare.{parent}");
        let reason = match parent {
            "opted-out.lab" | "opt" => "opt-out span",
            "iterations200.lab" => "200 iterations",
            _ => "unsigned",
        };
        world.add(&origin, Zone::new(&origin), Depth::Some, (State::Insecure, reason));
    }
}

fn delegations(world: &mut World) {
    let unsigned = (State::Insecure, "unsigned");
    world.add("unsigned.lab", Zone::new("unsigned.lab"), Depth::All, unsigned);
    let island = |origin: &str| Zone::new(origin).signed().delegation(Delegation::Insecure);
    world.add("island.lab", island("island.lab"), Depth::All, unsigned);
    world.add("child.island.lab", Zone::new("child.island.lab").signed(), Depth::Some, unsigned);
    world.add(
        "below.unsigned.lab",
        Zone::new("below.unsigned.lab").signed(),
        Depth::Some,
        unsigned,
    );
    world.add("island.plain", Zone::new("island.plain").signed(), Depth::Some, unsigned);
    world.add("zone.plain", Zone::new("zone.plain"), Depth::Some, unsigned);
    world.add(
        "child.p256-nsec.lab",
        Zone::new("child.p256-nsec.lab").signed(),
        Depth::Some,
        SECURE,
    );
    let far = "zone.empty.names.between.p256-nsec.lab";
    world.add(far, Zone::new(far).signed(), Depth::Some, SECURE);
    let far = "zone.empty.names.between.p256-nsec3.lab";
    world.add(far, Zone::new(far), Depth::Some, unsigned);

    let mut add = |name: &str, delegation, expected| {
        let origin = format!("{name}.lab");
        let zone = Zone::new(&origin).signed().delegation(delegation);
        world.add(&origin, zone, Depth::Some, expected);
    };
    let mismatch = (State::Failed, "no DNSKEY of");
    add("wrong-digest", Delegation::WrongDigest, mismatch);
    let other = |algorithm: u8, digest_type: u8, length: usize| {
        [vec![0x12, 0x34, algorithm, digest_type], vec![0x5a; length]].concat()
    };
    add("other-key", Delegation::Custom(vec![other(13, 2, 32)]), mismatch);
    add("other-algorithm", Delegation::Custom(vec![other(8, 2, 32)]), mismatch);
    add(
        "only-unknown",
        Delegation::Custom(vec![other(200, 2, 32)]),
        (State::Insecure, "algorithm 200"),
    );
    add("only-gost", Delegation::Custom(vec![other(13, 3, 32)]), (State::Insecure, "digest 3"));
    add("one-stale-ds", Delegation::Also(vec![other(13, 2, 32)]), SECURE);
    add("one-unknown-ds", Delegation::Also(vec![other(200, 99, 20)]), SECURE);
    // RFC 4509 §3: SHA-1 does not make up for a better digest that is wrong.
    let sha1 = Signing { digest: 1, ..Signing::default() };
    let zone = Zone::new("sha1-beside-wrong.lab").signed_with(sha1);
    let zone = zone.delegation(Delegation::Also(vec![other(13, 2, 32)]));
    world.add("sha1-beside-wrong.lab", zone, Depth::Some, mismatch);
    let ds = Delegation::Custom(vec![other(13, 2, 32)]);
    let lost = Zone::new("lost-keys.lab").delegation(ds);
    world.add("lost-keys.lab", lost, Depth::Some, (State::Failed, "no DNSKEY"));
}

fn times(world: &mut World) {
    let mut add = |name: &str, validity, denial, expected| {
        let origin = format!("{name}.lab");
        let with = Signing { validity, denial, ..Signing::default() };
        world.add(&origin, Zone::new(&origin).signed_with(with), Depth::Some, expected);
    };
    let expired = (State::Failed, "expired 10 days ago");
    let future = (State::Failed, "becomes valid only in");
    let day = 86_400;
    add("expired-nsec", (-40 * day, -10 * day - 60), Denial::Nsec, expired);
    add("expired-nsec3", (-40 * day, -10 * day - 60), nsec3(0, b"", OptOut::No), expired);
    add("future-nsec", (10 * day, 40 * day), Denial::Nsec, future);
    add("future-nsec3", (10 * day, 40 * day), nsec3(0, b"", OptOut::No), future);
}

/// What an attacker on the path does to one zone each, with NSEC and with NSEC3.
fn attacks(world: &mut World) {
    let evil = || vec![Data::A([203, 0, 113, 66].into()), Data::mx(0, "mx.evil.lab")];
    let no_rrsig = (State::Failed, "no RRSIG");
    let mismatch = (State::Failed, "does not match its records");
    let denial = (State::Failed, "does not prove that");
    type Attack = (&'static str, Option<u16>, Act, (State, &'static str));
    let all: Vec<Attack> = vec![
        ("strip", None, Act::StripSignatures, (State::Failed, "")),
        ("break", None, Act::BreakSignatures, mismatch),
        ("strip-a", Some(rtype::A), Act::StripSignatures, no_rrsig),
        ("break-a", Some(rtype::A), Act::BreakSignatures, mismatch),
        ("replace-a", Some(rtype::A), Act::Replace(evil()), mismatch),
        ("forge-a", Some(rtype::A), Act::Forge(evil()), no_rrsig),
        ("hide-a", Some(rtype::A), Act::NoData, denial),
        ("deny-a", Some(rtype::A), Act::NxDomain, denial),
        ("refuse-a", Some(rtype::A), Act::Fail(5), (State::Failed, "RCODE 5")),
        ("fail-a", Some(rtype::A), Act::Fail(2), (State::Failed, "SERVFAIL")),
        ("unproven", None, Act::StripDenial, SECURE),
        ("hide-ds", Some(rtype::DS), Act::NoData, (State::Failed, "is signed")),
        ("deny-ds", Some(rtype::DS), Act::NxDomain, (State::Failed, "is signed")),
        ("strip-ds", Some(rtype::DS), Act::StripSignatures, no_rrsig),
        ("break-ds", Some(rtype::DS), Act::BreakSignatures, mismatch),
        ("hide-keys", Some(rtype::DNSKEY), Act::NoData, (State::Failed, "no DNSKEY")),
        ("strip-keys", Some(rtype::DNSKEY), Act::StripSignatures, no_rrsig),
        ("break-keys", Some(rtype::DNSKEY), Act::BreakSignatures, mismatch),
        ("fail-keys", Some(rtype::DNSKEY), Act::Fail(2), (State::Failed, "SERVFAIL")),
    ];
    for (name, only, act, expected) in all {
        for (ending, denial) in [("", Denial::Nsec), ("3", nsec3(0, b"", OptOut::No))] {
            let origin = format!("{name}{ending}.lab");
            let zone = Zone::new(&origin).signed_with(signing(Algorithm::P256, denial));
            world.add(&origin, zone, Depth::Some, expected);
            let rule = Tampering { within: origin.as_str().into(), rtype: only, act: act.clone() };
            world.tamper(rule);
        }
    }
    // An unsigned zone cannot be protected by DNSSEC, and is not called bogus either.
    world.add(
        "forged-unsigned.lab",
        Zone::new("forged-unsigned.lab"),
        Depth::Some,
        (State::Insecure, "unsigned"),
    );
    world.tamper(Tampering::only("forged-unsigned.lab", rtype::A, Act::Forge(evil())));
}

/// Names that no zone below the top has.
fn top_level(world: &mut World) {
    let questions = [
        ("nothing.lab", "A"),
        ("nothing.opt", "A"),
        ("nothing.hashed", "A"),
        ("nothing.plain", "A"),
        ("nothing", "A"),
        ("a.b.nothing", "MX"),
        ("lab", "A"),
        ("lab", "DS"),
        ("lab", "SOA"),
        ("opt", "MX"),
        ("hashed", "TXT"),
        ("plain", "DS"),
        ("plain", "SOA"),
        ("between.p256-nsec.lab", "A"),
        ("names.between.p256-nsec.lab", "A"),
        ("x.names.between.p256-nsec.lab", "A"),
        ("names.between.p256-nsec3.lab", "A"),
        ("x.names.between.p256-nsec3.lab", "A"),
        ("names.between.p256-nsec3.lab", "DS"),
    ];
    for (name, record_type) in questions {
        world.cases.push(Case { name: name.into(), record_type: record_type.into() });
    }
}
