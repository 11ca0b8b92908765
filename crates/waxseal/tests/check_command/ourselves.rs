//! `waxseal check` of a domain whose mail host is the gateway of the configuration.

use super::{BEST, World};

/// It is told as others see it, if it is ours; with mail, the gateway would write to itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_tells_how_its_own_domain_stands() {
    let world = World::new(&[BEST]).await;
    let domain = world.domain(BEST);
    let host = world.lab.site(BEST.0, BEST.1).unwrap().host();
    let text = world.read("waxseal.toml");
    let named = text.replace("hostname = \"gw.sender.example\"", &format!("hostname = \"{host}\""));
    assert_ne!(named, text);
    std::fs::write(world.file(), &named).unwrap();
    let refused = world.run(&["check", "--json", &domain]).await.json();
    assert_eq!(refused["delivery"], "refuses", "{refused}");
    let ours = format!("\n[[domain]]\nname = \"{domain}\"\ninside = \"{host}:25\"\n");
    std::fs::write(world.file(), named + &ours).unwrap();
    let told = world.run(&["check", "--json", &domain]).await.json();
    assert_eq!((&told["delivery"], &told["level"]), (&"delivers".into(), &"dane".into()), "{told}");
}
