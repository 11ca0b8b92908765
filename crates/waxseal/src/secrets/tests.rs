use super::*;

fn keys_in(directory: &Path) -> SecretSource {
    SecretSource::File(directory.join("store.key"))
}

#[test]
fn a_secret_is_named_never_written_inline() {
    assert_eq!(
        "credential:store-key".parse::<SecretSource>().unwrap().to_string(),
        "credential:store-key"
    );
    assert_eq!("file:/etc/k".parse::<SecretSource>().unwrap().to_string(), "file:/etc/k");
    for text in ["hunter2", "file:relative", "credential:", "credential:../x", "credential:..", ""]
    {
        assert!(text.parse::<SecretSource>().is_err(), "{text}");
    }
}

#[test]
fn credentials_come_from_the_directory_that_systemd_made() {
    let directory = tempfile::tempdir().unwrap();
    write(&directory.path().join("smarthost"), b"hunter2\n", Existing::Keep).unwrap();
    let source: SecretSource = "credential:smarthost".parse().unwrap();
    let secret = source.read_in(Some(directory.path())).unwrap();
    assert_eq!(secret.text().unwrap(), "hunter2");
    assert_eq!(format!("{secret:?}"), "Secret(..)");
    let missing: SecretSource = "credential:other".parse().unwrap();
    let error = missing.read_in(Some(directory.path())).unwrap_err().to_string();
    assert!(error.contains("LoadCredential=other"), "{error}");
    assert!(matches!(missing.read_in(None), Err(SecretError::NoCredentials(_))));
}

/// systemd 254 and later, a unit with `User=` or `DynamicUser=`: an ACL lets its user read, and the
/// mask of the ACL shows in the place of the group.
#[test]
fn a_credential_of_a_unit_with_a_user_of_its_own_can_be_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store-key");
    write(&path, &StoreKeys::random().unwrap().file(), Existing::Keep).unwrap();
    let source: SecretSource = "credential:store-key".parse().unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o440)).unwrap();
    StoreKeys::from_file(source.read_in(Some(directory.path())).unwrap().bytes()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    let error = source.read_in(Some(directory.path())).unwrap_err();
    assert!(matches!(error, SecretError::Open { .. }), "{error}");
}

/// Attacker: another user of the same machine.
#[test]
fn a_secret_that_others_can_read_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let source = keys_in(directory.path());
    let SecretSource::File(path) = &source else { unreachable!() };
    write(path, b"x", Existing::Keep).unwrap();
    for mode in [0o640, 0o604, 0o660, 0o666] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let error = source.read().unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }
}

#[test]
fn a_secret_has_a_size() {
    let directory = tempfile::tempdir().unwrap();
    let source = keys_in(directory.path());
    let SecretSource::File(path) = &source else { unreachable!() };
    for size in [0, 262_145] {
        write(path, &vec![b'x'; size], Existing::Replace).unwrap();
        assert!(matches!(source.read(), Err(SecretError::Size { .. })));
    }
}

#[test]
fn the_first_start_makes_a_private_key_and_later_ones_find_it() {
    let (keys, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = keys_in(keys.path());
    let first = StoreKeys::load(&source, data.path(), &data.path().join("db")).unwrap();
    let SecretSource::File(path) = &source else { unreachable!() };
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o7777, 0o600);
    let second = StoreKeys::load(&source, data.path(), &data.path().join("db")).unwrap();
    assert_eq!(first.current(), second.current());
    assert_eq!(fs::read_dir(keys.path()).unwrap().count(), 1, "no half-written file stays");
}

/// `waxseal store-key rotate` beside a running server: commands seal with the new key at once.
#[test]
fn a_key_that_came_into_the_file_meanwhile_is_found() {
    let (keys, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = keys_in(keys.path());
    let SecretSource::File(path) = &source else { unreachable!() };
    let load = || StoreKeys::load(&source, data.path(), &data.path().join("db")).unwrap();
    let server = load();
    let (old, wrapped_old) = server.wrap(&[7; 32]).unwrap();
    let fresh = StoreKeys::rotate(path).unwrap();
    let (id, wrapped) = load().wrap(&[8; 32]).unwrap();
    assert_eq!(id, fresh);
    assert_eq!(*server.unwrap(id, &wrapped).unwrap().unwrap(), [8; 32]);
    assert_eq!(server.current(), fresh, "and new mail is sealed with it from then on");
    fs::remove_file(path).unwrap();
    let gone = KeyId([1; 8]);
    assert_eq!(server.unwrap(gone, &wrapped).unwrap_err(), UnknownKey(gone));
    assert_eq!(*server.unwrap(old, &wrapped_old).unwrap().unwrap(), [7; 32]);
}

#[test]
fn a_lost_key_is_not_replaced_silently() {
    let (keys, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(data.path().join("db"), b"").unwrap();
    let error = StoreKeys::load(&keys_in(keys.path()), data.path(), &data.path().join("db"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("bring the key file back"), "{error}");
}

/// Attacker: thief of the disk, or of a backup of the data directory.
#[test]
fn the_key_never_lies_beside_the_data() {
    let data = tempfile::tempdir().unwrap();
    let error =
        StoreKeys::load(&keys_in(data.path()), data.path(), &data.path().join("db")).unwrap_err();
    assert!(matches!(error, SecretError::InsideDataDir { .. }));
}

#[test]
fn after_a_rotation_the_old_key_still_opens_and_the_new_one_seals() {
    let (keys, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = keys_in(keys.path());
    let old = StoreKeys::load(&source, data.path(), &data.path().join("db")).unwrap();
    let (id, wrapped) = old.wrap(&[7; 32]).unwrap();
    let SecretSource::File(path) = &source else { unreachable!() };
    let new_id = StoreKeys::rotate(path).unwrap();
    let new = StoreKeys::load(&source, data.path(), &data.path().join("db")).unwrap();
    assert_ne!(new_id, id);
    assert_eq!(new.wrap(&[7; 32]).unwrap().0, new_id);
    assert_eq!(**new.unwrap(id, &wrapped).unwrap().as_ref().unwrap(), [7; 32]);
    let stranger = StoreKeys::random().unwrap();
    assert_eq!(stranger.unwrap(id, &wrapped).unwrap_err(), UnknownKey(id));
}

#[test]
fn a_damaged_key_file_names_its_line() {
    let (keys, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = keys_in(keys.path());
    let SecretSource::File(path) = &source else { unreachable!() };
    write(path, b"# fine\nwaxseal-store-key-v1 c2hvcnQ=\n", Existing::Keep).unwrap();
    let error =
        StoreKeys::load(&source, data.path(), &data.path().join("db")).unwrap_err().to_string();
    assert!(error.contains("line 2"), "{error}");
    assert!(!error.contains("c2hvcnQ"), "a key never shows in an error: {error}");
    write(path, b"# nothing\n", Existing::Replace).unwrap();
    assert!(StoreKeys::load(&source, data.path(), &data.path().join("db")).is_err());
}

/// Two operators at the same moment: each key that was in force for an instant is in the file.
#[test]
fn two_rotations_at_once_lose_no_key() {
    let (dir, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = keys_in(dir.path());
    drop(StoreKeys::load(&source, data.path(), &data.path().join("db")).unwrap());
    let SecretSource::File(path) = source else { unreachable!() };
    let rotations: Vec<_> = (0..16)
        .map(|_| {
            let path = path.clone();
            std::thread::spawn(move || StoreKeys::rotate(&path).unwrap())
        })
        .collect();
    let fresh: Vec<_> = rotations.into_iter().map(|one| one.join().unwrap()).collect();
    let names = StoreKeys::from_file(&std::fs::read(&path).unwrap()).unwrap().names();
    assert_eq!(names.len(), 17);
    assert!(fresh.iter().all(|key| names.contains(key)));
}
