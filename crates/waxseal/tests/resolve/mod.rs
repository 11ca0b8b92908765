//! The resolver against the lab's DNS: what a user of it can notice.

mod command;
mod transports;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use tokio::net::UdpSocket;
use waxseal::resolve::{
    Clock, Exchange, Health, Resolver, Settings, Transport, Upstream, upstreams_of,
};
use waxseal_core::{
    dns::{Absence, Answer, Authenticity, Denial, FailureKind, Proof},
    dnssec::{Anchors, Bundle, Memo, Name, Question, RecordType, Step, validate},
    domain::Domain,
    evidence::BlobId,
    time::UnixTime,
};
use waxseal_lab::dns::{
    Act, Algorithm, Data, Delegation, DnsServer, Signing, Tampering, Tree, Zone, rtype,
};

fn domain(name: &str) -> Domain {
    Domain::parse(name).unwrap()
}

fn upstream(address: SocketAddr) -> Upstream {
    Upstream { address, transport: Transport::Udp }
}

async fn world() -> DnsServer {
    let tlsa = Data::Tlsa { usage: 3, selector: 1, matching: 1, data: vec![7; 32] };
    let tree = Tree::build(vec![
        Zone::new("test").signed(),
        Zone::new("good.test")
            .signed()
            .record("@", &Data::mx(20, "mx2.good.test"))
            .record("@", &Data::mx(10, "mx1.good.test"))
            .record("mx1", &Data::A([192, 0, 2, 1].into()))
            .record("mx1", &Data::Aaaa("2001:db8::1".parse().unwrap()))
            .record("mx2", &Data::A([192, 0, 2, 2].into()))
            .record("_25._tcp.mx1", &tlsa)
            .record("www", &Data::Cname("mx1.good.test".into()))
            .record("out", &Data::Cname("host.plain.test".into()))
            .record("text", &Data::Txt(vec!["v=STSv1; ".into(), "id=1;".into()]))
            .record("null", &Data::mx(0, ".")),
        Zone::new("plain.test")
            .record("@", &Data::mx(10, "host.plain.test"))
            .record("host", &Data::A([192, 0, 2, 9].into()))
            .record("back", &Data::Cname("mx1.good.test".into())),
        Zone::new("late.test")
            .signed_with(Signing { validity: (-700_000, -260_000), ..Signing::default() })
            .record("@", &Data::A([192, 0, 2, 3].into())),
        Zone::new("wrong.test")
            .signed()
            .delegation(Delegation::WrongDigest)
            .record("@", &Data::A([192, 0, 2, 4].into())),
    ])
    .unwrap();
    DnsServer::start(tree).await.unwrap()
}

fn settings(server: &DnsServer) -> Settings {
    let mut settings = Settings::new(vec![upstream(server.addr())]);
    settings.anchors = Anchors::parse(&server.root_ds()).unwrap();
    settings.patience = Duration::from_millis(200);
    settings
}

fn resolver(server: &DnsServer) -> Resolver {
    Resolver::new(settings(server))
}

#[tokio::test]
async fn a_signed_zone_is_secure_and_brings_its_proof() {
    let server = world().await;
    let found = resolver(&server).mx(&domain("good.test")).await;
    let Answer::Found { value, authenticity, chain, .. } = &found.answer else {
        panic!("{found:?}")
    };
    assert_eq!(*authenticity, Authenticity::Secure);
    let hosts: Vec<_> = value.iter().map(|mx| (mx.preference, mx.exchange.clone())).collect();
    let host = |name| Exchange::Host(domain(name));
    assert_eq!(hosts, [(10, host("mx1.good.test")), (20, host("mx2.good.test"))]);
    assert_eq!(found.because, "validated from the root down");
    let bytes = found.chain.as_deref().unwrap();
    assert_eq!(*chain, Some(BlobId::of(bytes)));

    // The proof alone, years later in an audit, at the time of the record.
    let question = Question::new(Name::from(&domain("good.test")), RecordType::MX);
    let bundle = Bundle::from_proof(bytes).unwrap();
    let anchors = Anchors::parse(&server.root_ds()).unwrap();
    let now = Clock::system().now();
    let Step::Done(again) = validate(&question, &bundle, &anchors, now, &Memo::new()) else {
        panic!("a recorded proof needs nothing more")
    };
    assert_eq!((again.proof, again.proof_bytes.as_slice()), (Proof::Secure, bytes));
}

#[tokio::test]
async fn both_address_families_come_together_and_a_failing_one_is_left_out() {
    let server = world().await;
    let found = resolver(&server).addresses(&domain("mx1.good.test")).await;
    let expected: Vec<IpAddr> = vec![[192, 0, 2, 1].into(), "2001:db8::1".parse().unwrap()];
    assert_eq!(found.answer.value(), Some(&expected));
    assert!(found.answer.is_secure());

    server.tamper(Tampering::only("mx1.good.test", rtype::AAAA, Act::Fail(2)));
    let found = resolver(&server).addresses(&domain("mx1.good.test")).await;
    assert_eq!(found.answer.value(), Some(&expected[..1].to_vec()));
    assert!(found.answer.is_secure());
    assert!(found.because.contains("AAAA is left out"), "{}", found.because);

    server.restore();
    server.tamper(Tampering::only("mx1.good.test", rtype::A, Act::Fail(2)));
    server.tamper(Tampering::only("mx1.good.test", rtype::AAAA, Act::Fail(2)));
    let found = resolver(&server).addresses(&domain("mx1.good.test")).await;
    assert!(matches!(&found.answer, Answer::Failed(why) if why.kind == FailureKind::ServFail));
}

#[tokio::test]
async fn texts_are_joined_and_records_have_their_meaning() {
    let server = world().await;
    let resolver = resolver(&server);
    let text = resolver.txt(&domain("text.good.test")).await;
    assert_eq!(text.answer.value(), Some(&vec![b"v=STSv1; id=1;".to_vec()]));
    let tlsa = resolver.tlsa(&domain("_25._tcp.mx1.good.test")).await;
    assert!(tlsa.answer.is_secure());
    assert_eq!(tlsa.answer.value().unwrap()[0].to_string()[..6], *"3 1 1 ");
    let null = resolver.mx(&domain("null.good.test")).await;
    assert_eq!(null.answer.value().unwrap()[0].exchange, Exchange::Null);
}

#[tokio::test]
async fn each_alias_step_says_how_sure_it_is() {
    let server = world().await;
    let resolver = resolver(&server);
    let inside = resolver.addresses(&domain("www.good.test")).await;
    assert!(inside.answer.is_secure());
    assert_eq!(inside.secure_expansion(), Some(domain("mx1.good.test")));

    let out = resolver.lookup(&domain("out.good.test"), RecordType::A).await;
    assert!(matches!(out.answer, Answer::Found { authenticity: Authenticity::Insecure, .. }));
    assert_eq!(out.aliases[0].authenticity, Authenticity::Secure);
    assert_eq!(out.secure_expansion(), Some(domain("host.plain.test")));

    let back = resolver.lookup(&domain("back.plain.test"), RecordType::A).await;
    assert!(!back.answer.is_secure(), "an insecure alias taints its secure target");
    assert_eq!(back.aliases[0].authenticity, Authenticity::Insecure);
    assert_eq!(back.secure_expansion(), None);
    assert_eq!(back.expansion(), Some(domain("mx1.good.test")));
}

#[tokio::test]
async fn absence_has_a_quality() {
    let server = world().await;
    let resolver = resolver(&server);
    let kind = |answer: &Answer<_>| match answer {
        Answer::Absent { denial, absence, .. } => (*denial, *absence),
        Answer::Found { .. } | Answer::Failed(_) => panic!("{answer:?}"),
    };
    let no_name = resolver.lookup(&domain("nothing.good.test"), RecordType::A).await;
    assert_eq!(kind(&no_name.answer), (Denial::NxDomain, Absence::Secure));
    let no_type = resolver.lookup(&domain("mx2.good.test"), RecordType::AAAA).await;
    assert_eq!(kind(&no_type.answer), (Denial::NoData, Absence::Secure));
    let unsigned = resolver.lookup(&domain("nothing.plain.test"), RecordType::A).await;
    assert_eq!(kind(&unsigned.answer), (Denial::NxDomain, Absence::Unconfirmed));
    assert!(unsigned.because.contains("delegates plain.test unsigned"), "{}", unsigned.because);
}

/// Attacker on the path: whatever is damaged is a failure with its reason, never insecure.
#[tokio::test]
async fn an_attacker_on_the_path_gets_a_failure_and_not_a_downgrade() {
    let server = world().await;
    let acts = [
        (Act::StripSignatures, "no RRSIG"),
        (Act::BreakSignatures, "does not match its records"),
        (Act::Replace(vec![Data::mx(1, "evil.test")]), "does not match its records"),
        (Act::Forge(vec![Data::mx(1, "evil.test")]), "no RRSIG"),
        (Act::NxDomain, "no signed NSEC"),
        (Act::NoData, "no signed NSEC"),
    ];
    for (act, reason) in acts {
        server.restore();
        server.tamper(Tampering::only("good.test", rtype::MX, act.clone()));
        let found = resolver(&server).mx(&domain("good.test")).await;
        let Answer::Failed(why) = &found.answer else { panic!("{act:?}: {found:?}") };
        assert_eq!(why.kind, FailureKind::Bogus, "{act:?}");
        assert!(why.detail.contains(reason), "{act:?}: {}", why.detail);
    }
}

/// Attacker on the path: hides DS records, so that a signed zone looks unsigned.
#[tokio::test]
async fn a_ds_record_cannot_be_taken_away() {
    let server = world().await;
    for act in [Act::NoData, Act::NxDomain, Act::StripSignatures, Act::StripDenial] {
        server.restore();
        server.tamper(Tampering::only("good.test", rtype::DS, act.clone()));
        server.tamper(Tampering::only("good.test", rtype::MX, Act::StripSignatures));
        let found = resolver(&server).mx(&domain("good.test")).await;
        assert!(
            matches!(&found.answer, Answer::Failed(why) if why.kind == FailureKind::Bogus),
            "{act:?}: {found:?}"
        );
    }
}

#[tokio::test]
async fn expired_and_mismatching_zones_say_what_is_wrong() {
    let server = world().await;
    let resolver = resolver(&server);
    let late = resolver.lookup(&domain("late.test"), RecordType::A).await;
    assert!(late.because.ends_with("expired 3 days ago"), "{}", late.because);
    let wrong = resolver.lookup(&domain("wrong.test"), RecordType::A).await;
    assert_eq!(wrong.because, "no DNSKEY of wrong.test matches what vouches for it above");
}

#[tokio::test]
async fn a_failing_upstream_is_a_failure_of_its_kind() {
    let server = world().await;
    server.tamper(Tampering::all("good.test", Act::Fail(2)));
    server.tamper(Tampering::all("plain.test", Act::Fail(5)));
    let resolver = resolver(&server);
    let kind = |answer: Answer<_>| match answer {
        Answer::Failed(why) => why.kind,
        Answer::Found { .. } | Answer::Absent { .. } => panic!("{answer:?}"),
    };
    assert_eq!(kind(resolver.mx(&domain("good.test")).await.answer), FailureKind::ServFail);
    assert_eq!(kind(resolver.mx(&domain("plain.test")).await.answer), FailureKind::Refused);
}

#[tokio::test]
async fn a_name_that_stalls_fails_alone() {
    let server = world().await;
    server.tamper(Tampering::all("good.test", Act::Drop));
    let mut settings = settings(&server);
    settings.deadline = Duration::from_millis(600);
    let resolver = Resolver::new(settings);
    let (stalled_name, plain_name) = (domain("good.test"), domain("plain.test"));
    let stalled = resolver.mx(&stalled_name);
    let (stalled, plain) = tokio::join!(stalled, resolver.mx(&plain_name));
    assert!(matches!(&stalled.answer, Answer::Failed(why) if why.kind == FailureKind::Timeout));
    assert!(plain.answer.value().is_some());
}

#[tokio::test]
async fn an_upstream_that_never_answers_does_not_fail_a_lookup() {
    let server = world().await;
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut settings = settings(&server);
    settings.upstreams.insert(0, upstream(silent.local_addr().unwrap()));
    let found = Resolver::new(settings).mx(&domain("good.test")).await;
    assert!(found.answer.is_secure(), "{found:?}");
}

#[tokio::test]
async fn one_forging_upstream_is_outvoted_by_signatures() {
    let (honest, forging) = (world().await, world().await);
    forging.tamper(Tampering::all("good.test", Act::Forge(vec![Data::mx(1, "evil.test")])));
    // Both serve the same tree only where the keys are the same, so the forger's answers never
    // validate under the honest anchor.
    let mut settings = settings(&honest);
    settings.upstreams.insert(0, upstream(forging.addr()));
    let resolver = Resolver::new(settings);
    assert!(matches!(resolver.probe().await, Health::Validating { .. }));
    let found = resolver.mx(&domain("good.test")).await;
    assert!(found.answer.is_secure() || matches!(found.answer, Answer::Failed(_)), "{found:?}");
    assert_ne!(
        found.answer.value().map(|hosts| hosts[0].exchange.clone()),
        Some(Exchange::Host(domain("evil.test")))
    );
}

/// Attacker on the path, or a home router: takes all signatures out.
#[tokio::test]
async fn an_upstream_that_strips_signatures_is_named_in_one_line() {
    let server = world().await;
    server.tamper(Tampering::all(".", Act::StripSignatures));
    let resolver = resolver(&server);
    let Health::Broken { kind, line } = resolver.probe().await else { panic!("healthy") };
    assert_eq!(kind, FailureKind::SignaturesStripped);
    assert!(line.contains("takes DNSSEC signatures out") && !line.contains('\n'), "{line}");
    let found = resolver.mx(&domain("plain.test")).await;
    assert!(
        matches!(&found.answer, Answer::Failed(why) if why.kind == FailureKind::SignaturesStripped),
        "without validation nothing is insecure: {found:?}"
    );
    server.restore();
    assert_eq!(resolver.probe().await, Health::Validating { warnings: vec![] });
    assert!(resolver.mx(&domain("plain.test")).await.answer.value().is_some());
}

/// The root has a key that our anchors do not know: it still validates by the old one, and the
/// operator hears of it before the old one is gone. Then nothing validates, and the line says why.
#[tokio::test]
async fn a_root_key_that_no_anchor_names_is_announced_before_it_signs_alone() {
    let algorithms = vec![Algorithm::P256, Algorithm::Ed25519];
    let root = Zone::new(".").signed_with(Signing { algorithms, ..Signing::default() });
    let server = DnsServer::start(Tree::build(vec![root]).unwrap()).await.unwrap();
    let all = server.root_ds();
    let lines: Vec<_> = all.lines().collect();
    let [old, new] = lines[..] else { panic!("{all}") };
    let mut settings = settings(&server);
    assert_eq!(
        Resolver::new(settings.clone()).probe().await,
        Health::Validating { warnings: vec![] }
    );
    settings.anchors = Anchors::parse(old).unwrap();
    let Health::Validating { warnings } = Resolver::new(settings.clone()).probe().await else {
        panic!("one key is enough")
    };
    let tag = new.split(" DS ").nth(1).unwrap().split(' ').next().unwrap();
    let said = format!("zone . announces key {tag}, which no trust anchor names");
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].to_string().starts_with(&said), "{warnings:?}");
    settings.anchors = Anchors::iana();
    let Health::Broken { kind, line } = Resolver::new(settings).probe().await else {
        panic!("these are not the keys of this root")
    };
    assert_eq!(kind, FailureKind::Bogus);
    assert!(line.contains("update Waxseal") && line.contains("trust_anchors"), "{line}");
}

#[tokio::test]
async fn a_wrong_clock_is_named_instead_of_a_bogus_world() {
    let server = world().await;
    let now = Clock::system().now();
    let week = Duration::from_secs(8 * 86_400);
    for wrong in [now + week, now.before(week)] {
        let mut settings = settings(&server);
        settings.clock = Clock::fixed(wrong);
        let resolver = Resolver::new(settings);
        let found = resolver.mx(&domain("good.test")).await;
        let Answer::Failed(why) = found.answer else { panic!("{found:?}") };
        assert_eq!(why.kind, FailureKind::Clock);
        assert!(why.detail.contains("clock of this machine is wrong"), "{}", why.detail);
    }
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    drop(socket);
    let resolver = Resolver::new(Settings::new(vec![upstream(address)]));
    let Health::Broken { kind, line } = resolver.probe().await else { panic!("healthy") };
    assert_eq!(kind, FailureKind::Unreachable, "{line}");
    assert!(line.contains(&address.to_string()), "{line}");
}

#[tokio::test]
async fn answers_are_kept_until_their_time_is_over() {
    let server = world().await;
    let mut settings = settings(&server);
    let clock = Clock::fixed(Clock::system().now());
    settings.clock = clock.clone();
    let resolver = Resolver::new(settings);
    let name = domain("good.test");
    assert!(resolver.mx(&name).await.answer.is_secure());
    let asked = server.questions().len();
    assert!(resolver.mx(&name).await.answer.is_secure());
    assert_eq!(server.questions().len(), asked, "the second lookup asks nobody");
    clock.set(UnixTime(clock.now().0 + 301));
    assert!(resolver.mx(&name).await.answer.is_secure());
    assert!(server.questions().len() > asked, "after the TTL it asks again");
}

#[tokio::test]
async fn the_same_question_at_the_same_time_is_asked_once() {
    let server = world().await;
    let resolver = Arc::new(resolver(&server));
    resolver.probe().await;
    let before = server.questions().len();
    let name = domain("good.test");
    let lookups: Vec<_> = (0..20)
        .map(|_| {
            let (resolver, name) = (Arc::clone(&resolver), name.clone());
            tokio::spawn(async move { resolver.mx(&name).await })
        })
        .collect();
    for lookup in lookups {
        assert!(lookup.await.unwrap().answer.is_secure());
    }
    let asked = server.questions().split_off(before);
    let mx = asked.iter().filter(|question| question.rtype == rtype::MX).count();
    assert_eq!(mx, 1, "{asked:?}");
}

/// Attacker: on the path to a zone that nobody signs. Whoever asks anew sees what is answered now,
/// asks once for it, and leaves it for the others.
#[tokio::test]
async fn whoever_asks_anew_sees_what_changed_and_others_learn_of_it() {
    let server = world().await;
    let resolver = resolver(&server);
    let host = domain("host.plain.test");
    let first = |lookup: waxseal::resolve::Lookup<Vec<IpAddr>>| match lookup.answer {
        Answer::Found { value, .. } => value.first().copied(),
        Answer::Absent { .. } | Answer::Failed(_) => None,
    };
    let (old, new) = (IpAddr::from([192, 0, 2, 9]), IpAddr::from([192, 0, 2, 66]));
    assert_eq!(first(resolver.addresses(&host).await), Some(old));
    let moved = Act::Replace(vec![Data::A([192, 0, 2, 66].into())]);
    server.tamper(Tampering::only("host.plain.test", rtype::A, moved));
    assert_eq!(first(resolver.addresses(&host).await), Some(old), "its TTL is not over");
    let anew = resolver.anew();
    assert_eq!(first(anew.addresses(&host).await), Some(new));
    let asked = server.questions().len();
    assert_eq!(first(anew.addresses(&host).await), Some(new));
    assert_eq!(first(resolver.addresses(&host).await), Some(new));
    assert_eq!(server.questions().len(), asked, "once for all");
}

/// Attacker: on the path, lets nothing through while somebody asks anew. What was known before holds
/// on for everybody else.
#[tokio::test]
async fn a_question_asked_anew_in_vain_takes_no_answer_away() {
    let server = world().await;
    let resolver = resolver(&server);
    let name = domain("good.test");
    assert!(resolver.mx(&name).await.answer.is_secure());
    for act in [Act::Fail(2), Act::BreakSignatures] {
        server.restore();
        server.tamper(Tampering::all("good.test", act));
        assert!(matches!(resolver.anew().mx(&name).await.answer, Answer::Failed(_)));
        let asked = server.questions().len();
        assert!(resolver.mx(&name).await.answer.is_secure());
        assert_eq!(server.questions().len(), asked);
    }
}

#[tokio::test]
async fn the_cache_stays_within_its_bound() {
    let server = world().await;
    let mut settings = settings(&server);
    settings.cache_entries = 20;
    let resolver = Resolver::new(settings);
    for number in 0..60 {
        resolver.lookup(&domain(&format!("n{number}.good.test")), RecordType::A).await;
    }
    assert!(resolver.cached_answers() <= 20, "{}", resolver.cached_answers());
}

#[test]
fn resolv_conf_is_read_as_the_c_library_does() {
    let text = "# comment\nsearch example.com\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\n\
                nameserver nonsense\noptions edns0\n";
    let addresses: Vec<String> =
        upstreams_of(text).iter().map(|upstream| upstream.address.to_string()).collect();
    assert_eq!(addresses, ["192.0.2.53:53", "[fe80::1]:53"]);
}

/// Attacker: a hostile zone with an answer of 40 KiB for each of its names. They take no more memory than small
/// ones: each is as many of the places that are configured as it has pieces of 4 KiB.
#[tokio::test]
async fn large_answers_take_the_places_of_many_small_ones() {
    let text = |size: usize| Data::Txt(vec!["x".repeat(250); size]);
    let mut zone = Zone::new("hostile.test");
    for n in 0..40 {
        zone.add(&format!("small{n}"), &text(1));
        zone.add(&format!("large{n}"), &text(160));
    }
    let tree = Tree::build(vec![Zone::new("test").signed(), zone]).unwrap();
    let server = DnsServer::start(tree).await.unwrap();
    let resolver = Resolver::new(Settings { cache_entries: 200, ..settings(&server) });
    let asked_again = async |size: &str| {
        let mut asked = Vec::new();
        for _ in 0..2 {
            for n in 0..40 {
                let name = domain(&format!("{size}{n}.hostile.test"));
                assert!(resolver.txt(&name).await.answer.value().is_some(), "{name}");
            }
            let all = server.questions();
            asked.push(all.iter().filter(|one| one.rtype == rtype::TXT).count());
        }
        asked[1] - asked[0]
    };
    // There is room for all of the small ones, and twenty of 40 KiB fill 200 places.
    let (small, large) = (asked_again("small").await, asked_again("large").await);
    assert!(small < 20 && large >= 20, "{small} of the small ones, {large} of the large ones");
}
