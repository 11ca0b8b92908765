use super::*;
use crate::{
    secrets::{SecretSource, StoreKeys},
    store::{Access, Settings},
};

const NOW: UnixTime = UnixTime(1_795_341_600);

fn store(folder: &std::path::Path) -> Store {
    let settings = Settings::new(folder.join("data"));
    let source = SecretSource::File(folder.join("store.key"));
    let keys = StoreKeys::load(&source, &settings.data_dir, &settings.database).unwrap();
    Store::open(settings, keys, Access::Serve).unwrap()
}

fn later() -> Result<(), Failure> {
    Err(Failure::Later("hook.example cannot be reached".into()))
}

#[tokio::test]
async fn an_alert_survives_a_restart_and_keeps_its_id() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::new(store(folder.path()));
    outbox.put(Whose::Own, Way::Webhook, b"{\"a\":1}".to_vec(), NOW).await.unwrap();
    let first = outbox.take(NOW).unwrap();
    assert_eq!(outbox.take(NOW), None, "it is in hand");
    outbox.tried(first.clone(), later(), NOW).await.unwrap();
    assert_eq!(outbox.take(NOW), None, "not before its pause");
    drop(outbox);

    let again = Outbox::new(store(folder.path()));
    again.load(NOW).await.unwrap();
    let second = again.take(NOW).unwrap();
    assert_eq!((&second.id, &second.body), (&first.id, &first.body));
    again.tried(second, Ok(()), NOW).await.unwrap();
    drop(again);
    let empty = Outbox::new(store(folder.path()));
    empty.load(NOW).await.unwrap();
    assert_eq!((empty.len(), empty.take(NOW)), (0, None));
}

/// Past the limit of time: three days of attempts with growing pauses, then it is given up.
#[tokio::test]
async fn an_alert_that_nobody_takes_is_given_up_after_three_days() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::new(store(folder.path()));
    outbox.put(Whose::Own, Way::Webhook, b"{}".to_vec(), NOW).await.unwrap();
    let (mut now, mut tries) = (NOW, 0);
    while let Some(alert) = outbox.take(now) {
        tries += 1;
        outbox.tried(alert, later(), now).await.unwrap();
        if outbox.len() == 0 {
            break;
        }
        now = now + outbox.nap(now);
    }
    assert!((70..90).contains(&tries), "{tries} attempts");
    let lasted = now.since(NOW);
    assert!(lasted > Duration::from_hours(70) && lasted <= Duration::from_hours(72), "{lasted:?}");
    assert_eq!(outbox.len(), 0);
}

/// A clock that was years ahead and was set right: what was tried then goes on after the longest pause at
/// most, and is given up three days from now.
#[tokio::test]
async fn a_clock_that_is_set_right_holds_up_no_alert() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::new(store(folder.path()));
    let ahead = NOW + Duration::from_hours(24 * 3_650);
    outbox.put(Whose::Own, Way::Webhook, b"{}".to_vec(), ahead).await.unwrap();
    let alert = outbox.take(ahead).unwrap();
    outbox.tried(alert, later(), ahead).await.unwrap();
    let alert = outbox.take(NOW).unwrap();
    outbox.tried(alert, later(), NOW).await.unwrap();
    assert!(outbox.nap(NOW) <= PAUSES[1]);
    drop(outbox);
    let again = Outbox::new(store(folder.path()));
    again.load(NOW).await.unwrap();
    let alert = again.take(NOW).unwrap();
    again.tried(alert, later(), NOW + LIFE).await.unwrap();
    assert_eq!(again.len(), 0);
}

/// The accident, or a thief of the disk: one alert that waits was damaged, and so was what is kept of a domain. The
/// other alerts go out, and the domain is looked at as if it were new.
#[tokio::test]
async fn what_was_damaged_on_the_disk_holds_up_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::new(store(folder.path()));
    for body in ["first", "second"] {
        outbox.put(Whose::Own, Way::Webhook, body.into(), NOW).await.unwrap();
    }
    let domain = waxseal_core::domain::Domain::parse("one.example").unwrap();
    let value = serde_json::to_vec(&crate::watch::History::new(Whose::Own)).unwrap();
    for name in [domain.as_str(), "/partners"] {
        let entry = Entry { name: name.into(), value: value.clone(), expires: None };
        outbox.store.save(Space::Check, entry).await.unwrap();
    }
    drop(outbox);
    let database = rusqlite::Connection::open(folder.path().join("data/waxseal.db")).unwrap();
    let damage = "UPDATE state SET value = zeroblob(length(value)) WHERE rowid = \
                  (SELECT min(rowid) FROM state WHERE space = ?1) OR space = ?2";
    let done = database.execute(damage, [Space::Alert as u8, Space::Check as u8]).unwrap();
    assert_eq!(done, 3);
    drop(database);

    let again = Outbox::new(store(folder.path()));
    again.load(NOW).await.unwrap();
    assert_eq!((again.len(), again.take(NOW).unwrap().body), (1, "second".into()));
    let known = crate::watch::history(&again.store, &domain, NOW).await.unwrap();
    assert!(known.is_none(), "{known:?}");
    let partners = crate::watch::Partners::default();
    partners.used(&domain);
    assert_eq!(partners.most_used(&again.store, 9, NOW).await.unwrap(), [domain]);
}

/// Past the limit of number: an insider's or a partner's storm does not fill the store.
#[tokio::test]
async fn the_oldest_goes_where_too_many_wait() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::new(store(folder.path()));
    for number in 0..MOST + 3 {
        outbox
            .put(Whose::Partner, Way::Webhook, format!("{number}").into_bytes(), NOW)
            .await
            .unwrap();
    }
    assert_eq!(outbox.len(), MOST);
    assert_eq!(outbox.take(NOW).unwrap().body, "3");
    while let Some(alert) = outbox.take(NOW) {
        outbox.give_up(&alert, "no webhook is configured any more").await.unwrap();
    }
    assert_eq!(outbox.len(), 1, "what is in hand");
}

/// Attacker: hostile partner domains raise one alarm after the other while the webhook is down. What
/// is to be told of our own domains is neither pushed out nor kept waiting.
#[tokio::test]
async fn a_storm_about_partners_pushes_out_nothing_about_ourselves() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::new(store(folder.path()));
    outbox.put(Whose::Partner, Way::Webhook, b"first".to_vec(), NOW).await.unwrap();
    outbox.put(Whose::Own, Way::Webhook, b"ours".to_vec(), NOW).await.unwrap();
    for number in 0..MOST {
        outbox
            .put(Whose::Partner, Way::Webhook, format!("{number}").into_bytes(), NOW)
            .await
            .unwrap();
    }
    assert_eq!(outbox.len(), MOST);
    assert_eq!(outbox.take(NOW).unwrap().body, "ours");
    assert_eq!(outbox.take(NOW).unwrap().body, "1");
}

/// Attacker: whoever raises alarms while the webhook is down. Letters have places of their own, and go.
#[tokio::test]
async fn alerts_that_wait_for_the_webhook_hold_up_no_letter() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::new(store(folder.path()));
    let letter = Way::Mail { subject: "Likely attack: partner.example".into() };
    outbox.put(Whose::Partner, letter.clone(), b"text".to_vec(), NOW).await.unwrap();
    for _ in 0..MOST + 3 {
        outbox.put(Whose::Own, Way::Webhook, b"{}".to_vec(), NOW).await.unwrap();
    }
    let alert = outbox.take_letter(NOW).unwrap();
    assert_eq!((&alert.way, alert.body.as_str()), (&letter, "text"));
    assert_eq!(outbox.take_letter(NOW), None);
    outbox.tried(alert, later(), NOW).await.unwrap();
    drop(outbox);
    let again = Outbox::new(store(folder.path()));
    again.load(NOW).await.unwrap();
    assert_eq!(again.take_letter(NOW).unwrap().way, letter);
    assert_eq!(again.len(), MOST);
}

#[tokio::test]
async fn a_refusal_is_not_hammered() {
    let folder = tempfile::tempdir().unwrap();
    let outbox = Outbox::new(store(folder.path()));
    outbox.put(Whose::Own, Way::Webhook, b"{}".to_vec(), NOW).await.unwrap();
    let alert = outbox.take(NOW).unwrap();
    outbox.tried(alert, Err(Failure::Never("403".into())), NOW).await.unwrap();
    assert_eq!(outbox.nap(NOW), REFUSED);
}
