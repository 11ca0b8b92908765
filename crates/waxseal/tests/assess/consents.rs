//! Whom a DMARC record sends reports to, and how many of them are asked whether they take them.

use std::collections::BTreeSet;

use waxseal::{
    resolve::Clock,
    survey::{Depth, Scope},
};
use waxseal_core::{
    assess::{Consent, Survey, mail::consent::MOST_ASKED},
    domain::Domain,
};

use super::{file::File, world::World};

async fn survey(world: &World) -> Survey {
    let domain = Domain::parse("receiver.example").unwrap();
    let now = Clock::system().now();
    world.surveyor.survey(&domain, &Scope::new(Depth::DnsOnly), now).await
}

/// Attacker: a hostile domain that has reports sent to everybody, to send whoever checks it to them.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_are_to_get_reports_a_few_are_asked_and_the_rest_is_unknown() {
    // One string of TXT holds 255 octets.
    let uris = |letter: char, most: usize| {
        let all: Vec<_> = (0..most).map(|n| format!("mailto:x@{letter}{n}.y")).collect();
        all.join(",")
    };
    let record = format!("v=DMARC1;p=reject;rua={};ruf={}", uris('a', 10), uris('f', 5));
    assert!(record.len() < 256);
    let file: File = toml::from_str(&format!(
        "about = \"reports to everybody\"\n\
         [zone.\"receiver.example\"]\nrecords = [\"_dmarc TXT {record}\"]\n\
         [expect]\nlevel = \"none\"\nfindings = []\n"
    ))
    .unwrap();
    let world = World::start(&file).await;
    let survey = survey(&world).await;
    let domains = &survey.mail.dmarc.value().unwrap().report_domains;
    let (asked, rest) = domains.split_at(MOST_ASKED);
    assert_eq!(rest.len(), 5, "{domains:?}");
    assert!(asked.iter().all(|to| matches!(to.consent, Consent::Missing(_))), "{asked:?}");
    assert!(rest.iter().all(|to| matches!(to.consent, Consent::Unknown(_))), "{rest:?}");
    let questions = world.questions();
    let consents: BTreeSet<_> =
        questions.iter().filter(|name| name.contains("._report._dmarc.")).collect();
    assert_eq!(consents.len(), MOST_ASKED, "{consents:?}");
    assert!(!questions.iter().any(|name| name.contains("f1.y")), "{questions:?}");
}
