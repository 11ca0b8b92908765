//! Real mail through `waxseal serve` to real mail servers.

use super::{
    exim, opensmtpd, postfix, postfix_behind,
    world::{Authority, DOMAIN, Published, World},
};

/// Submits one message and returns what the receiver got.
async fn through(peer: &super::Peer, world: &World, recipient: &str) -> String {
    world.submit(&format!("{recipient}@{DOMAIN}"));
    let mut delivered = peer.delivered(1).await;
    delivered.remove(0)
}

#[tokio::test]
async fn postfix_matched_by_dane_3_1_1() {
    let authority = Authority::new();
    let peer = postfix(DOMAIN, Some(&authority.identity)).await;
    let world = World::start(&peer, &authority, Published::Key, "qualified").await;
    let message = through(&peer, &world, "grace").await;
    assert!(message.contains("TLSv1.3"), "{message}");
    assert!(message.contains("Subject: through the gateway"), "{message}");
}

#[tokio::test]
async fn postfix_matched_by_dane_2_0_1() {
    let authority = Authority::new();
    let peer = postfix(DOMAIN, Some(&authority.identity)).await;
    let world = World::start(&peer, &authority, Published::Authority, "qualified").await;
    let message = through(&peer, &world, "grace").await;
    assert!(message.contains("TLSv1.3"), "{message}");
}

/// Attacker on the path: terminates TLS with another key than the published one.
#[tokio::test]
async fn postfix_with_another_key_than_published_gets_nothing() {
    let authority = Authority::new();
    let peer = postfix(DOMAIN, Some(&authority.identity)).await;
    let world = World::start(&peer, &authority, Published::AnotherKey, "none").await;
    world.submit(&format!("grace@{DOMAIN}"));
    let queue = world.until(&["queue", "list", "--json"], "TLSA").await;
    assert!(queue.contains("\"attempts\":1"), "{queue}");
    assert_eq!(peer.delivered(0).await.len(), 0);
}

#[tokio::test]
async fn postfix_without_starttls_gets_only_what_may_go_in_the_clear() {
    let authority = Authority::new();
    let peer = postfix(DOMAIN, None).await;
    let strict = World::start(&peer, &authority, Published::Nothing, "encrypted").await;
    strict.submit(&format!("grace@{DOMAIN}"));
    strict.until(&["queue", "list", "--json"], "floor encrypted").await;
    assert_eq!(peer.delivered(0).await.len(), 0);
    let lenient = World::start(&peer, &authority, Published::Nothing, "none").await;
    let message = through(&peer, &lenient, "grace").await;
    assert!(message.contains("Subject: through the gateway"), "{message}");
}

#[tokio::test]
async fn exim_receives_over_dane() {
    let authority = Authority::new();
    let peer = exim(DOMAIN, &authority.identity).await;
    let world = World::start(&peer, &authority, Published::Key, "qualified").await;
    let message = through(&peer, &world, "grace").await;
    assert!(message.contains("TLS1.3"), "{message}");
}

/// In the clear: OpenSMTPD 6.8.0p2 as Debian 12 builds it ends every handshake with an alert, that of
/// `openssl s_client` too, because its key process does not work with OpenSSL 3.
#[tokio::test]
async fn opensmtpd_receives() {
    let authority = Authority::new();
    let peer = opensmtpd(DOMAIN).await;
    let world = World::start(&peer, &authority, Published::Nothing, "none").await;
    let message = through(&peer, &world, "receiver").await;
    assert!(message.contains("Subject: through the gateway"), "{message}");
}

#[tokio::test]
async fn postfix_submits_to_us() {
    let authority = Authority::new();
    let peer = exim(DOMAIN, &authority.identity).await;
    let world = World::start(&peer, &authority, Published::Key, "authenticated").await;
    let inside = postfix_behind(world.gateway).await;
    super::tests::send_with_swaks(&inside, &format!("grace@{DOMAIN}"));
    let message = peer.delivered(1).await.remove(0);
    assert!(message.contains("by gw.sender.test"), "{message}");
    assert!(message.contains("by mail.sender.test (Postfix)"), "{message}");
}
