//! Bearer tokens offered as subprotocols.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uptick_http::Request;

use crate::protocol::handshake::server::offered_protocols;

/// A bearer token that a client has sent as one of its subprotocols.
///
/// The only header that a page in a browser can set on a WebSocket handshake is `Sec-WebSocket-Protocol`. The page offers the token as a subprotocol with a
/// prefix, next to the subprotocol that it uses:
/// ```js
/// new WebSocket("wss://example.com/chat", ["chat", "bearer." + token]);
/// ```
/// A subprotocol may contain letters, digits and ``!#$%&'*+-.^_`|~``, as JSON Web Tokens do. Encode other tokens as Base64url without `=`, and
/// read them with [`decoded`](BearerProtocol::decoded).
///
/// The server must respond with one of the other subprotocols: browsers fail a connection if the server chooses none. List them in
/// [`WebSocketOptions::protocols`](crate::WebSocketOptions::protocols), or pass [`protocol`](BearerProtocol::protocol) to
/// [`Accept::protocol`](crate::Accept::protocol). The token itself is never sent back unless the gate passes it there.
///
/// Unlike a token in the query of the URL, a token in a header does not appear in the access logs of proxies and servers.
/// The program compares the token: use a constant-time comparison if the server stores the token as a secret.
///
/// # Examples
/// ```
/// use uptick_event_loop::block_on;
/// use uptick_http::{HttpServer, Request};
/// use uptick_websocket::{
///     Accept, BearerProtocol, RejectWithClose, WebSocket, WebSocketOptions, WebSocketRoutes, test,
/// };
///
/// let http = HttpServer::new();
/// let options = WebSocketOptions::new().protocols(["chat"]);
/// http.websocket_with("/chat", options, |req: Request| match BearerProtocol::of(&req) {
///     Some(bearer) if bearer.token() == "sesame" => Ok(Accept::new(|_: WebSocket| ())),
///     _ => Err(RejectWithClose::unauthorized("the token is missing or invalid")),
/// });
///
/// let page = test::connector(http).protocol("chat").protocol("bearer.sesame");
/// let ws = block_on(page.connect("ws://localhost/chat"))??;
/// assert_eq!(ws.protocol().as_deref(), Some("chat"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct BearerProtocol<'a> {
    token: &'a str,
    protocol: Option<&'a str>,
}

impl<'a> BearerProtocol<'a> {
    /// Returns the token after the prefix `bearer.`, and the first of the other subprotocols.
    ///
    /// Returns `None` if the client offers no such subprotocol, several of them, or an empty token.
    pub fn of(req: &'a Request) -> Option<Self> {
        Self::with_prefix(req, "bearer.")
    }

    /// Returns the token after another prefix, such as `base64url.bearer.authorization.k8s.io.`; see [`of`](BearerProtocol::of).
    /// The prefix is case-sensitive.
    pub fn with_prefix(req: &'a Request, prefix: &str) -> Option<Self> {
        let (mut token, mut protocol) = (None, None);
        for offered in offered_protocols(req.head()) {
            let offered = offered?;
            match offered.strip_prefix(prefix) {
                Some(found) if token.is_none() => token = Some(found),
                Some(_) => return None,
                None => protocol = protocol.or(Some(offered)),
            }
        }
        let token = token.filter(|token| !token.is_empty())?;
        Some(BearerProtocol { token, protocol })
    }

    /// Returns the token as it was sent.
    pub fn token(&self) -> &'a str {
        self.token
    }

    /// Returns the token decoded from Base64url, or `None` if it is malformed. Padding with `=` is not allowed.
    pub fn decoded(&self) -> Option<Vec<u8>> {
        URL_SAFE_NO_PAD.decode(self.token).ok()
    }

    /// Returns the first subprotocol that the client offers in addition to the token.
    pub fn protocol(&self) -> Option<&'a str> {
        self.protocol
    }
}

/// Omits the token.
impl fmt::Debug for BearerProtocol<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerProtocol")
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}
