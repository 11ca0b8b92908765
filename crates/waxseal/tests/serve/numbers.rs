//! What `/metrics` says while the gateway works.

use waxseal_lab::dns::{Act, Tampering, rcode};

use super::*;

/// The number behind a series.
fn number(page: &str, series: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

/// `/metrics`, once it fits.
async fn until(gateway: &Gateway, fits: impl Fn(&str) -> bool) -> String {
    let look = async {
        loop {
            let page = page(gateway, "/metrics").await;
            if fits(&page) {
                return page;
            }
        }
    };
    tokio::time::timeout(PATIENCE, look).await.expect("/metrics never says so")
}

#[tokio::test]
async fn every_number_is_counted_where_it_happens() {
    let (good, bad) =
        ((Protection::Dane, Attack::Nobody), (Protection::DaneAndSts, Attack::Nobody));
    let world = World::new(&[good, bad]).await;
    let lost = world.recipient(bad.0, bad.1);
    let (_, domain) = lost.split_once('@').unwrap();
    world.lab.dns().tamper(Tampering::all(domain, Act::Fail(rcode::SERVFAIL)));
    let gateway = world.start().await;
    let bob = world.recipient(good.0, good.1);
    let mut session = Session::open(door(&gateway)).await;
    let open =
        |page: &str| number(page, "waxseal_sessions{listener=\"relay\"}").is_some_and(|n| n >= 1.0);
    until(&gateway, open).await;
    assert!(session.send(&bob, "counted").await.starts_with("250 "));
    until(&gateway, |page| {
        number(page, "waxseal_delivery_seconds_count").is_some_and(|n| n >= 1.0)
    })
    .await;
    assert!(session.send(&lost, "waits").await.starts_with("250 "));
    let failed = |page: &str| {
        let mut lines = page.lines().filter(|line| line.starts_with("waxseal_dns_failures_total{"));
        lines.any(|line| {
            line.contains("kind=\"servfail\"") || line.contains("kind=\"indeterminate\"")
        })
    };
    until(&gateway, failed).await;
    // It waits for its next attempt, and gets older.
    until(&gateway, |page| {
        number(page, "waxseal_queue_oldest_seconds").is_some_and(|age| age >= 1.0)
            && number(page, "waxseal_queue_messages{state=\"waiting\"}").is_some_and(|n| n >= 1.0)
    })
    .await;
    drop(session);
    gateway.stop().await;
}
