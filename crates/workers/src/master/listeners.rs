//! The listening sockets, which the master binds and keeps open for all generations.

use std::os::fd::OwnedFd;

use uptick_socket::{InheritedSockets, ListenUri, SocketFile};

use crate::error::Error;
use crate::settings::Settings;

/// One address, and the sockets that listen on it.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) address: String,
    /// One for all places, or one for each.
    sockets: Vec<OwnedFd>,
    /// The file of a Unix socket, removed when the service ends.
    _file: Option<SocketFile>,
}

impl Listener {
    /// Returns a duplicate of the socket of a place.
    pub(crate) fn socket(&self, place: usize) -> Result<OwnedFd, Error> {
        let socket = self.sockets.get(place).or(self.sockets.first());
        let socket = socket.ok_or_else(|| Error::invalid("there is no listening socket"))?;
        socket
            .try_clone()
            .map_err(|error| Error::io("duplicating a listening socket", error))
    }

    /// Returns all its sockets.
    pub(crate) fn sockets(&self) -> &[OwnedFd] {
        &self.sockets
    }

    /// Creates it of sockets that an older program has bound.
    pub(crate) fn taken_over(address: String, sockets: Vec<OwnedFd>) -> Self {
        Listener {
            address,
            sockets,
            _file: None,
        }
    }

    /// Leaves the file of a Unix socket in place: another program listens on it now.
    pub(crate) fn keep_file(&mut self) {
        std::mem::forget(self._file.take());
    }
}

/// Listens on the addresses of the settings, or takes over the sockets of the service manager.
pub(crate) fn bind(settings: &Settings) -> Result<Vec<Listener>, Error> {
    if settings.inherit {
        let inherited = InheritedSockets::from_env()?;
        if !inherited.is_empty() {
            return inherited
                .iter()
                .map(|socket| one(&ListenUri::Fd(socket.fd), settings, 1))
                .collect();
        }
    }
    let copies = match settings.reuse_port {
        true => settings.mode.count(),
        false => 1,
    };
    settings
        .listeners
        .iter()
        .map(|(uri, _)| one(uri, settings, copies))
        .collect()
}

fn one(uri: &ListenUri, settings: &Settings, copies: usize) -> Result<Listener, Error> {
    let options = settings
        .listeners
        .iter()
        .find(|(known, _)| known == uri)
        .map(|(_, options)| options.clone())
        .unwrap_or_default();
    let options = options.reuse_port(settings.reuse_port);
    let first = uptick_socket::bind(uri, &options)?;
    let mut sockets = vec![first.socket];
    // The first one has chosen the port.
    let address = first.address.to_string();
    for _ in 1..copies {
        let uri: ListenUri = address.parse()?;
        sockets.push(uptick_socket::bind(&uri, &options)?.socket);
    }
    Ok(Listener {
        address,
        sockets,
        _file: first.file,
    })
}
