//! A server's handshake until it is known what to answer the ClientHello with.

use rustls::server::{Accepted, Acceptor, UnbufferedServerConnection};

use super::Gate;
use crate::error::Error;

/// Parses the ClientHello, which rustls bounds: 64 KiB.
#[derive(Default)]
pub(super) struct Hello {
    acceptor: Acceptor,
    whole: Option<Accepted>,
}

/// The connection that answers a client, and the name that the client asks for.
type Answer = (UnbufferedServerConnection, Option<Box<str>>);

impl Hello {
    /// Looks at what has come; whether the ClientHello is whole. An error has an alert to be sent.
    pub(super) fn collect(&mut self, mut bytes: &[u8]) -> Result<bool, (rustls::Error, Vec<u8>)> {
        while self.whole.is_none() && !bytes.is_empty() {
            let read = self.acceptor.read_tls(&mut bytes);
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

    /// Answers a ClientHello that is whole. An error has an alert to be sent.
    pub(super) fn answer(self, gate: &dyn Gate) -> Result<Answer, (Error, Vec<u8>)> {
        let Some(accepted) = self.whole else {
            let error = Error::protocol("there is no ClientHello yet");
            return Err((error, Vec::new()));
        };
        let hello = accepted.client_hello();
        let config = gate.select(&hello).map_err(|reason| {
            let alert = alert_of(&reason);
            (reason, alert)
        })?;
        let tls = UnbufferedServerConnection::new(config)
            .map_err(|error| (Error::protocol(error.to_string()), Vec::new()))?;
        Ok((tls, hello.server_name().map(Into::into)))
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
