//! The client's TLS session of a connection, without I/O.

use std::io::{ErrorKind, Read as _, Write as _};
use std::sync::Arc;

use anyhow::{Result, bail};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use crate::identity::NAME;

pub(super) struct Session {
    tls: ClientConnection,
    outgoing: Vec<u8>,
}

impl Session {
    pub(super) fn new(config: Arc<ClientConfig>) -> Result<Self> {
        Ok(Self {
            tls: ClientConnection::new(config, ServerName::try_from(NAME)?)?,
            outgoing: Vec::new(),
        })
    }

    /// Encrypts `bytes`; returns the bytes to send now. Before the handshake is complete, these are its next step,
    /// and `bytes` are sent at its end.
    pub(super) fn seal(&mut self, bytes: &[u8]) -> Result<&[u8]> {
        self.tls.writer().write_all(bytes)?;
        self.outgoing()
    }

    /// Decrypts received bytes; returns the number of bytes written to `plaintext`.
    pub(super) fn open(&mut self, mut bytes: &[u8], plaintext: &mut [u8]) -> Result<usize> {
        while !bytes.is_empty() {
            self.tls.read_tls(&mut bytes)?;
            self.tls.process_new_packets()?;
        }
        match self.tls.reader().read(plaintext) {
            Ok(0) => bail!("the server closed a connection before its response"),
            Ok(length) => Ok(length),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Closes the session; returns the `close_notify` alert.
    pub(super) fn close(&mut self) -> Result<&[u8]> {
        self.tls.send_close_notify();
        self.outgoing()
    }

    /// Returns the bytes to send now.
    pub(super) fn outgoing(&mut self) -> Result<&[u8]> {
        self.outgoing.clear();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.outgoing)?;
        }
        Ok(&self.outgoing)
    }
}
