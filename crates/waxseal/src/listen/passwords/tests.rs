//! What is a password file, and who gets in.

use std::sync::Arc;

use super::*;

fn cheap(password: &str, name: &str) -> String {
    let params = Params::new(8, 1, 1, None).unwrap();
    let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let salt = SaltString::encode_b64(&[7; 16]).unwrap();
    format!("{name}:{}", argon.hash_password(password.as_bytes(), &salt).unwrap())
}

fn credentials(user: &str, password: &str) -> Credentials {
    Credentials { user: user.into(), password: Zeroizing::new(password.as_bytes().to_vec()) }
}

#[tokio::test]
async fn only_the_right_password_of_a_known_account_gets_in_again_and_again() {
    let text = format!("# people\n\n{}\n{}\n", cheap("hunter2", "anna"), cheap("x", "ben:jr"));
    // A colon cannot stand in a name: the hash would begin there.
    assert_eq!(Passwords::parse(&text).unwrap_err(), (4, "not a hash in PHC form"));
    let text = text.replace("ben:jr", "ben jr");
    let passwords = Arc::new(Passwords::parse(&text).unwrap());
    let permits = Semaphore::new(1);
    for (user, password, verified) in [
        ("anna", "hunter2", Verified::Yes),
        ("anna", "hunter2", Verified::Yes),
        ("anna", "hunter3", Verified::No),
        ("anna", "", Verified::No),
        ("Anna", "hunter2", Verified::No),
        ("ben jr", "hunter2", Verified::No),
        ("ben jr", "x", Verified::Yes),
        ("nobody", "hunter2", Verified::No),
    ] {
        assert_eq!(passwords.check(credentials(user, password), &permits).await, verified);
    }
}

/// The guesser of names: what is hashed for a name that does not exist is as costly as what is
/// hashed for one that does.
#[test]
fn an_unknown_name_costs_what_a_known_one_costs() {
    let passwords = Passwords::parse(&cheap("hunter2", "anna")).unwrap();
    let nobody = passwords.nobody.as_ref().unwrap();
    let cost = |hash: &PasswordHashString| Params::try_from(&hash.password_hash()).unwrap();
    assert_eq!(cost(nobody).m_cost(), cost(&passwords.accounts["anna"]).m_cost());
    assert!(Passwords::parse("").unwrap().nobody.is_some());
}

#[test]
fn our_own_hash_is_argon2id_and_can_be_used() {
    let hash = hash(b"correct horse", [1; 16]).unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    let passwords = Passwords::parse(&format!("anna:{hash}")).unwrap();
    assert_eq!(passwords.check_now(&credentials("anna", "correct horse")), Verified::Yes);
    assert!(super::hash(b"", [1; 16]).is_err());
}

/// A hostile or careless file: named by line, never half used.
#[test]
fn a_file_with_a_bad_line_is_refused_with_its_line() {
    let good = cheap("x", "anna");
    for (bad, why) in [
        ("anna", "the form is name:$argon2id$..."),
        (
            ":$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAA",
            "a name has 1 to 255 characters",
        ),
        ("ben:secret", "not a hash in PHC form"),
        (
            "ben:$argon2i$v=19$m=8,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAA",
            "only argon2id hashes are accepted; make one with `waxseal config password`",
        ),
        (
            "ben:$argon2id$v=19$m=4000000,t=1,p=1$AAAAAAAAAAA$AAAAAAAAAAAAAAA",
            "the parameters of the hash ask for too much memory or time",
        ),
        (good.as_str(), "this name stands in the file twice"),
    ] {
        let text = format!("{good}\n{bad}\n");
        assert_eq!(Passwords::parse(&text).unwrap_err(), (2, why), "{bad}");
    }
    let missing = Passwords::load(Path::new("/nonexistent/passwords")).unwrap_err();
    assert!(missing.to_string().starts_with("/nonexistent/passwords: cannot read"), "{missing}");
}
