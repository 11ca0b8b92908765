use super::*;
use crate::{
    secrets::{SecretSource, StoreKeys},
    store::{Access, Settings},
};

const NOW: UnixTime = UnixTime(1_800_000_000);
const HOUR: Duration = Duration::from_hours(1);

fn domain(nth: usize) -> Domain {
    Domain::parse(&format!("domain{nth}.example")).unwrap()
}

/// A look at each of so many domains, a few seconds apart; the first of them cannot be seen.
fn round(view: &mut View, (unseen, of): (usize, usize), at: UnixTime) -> Vec<Turn> {
    let look = |nth: usize| {
        let seeing = if nth < unseen { Seeing::Unseen } else { Seeing::Seen };
        view.take(&domain(nth), seeing, at + Duration::from_secs(2) * u32::try_from(nth).unwrap()).1
    };
    (0..of).filter_map(look).collect()
}

/// Our way out is cut for half a day and comes back: told once, when a second round sees nothing, and
/// once when it is over, whatever the number of domains.
#[test]
fn a_gateway_that_sees_nobody_says_so_once_and_once_that_it_is_over() {
    for of in [3, 5, 8, 40] {
        let mut view = View::default();
        assert_eq!(round(&mut view, (0, of), NOW), []);
        let mut turns = Vec::new();
        for hour in 1..12 {
            turns.extend(round(&mut view, (of, of), NOW + HOUR * hour));
            assert_eq!(turns.is_empty(), hour == 1, "one round may be a fault that passes");
        }
        let of_the_last = Unseen { count: turns_of(&turns[0]).count, of: of.min(NEWEST) };
        assert_eq!(turns, [Turn::Begins(of_the_last)], "{of}");
        assert!(of_the_last.count * 4 >= of_the_last.of * 3);
        let mut turns = Vec::new();
        for hour in 12..20 {
            turns.extend(round(&mut view, (0, of), NOW + HOUR * hour));
        }
        assert_eq!(turns, [Turn::Ends(of_the_last)], "{of}");
        assert_eq!(view.take(&domain(0), Seeing::Seen, NOW + HOUR * 20).0, Vantage::Clear);
    }
}

fn turns_of(turn: &Turn) -> Unseen {
    match turn {
        Turn::Begins(unseen) | Turn::Ends(unseen) => *unseen,
    }
}

/// A few domains that cannot be seen, for ever, are those domains' fault; and so is one that is not seen
/// once more while others are.
#[test]
fn a_minority_that_cannot_be_seen_is_not_our_fault() {
    let mut view = View::default();
    for hour in 0..48 {
        assert_eq!(round(&mut view, (5, 8), NOW + HOUR * hour), []);
        assert_eq!(view.take(&domain(7), Seeing::Seen, NOW + HOUR * hour).0, Vantage::Clear);
    }
}

/// A fault of a minute, which all domains show while one of them is never seen: nobody is told.
#[test]
fn a_fault_of_our_way_that_passes_is_not_told() {
    let mut view = View::default();
    for hour in 0..10 {
        let unseen = if hour == 5 { 5 } else { 1 };
        assert_eq!(round(&mut view, (unseen, 5), NOW + HOUR * hour), []);
    }
}

/// With one domain there is nothing to compare with: three looks in a row.
#[test]
fn a_single_domain_has_to_be_unseen_three_times() {
    let mut view = View::default();
    let turns: Vec<_> =
        (0..6).map(|hour| round(&mut view, (1, 1), NOW + HOUR * hour).len()).collect();
    assert_eq!(turns, [0, 0, 1, 0, 0, 0]);
    let turns: Vec<_> =
        (6..12).map(|hour| round(&mut view, (0, 1), NOW + HOUR * hour).len()).collect();
    assert_eq!(turns, [0, 0, 1, 0, 0, 0]);
}

/// A domain of ours that cannot be reached from where the gateway stands, for ever: as soon as others are
/// seen it is over, and it is not told again.
#[test]
fn a_domain_that_is_never_seen_is_no_fault_of_ours_once_others_are() {
    let mut view = View::default();
    let turns: Vec<_> =
        (0..5).flat_map(|hour| round(&mut view, (1, 1), NOW + HOUR * hour)).collect();
    let unseen = Unseen { count: 1, of: 1 };
    assert_eq!(turns, [Turn::Begins(unseen)]);
    let turns: Vec<_> =
        (5..50).flat_map(|hour| round(&mut view, (1, 3), NOW + HOUR * hour)).collect();
    assert_eq!(turns, [Turn::Ends(unseen)]);
}

/// Past the limit: only the last looks are kept, and what was seen long ago says nothing of now.
#[test]
fn only_the_last_looks_count() {
    let mut view = View::default();
    round(&mut view, (0, 1_000), NOW);
    assert_eq!(view.last.len(), NEWEST);
    view.take(&domain(0), Seeing::Unseen, NOW + OLD * 2);
    assert_eq!(view.last.len(), 1);
}

/// Words for the letter and the webhook: which machine, how many, and what to look at.
#[test]
fn the_alert_names_the_gateway_and_the_count() {
    let gateway = Domain::parse("gw.sender.example").unwrap();
    let begins = alert(&gateway, Turn::Begins(Unseen { count: 6, of: 8 }), NOW);
    assert_eq!(begins.subject(), "The gateway cannot look: gw.sender.example");
    let text = begins.text();
    assert!(text.contains("6 of the last 8 domains cannot be seen"), "{text}");
    assert!(text.contains("gw.sender.example is this gateway."), "{text}");
    assert!(!text.contains("waxseal check"), "{text}");
    let ends = alert(&gateway, Turn::Ends(Unseen { count: 6, of: 8 }), NOW);
    assert_eq!((ends.class(), ends.subject().as_str()), (None, "Over: gw.sender.example"));
}

fn store(folder: &std::path::Path) -> Store {
    let settings = Settings::new(folder.join("data"));
    let source = SecretSource::File(folder.join("store.key"));
    let keys = StoreKeys::load(&source, &settings.data_dir, &settings.database).unwrap();
    Store::open(settings, keys, Access::Serve).unwrap()
}

/// A restart in between: it is not told again, and its end is.
#[tokio::test]
async fn a_restart_tells_nothing_twice_and_the_end_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let turn = |outlook: &Outlook, seeing, hour| {
        outlook.take(&domain(0), seeing, NOW + HOUR * hour).1.map(|turn| turns_of(&turn))
    };
    let outlook = Outlook::default();
    outlook.load(&store, NOW).await.unwrap();
    let told: Vec<_> = (0..3).map(|hour| turn(&outlook, Seeing::Unseen, hour)).collect();
    let unseen = Unseen { count: 1, of: 1 };
    assert_eq!(told, [None, None, Some(unseen)]);
    let told = outlook.tell(&store, async |_| Ok(())).await.unwrap();
    assert_eq!(told, Some(Turn::Begins(unseen)));

    let again = Outlook::default();
    again.load(&store, NOW).await.unwrap();
    assert!((3..9).all(|hour| turn(&again, Seeing::Unseen, hour).is_none()));
    let over: Vec<_> = (9..12).map(|hour| turn(&again, Seeing::Seen, hour)).collect();
    assert_eq!(over, [None, None, Some(unseen)]);
    assert_eq!(again.tell(&store, async |_| Ok(())).await.unwrap(), Some(Turn::Ends(unseen)));
    assert_eq!(again.tell(&store, async |_| Ok(())).await.unwrap(), None, "told once");
}

/// The disk fails while it begins, and again when it is over: as soon as something can be kept it is told,
/// once. What begins and ends meanwhile is not.
#[tokio::test]
async fn what_could_not_be_kept_is_still_to_be_told() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let outlook = Outlook::default();
    let round = |seeing, hours: std::ops::Range<u32>| {
        for hour in hours {
            outlook.take(&domain(0), seeing, NOW + HOUR * hour);
        }
    };
    let tell = async |put: Result<(), StoreError>| outlook.tell(&store, async |_| put).await;
    let unseen = Unseen { count: 1, of: 1 };
    round(Seeing::Unseen, 0..3);
    assert!(tell(Err(StoreError::Closed)).await.is_err());
    assert!(tell(Err(StoreError::Closed)).await.is_err());
    assert_eq!(tell(Ok(())).await.unwrap(), Some(Turn::Begins(unseen)));
    assert_eq!(tell(Ok(())).await.unwrap(), None);
    round(Seeing::Seen, 3..6);
    assert!(tell(Err(StoreError::Closed)).await.is_err());
    assert_eq!(tell(Ok(())).await.unwrap(), Some(Turn::Ends(unseen)));
    round(Seeing::Unseen, 6..9);
    assert!(tell(Err(StoreError::Closed)).await.is_err());
    round(Seeing::Seen, 9..12);
    assert_eq!(tell(Ok(())).await.unwrap(), None, "it began and ended unheard of");
}

/// The accident: our way out is cut, but for the one to our own mail host in the next room, which is looked at
/// every hour while each partner has its look a day. That neither keeps it from being told nor ends it.
#[test]
fn our_own_host_in_the_next_room_hides_no_fault_of_the_way_out() {
    let mut view = View::default();
    let mut turns = Vec::new();
    for hour in 0..24 * 5_u32 {
        let now = NOW + HOUR * hour;
        turns.extend(view.take(&domain(7), Seeing::Seen, now).1);
        let partner = usize::try_from(hour % 24).unwrap();
        let seeing = if (24..96).contains(&hour) { Seeing::Unseen } else { Seeing::Seen };
        if partner.is_multiple_of(3) && partner < 21 {
            turns.extend(view.take(&domain(partner / 3), seeing, now).1);
        }
        if hour < 96 {
            assert!(turns.iter().all(|turn| matches!(turn, Turn::Begins(_))), "{hour}: {turns:?}");
        }
    }
    assert!(matches!(turns[..], [Turn::Begins(_), Turn::Ends(_)]), "{turns:?}");
}

/// Attacker on the path, near the gateway: keeps it from a domain of ours and from all partners, and lets it see
/// another one of ours in between, so that the looks that see nothing are never three in a row. Nothing is told
/// of a domain meanwhile because it cannot be seen: that is told of the gateway.
#[test]
fn one_domain_that_is_seen_in_between_hides_no_fault_of_the_way_out() {
    let mut view = View::default();
    round(&mut view, (0, 8), NOW);
    let mut turns = round(&mut view, (8, 8), NOW + HOUR);
    for hour in 2..24_u32 {
        let now = NOW + HOUR * hour;
        let (vantage, turn) = view.take(&domain(0), Seeing::Unseen, now);
        assert_eq!(vantage, Vantage::Blind, "{hour}");
        turns.extend(turn);
        turns.extend(view.take(&domain(1), Seeing::Seen, now).1);
    }
    assert!(matches!(turns[..], [Turn::Begins(_)]), "{turns:?}");
}
