//! The interface between a WebSocket connector and its transport.

use std::time::Duration;

use uptick_http::LocalFuture;
use uptick_http::channel::Channel;
use uptick_socket::Error as SocketError;

use super::refusal::Refusal;
use super::url::Url;
use crate::protocol::handshake::client::{Handshake, HandshakeError, Request};

/// A client transport that opens channels to WebSocket servers.
pub(crate) trait Dialer {
    /// Opens a channel to the server of a URL and performs the handshake; the response must arrive within `limit`. The channel is
    /// paused, and keeps the bytes received after the response.
    ///
    /// Dropping the future closes the channel.
    fn dial(&self, url: &Url, request: Request, limit: Duration) -> LocalFuture<Dialed>;
}

/// The result of a handshake.
pub(crate) type Dialed = Result<(Channel, Handshake), DialError>;

/// The reason why a handshake failed.
#[derive(Debug)]
pub(crate) enum DialError {
    /// The connection failed.
    Connection(SocketError),
    /// The connection ended before the response.
    Ended,
    /// The response did not arrive in time.
    Timeout(Duration),
    /// The server responded with a status other than 101.
    Refused(Box<Refusal>),
    /// The request cannot be sent, or the response is invalid.
    Handshake(HandshakeError),
}
