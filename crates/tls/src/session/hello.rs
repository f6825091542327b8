//! The ClientHello, and the selection of a configuration for it.

use rustls::server::{Accepted, Acceptor, UnbufferedServerConnection};
use rustls::{AlertDescription, ContentType, InvalidMessage};

use super::HandshakeControl;
use crate::error::Error;

/// A parser of the ClientHello, which rustls limits to 64 KiB.
#[derive(Default)]
pub(super) struct HelloReader {
    acceptor: Acceptor,
    accepted: Option<Accepted>,
}

/// The connection for a ClientHello.
pub(super) struct AcceptedHello {
    pub(super) tls: UnbufferedServerConnection,
    /// The requested server name.
    pub(super) server_name: Option<Box<str>>,
    /// `true` if the keys can be extracted after the handshake.
    pub(super) has_secrets: bool,
}

impl HelloReader {
    /// Passes received bytes to the parser. Returns `true` if the ClientHello is complete. An error contains the alert to send.
    pub(super) fn collect(&mut self, mut bytes: &[u8]) -> Result<bool, (rustls::Error, Vec<u8>)> {
        while self.accepted.is_none() && !bytes.is_empty() {
            let read = self.acceptor.read_tls(&mut bytes);
            read.map_err(|error| {
                let error = rustls::Error::General(error.to_string());
                let alert = alert_without_hello(&error);
                (error, alert)
            })?;
            self.accepted = self.acceptor.accept().map_err(|(error, mut alert)| {
                let mut out = Vec::new();
                // Writing to memory does not fail.
                let _ = alert.write_all(&mut out);
                if out.is_empty() || is_unexpected(&error) {
                    out = alert_without_hello(&error);
                }
                (error, out)
            })?;
        }
        Ok(self.accepted.is_some())
    }

    /// Creates the connection for a complete ClientHello. An error contains the alert to send.
    pub(super) fn accept(
        self,
        control: &dyn HandshakeControl,
    ) -> Result<AcceptedHello, (Error, Vec<u8>)> {
        let Some(accepted) = self.accepted else {
            let error = Error::protocol("the ClientHello is not complete");
            return Err((error, Vec::new()));
        };
        let hello = accepted.client_hello();
        let config = control.select(&hello).map_err(|reason| {
            let alert = alert_of(&reason);
            (reason, alert)
        })?;
        let has_secrets = config.enable_secret_extraction;
        let tls = UnbufferedServerConnection::new(config)
            .map_err(|error| (Error::protocol(error.to_string()), Vec::new()))?;
        Ok(AcceptedHello {
            tls,
            server_name: hello.server_name().map(Into::into),
            has_secrets,
        })
    }
}

/// Returns the alert for a client whose first message is not a ClientHello, for which rustls creates none (RFC 8446, section 4); empty if
/// that message is itself an alert.
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

/// Returns `true` if the first message is not a handshake message, or not the first of a handshake. A record of an unknown type is
/// also an unexpected message (RFC 8446, section 5); rustls sends `decode_error` for it.
fn is_unexpected(error: &rustls::Error) -> bool {
    matches!(
        error,
        rustls::Error::InappropriateMessage { .. }
            | rustls::Error::InappropriateHandshakeMessage { .. }
            | rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)
    )
}

/// Returns the alert for a client that is refused by the server's configuration.
fn alert_of(reason: &Error) -> Vec<u8> {
    fatal(match reason {
        Error::UnknownName { .. } => AlertDescription::UnrecognisedName,
        _ => AlertDescription::InternalError,
    })
}

/// Returns the unencrypted record of a fatal alert (RFC 8446, sections 5.1 and 6).
fn fatal(description: AlertDescription) -> Vec<u8> {
    vec![21, 3, 3, 0, 2, 2, description.into()]
}
