use waxseal::listen::Passwords;

use super::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_password_becomes_a_line_of_the_file() {
    let world = World::new(&[]).await;
    let words = ["config", "password", "scanner@sender.example"];
    let said = world.run_with(&words, "correct horse\nnever read\n").await.with(0);
    assert!(said.out.starts_with("scanner@sender.example:$argon2id$"), "{}", said.out);
    assert!(!said.out.contains("horse") && !said.err.contains("horse"), "{}", said.err);
    Passwords::parse(&said.out).unwrap();
    let again = world.run_with(&words, "correct horse\n").await.with(0);
    assert_ne!(said.out, again.out, "two salts");
    let said = world.run_with(&["config", "password", "--json"], "correct horse").await.with(0);
    assert!(said.json()["hash"].as_str().unwrap().starts_with("$argon2id$"), "{}", said.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_stand_in_the_file_is_refused() {
    let world = World::new(&[]).await;
    world.run_with(&["config", "password", "ann"], "\n").await.with(64);
    let long = "x".repeat(256);
    world.run_with(&["config", "password", "ann"], &long).await.with(64);
    for name in ["", "a:b", "#ann", "a\nb"] {
        world.run_with(&["config", "password", name], "correct horse\n").await.with(64);
    }
}
