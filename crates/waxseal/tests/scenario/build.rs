//! What is written, built from the lab: zones, certificates, servers, attackers, policy hosts. The worlds
//! of a delivery and of an assessment are made of these.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use aws_lc_rs::digest::{SHA256, digest};
use waxseal_core::hello::{Version, WEAK_SUITES};
use waxseal_lab::{
    aged::Aged,
    attacker::Method,
    ca::{Ca, Identity, KeyKind, ServerKey, Speaks, Validity},
    dns::{Act, Algorithm, Data, Denial, Name, OptOut, Signing, Tampering, Zone, rcode, rtype},
    mx::{Fault, Personality, StartTls, Step},
    policy_host::{Answer, PolicyHost, PolicyPersonality, policy_text},
};

use super::file::{self, Host, Policy, Tls};

/// Whose mail all of it is about.
pub(crate) const DOMAIN: &str = "receiver.example";

/// What is written, with a TTL for what says none; `example` is signed, and `receiver.example` is always there.
pub(crate) fn zones(written: &BTreeMap<String, file::Zone>, ttl: u32) -> BTreeMap<String, Zone> {
    let mut zones = BTreeMap::from([("example".to_owned(), Zone::new("example").signed())]);
    let receiver = (DOMAIN, &file::Zone::default());
    let written = written.iter().map(|(name, zone)| (name.as_str(), zone));
    for (name, written) in std::iter::once(receiver).chain(written) {
        zones.insert(name.to_owned(), zone(name, written, ttl));
    }
    zones
}

fn zone(name: &str, written: &file::Zone, ttl: u32) -> Zone {
    let mut zone = Zone::new(name).ttl(written.ttl.unwrap_or(ttl));
    if written.signed {
        let mut signing = Signing::default();
        if let Some(iterations) = written.nsec3 {
            signing.denial = Denial::Nsec3 { iterations, salt: Vec::new(), opt_out: OptOut::No };
        }
        if let Some(hours) = written.expires_in {
            signing.validity = (-8 * 86_400, hours * 3_600);
        } else {
            signing.validity = (-86_400, 14 * 86_400);
        }
        if let Some(number) = written.algorithm {
            let algorithm = match number {
                8 => Algorithm::RsaSha256,
                10 => Algorithm::RsaSha512,
                15 => Algorithm::Ed25519,
                other => Algorithm::Unknown(other),
            };
            signing.algorithms = vec![algorithm];
        }
        zone = zone.signed_with(signing);
    }
    if written.servers || written.dead_servers {
        let last = if written.servers { [53, 54] } else { [97, 98] };
        zone = zone.servers(&[&format!("ns1.{name}"), &format!("ns2.{name}")]);
        for (server, last) in ["ns1", "ns2"].iter().zip(last) {
            zone.add(server, &Data::A(Ipv4Addr::new(192, 0, 2, last)));
        }
    }
    if written.denies_empty_names {
        zone = zone.denying_empty_names();
    }
    for number in 0..written.mx_records {
        let host = format!("h{number}.{name}");
        zone.add("@", &Data::mx(10, &host));
        zone.add(&format!("h{number}"), &Data::A(Ipv4Addr::LOCALHOST));
    }
    for record in &written.records {
        let (owner, data) = parse(record);
        zone.add(&owner, &data);
    }
    zone
}

/// Into the zone that holds the name.
fn put(zones: &mut BTreeMap<String, Zone>, name: &str, data: &Data) {
    let within = |zone: &String| Name::new(name).is_within(&Name::new(zone));
    let zone = zones.keys().filter(|zone| within(zone)).max_by_key(|zone| zone.len());
    let zone = zone.unwrap_or_else(|| panic!("no zone for {name}")).clone();
    zones.get_mut(&zone).unwrap().add(&format!("{name}."), data);
}

fn parse(record: &str) -> (String, Data) {
    let (owner, rest) = record.split_once(' ').unwrap();
    let (rtype, data) = rest.split_once(' ').unwrap();
    let data = match rtype {
        "A" => Data::A(data.parse().unwrap()),
        "AAAA" => Data::Aaaa(data.parse().unwrap()),
        "CNAME" => Data::Cname(data.into()),
        "DNAME" => Data::Dname(data.into()),
        "TXT" => Data::txt(data),
        "MX" => {
            let (preference, host) = data.split_once(' ').unwrap();
            Data::mx(preference.parse().unwrap(), host)
        }
        _ => panic!("{record}"),
    };
    (owner.to_owned(), data)
}

pub(super) fn number(rtype: &str) -> u16 {
    match rtype {
        "A" => rtype::A,
        "AAAA" => rtype::AAAA,
        "MX" => rtype::MX,
        "TXT" => rtype::TXT,
        "TLSA" => rtype::TLSA,
        _ => panic!("{rtype}"),
    }
}

/// The records of a host; answers where its port 25 is, as DNS says.
pub(crate) fn publish(zones: &mut BTreeMap<String, Zone>, host: &Host, number: u8) -> SocketAddr {
    let address = host.address.unwrap_or_else(|| Ipv4Addr::new(192, 0, 2, number).into());
    let data = match address {
        IpAddr::V4(address) => Data::A(address),
        IpAddr::V6(address) => Data::Aaaa(address),
    };
    put(zones, &host.name, &data);
    if let Some(preference) = host.mx {
        put(zones, DOMAIN, &Data::mx(preference, &host.name));
    }
    SocketAddr::new(address, 25)
}

/// The TLSA records of a host with these identities.
pub(crate) fn pin(
    zones: &mut BTreeMap<String, Zone>,
    host: &Host,
    (identity, others): (&Identity, &[Identity]),
    ca: &Ca,
) {
    for text in &host.tlsa {
        let data = tlsa(text, identity, others, ca);
        put(zones, &format!("_25._tcp.{}", host.name), &data);
    }
}

fn tlsa(text: &str, identity: &Identity, others: &[Identity], ca: &Ca) -> Data {
    let words: Vec<&str> = text.split(' ').collect();
    let number = |at: usize| words[at].parse().unwrap();
    let data = match words[3] {
        "key" => identity.spki_sha256.clone(),
        "second" => others[0].spki_sha256.clone(),
        "wrong" => vec![0x11; 32],
        "next" => vec![0x22; 32],
        "short" => vec![0x11; 31],
        "ca" => digest(&SHA256, ca.der()).as_ref().to_vec(),
        "cert" => digest(&SHA256, &identity.chain[0]).as_ref().to_vec(),
        other => vec![other.parse().unwrap(); 32],
    };
    Data::Tlsa { usage: number(0), selector: number(1), matching: number(2), data }
}

pub(crate) fn damage([name, rtype, act]: &[String; 3]) -> Tampering {
    let act = match act.as_str() {
        "servfail" => Act::Fail(rcode::SERVFAIL),
        "refused" => Act::Fail(rcode::REFUSED),
        "nxdomain" => Act::NxDomain,
        "no-data" => Act::NoData,
        "silence" => Act::Drop,
        "strip-signatures" => Act::StripSignatures,
        "break-signatures" => Act::BreakSignatures,
        "forged-mx" => Act::Replace(vec![Data::mx(10, "mx.attacker.example")]),
        _ => panic!("{act}"),
    };
    match rtype.as_str() {
        "*" => Tampering::all(name, act),
        rtype => Tampering::only(name, number(rtype), act),
    }
}

/// What it shows, and its other identities.
pub(crate) fn identity(ca: &Ca, host: &Host) -> (Identity, Vec<Identity>) {
    let kinds = if host.keys.is_empty() { vec!["ecdsa".to_owned()] } else { host.keys.clone() };
    let names = [if host.tls == Tls::WrongName { "elsewhere.example" } else { &*host.name }];
    let validity = match (host.tls, host.days) {
        (Tls::Expired, _) => Validity::Expired,
        (_, Some(days)) => Validity::Days(days),
        (_, None) => Validity::Current,
    };
    let mut all = kinds.iter().map(|kind| {
        let kind = match kind.as_str() {
            "ecdsa" => KeyKind::Ecdsa,
            "rsa" => KeyKind::Rsa,
            "ed25519" => KeyKind::Ed25519,
            other => panic!("{other}"),
        };
        let key = ServerKey::of(kind).unwrap();
        if host.tls == Tls::SelfSigned {
            Identity::self_signed(&key, &names, validity).unwrap()
        } else {
            ca.issue(&key, &names, validity).unwrap()
        }
    });
    let mut first = all.next().unwrap();
    let others: Vec<Identity> = all.collect();
    for other in &others {
        first = first.or(other).unwrap();
    }
    let first = match host.speaks.as_deref() {
        None => first,
        Some("1.2") => first.speaking(Speaks::V1_2).unwrap(),
        Some("1.3") => first.speaking(Speaks::V1_3).unwrap(),
        Some("classic") => first.speaking(Speaks::Classic).unwrap(),
        Some(other) => panic!("{other}"),
    };
    (first, others)
}

/// The TLS of a server of ours.
pub(crate) fn starttls(host: &Host, identity: Identity) -> StartTls {
    if let Some(written) = &host.aged {
        return StartTls::Aged((!written.alone).then_some(identity), aged(written));
    }
    match host.tls {
        Tls::None => StartTls::Absent,
        Tls::Tls10 => StartTls::Legacy,
        Tls::HugeCertificate => StartTls::HugeCertificate(1_000_000),
        Tls::SelfSigned | Tls::Public | Tls::Expired | Tls::WrongName | Tls::Dead => {
            StartTls::Works(identity)
        }
    }
}

fn aged(written: &file::Aged) -> Aged {
    let versions = written.versions.iter().map(|name| match name.as_str() {
        "SSLv3" => Version::Ssl3.number(),
        "TLSv1.0" => Version::V1_0.number(),
        "TLSv1.1" => Version::V1_1.number(),
        "TLSv1.2" => Version::V1_2.number(),
        other => panic!("{other}"),
    });
    let suites = written.suites.iter().map(|name| {
        let known = WEAK_SUITES.iter().find(|(_, known, _)| known == name);
        known.unwrap_or_else(|| panic!("{name}")).0
    });
    Aged { versions: versions.collect(), suites: suites.collect() }
}

pub(crate) fn personality(host: &Host, starttls: StartTls) -> Personality {
    let mut personality = Personality::new(&host.name, starttls);
    if host.requiretls {
        personality = personality.requiretls();
    }
    let Some([step, fault]) = &host.fault else { return personality };
    let step = match step.as_str() {
        "greeting" => Step::Greeting,
        "ehlo" => Step::Ehlo,
        "starttls" => Step::StartTls,
        "mail" => Step::Mail,
        "rcpt" => Step::Rcpt,
        "data" => Step::Data,
        "dot" => Step::Dot,
        _ => panic!("{step}"),
    };
    let fault = match fault.as_str() {
        "close" => Fault::Close,
        "silence" => Fault::Silence,
        "endless-line" => Fault::EndlessLine,
        "endless-reply" => Fault::EndlessReply(if step == Step::Greeting { 220 } else { 250 }),
        reply => Fault::Reply(reply.to_owned()),
    };
    personality.failing(step, fault)
}

/// What who sits before a host does.
pub(crate) fn method(host: &Host, ca: &Ca) -> Method {
    let key = ServerKey::generate().unwrap();
    let name = host.name.as_str();
    match host.attacker.as_deref() {
        None => Method::Absent,
        Some("eavesdrop") => Method::Eavesdrop,
        Some("strip-starttls") => Method::StripStartTls,
        Some("inject-after-starttls") => Method::InjectAfterStartTls,
        Some("self-signed") => {
            Method::Impersonate(Identity::self_signed(&key, &[name], Validity::Current).unwrap())
        }
        Some("misissued-cert") => {
            Method::Impersonate(ca.issue(&key, &[name], Validity::Current).unwrap())
        }
        Some(other) => panic!("{other}"),
    }
}

/// The policy host of the domain, and the records that lead to it.
pub(crate) async fn announce(
    written: &Policy,
    ca: &Ca,
    zones: &mut BTreeMap<String, Zone>,
    map: &mut HashMap<SocketAddr, SocketAddr>,
) -> PolicyHost {
    let address = Ipv4Addr::new(198, 51, 100, 1);
    let record = written.record.as_deref().unwrap_or("v=STSv1; id=1;");
    put(zones, &format!("_mta-sts.{DOMAIN}"), &Data::txt(record));
    put(zones, &format!("mta-sts.{DOMAIN}"), &Data::A(address));
    let host =
        PolicyHost::start(policy_host(written, written.answer.as_deref(), ca)).await.unwrap();
    map.insert((address, 443).into(), host.addr());
    host
}

/// The second address of the policy host, where there is one.
pub(crate) async fn second_policy_host(
    written: &Policy,
    ca: &Ca,
    zones: &mut BTreeMap<String, Zone>,
    map: &mut HashMap<SocketAddr, SocketAddr>,
) -> Option<PolicyHost> {
    let second = written.second.clone()?;
    let address = Ipv4Addr::new(198, 51, 100, 2);
    put(zones, &format!("mta-sts.{DOMAIN}"), &Data::A(address));
    let host = PolicyHost::start(policy_host(written, Some(&second), ca)).await.unwrap();
    map.insert((address, 443).into(), host.addr());
    Some(host)
}

fn policy_host(written: &Policy, answer: Option<&str>, ca: &Ca) -> PolicyPersonality {
    let key = ServerKey::generate().unwrap();
    let name = format!("mta-sts.{DOMAIN}");
    let wrong = answer == Some("wrong-certificate");
    let identity = if wrong {
        Identity::self_signed(&key, &[&name], Validity::Current)
    } else {
        ca.issue(&key, &[&name], Validity::Current)
    };
    let text = written.text.clone();
    let answer = match answer {
        None | Some("policy" | "wrong-certificate") => Answer::Policy(text),
        Some("not-found") => Answer::NotFound,
        Some("redirect") => Answer::Redirect(format!("https://{name}/elsewhere")),
        Some("html") => Answer::MediaType("text/html".to_owned(), text),
        Some("huge") => Answer::Huge(200_000),
        Some("blocked") => Answer::Blocked,
        Some("another-policy") => Answer::Policy(policy_text("enforce", &["mx9.receiver.example"])),
        Some(other) => panic!("{other}"),
    };
    PolicyPersonality { identity: identity.unwrap(), answer }
}
