//! The interface between a connector of WebSockets and what carries them.

use std::time::Duration;

use uptick_http::LocalFuture;
use uptick_http::channel::Channel;
use uptick_socket::Error as SocketError;

use super::refusal::Refusal;
use super::url::Url;
use crate::protocol::handshake::client::{Agreed, Failure, Request};

/// Opens the channels of WebSockets.
pub(crate) trait Dialer {
    /// Opens a channel to the server of a URL, and makes the handshake; the response may take `limit` from then on. The channel is
    /// paused, and nothing of what came behind the response is lost.
    ///
    /// Dropping the future closes the channel.
    fn dial(&self, url: &Url, request: Request, limit: Duration) -> LocalFuture<Dialed>;
}

/// The outcome of a handshake.
pub(crate) type Dialed = Result<(Channel, Agreed), DialError>;

/// The reason why a handshake has failed.
#[derive(Debug)]
pub(crate) enum DialError {
    /// The connection failed.
    Connection(SocketError),
    /// The connection ended before the answer.
    Ended,
    /// The answer did not come in time.
    Late(Duration),
    /// The server answers with another status.
    Refused(Box<Refusal>),
    /// The request cannot be sent, or the answer is not one.
    Failure(Failure),
}
