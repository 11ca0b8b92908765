//! What `publish` remembers: a file that others wrote, that cannot be written, or by another clock.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt,
    process::Command,
};

use super::{World, gate::hosts, own_zone, tlsa};

/// The key in use has its record; the next one comes a look later, and waits.
async fn waiting() -> World {
    let world = World::new(own_zone()).await;
    let (now, next) = (world.key("now"), world.key("next"));
    world.dns.replace(super::tree(own_zone().ttl(3_600).record("_25._tcp.mx", &tlsa(&now))));
    world.configure("", &hosts(&world));
    assert_eq!(world.publish(&["gate"]).await.code, 1);
    let both = own_zone()
        .ttl(3_600)
        .record("_25._tcp.mx", &tlsa(&now))
        .record("_25._tcp.mx", &tlsa(&next));
    world.dns.replace(super::tree(both));
    world.configure("", &hosts(&world));
    let json = world.publish(&["gate", "--json"]).await.json();
    assert_eq!(wait(&json), 7_201, "{json}");
    world
}

/// Seconds until the door opens.
fn wait(json: &serde_json::Value) -> u64 {
    json["until"].as_u64().unwrap() - json["checked_at"].as_u64().unwrap()
}

/// A mistake, or an attacker who answers for the time server: what was seen a moment ago looks a day
/// old.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_set_ahead_by_a_day_opens_no_door() {
    let world = waiting().await;
    let state = world.path("data/publish.json");
    let text = fs::read_to_string(&state).unwrap();
    let earlier = |word: &str| match word.parse::<u64>() {
        Ok(time) if time > 1_000_000_000 => (time - 86_400).to_string(),
        Ok(_) | Err(_) => word.to_owned(),
    };
    let words: Vec<String> = text
        .split_inclusive(|c: char| !c.is_ascii_digit())
        .map(|word| {
            let digits = word.trim_end_matches(|c: char| !c.is_ascii_digit());
            format!("{}{}", earlier(digits), &word[digits.len()..])
        })
        .collect();
    fs::write(&state, words.concat()).unwrap();
    let said = world.publish(&["gate", "--json"]).await;
    let json = said.json();
    assert_eq!(said.code, 1, "{json}");
    assert!(json["clock_set"].as_i64().unwrap().abs_diff(86_400) < 30, "{json}");
    assert!(wait(&json) > 7_100, "{json}");
}

/// Attacker: another user of the machine, who would like a key to be deployed too early.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_or_folder_that_others_can_write_is_not_believed() {
    let world = waiting().await;
    let (state, folder) = (world.path("data/publish.json"), world.path("data"));
    assert_eq!(fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o600);
    for (path, open, shut) in [(&state, 0o666, 0o600), (&folder, 0o1777, 0o755)] {
        fs::set_permissions(path, Permissions::from_mode(open)).unwrap();
        let said = world.publish(&["gate"]).await;
        assert_eq!(said.code, 78, "{}{}", said.out, said.err);
        assert!(said.err.contains("others can write it") && said.err.contains("chmod go-w"));
        fs::set_permissions(path, Permissions::from_mode(shut)).unwrap();
    }
    assert_eq!(world.publish(&["gate"]).await.code, 1);
    // Cut short, as after a crash of another program: never read as "nothing was seen".
    let text = fs::read_to_string(&state).unwrap();
    fs::write(&state, &text[..text.len() / 2]).unwrap();
    let said = world.publish(&["gate"]).await;
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(said.err.contains("move it away, and all waiting begins anew"), "{}", said.err);
    // Moved away: nothing is known of what stood there before, and a day is guessed, and said.
    fs::remove_file(&state).unwrap();
    let json = world.publish(&["gate", "--json"]).await.json();
    assert_eq!((wait(&json), &json["items"][0]["guessed"]), (86_401, &"ttl".into()), "{json}");
}

/// A full disk: what cannot be remembered opens nothing, and what was remembered stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_opens_no_door_and_forgets_nothing() {
    let world = waiting().await;
    let state = world.path("data/publish.json");
    let before = fs::read_to_string(&state).unwrap();
    let binary = env!("CARGO_BIN_EXE_waxseal");
    let config = world.path("waxseal.toml");
    // No file may grow, and writing says so instead of ending the process.
    let script =
        format!("trap '' XFSZ; ulimit -f 0; exec {binary} publish gate -c {}", config.display());
    let mut command = Command::new("sh");
    command.args(["-c", &script]);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(output.stdout.is_empty() && err.contains("publish.json"), "{err}");
    assert_eq!(fs::read_to_string(&state).unwrap(), before);
}

/// Cron, and a person: the second one does not write over what the first one saw.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gates_at_the_same_time_are_one_and_a_refusal() {
    let world = waiting().await;
    let lock = File::options().write(true).open(world.path("data/publish.json.lock")).unwrap();
    lock.lock().unwrap();
    let said = world.publish(&["gate"]).await;
    assert_eq!(said.code, 75, "{}{}", said.out, said.err);
    assert!(said.err.contains("another `waxseal publish` is using"), "{}", said.err);
    drop(lock);
    assert_eq!(world.publish(&["gate"]).await.code, 1);
}
