use aws_lc_rs::{
    digest,
    signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
};

use super::*;

fn world() -> Tree {
    let filled = |zone: Zone| {
        zone.record("@", &Data::mx(10, "mx1.good.test"))
            .record("mx1", &Data::A([192, 0, 2, 1].into()))
            .record("alias", &Data::Cname("mx1.good.test".into()))
            .record("*.wild", &Data::txt("any"))
            .record("deep.empty", &Data::txt("below an empty name"))
            .record("moved", &Data::Dname("good.test".into()))
    };
    let nsec3 = |opt_out| Signing {
        denial: Denial::Nsec3 { iterations: 0, salt: Vec::new(), opt_out },
        ..Signing::default()
    };
    Tree::build(vec![
        Zone::new("test").signed_with(nsec3(OptOut::Yes)),
        filled(Zone::new("good.test")).signed(),
        filled(Zone::new("nsec3.test")).signed_with(nsec3(OptOut::No)),
        filled(Zone::new("plain.test")),
    ])
    .unwrap()
}

fn ask(tree: &Tree, name: &str, rtype: u16) -> Reply {
    tree.answer(&Name::new(name), rtype)
}

/// The DNSKEY data of a zone that a validator would trust, checked against the DS above it.
fn trusted_key(tree: &Tree, zone: &str) -> Vec<u8> {
    let keys = ask(tree, zone, rtype::DNSKEY).answer;
    let key = keys.iter().find(|rr| rr.rtype == rtype::DNSKEY).unwrap().rdata.clone();
    let hash = digest::digest(&digest::SHA256, &[Name::new(zone).wire(), key.clone()].concat());
    if zone == "." {
        let hex: String = hash.as_ref().iter().map(|octet| format!("{octet:02X}")).collect();
        assert!(tree.root_ds().contains(&hex), "anchor and root key differ");
    } else {
        let ds = ask(tree, zone, rtype::DS).answer;
        assert!(ds.iter().any(|rr| rr.rdata[4..] == *hash.as_ref()), "no DS of {zone} matches");
    }
    key
}

/// Checks each signature in a section; says how many there were.
fn check(tree: &Tree, section: &[Rr]) -> usize {
    let signatures = section.iter().filter(|rr| rr.rtype == rtype::RRSIG);
    let verify = |rrsig: &Rr| {
        let (zone, used) = Name::read(&rrsig.rdata[18..]).unwrap();
        let key = trusted_key(tree, &zone.to_string());
        let labels = usize::from(rrsig.rdata[3]);
        let mut owner = rrsig.owner.clone();
        if labels < owner.len() {
            owner = owner.suffix(labels).child("*");
        }
        let mut data = rrsig.rdata[..18 + used].to_vec();
        let covered = rrsig.covered().unwrap();
        for rr in section.iter().filter(|rr| rr.owner == rrsig.owner && rr.rtype == covered) {
            data.extend(owner.wire());
            data.extend(covered.to_be_bytes());
            data.extend([0, 1]);
            data.extend(&rrsig.rdata[4..8]);
            data.extend(u16::try_from(rr.rdata.len()).unwrap().to_be_bytes());
            data.extend(&rr.rdata);
        }
        let point = [&[4], &key[4..]].concat();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .verify(&data, &rrsig.rdata[18 + used..])
            .unwrap_or_else(|_| panic!("RRSIG of {} type {covered}", rrsig.owner));
    };
    signatures.map(verify).count()
}

#[test]
fn each_signature_leads_to_the_anchor() {
    let tree = world();
    for (name, rtype) in [
        ("good.test", rtype::MX),
        ("alias.good.test", rtype::A),
        ("x.y.wild.good.test", rtype::TXT),
        ("mx1.moved.good.test", rtype::A),
        ("x.y.wild.nsec3.test", rtype::TXT),
        ("good.test", rtype::DS),
        ("test", rtype::DNSKEY),
        (".", rtype::DNSKEY),
    ] {
        assert!(check(&tree, &ask(&tree, name, rtype).answer) > 0, "{name} is not signed");
    }
}

#[test]
fn absence_is_proven() {
    let tree = world();
    // Name, type, NXDOMAIN or not, and how many denial records a validator needs.
    for (name, rtype, rcode, denials) in [
        ("none.good.test", rtype::A, rcode::NXDOMAIN, 2),
        ("mx1.good.test", rtype::AAAA, rcode::NOERROR, 1),
        ("empty.good.test", rtype::A, rcode::NOERROR, 1),
        ("x.wild.good.test", rtype::A, rcode::NOERROR, 1),
        ("none.nsec3.test", rtype::A, rcode::NXDOMAIN, 3),
        ("mx1.nsec3.test", rtype::AAAA, rcode::NOERROR, 1),
        ("empty.nsec3.test", rtype::A, rcode::NOERROR, 1),
        // Here one NSEC3 both matches the closest encloser and covers the next closer name.
        ("x.wild.nsec3.test", rtype::A, rcode::NOERROR, 2),
        ("plain.test", rtype::DS, rcode::NOERROR, 2),
    ] {
        let reply = ask(&tree, name, rtype);
        assert_eq!(reply.rcode, rcode, "{name}");
        let is_denial = |rr: &&Rr| matches!(rr.rtype, rtype::NSEC | rtype::NSEC3);
        assert_eq!(reply.authority.iter().filter(is_denial).count(), denials, "{name}");
        assert_eq!(check(&tree, &reply.authority), denials + 1, "{name}: SOA and each denial");
    }
}

#[test]
fn an_unsigned_zone_has_no_signatures() {
    let reply = ask(&world(), "plain.test", rtype::MX);
    assert_eq!(reply.answer.len(), 1);
    assert!(reply.answer.iter().all(|rr| rr.rtype == rtype::MX));
}

fn question(name: &str, rtype: u16, size: u16) -> Vec<u8> {
    let mut out = vec![7, 7, 1, 0x10, 0, 1, 0, 0, 0, 0, 0, 1];
    out.extend(Name::new(name).wire());
    out.extend(rtype.to_be_bytes());
    out.extend([0, 1, 0, 0, 41]);
    out.extend(size.to_be_bytes());
    out.extend([0, 0, 0x80, 0, 0, 0]);
    out
}

async fn over_udp(server: &DnsServer, question: &[u8]) -> Vec<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(question, server.addr()).await.unwrap();
    let mut answer = vec![0; 65_535];
    let len = socket.recv(&mut answer).await.unwrap();
    answer.truncate(len);
    answer
}

#[tokio::test]
async fn a_long_answer_is_truncated_and_complete_over_tcp() {
    let server = DnsServer::start(world()).await.unwrap();
    let question = question("none.nsec3.test", rtype::A, 512);
    let short = over_udp(&server, &question).await;
    assert_eq!(short[2] & 2, 2, "TC");
    let mut stream = TcpStream::connect(server.addr()).await.unwrap();
    stream.write_u16(u16::try_from(question.len()).unwrap()).await.unwrap();
    stream.write_all(&question).await.unwrap();
    let len = stream.read_u16().await.unwrap();
    let mut answer = vec![0; usize::from(len)];
    stream.read_exact(&mut answer).await.unwrap();
    assert!(answer.len() > 512);
    assert_eq!(answer[3] & 0x0f, rcode::NXDOMAIN);
    let asked = Question { name: "none.nsec3.test.".to_owned(), rtype: rtype::A };
    assert_eq!(server.questions(), [asked.clone(), asked]);
}

/// Attacker on the path: damages the answers of one domain and of no other.
#[tokio::test]
async fn damage_stays_within_its_domain() {
    let server = DnsServer::start(world()).await.unwrap();
    let (good, other) =
        (question("good.test", rtype::MX, 1_232), question("nsec3.test", rtype::MX, 1_232));
    let before = over_udp(&server, &good).await;
    let healthy = over_udp(&server, &other).await;
    server.tamper(Tampering::all("good.test", Act::StripSignatures));
    let stripped = over_udp(&server, &good).await;
    assert!(stripped.len() < before.len());
    assert_eq!(over_udp(&server, &other).await, healthy);
    server.restore();
    assert_eq!(over_udp(&server, &good).await, before);
    server.tamper(Tampering::only("good.test", rtype::MX, Act::Fail(rcode::SERVFAIL)));
    assert_eq!(over_udp(&server, &good).await[3] & 0x0f, rcode::SERVFAIL);
    server.restore();
    server.tamper(Tampering::only("good.test", rtype::MX, Act::NxDomain));
    assert_eq!(over_udp(&server, &good).await[3] & 0x0f, rcode::NXDOMAIN);
}
