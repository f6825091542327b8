//! Gates: callbacks that decide before the upgrade whether a WebSocket is opened.

use std::future::Future;

use uptick_http::{
    HeaderName, HeaderValue, HttpError, IntoResponse, LocalFuture, Response, StatusCode,
};

use crate::WebSocket;
use crate::marker::{Deferred, Immediate};

/// The callback for an opened WebSocket.
pub(crate) type OnOpen = Box<dyn FnOnce(WebSocket)>;

/// The verdict that accepts a client: the WebSocket is opened and passed to a callback.
///
/// # Examples
/// ```
/// use uptick_websocket::{Accept, WebSocket};
///
/// let user = String::from("Ada");
/// let accept = Accept::new(move |ws: WebSocket| ws.set_extension(user)).header("x-room", "blue");
/// # let _ = accept;
/// ```
pub struct Accept {
    pub(crate) open: OnOpen,
    pub(crate) protocol: Option<String>,
    pub(crate) fields: Vec<(HeaderName, HeaderValue)>,
    pub(crate) failure: Option<HttpError>,
}

impl Accept {
    /// Creates an acceptance that calls `open` with the WebSocket once it is open.
    pub fn new(open: impl FnOnce(WebSocket) + 'static) -> Self {
        Accept {
            open: Box::new(open),
            protocol: None,
            fields: Vec::new(),
            failure: None,
        }
    }

    /// Sets the subprotocol. If the client has not offered it, the response is an error (500, logged).
    /// Default: the first subprotocol offered by the client that is in [`WebSocketOptions::protocols`](crate::WebSocketOptions::protocols).
    #[must_use]
    pub fn protocol(mut self, protocol: impl Into<String>) -> Self {
        self.protocol = Some(protocol.into());
        self
    }

    /// Adds a header to the response, such as `Set-Cookie`. If it is invalid, the response is an error (500,
    /// logged). Default: only the headers of the handshake.
    #[must_use]
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        HeaderName: TryFrom<N>,
        HeaderValue: TryFrom<V>,
    {
        match (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            (Ok(name), Ok(value)) => self.fields.push((name, value)),
            _ => {
                let cause = "a header added to the upgrade response is invalid";
                self.failure = Some(HttpError::internal(cause));
            }
        }
        self
    }
}

/// The verdict that rejects a client with a response in place of the upgrade. Pages in browsers cannot read it; for them, use
/// [`RejectWithClose`](crate::RejectWithClose).
#[derive(Debug)]
pub struct Reject(
    /// The response.
    pub Response,
);

impl Reject {
    /// Rejects a client with a status: a number or a [`StatusCode`]. For an error status, the response is the server's error page; an
    /// invalid number becomes 500.
    ///
    /// # Examples
    /// ```
    /// use uptick_http::{HttpServer, Request};
    /// use uptick_websocket::{Accept, Reject, WebSocket, WebSocketOptions, WebSocketRoutes};
    ///
    /// let http = HttpServer::new();
    /// http.websocket_with("/chat", WebSocketOptions::new(), |req: Request| {
    ///     match req.cookie("user") {
    ///         Some(_) => Ok(Accept::new(|ws: WebSocket| drop(ws.send("Welcome!")))),
    ///         None => Err(Reject::status(401)),
    ///     }
    /// });
    /// ```
    pub fn status<S>(status: S) -> Reject
    where
        StatusCode: TryFrom<S>,
    {
        match StatusCode::try_from(status) {
            Ok(status) => Reject(status.into_response()),
            Err(_) => Reject(HttpError::internal("the status of a rejection is not valid").into()),
        }
    }
}

impl IntoResponse for Reject {
    fn into_response(self) -> Response {
        self.0
    }
}

/// The decision of a gate.
pub enum Decision {
    /// The verdict, available immediately.
    Now(Box<Result<Accept, Response>>),
    /// A future of the verdict.
    Later(LocalFuture<Result<Accept, Response>>),
}

/// The verdict of a gate: an [`Accept`], a [`Reject`], a [`RejectWithClose`](crate::RejectWithClose), or a `Result` of an `Accept` and
/// either a `RejectWithClose` or a type that converts into a response.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the verdict of a gate",
    note = "a gate returns `Accept`, `Reject`, `RejectWithClose`, or `Result<Accept, E>` where `E` is `RejectWithClose` or implements `IntoResponse`"
)]
pub trait IntoVerdict {
    /// Returns the acceptance, or the response in place of the upgrade.
    fn into_verdict(self) -> Result<Accept, Response>;
}

impl IntoVerdict for Accept {
    fn into_verdict(self) -> Result<Accept, Response> {
        Ok(self)
    }
}

impl IntoVerdict for Reject {
    fn into_verdict(self) -> Result<Accept, Response> {
        Err(self.0)
    }
}

impl<E: IntoResponse> IntoVerdict for Result<Accept, E> {
    fn into_verdict(self) -> Result<Accept, Response> {
        self.map_err(IntoResponse::into_response)
    }
}

/// A return value of a gate: a verdict ([`IntoVerdict`]), or a future of one.
///
/// `M` distinguishes these two cases and is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the decision of a gate",
    label = "not a decision",
    note = "a gate returns `Accept`, `Reject`, `RejectWithClose`, or `Result<Accept, E>` where `E` is `RejectWithClose` or implements `IntoResponse`, as `HttpError` does; or a future of one of these"
)]
pub trait IntoDecision<M> {
    /// Returns the decision.
    fn into_decision(self) -> Decision;
}

impl<V: IntoVerdict> IntoDecision<Immediate> for V {
    fn into_decision(self) -> Decision {
        Decision::Now(Box::new(self.into_verdict()))
    }
}

impl<F> IntoDecision<Deferred> for F
where
    F: Future + 'static,
    F::Output: IntoVerdict,
{
    fn into_decision(self) -> Decision {
        Decision::Later(Box::pin(async move { self.await.into_verdict() }))
    }
}

impl std::fmt::Debug for Accept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Accept")
            .field("protocol", &self.protocol)
            .field("fields", &self.fields)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Decision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Decision::Now(verdict) => f.debug_tuple("Now").field(verdict).finish(),
            Decision::Later(_) => f.debug_tuple("Later").finish_non_exhaustive(),
        }
    }
}
