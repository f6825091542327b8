//! A server's handshake until it has answered the ClientHello.

use std::io::Write;

use rustls::ServerConnection;
use rustls::server::{Accepted, Acceptor};

use super::Gate;
use crate::error::Error;

/// How many bytes may be written before there is a session to encrypt them.
const EARLY: usize = 64 * 1024;

/// Collects and parses the ClientHello, which rustls bounds: 64 KiB.
#[derive(Default)]
pub(super) struct Hello {
    acceptor: Acceptor,
    whole: Option<Accepted>,
    /// What was written so far.
    early: Vec<u8>,
}

/// Why a ClientHello is not answered, and what the client is told.
pub(super) struct Refusal {
    pub(super) reason: Result<Error, rustls::Error>,
    pub(super) alert: Vec<u8>,
}

impl Hello {
    /// Takes from what has come; whether the ClientHello is whole. An error has an alert to be sent.
    pub(super) fn collect(&mut self, bytes: &mut &[u8]) -> Result<bool, (rustls::Error, Vec<u8>)> {
        while self.whole.is_none() && !bytes.is_empty() {
            let read = self.acceptor.read_tls(bytes);
            read.map_err(|error| (rustls::Error::General(error.to_string()), Vec::new()))?;
            self.whole = self.acceptor.accept().map_err(|(error, mut alert)| {
                let mut out = Vec::new();
                // Writing to memory does not fail.
                let _ = alert.write_all(&mut out);
                (error, out)
            })?;
        }
        Ok(self.whole.is_some())
    }

    /// Keeps what is written; how much of it.
    pub(super) fn write(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(EARLY - self.early.len());
        self.early.extend(bytes.iter().take(count));
        count
    }

    /// Answers a ClientHello that is whole.
    pub(super) fn answer(self, gate: &dyn Gate) -> Result<ServerConnection, Refusal> {
        let Some(accepted) = self.whole else {
            return Err(Refusal {
                reason: Ok(Error::protocol("there is no ClientHello yet")),
                alert: Vec::new(),
            });
        };
        let config = gate
            .select(&accepted.client_hello())
            .map_err(|reason| Refusal {
                alert: alert_of(&reason),
                reason: Ok(reason),
            })?;
        let mut tls = accepted
            .into_connection(config)
            .map_err(|(error, mut alert)| {
                let mut out = Vec::new();
                let _ = alert.write_all(&mut out);
                Refusal {
                    reason: Err(error),
                    alert: out,
                }
            })?;
        // It takes as much as was kept.
        let _ = tls.writer().write_all(&self.early);
        Ok(tls)
    }
}

/// The record of a fatal alert (RFC 8446, sections 5.1 and 6), not encrypted.
fn alert_of(reason: &Error) -> Vec<u8> {
    const UNRECOGNIZED_NAME: u8 = 112;
    const INTERNAL_ERROR: u8 = 80;
    let description = match reason {
        Error::UnknownName { .. } => UNRECOGNIZED_NAME,
        _ => INTERNAL_ERROR,
    };
    vec![21, 3, 3, 0, 2, 2, description]
}
