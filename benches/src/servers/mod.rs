//! The echo servers that are compared. Each runs in a process of its own, so that the system's
//! accounting of that process is the accounting of the server.

mod async_std;
mod connection;
mod floor;
mod mio;
mod tokio;
mod tokio_rustls;
mod uptick;
mod uptick_tls;

use std::fmt;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;

use anyhow::{Context as _, Result};
use rustls::crypto::{aws_lc_rs, ring};

use crate::identity::Identity;

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
    UptickTls,
    TokioRustls,
    TokioRustlsRing,
}

impl Server {
    /// The servers without TLS, in the order of the table; the floor, to which the others are compared, first.
    pub(crate) const ALL: &[Self] = &[
        Self::Floor,
        Self::Mio,
        Self::Uptick,
        Self::Tokio,
        Self::AsyncStd,
    ];

    /// The servers with TLS, in the order of the table; the one to which the others are compared first.
    pub(crate) const TLS: &[Self] = &[Self::TokioRustls, Self::UptickTls, Self::TokioRustlsRing];

    /// The name in tables and on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Mio => "mio",
            Self::Uptick => "uptick",
            Self::Tokio => "tokio",
            Self::AsyncStd => "async-std",
            Self::UptickTls => "uptick-tls",
            Self::TokioRustls => "tokio-rustls",
            Self::TokioRustlsRing => "tokio-rustls-ring",
        }
    }

    /// The server of that name, if there is one.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .chain(Self::TLS)
            .copied()
            .find(|server| server.name() == name)
    }

    /// The package whose version the figures of this server depend on.
    pub(crate) fn package(self) -> &'static str {
        match self {
            Self::Floor => "rustix",
            Self::TokioRustlsRing => "ring",
            _ => self.name(),
        }
    }

    /// The identity that this server is to be started with: those without TLS have none.
    pub(crate) fn identity(self, identity: &Identity) -> Option<&Identity> {
        Self::TLS.contains(&self).then_some(identity)
    }

    /// Serves until the process is killed. The servers with TLS need the file of an identity.
    pub(crate) fn serve(self, identity: Option<&Path>) -> Result<()> {
        let identity = || identity.with_context(|| format!("{} needs a PEM file", self.name()));
        match self {
            Self::Floor => floor::serve(),
            Self::Mio => mio::serve(),
            Self::Uptick => uptick::serve(),
            Self::Tokio => tokio::serve(),
            Self::AsyncStd => async_std::serve(),
            Self::UptickTls => uptick_tls::serve(identity()?),
            Self::TokioRustls => tokio_rustls::serve(identity()?, aws_lc_rs::default_provider()),
            Self::TokioRustlsRing => tokio_rustls::serve(identity()?, ring::default_provider()),
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
