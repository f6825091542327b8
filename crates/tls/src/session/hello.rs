//! The beginning of a server's handshake: the ClientHello, and the choice of a configuration for it.

use rustls::server::{Accepted, Acceptor, UnbufferedServerConnection};
use rustls::{AlertDescription, ContentType, InvalidMessage};

use super::Gate;
use crate::error::Error;

/// Parses the ClientHello, which rustls bounds: 64 KiB.
#[derive(Default)]
pub(super) struct Hello {
    acceptor: Acceptor,
    whole: Option<Accepted>,
}

/// The connection that answers a client.
pub(super) struct Answer {
    pub(super) tls: UnbufferedServerConnection,
    /// The name that the client asks for.
    pub(super) server_name: Option<Box<str>>,
    /// Whether the keys can be taken over after the handshake.
    pub(super) has_secrets: bool,
}

impl Hello {
    /// Passes received bytes to the parser; returns whether the ClientHello is complete. An error has the alert to be sent.
    pub(super) fn collect(&mut self, mut bytes: &[u8]) -> Result<bool, (rustls::Error, Vec<u8>)> {
        while self.whole.is_none() && !bytes.is_empty() {
            let read = self.acceptor.read_tls(&mut bytes);
            read.map_err(|error| {
                let error = rustls::Error::General(error.to_string());
                let alert = alert_without_hello(&error);
                (error, alert)
            })?;
            self.whole = self.acceptor.accept().map_err(|(error, mut alert)| {
                let mut out = Vec::new();
                // Writing to memory does not fail.
                let _ = alert.write_all(&mut out);
                if out.is_empty() || is_unexpected(&error) {
                    out = alert_without_hello(&error);
                }
                (error, out)
            })?;
        }
        Ok(self.whole.is_some())
    }

    /// Creates the connection for a complete ClientHello. An error has the alert to be sent.
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
        let has_secrets = config.enable_secret_extraction;
        let tls = UnbufferedServerConnection::new(config)
            .map_err(|error| (Error::protocol(error.to_string()), Vec::new()))?;
        Ok(Answer {
            tls,
            server_name: hello.server_name().map(Into::into),
            has_secrets,
        })
    }
}

/// Returns the alert for a client whose first message is no ClientHello, for which rustls has none (RFC 8446, section 4); none if
/// that message is an alert itself.
fn alert_without_hello(error: &rustls::Error) -> Vec<u8> {
    match error {
        rustls::Error::InappropriateMessage {
            got_type: ContentType::Alert,
            ..
        } => Vec::new(),
        error if is_unexpected(error) => fatal(AlertDescription::UnexpectedMessage),
        _ => fatal(AlertDescription::DecodeError),
    }
}

/// Returns whether the first message does not belong to a handshake, or does not begin one. A record of an unknown type is an
/// unexpected message, too (RFC 8446, section 5); rustls sends `decode_error` for it.
fn is_unexpected(error: &rustls::Error) -> bool {
    matches!(
        error,
        rustls::Error::InappropriateMessage { .. }
            | rustls::Error::InappropriateHandshakeMessage { .. }
            | rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)
    )
}

/// Returns the alert for a client that the server refuses for a reason of its own.
fn alert_of(reason: &Error) -> Vec<u8> {
    fatal(match reason {
        Error::UnknownName { .. } => AlertDescription::UnrecognisedName,
        _ => AlertDescription::InternalError,
    })
}

/// Returns the record of a fatal alert (RFC 8446, sections 5.1 and 6), not encrypted.
fn fatal(description: AlertDescription) -> Vec<u8> {
    vec![21, 3, 3, 0, 2, 2, description.into()]
}
