//! Rejection with a close code, which pages in browsers can read.

use uptick_emitter::Excerpt;
use uptick_http::{HttpError, Response};

use crate::gate::IntoVerdict;
use crate::{Accept, CloseCode, WebSocket};

/// Maximum number of bytes of an error report in the log.
const REPORT: usize = 1024;

/// The verdict that rejects a client with a close code: the WebSocket is opened, and immediately closed with the code and a reason.
///
/// Pages in browsers cannot see the status and the body of a refused handshake: a [`Reject`](crate::Reject) is code 1006 to them, the same
/// as a lost connection. With `RejectWithClose`, the `close` event has the code and the reason, so that the page knows not to try again. For
/// other clients, use a status.
///
/// A gate returns it directly or as the error of a `Result`. An [`HttpError`] converts into a `RejectWithClose` with its message and the
/// code 4000 + status, such as 4401 for 401.
///
/// The origin of the page is checked before the gate is called; a page that is not allowed still gets the response 403.
///
/// # Limits
/// The reason is truncated to 123 bytes. The connection stays open until the client responds to the close, at most for
/// [`close_timeout`](crate::WebSocketOptions::close_timeout), 5 s by default. Messages from the client are discarded.
///
/// # Examples
/// ```
/// use uptick_http::{HttpError, HttpServer, Request};
/// use uptick_websocket::{Accept, RejectWithClose, WebSocket, WebSocketOptions, WebSocketRoutes};
///
/// fn user_of(token: &str) -> Result<String, HttpError> {
///     Ok(token.to_owned())
/// }
///
/// let http = HttpServer::new();
/// http.websocket_with("/chat", WebSocketOptions::new(), |req: Request| {
///     let Some(token) = req.cookie("token") else {
///         return Err(RejectWithClose::unauthorized("the token is missing"));
///     };
///     // A 403 becomes the code 4403.
///     let user = user_of(token)?;
///     Ok(Accept::new(move |ws: WebSocket| ws.set_extension(user)))
/// });
/// ```
#[derive(Debug)]
pub struct RejectWithClose {
    code: CloseCode,
    reason: String,
    protocol: Option<String>,
    error: Option<HttpError>,
}

impl RejectWithClose {
    /// Creates a rejection with a code and a reason. Applications may use 4000 to 4999; a code that cannot be
    /// [sent](CloseCode::is_sendable), such as 1006, becomes 1008.
    pub fn new(code: impl Into<CloseCode>, reason: impl Into<String>) -> Self {
        let code = code.into();
        RejectWithClose {
            code: if code.is_sendable() {
                code
            } else {
                CloseCode::POLICY
            },
            reason: reason.into(),
            protocol: None,
            error: None,
        }
    }

    /// Creates a rejection with the code 4401, for a client that is not authenticated, and a reason.
    pub fn unauthorized(reason: impl Into<String>) -> Self {
        RejectWithClose::new(4401, reason)
    }

    /// Sets the subprotocol, as [`Accept::protocol`] does. Browsers fail a connection, with 1006, if they offer subprotocols and the server
    /// chooses none. Default: the first subprotocol offered by the client that is in [`WebSocketOptions::protocols`](crate::WebSocketOptions::protocols).
    #[must_use]
    pub fn protocol(mut self, protocol: impl Into<String>) -> Self {
        self.protocol = Some(protocol.into());
        self
    }

    /// Returns the close code.
    pub fn code(&self) -> CloseCode {
        self.code
    }

    /// Returns the reason.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Logs the error if the rejection was created from one: at error level for server errors.
    fn log(&self) {
        let Some(error) = &self.error else { return };
        let code = self.code.as_u16();
        let report = Excerpt::new(error.report()).limit(REPORT);
        if error.status().is_server_error() {
            tracing::error!(code, "a gate rejected a WebSocket: {report}");
        } else {
            tracing::debug!(code, "a gate rejected a WebSocket: {report}");
        }
    }
}

impl From<HttpError> for RejectWithClose {
    fn from(error: HttpError) -> Self {
        let code = 4000 + error.status().as_u16();
        let mut rejection = RejectWithClose::new(code, error.message());
        rejection.error = Some(error);
        rejection
    }
}

impl IntoVerdict for RejectWithClose {
    fn into_verdict(self) -> Result<Accept, Response> {
        self.log();
        let RejectWithClose {
            code,
            reason,
            protocol,
            ..
        } = self;
        let mut accept = Accept::new(move |ws: WebSocket| ws.close(code, &reason));
        accept.protocol = protocol;
        Ok(accept)
    }
}

impl IntoVerdict for Result<Accept, RejectWithClose> {
    fn into_verdict(self) -> Result<Accept, Response> {
        self.or_else(RejectWithClose::into_verdict)
    }
}
