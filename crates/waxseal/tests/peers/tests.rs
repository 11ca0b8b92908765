//! The peers themselves: each takes a message and delivers it, so that a failing delivery test
//! cannot be the peer's fault.

use super::{Identity, Peer, exim, opensmtpd, postfix};

fn identity(name: &str) -> Identity {
    let issued = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    Identity { chain: issued.cert.pem(), key: issued.signing_key.serialize_pem() }
}

/// Sends one message in the clear with swaks, a client that is not ours.
pub(super) fn send_with_swaks(peer: &Peer, recipient: &str) {
    let swaks = super::process::package("swaks").join("usr/bin/swaks");
    let server = peer.address.to_string();
    let output = std::process::Command::new("perl")
        .arg(swaks)
        .args(["--server", &server, "--from", "ada@sender.test", "--to", recipient])
        .args(["--header", "Subject: peer check", "--helo", "client.test", "--suppress-data"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "swaks could not deliver:\n{said}\n{}", peer.log());
}

#[tokio::test]
async fn postfix_takes_a_message() {
    let peer = postfix("receiver.test", None).await;
    send_with_swaks(&peer, "grace@receiver.test");
    assert!(peer.delivered(1).await[0].contains("Subject: peer check"));
}

#[tokio::test]
async fn exim_takes_a_message() {
    let peer = exim("receiver.test", &identity("mx.receiver.test")).await;
    send_with_swaks(&peer, "grace@receiver.test");
    assert!(peer.delivered(1).await[0].contains("Subject: peer check"));
}

#[tokio::test]
async fn opensmtpd_takes_a_message() {
    let peer = opensmtpd("receiver.test").await;
    send_with_swaks(&peer, "receiver@receiver.test");
    assert!(peer.delivered(1).await[0].contains("Subject: peer check"));
}
