//! Exim as a receiver.

use std::fs;

use super::{
    process::{Identity, Peer, free_port, open_to_all, package, shared_folder},
    world::HOST,
};

/// An Exim that takes mail for any recipient of `domain` over STARTTLS.
pub(crate) async fn exim(domain: &str, identity: &Identity) -> Peer {
    start(domain, identity, "local_interfaces = 127.0.0.1\n", "").await
}

/// An Exim as a provider's smarthost: AUTH under TLS only, for the account `gateway`. It would take
/// mail from whoever does not sign in too, so that a gateway that goes on all the same is seen.
pub(crate) async fn exim_smarthost(identity: &Identity, password: &str, begin: Begin) -> Peer {
    // That it is up is seen at the other port: here nothing greets before the handshake.
    let tls_first = free_port();
    let main = format!(
        "tls_on_connect_ports = {tls_first}\nlocal_interfaces = 127.0.0.1 : 127.0.0.1.{tls_first}\n\
         auth_advertise_hosts = ${{if def:tls_in_cipher{{*}}}}\nlog_selector = +all\n"
    );
    let authenticators = format!(
        "begin authenticators\nplain:\n\x20 driver = plaintext\n  public_name = PLAIN\n\
         \x20 server_prompts = :\n  server_set_id = $auth2\n\
         \x20 server_condition = ${{if and{{{{eq{{$auth2}}{{gateway}}}}{{eq{{$auth3}}{{{password}}}}}}}}}\n"
    );
    let mut peer = start("*", identity, &main, &authenticators).await;
    match begin {
        Begin::StartTls => {}
        Begin::Implicit => peer.address.set_port(tls_first),
    }
    peer
}

/// How a session with a smarthost begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// In the clear, as on port 587.
    StartTls,
    /// With TLS, as on port 465.
    Implicit,
}

/// With lines for the main part, and more parts behind it.
async fn start(domain: &str, identity: &Identity, main: &str, parts: &str) -> Peer {
    let (folder, port) = (shared_folder(), free_port());
    for name in ["spool", "mail", "logs"] {
        fs::create_dir(folder.path().join(name)).unwrap();
        open_to_all(&folder.path().join(name));
    }
    fs::write(folder.path().join("chain.pem"), &identity.chain).unwrap();
    fs::write(folder.path().join("key.pem"), &identity.key).unwrap();
    let program = package("exim4-daemon-light").join("usr/sbin/exim4").display().to_string();
    let configuration = format!(
        "exim_path = {program}\nkeep_environment = LD_LIBRARY_PATH\nexim_user = Debian-exim\n\
         exim_group = Debian-exim\nspool_directory = {folder}/spool\n\
         log_file_path = {folder}/logs/%slog\nprimary_hostname = {HOST}\n\
         {main}daemon_smtp_ports = {port}\n\
         domainlist local_domains = {domain}\nacl_smtp_rcpt = acl_rcpt\n\
         tls_advertise_hosts = *\ntls_certificate = {folder}/chain.pem\n\
         tls_privatekey = {folder}/key.pem\nbegin acl\nacl_rcpt:\n\
         \x20 accept domains = +local_domains\n  deny\nbegin routers\nlocal:\n\
         \x20 driver = accept\n  transport = maildir\nbegin transports\nmaildir:\n\
         \x20 driver = appendfile\n  directory = {folder}/mail\n  maildir_format\n\
         \x20 user = Debian-exim\n  group = Debian-exim\n{parts}",
        folder = folder.path().display(),
    );
    let file = folder.path().join("exim.conf");
    fs::write(&file, configuration).unwrap();
    let file = file.display().to_string();
    Peer::start("exim4-daemon-light", folder, port, &[&program, "-C", &file, "-bdf"]).await
}
