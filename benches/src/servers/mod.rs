//! The echo servers that are compared. Each runs in a process of its own, so that the system's
//! accounting of that process is the accounting of the server.

mod async_std;
mod connection;
mod floor;
mod mio;
mod tokio;
mod uptick;

use std::fmt;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, TcpListener};

use anyhow::Result;

/// Bytes read at a time by the servers that have one buffer for all connections.
const BUFFER: usize = 64 * 1024;

/// Events taken from the kernel at a time.
const EVENTS: usize = 1024;

/// One of the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Floor,
    Mio,
    Uptick,
    Tokio,
    AsyncStd,
}

impl Server {
    /// Every server, in the order of the table; the floor, to which the others are compared, first.
    pub(crate) const ALL: &[Self] = &[
        Self::Floor,
        Self::Mio,
        Self::Uptick,
        Self::Tokio,
        Self::AsyncStd,
    ];

    /// The name in tables and on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Mio => "mio",
            Self::Uptick => "uptick",
            Self::Tokio => "tokio",
            Self::AsyncStd => "async-std",
        }
    }

    /// The server of that name, if there is one.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|server| server.name() == name)
    }

    /// The package whose version the figures of this server depend on.
    pub(crate) fn package(self) -> &'static str {
        match self {
            Self::Floor => "rustix",
            _ => self.name(),
        }
    }

    /// Serves until the process is killed.
    pub(crate) fn serve(self) -> Result<()> {
        match self {
            Self::Floor => floor::serve(),
            Self::Mio => mio::serve(),
            Self::Uptick => uptick::serve(),
            Self::Tokio => tokio::serve(),
            Self::AsyncStd => async_std::serve(),
        }
    }
}

/// A non-blocking listener on a free port of 127.0.0.1.
///
/// `TCP_NODELAY` is set on the listener: accepted sockets inherit it, which saves every server
/// one system call for each connection.
fn listen() -> io::Result<TcpListener> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    rustix::net::sockopt::set_tcp_nodelay(&listener, true)?;
    Ok(listener)
}

/// Tells the parent process where this server listens.
fn announce(address: impl fmt::Display) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{address}")?;
    stdout.flush()
}
