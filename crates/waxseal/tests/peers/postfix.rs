//! Postfix as a receiver.

use std::{
    fmt::Write,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
};

use super::process::{Identity, Peer, free_port, open_to_all, package, shared_folder};

const SERVICES: &str = "\
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
";

/// A Postfix that takes mail for any recipient of `domain`, over STARTTLS where it has an identity.
pub(crate) async fn postfix(domain: &str, identity: Option<&Identity>) -> Peer {
    postfix_knowing(domain, identity, "static:mail/").await
}

/// The same, for those whom a lookup table knows.
pub(crate) async fn postfix_knowing(domain: &str, identity: Option<&Identity>, maps: &str) -> Peer {
    let (folder, port) = (shared_folder(), free_port());
    write_configuration(folder.path(), &package("postfix"), local(port));
    let mut main = fs::read_to_string(folder.path().join("etc/main.cf")).unwrap();
    write!(
        main,
        "myhostname = mx.{domain}\nmydestination =\nlocal_recipient_maps =\n\
         virtual_mailbox_domains = {domain}\nvirtual_mailbox_base = {base}\n\
         virtual_mailbox_maps = {maps}\nvirtual_uid_maps = static:65534\n\
         virtual_gid_maps = static:65534\nvirtual_minimum_uid = 1\n\
         smtpd_relay_restrictions = reject_unauth_destination\n",
        base = folder.path().display(),
    )
    .unwrap();
    if let Some(identity) = identity {
        let chain = folder.path().join("chain.pem");
        fs::write(&chain, format!("{}{}", identity.key, identity.chain)).unwrap();
        write!(
            main,
            "smtpd_tls_security_level = may\nsmtpd_tls_chain_files = {}\n\
             smtpd_tls_received_header = yes\n",
            chain.display()
        )
        .unwrap();
    }
    start(folder, port, &main).await
}

/// A Postfix as the mail server inside that most have: its `mynetworks` hold the gateway, and all else is
/// as Postfix comes (`%` and `!` in a local part are routes, and 10 errors are punished). `grace` is there.
pub(crate) async fn postfix_trusting(domain: &str, identity: &Identity) -> Peer {
    let (folder, port) = (shared_folder(), free_port());
    write_configuration(folder.path(), &package("postfix"), local(port));
    let mut main = fs::read_to_string(folder.path().join("etc/main.cf")).unwrap();
    let chain = folder.path().join("chain.pem");
    fs::write(&chain, format!("{}{}", identity.key, identity.chain)).unwrap();
    write!(
        main,
        "myhostname = mx.{domain}\nmydestination = {domain}\nlocal_transport = virtual\n\
         local_recipient_maps = inline:{{grace=x}}\nvirtual_mailbox_base = {base}\n\
         virtual_mailbox_maps = static:mail/\nvirtual_uid_maps = static:65534\n\
         virtual_gid_maps = static:65534\nvirtual_minimum_uid = 1\n\
         mynetworks = 127.0.0.0/8\n\
         smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination\n\
         smtpd_tls_security_level = may\nsmtpd_tls_chain_files = {chain}\n",
        base = folder.path().display(),
        chain = chain.display(),
    )
    .unwrap();
    start(folder, port, &main).await
}

/// A Postfix as an organisation's own mail server: it relays everything to the gateway.
pub(crate) async fn postfix_behind(gateway: SocketAddr) -> Peer {
    postfix_to(gateway, "none").await
}

/// A Postfix that sends everything to `gateway`, with this `smtp_tls_security_level`.
pub(crate) async fn postfix_to(gateway: SocketAddr, tls: &str) -> Peer {
    let (folder, port) = (shared_folder(), free_port());
    write_configuration(folder.path(), &package("postfix"), local(port));
    let mut main = fs::read_to_string(folder.path().join("etc/main.cf")).unwrap();
    write!(
        main,
        "myhostname = mail.sender.test\nmydestination =\nlocal_recipient_maps =\n\
         mynetworks = 127.0.0.0/8\nsmtpd_relay_restrictions = permit_mynetworks, reject\n\
         relayhost = [{}]:{}\ndisable_dns_lookups = yes\nsmtp_host_lookup = native\n\
         smtp_tls_security_level = {tls}\n",
        gateway.ip(),
        gateway.port(),
    )
    .unwrap();
    start(folder, port, &main).await
}

/// A Postfix that takes mail for `domain` at this very address, and looks at `chain.pem` in its folder
/// (key and certificates) anew for each session.
pub(crate) async fn postfix_with_changing_keys(
    domain: &str,
    address: SocketAddr,
    chain: &str,
) -> Peer {
    let folder = shared_folder();
    write_configuration(folder.path(), &package("postfix"), address);
    fs::write(folder.path().join("chain.pem"), chain).unwrap();
    let mut main = fs::read_to_string(folder.path().join("etc/main.cf")).unwrap();
    write!(
        main,
        "myhostname = mx.{domain}\nmydestination =\nlocal_recipient_maps =\nmax_use = 1\n\
         virtual_mailbox_domains = {domain}\nvirtual_mailbox_base = {base}\n\
         virtual_mailbox_maps = static:mail/\nvirtual_uid_maps = static:65534\n\
         virtual_gid_maps = static:65534\nvirtual_minimum_uid = 1\n\
         smtpd_relay_restrictions = reject_unauth_destination\n\
         smtpd_tls_security_level = may\nsmtpd_tls_chain_files = {base}/chain.pem\n",
        base = folder.path().display(),
    )
    .unwrap();
    start_at(folder, address, &main, "true").await
}

/// A Postfix that sends by MX, with DANE where there is any (RFC 7672), asking only this resolver.
pub(crate) async fn postfix_sender(resolver: Ipv4Addr) -> Peer {
    let (folder, port) = (shared_folder(), free_port());
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    write_configuration(folder.path(), &package("postfix"), address);
    let resolv = folder.path().join("resolv.conf");
    fs::write(&resolv, format!("nameserver {resolver}\noptions edns0 trust-ad\n")).unwrap();
    let mut main = fs::read_to_string(folder.path().join("etc/main.cf")).unwrap();
    main.push_str(
        "myhostname = mail.sender.test\nmydestination =\nlocal_recipient_maps =\n\
         mynetworks = 127.0.0.0/8\nsmtpd_relay_restrictions = permit_mynetworks, reject\n\
         smtp_host_lookup = dns\nsmtp_dns_support_level = dnssec\n\
         smtp_tls_security_level = dane\nsmtp_tls_loglevel = 1\n\
         smtp_connection_cache_on_demand = no\n",
    );
    let mount = format!("mount --bind {} /etc/resolv.conf", resolv.display());
    start_at(folder, address, &main, &mount).await
}

/// Starts a Postfix with a finished `main.cf`.
async fn start(folder: tempfile::TempDir, port: u16, main: &str) -> Peer {
    start_at(folder, SocketAddr::from((Ipv4Addr::LOCALHOST, port)), main, "true").await
}

/// The same at another address, after `first` was done in its namespace.
async fn start_at(folder: tempfile::TempDir, address: SocketAddr, main: &str, first: &str) -> Peer {
    fs::write(folder.path().join("etc/main.cf"), main).unwrap();
    let etc = folder.path().join("etc").display().to_string();
    let master = package("postfix").join("usr/lib/postfix/sbin/master").display().to_string();
    let prepare = format!(
        "{first} && cd {spool} && chown -R postfix . && chown root . pid && chgrp postdrop maildrop public \
         && chmod 730 maildrop && chmod 710 public && chown postfix {data} && exec {master} -c {etc} -d",
        spool = folder.path().join("spool").display(),
        data = folder.path().join("data").display(),
    );
    Peer::start_at(
        "postfix",
        folder,
        address,
        &["env", &format!("MAIL_CONFIG={etc}"), "bash", "-c", &prepare],
    )
    .await
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// The parts of the configuration that do not depend on what the peer is for.
fn write_configuration(folder: &Path, package: &Path, address: SocketAddr) {
    for name in ["etc", "spool", "data", "mail"] {
        fs::create_dir(folder.join(name)).unwrap();
        open_to_all(&folder.join(name));
    }
    for queue in [
        "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming",
        "maildrop", "pid", "private", "public", "saved", "trace",
    ] {
        fs::create_dir(folder.join("spool").join(queue)).unwrap();
    }
    let (folder, package) = (folder.display(), package.display());
    let main = format!(
        "compatibility_level = 3.6\nqueue_directory = {folder}/spool\n\
         data_directory = {folder}/data\nconfig_directory = {folder}/etc\n\
         command_directory = {package}/usr/sbin\n\
         daemon_directory = {package}/usr/lib/postfix/sbin\n\
         shlib_directory = {package}/usr/lib/postfix\nmail_owner = postfix\n\
         setgid_group = postdrop\nmaillog_file = {folder}/log\nmaillog_file_prefixes = /tmp\n\
         import_environment = LD_LIBRARY_PATH MAIL_CONFIG TZ=UTC LANG=C\n\
         export_environment = LD_LIBRARY_PATH TZ LANG\ninet_interfaces = 127.0.0.1\n\
         inet_protocols = ipv4\nalias_maps =\nalias_database =\n"
    );
    fs::write(format!("{folder}/etc/main.cf"), main).unwrap();
    let master = format!("{address} inet n - n - - smtpd\n{SERVICES}");
    fs::write(format!("{folder}/etc/master.cf"), master).unwrap();
}
