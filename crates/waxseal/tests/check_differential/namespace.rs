//! A network of its own with a resolver of its own: other people's tools ask port 53 and connect to
//! port 25 and 443, and nothing of theirs may leave this machine.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    net::{IpAddr, SocketAddr},
    os::fd::AsFd,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Holds the namespaces. They end with it.
pub(super) struct Namespace {
    holder: Child,
    _input: ChildStdin,
}

const PREPARE: &str = r#"
ip link set lo up
for address in $ADDRESSES; do ip address add "$address/32" dev lo; done
mount --bind "$FOLDER/resolv.conf" "$(readlink -f /etc/resolv.conf)"
mount --bind "$FOLDER/hosts" /etc/hosts
# Postfix does not start without the users that Debian's maintainer scripts would have made.
cp /etc/passwd /etc/group "$FOLDER"
echo "postfix:x:64001:64001::/nonexistent:/usr/sbin/nologin" >>"$FOLDER/passwd"
echo "postfix:x:64001:
postdrop:x:64002:" >>"$FOLDER/group"
mount --bind "$FOLDER/passwd" /etc/passwd
mount --bind "$FOLDER/group" /etc/group
echo ready
read -r _ || true
"#;

impl Namespace {
    /// A network with nothing but loopback, which has these addresses too; port 53 of 127.0.0.1 is
    /// what its programs resolve with.
    pub(super) fn create(folder: &Path, addresses: &[IpAddr]) -> Self {
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        // Without trust-ad the C library hides the AD bit from Postfix.
        write("resolv.conf", "nameserver 127.0.0.1\noptions edns0 trust-ad\n");
        write("hosts", "127.0.0.1 localhost\n");
        let addresses: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
        let mut holder = Command::new("unshare")
            .args(["--net", "--mount", "--propagation", "private", "sh", "-euc", PREPARE])
            .env("ADDRESSES", addresses.join(" "))
            .env("FOLDER", folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare (util-linux) is missing, so nothing can be compared");
        let input = holder.stdin.take().unwrap();
        let mut said = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(
            said, "ready\n",
            "no network namespace could be made, so nothing can be compared: this needs root and \
             `ip` (Debian: iproute2)"
        );
        Self { holder, _input: input }
    }

    /// The calling thread lives in that network from now on, and what it starts does too.
    pub(super) fn enter(&self) {
        let file = File::open(format!("/proc/{}/ns/net", self.holder.id())).unwrap();
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    }

    /// A command that sees this network and its resolv.conf.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        let at = format!("/proc/{}/ns", self.holder.id());
        command.args([format!("--net={at}/net"), format!("--mount={at}/mnt")]);
        command.arg("--").arg(program).stdin(Stdio::null());
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Carries connections from an address of this network to a server of the lab.
pub(super) async fn forward(tasks: &mut JoinSet<()>, from: SocketAddr, to: SocketAddr) {
    let listener = TcpListener::bind(from).await.unwrap();
    tasks.spawn(async move {
        let mut sessions = JoinSet::new();
        loop {
            let Ok((mut client, _)) = listener.accept().await else { continue };
            sessions.spawn(async move {
                let Ok(mut server) = TcpStream::connect(to).await else { return };
                let _ended = copy_bidirectional(&mut client, &mut server).await;
            });
            while sessions.try_join_next().is_some() {}
        }
    });
}
