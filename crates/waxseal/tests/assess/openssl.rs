//! Servers of OpenSSL, for what our own TLS does not speak.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

/// A running `openssl s_server`. Dropping it ends it.
pub(super) struct Server {
    child: Child,
    pub(super) address: SocketAddr,
}

impl Server {
    /// With this certificate and key, these options, and this as its configuration.
    pub(super) fn start(
        folder: &Path,
        (certificate, key): (&str, &str),
        options: &[&str],
        configuration: &[String],
    ) -> Self {
        let (chain, private) = (folder.join("server.pem"), folder.join("server.key"));
        std::fs::write(&chain, certificate).unwrap();
        std::fs::write(&private, key).unwrap();
        let mut command = Command::new("openssl");
        command.arg("s_server");
        if !configuration.is_empty() {
            let settings = folder.join("openssl.cnf");
            let sections =
                "openssl_conf = all\n[all]\nssl_conf = tls\n[tls]\nserver = lines\n[lines]\n";
            std::fs::write(&settings, format!("{sections}{}\n", configuration.join("\n"))).unwrap();
            command.env("OPENSSL_CONF", &settings).args(["-ssl_config", "server"]);
        }
        let mut child = command
            .args(["-accept", "127.0.0.1:0", "-cert"])
            .arg(&chain)
            .arg("-key")
            .arg(&private)
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("openssl is in PATH");
        let stdout = child.stdout.take().unwrap();
        let mut lines = BufReader::new(stdout).lines();
        let address = lines
            .find_map(|line| line.ok()?.strip_prefix("ACCEPT ")?.trim().parse().ok())
            .expect("it says where it listens");
        // What it prints from now on must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}
