//! What a thief of the disk reads, and what he can change.

use super::*;

/// Thief of the disk: another account of the same host reads neither the database nor its log,
/// also where the administrator made the directory open to all.
#[test]
fn no_other_account_reads_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(home.data.path(), open).unwrap();
    let store = home.open();
    let files = std::fs::read_dir(home.data.path()).unwrap().map(Result::unwrap);
    let files: Vec<_> = files.filter(|file| file.metadata().unwrap().len() > 0).collect();
    assert!(files.len() > 2, "{files:?}");
    for file in files {
        let mode = file.metadata().unwrap().permissions().mode() & 0o077;
        assert_eq!(mode, 0, "{file:?}");
    }
    drop(store);
}

/// Attacker: thief of the disk. Bodies, subjects, addresses, domains, replies, evidence and state:
/// none of it is in any file, in no encoding that a search would find.
#[tokio::test]
async fn a_stolen_disk_reads_nothing() {
    let place = Home::new();
    let store = place.open();
    let content = format!("Subject: {CANARY}\r\n\r\n{CANARY}\r\n");
    let address = format!("{CANARY}@{CANARY}.example");
    let domain = format!("{}.example", CANARY.to_lowercase());
    let held = queued(&store, &[&address], content.as_bytes()).await;
    queued(&store, &[&address], content.repeat(1_000).as_bytes()).await;
    for claimed in store.claim_message(held).await.unwrap() {
        let group = Group { note: Some(CANARY.to_owned()), ..claimed.group.clone().unwrap() };
        let next = Next::Hold(NOW, group);
        let events = vec![event(held, CANARY)];
        let settled =
            Settled { lease: claimed.lease, message: held, next, events, letters: Vec::new() };
        store.settle(settled).await.unwrap();
    }
    let entry = Entry { name: domain.clone(), value: CANARY.into(), expires: None };
    store.save(Space::Memory, entry).await.unwrap();
    store.put_blob(CANARY.as_bytes().into()).await.unwrap();
    let actor = Actor::Operator(CANARY.to_owned());
    let target = Target::Destination(Domain::parse(&domain).unwrap());
    store.ask(&Command { verb: Verb::Drop, target, reason: None, actor }).await.unwrap();
    let backup = place.data.path().join("copy");
    store.backup(backup).await.unwrap();
    let files = raw_files(place.data.path());
    assert!(files.iter().any(|(path, _)| path.ends_with(DATABASE)));
    assert!(
        files
            .iter()
            .any(|(path, bytes)| path.to_string_lossy().contains("spool") && bytes.len() > 10_000)
    );
    for (path, bytes) in files {
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        assert!(!text.contains(&CANARY.to_lowercase()), "{} shows the canary", path.display());
        assert!(!text.contains("sender.example"), "{} shows the sender", path.display());
    }
}

/// Attacker: thief of the disk who brings it back changed.
#[tokio::test]
async fn what_was_moved_or_cut_off_does_not_open() {
    let place = Home::new();
    let store = place.open();
    let one = queued(&store, &["a@one.example"], b"first").await;
    let two = queued(&store, &["a@one.example"], b"second").await;
    let big = queued(&store, &["a@one.example"], &[b'x'; 200_000]).await;
    let (from, to) = (signed(one.number()), signed(two.number()));
    let swap = "UPDATE message SET (key_id, key, body) = \
                (SELECT key_id, key, body FROM message WHERE id = ?1) WHERE id = ?2";
    let connection = Connection::open(place.data.path().join(DATABASE)).unwrap();
    connection.execute(swap, (from, to)).unwrap();
    assert!(matches!(store.content(two).await, Err(StoreError::Damaged(_))));
    assert_eq!(store.content(one).await.unwrap(), &b"first"[..]);
    let file = fs::File::options().write(true).open(store.0.bodies.path(big.number())).unwrap();
    file.set_len(64 * 1024 + 28).unwrap();
    assert!(matches!(store.content(big).await, Err(StoreError::Damaged(_))));
}

#[tokio::test]
async fn after_a_rotation_old_mail_opens_and_new_mail_needs_the_new_key() {
    let place = Home::new();
    let before = StoreKeys::from_file(&place.keys().file()).unwrap();
    let store = place.open();
    let old = queued(&store, &["a@one.example"], b"old").await;
    StoreKeys::rotate(&place.keys.path().join("store.key")).unwrap();
    store.use_keys(place.keys()).unwrap();
    assert!(store.use_keys(StoreKeys::random().unwrap()).is_err(), "keys of another store");
    let new = queued(&store, &["a@one.example"], b"new").await;
    assert_eq!(store.content(old).await.unwrap(), &b"old"[..]);
    drop(store);
    let store = Store::open(place.settings(), before, Access::Serve).unwrap();
    assert_eq!(store.content(old).await.unwrap(), &b"old"[..]);
    assert!(matches!(store.content(new).await, Err(StoreError::KeyMissing(_))));
}

/// Attacker: thief of the disk who can also write. An old request does not come to life again under
/// another number, and does not keep those that follow from being read.
#[tokio::test]
async fn a_request_counts_once_and_under_its_own_number() {
    let place = Home::new();
    let store = place.open();
    let actor = Actor::Operator("alice".to_owned());
    let command = Command { verb: Verb::Drop, target: Target::All, reason: None, actor };
    let id = store.ask(&command).await.unwrap();
    store.answer(id, Ok(0)).await.unwrap();
    let connection = Connection::open(place.settings().database).unwrap();
    let replay = "INSERT INTO command (sealed) SELECT sealed FROM command";
    connection.execute(replay, ()).unwrap();
    let genuine = store.ask(&command).await.unwrap();
    let mut found = store.commands().await.unwrap();
    let (last, found_last) = found.pop().unwrap();
    assert_eq!((last, found_last.unwrap()), (genuine, command));
    assert!(matches!(found.as_slice(), [(_, Err(StoreError::Damaged(_)))]), "{found:?}");
}
