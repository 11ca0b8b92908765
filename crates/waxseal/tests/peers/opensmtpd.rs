//! OpenSMTPD as a receiver.

use std::fs;

use super::process::{Peer, free_port, open_to_all, package, shared_folder};

/// An OpenSMTPD that takes mail for `receiver@domain`, without STARTTLS.
pub(crate) async fn opensmtpd(domain: &str) -> Peer {
    let (folder, port) = (shared_folder(), free_port());
    fs::create_dir(folder.path().join("mail")).unwrap();
    open_to_all(&folder.path().join("mail"));
    let folder_name = folder.path().display().to_string();
    let configuration = format!(
        "listen on 127.0.0.1 port {port} hostname mx.{domain}\n\
         action keep maildir \"{folder_name}/mail\" user receiver\n\
         match from any for domain \"{domain}\" action keep\n",
    );
    fs::write(folder.path().join("smtpd.conf"), configuration).unwrap();
    // Folders that Debian's postinst makes.
    let start = format!(
        "mkdir -p /var/lib/opensmtpd/empty /var/spool/smtpd \
         && chmod 711 /var/spool/smtpd && exec {program} -d -f {folder_name}/smtpd.conf",
        program = package("opensmtpd").join("usr/sbin/smtpd").display(),
    );
    Peer::start("opensmtpd", folder, port, &["bash", "-c", &start]).await
}
