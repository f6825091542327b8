//! Notifications to the service manager: the protocol of sd_notify(3).

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

/// The environment variables that are for the master only.
pub(crate) const VARIABLES: [&str; 7] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "LISTEN_PIDFDID",
];

/// The connection to the service manager, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Notifier {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// Connects to the service manager that the environment variables of this process name.
    pub(crate) fn from_env() -> Self {
        let Some(path) = std::env::var_os("NOTIFY_SOCKET") else {
            return Notifier::default();
        };
        let socket = match connect(path.as_bytes()) {
            Ok(socket) => socket,
            Err(error) => {
                tracing::warn!("connecting to NOTIFY_SOCKET {path:?} failed: {error}");
                return Notifier::default();
            }
        };
        let number = |name| std::env::var(name).ok()?.parse::<u64>().ok();
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|time| *time > 0 && ours);
        Notifier {
            socket: Some(socket),
            watchdog: watchdog.map(Duration::from_micros),
        }
    }

    /// Returns the interval at which [`alive`](Notifier::alive) must be called.
    pub(crate) fn period(&self) -> Option<Duration> {
        // The manual recommends half of the time; slightly less allows for a late timer.
        self.watchdog.map(|time| time * 2 / 5)
    }

    pub(crate) fn ready(&self) {
        self.send("READY=1");
    }

    pub(crate) fn reloading(&self) {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let microseconds = time.tv_sec * 1_000_000 + time.tv_nsec / 1000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
    }

    pub(crate) fn stopping(&self) {
        self.send("STOPPING=1");
    }

    pub(crate) fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    pub(crate) fn main_process(&self, pid: u32) {
        self.send(&format!("MAINPID={pid}"));
    }

    /// Stores listening sockets in the manager, which passes them to the next start if the master dies.
    pub(crate) fn store(&self, sockets: &[BorrowedFd<'_>]) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = send_with(socket, b"FDSTORE=1\nFDNAME=uptick", sockets) {
            tracing::warn!("storing the listening sockets at the service manager failed: {error}");
        }
    }

    fn send(&self, state: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(state.as_bytes())
        {
            tracing::warn!("notifying the service manager of {state:?} failed: {error}");
        }
    }
}

fn connect(path: &[u8]) -> io::Result<UnixDatagram> {
    let address = match path {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address)?;
    Ok(socket)
}

fn send_with(socket: &UnixDatagram, state: &[u8], sockets: &[BorrowedFd<'_>]) -> io::Result<()> {
    const MAX_SOCKETS: usize = 64;
    for sockets in sockets.chunks(MAX_SOCKETS) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(sockets));
        let slices = [IoSlice::new(state)];
        rustix::net::sendmsg(socket.as_fd(), &slices, &mut ancillary, SendFlags::NOSIGNAL)?;
    }
    Ok(())
}
