//! Tells systemd how far we are (`sd_notify`): a datagram to `$NOTIFY_SOCKET`, nothing more.

use std::os::unix::net::{SocketAddr, UnixDatagram};

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// All listeners are open.
    Ready,
    /// A reload began.
    Reloading,
    /// A stop began.
    Stopping,
}

/// Tells it, where somebody listens. Not being heard is no error.
pub(super) fn tell(notice: Notice) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let text: &[u8] = match notice {
        Notice::Ready => b"READY=1",
        Notice::Reloading => b"RELOADING=1",
        Notice::Stopping => b"STOPPING=1",
    };
    if let Err(error) = send(&socket, text) {
        tracing::debug!("systemd was not told: {error}");
    }
}

fn send(socket: &std::ffi::OsStr, text: &[u8]) -> std::io::Result<()> {
    use std::os::{linux::net::SocketAddrExt, unix::ffi::OsStrExt};
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(text, &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_hears_that_we_are_ready() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        send(path.as_os_str(), b"READY=1").unwrap();
        let mut heard = [0; 16];
        let octets = systemd.recv(&mut heard).unwrap();
        assert_eq!(&heard[..octets], b"READY=1");
        assert!(send(dir.path().join("nobody").as_os_str(), b"READY=1").is_err());
    }
}
