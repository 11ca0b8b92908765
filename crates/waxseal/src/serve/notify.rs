//! Tells systemd how far we are (`sd_notify`): a datagram to `$NOTIFY_SOCKET`, nothing more.

use std::{
    os::unix::net::{SocketAddr, UnixDatagram},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// All listeners are open.
    Ready,
    /// A reload began.
    Reloading,
    /// A stop began.
    Stopping,
    /// We are not stuck.
    Alive,
}

/// How long systemd waits for [`Notice::Alive`], where it does (`WatchdogSec=`).
pub(super) fn watchdog() -> Option<Duration> {
    let variable = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let ours = variable("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    let limit = Duration::from_micros(variable("WATCHDOG_USEC")?);
    (ours && !limit.is_zero()).then_some(limit)
}

/// Tells it, where somebody listens. Not being heard is no error.
pub(super) fn tell(notice: Notice) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let text = match notice {
        Notice::Ready => "READY=1".to_owned(),
        // `Type=notify-reload` wants the time, to tell this reload from one before.
        Notice::Reloading => {
            let now = clock_gettime(ClockId::Monotonic);
            let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
            format!("RELOADING=1\nMONOTONIC_USEC={micros}")
        }
        Notice::Stopping => "STOPPING=1".to_owned(),
        Notice::Alive => "WATCHDOG=1".to_owned(),
    };
    if let Err(error) = send(&socket, text.as_bytes()) {
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
