//! Exim as a receiver.

use std::fs;

use super::process::{Identity, Peer, free_port, open_to_all, package, shared_folder};

/// An Exim that takes mail for any recipient of `domain` over STARTTLS.
pub(crate) async fn exim(domain: &str, identity: &Identity) -> Peer {
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
         log_file_path = {folder}/logs/%slog\nprimary_hostname = mx.{domain}\n\
         daemon_smtp_ports = {port}\nlocal_interfaces = 127.0.0.1\n\
         domainlist local_domains = {domain}\nacl_smtp_rcpt = acl_rcpt\n\
         tls_advertise_hosts = *\ntls_certificate = {folder}/chain.pem\n\
         tls_privatekey = {folder}/key.pem\nbegin acl\nacl_rcpt:\n\
         \x20 accept domains = +local_domains\n  deny\nbegin routers\nlocal:\n\
         \x20 driver = accept\n  transport = maildir\nbegin transports\nmaildir:\n\
         \x20 driver = appendfile\n  directory = {folder}/mail\n  maildir_format\n\
         \x20 user = Debian-exim\n  group = Debian-exim\n",
        folder = folder.path().display(),
    );
    let file = folder.path().join("exim.conf");
    fs::write(&file, configuration).unwrap();
    let file = file.display().to_string();
    Peer::start("exim4-daemon-light", folder, port, &[&program, "-C", &file, "-bdf"]).await
}
