//! OpenSMTPD as a receiver.

use std::fs;

use super::process::{Identity, Peer, free_port, open_to_all, package, shared_folder};

/// An OpenSMTPD that takes mail for `receiver@domain` over STARTTLS.
pub(crate) async fn opensmtpd(domain: &str, identity: &Identity) -> Peer {
    let (folder, port) = (shared_folder(), free_port());
    fs::create_dir(folder.path().join("mail")).unwrap();
    open_to_all(&folder.path().join("mail"));
    let folder_name = folder.path().display().to_string();
    fs::write(folder.path().join("chain.pem"), &identity.chain).unwrap();
    fs::write(folder.path().join("key.pem"), &identity.key).unwrap();
    let configuration = format!(
        "pki \"peer\" cert \"{folder_name}/chain.pem\"\npki \"peer\" key \"{folder_name}/key.pem\"\n\
         listen on 127.0.0.1 port {port} tls pki \"peer\" hostname mx.{domain}\n\
         action keep maildir \"{folder_name}/mail\" user receiver\n\
         match from any for domain \"{domain}\" action keep\n",
    );
    fs::write(folder.path().join("smtpd.conf"), configuration).unwrap();
    // OpenSMTPD wants a private key that only root reads, and folders that Debian's postinst makes.
    let start = format!(
        "chmod 600 {folder_name}/key.pem && mkdir -p /var/lib/opensmtpd/empty /var/spool/smtpd \
         && chmod 711 /var/spool/smtpd && exec {program} -d -f {folder_name}/smtpd.conf",
        program = package("opensmtpd").join("usr/sbin/smtpd").display(),
    );
    Peer::start("opensmtpd", folder, port, &["bash", "-c", &start]).await
}
