//! Backups, restores, and databases that were moved: no mail is lost by them, or sent twice.

use super::*;

#[tokio::test]
async fn a_backup_is_consistent_and_a_restore_waits_for_a_person() {
    let place = Home::new();
    let store = place.open();
    let small = queued(&store, &["a@one.example"], b"small").await;
    let big = queued(&store, &["a@one.example"], &[b'x'; 100_000]).await;
    store.append(vec![event(small, "before")]).await.unwrap();
    let copies = tempfile::tempdir().unwrap();
    let copy = copies.path().join("monday");
    store.backup(copy.clone()).await.unwrap();
    assert!(matches!(store.backup(copy.clone()).await, Err(StoreError::Exists(_))));
    store.append(vec![event(small, "lost")]).await.unwrap();
    drop(store);
    let target = copies.path().join("data");
    let settings = Settings { reserve: 4_096, ..Settings::new(&target) };
    let stranger = StoreKeys::random().unwrap();
    assert!(restore(&copy, settings.clone(), stranger, NOW).is_err());
    let restored = restore(&copy, settings.clone(), place.keys(), NOW).unwrap();
    assert_eq!((restored.groups, restored.last), (2, 1));
    assert!(matches!(
        restore(&copy, settings.clone(), place.keys(), NOW),
        Err(StoreError::Exists(_))
    ));
    let store = Store::open(settings, place.keys(), Access::Serve).unwrap();
    assert!(store.is_paused().await.unwrap());
    assert_eq!(store.content(small).await.unwrap(), &b"small"[..]);
    assert_eq!(store.content(big).await.unwrap(), vec![b'x'; 100_000]);
    let next = store.append(vec![event(small, "after")]).await.unwrap();
    assert_eq!(next, restored.gap + 1, "a number that was given is never given again");
    let gap = store.event(restored.gap).await.unwrap().unwrap().event;
    assert_eq!(gap.kind, EventKind::Gap);
    store.unpause().await.unwrap();
    assert!(!store.is_paused().await.unwrap());
}

/// A typo in `[store] url`, or a database that was moved away: the mail in the spool is not swept.
#[tokio::test]
async fn a_new_database_beside_the_mail_of_an_old_one_is_refused() {
    let place = Home::new();
    let store = place.open();
    let big = queued(&store, &["a@one.example"], &[b'x'; 100_000]).await;
    let body = store.0.bodies.path(big.number());
    let copies = tempfile::tempdir().unwrap();
    let copy = copies.path().join("monday");
    store.backup(copy.clone()).await.unwrap();
    let later = queued(&store, &["a@one.example"], &[b'y'; 100_000]).await;
    drop(store);
    let (database, moved) = (place.settings().database, copies.path().join("moved.db"));
    // The thread that writes closes the database, and then its log is gone.
    while schema::beside(&database).any(|file| file.exists()) {
        std::thread::yield_now();
    }
    fs::rename(&database, &moved).unwrap();
    for _ in 0..2 {
        let refused = Store::open(place.settings(), place.keys(), Access::Serve).unwrap_err();
        assert!(matches!(&refused, StoreError::Orphans { .. }) && refused.is_configuration());
        assert!(body.exists() && !refused.to_string().contains('\n'), "{refused}");
    }
    fs::remove_file(&database).unwrap();
    let refused = restore(&copy, place.settings(), place.keys(), NOW).unwrap_err();
    assert!(matches!(refused, StoreError::Orphans { .. }), "mail of after the backup: {refused}");
    fs::rename(&moved, &database).unwrap();
    assert_eq!(place.open().content(later).await.unwrap(), vec![b'y'; 100_000]);
}

/// A copy that was cut off, by a full disk or a power cut, is not taken for a whole one.
#[tokio::test]
async fn half_a_body_is_in_no_backup_and_in_no_restore() {
    let place = Home::new();
    let store = place.open();
    let big = queued(&store, &["a@one.example"], &[b'x'; 100_000]).await;
    let body = store.0.bodies.path(big.number());
    let writing = bodies::unfinished(&store.0.bodies.path(big.number() + 1));
    fs::write(&writing, b"half of the next").unwrap();
    let copies = tempfile::tempdir().unwrap();
    let copy = copies.path().join("monday");
    store.backup(copy.clone()).await.unwrap();
    let kept = raw_files(&copy.join("spool"));
    assert_eq!(kept.len(), 1, "{:?}", kept.iter().map(|(path, _)| path).collect::<Vec<_>>());
    let target = copies.path().join("data");
    let half = target.join(body.strip_prefix(place.data.path()).unwrap());
    fs::create_dir_all(half.parent().unwrap()).unwrap();
    fs::write(&half, &fs::read(&body).unwrap()[..50_000]).unwrap();
    let settings = Settings { reserve: 4_096, ..Settings::new(&target) };
    restore(&copy, settings.clone(), place.keys(), NOW).unwrap();
    let restored = Store::open(settings, place.keys(), Access::Serve).unwrap();
    assert_eq!(restored.content(big).await.unwrap(), vec![b'x'; 100_000]);
    drop(store);
    drop(place.open());
    assert!(!writing.exists() && body.exists(), "what was never finished goes at the next start");
}

/// After an unclean end the last commits are in the log beside the database. SQLite would play it
/// back over whatever has the database's name at the next start: what was restored would be undone,
/// and with it the pause.
#[tokio::test]
async fn the_log_of_a_database_that_was_moved_away_undoes_no_restore() {
    let place = Home::new();
    let store = place.open();
    queued(&store, &["a@one.example"], b"in the backup").await;
    let copies = tempfile::tempdir().unwrap();
    let copy = copies.path().join("monday");
    store.backup(copy.clone()).await.unwrap();
    queued(&store, &["a@one.example"], b"in the log").await;
    let (database, target) = (place.settings().database, copies.path().join("data"));
    let settings = Settings { reserve: 4_096, ..Settings::new(&target) };
    fs::create_dir(&target).unwrap();
    // As kill -9 and `mv waxseal.db broken.db` leave it.
    for (left, to) in schema::beside(&database).zip(schema::beside(&settings.database)).take(2) {
        fs::copy(left, to).unwrap();
    }
    drop(store);
    let refused = restore(&copy, settings.clone(), place.keys(), NOW).unwrap_err();
    assert!(matches!(&refused, StoreError::Leftover(_)) && refused.is_configuration());
    assert!(refused.to_string().contains("waxseal.db-wal"), "{refused}");
    let refused = Store::open(settings.clone(), place.keys(), Access::Serve).unwrap_err();
    assert!(matches!(refused, StoreError::Leftover(_)), "a start would delete the log: {refused}");
    schema::beside(&settings.database).for_each(|left| drop(fs::remove_file(left)));
    fs::copy(copy.join(DATABASE), copy.join("waxseal.db-wal")).unwrap();
    let refused = restore(&copy, settings.clone(), place.keys(), NOW).unwrap_err();
    assert!(matches!(refused, StoreError::NoBackup(_)), "{refused}");
    fs::remove_file(copy.join("waxseal.db-wal")).unwrap();
    restore(&copy, settings.clone(), place.keys(), NOW).unwrap();
    let store = Store::open(settings, place.keys(), Access::Serve).unwrap();
    assert!(store.is_paused().await.unwrap());
    assert_eq!(store.count().await.unwrap(), [0, 1, 0]);
}
