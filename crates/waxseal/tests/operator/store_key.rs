//! A new store key while the gateway runs.

use waxseal::config::Config;

use super::{DANE, NOTHING, World};

const RULES: &str = "[default]\nrequire = \"authenticated\"\n";

/// From the rotation on commands seal with the new key: the server understands them, before a reload
/// and after it, and mail goes on.
#[tokio::test(flavor = "multi_thread")]
async fn commands_and_mail_go_on_after_a_rotation_and_a_reload() {
    let world = World::with_rules(&[DANE, NOTHING], Some(RULES)).await;
    let mut gateway = world.start().await;
    let weak = world.domain(NOTHING);
    let first = world.send(&gateway, &weak).await;
    world.recorded(&first).await;
    let said = world.run(&["store-key", "rotate"]).await.with(0);
    assert!(said.out.contains("reload"), "{}", said.out);

    let held = ["queue", "hold", &first];
    world.until(&held, |said| said.code == 0).await;
    let until = waxseal_core::time::UnixTime(
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
            + 86_400,
    );
    let until = until.to_string();
    let words = ["exception", "add", &weak, "--floor", "none", "--until", &until];
    let why = ["--reason", "no TLS there yet", "--owner", "Ann"];
    world.run(&[&words[..], &why].concat()).await.with(0);

    gateway.reload(Config::load(&world.file()).unwrap()).await.unwrap();
    let second = world.send(&gateway, &weak).await;
    world.arrives(&weak).await;
    let shown = ["evidence", "show", &second];
    let shown = world.until(&shown, |said| said.out.contains("delivered")).await;
    assert!(shown.out.contains("no TLS there yet"), "the exception is in force: {}", shown.out);
    world.run(&["queue", "release", &first]).await.with(0);
    world.until(&["queue", "list", "--json"], |said| said.out.is_empty()).await;
    let strong = world.domain(DANE);
    world.run(&["explain", &strong]).await.with(0);
    world.send(&gateway, &strong).await;
    world.arrives(&strong).await;
    gateway.stop().await;
}
