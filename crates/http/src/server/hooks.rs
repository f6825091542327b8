//! What looks at requests and answers on their way: events, default fields, and the callback that rewrites answers.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::net::IpAddr;
use std::rc::Rc;

use http::header::CONTENT_LENGTH;
use uptick_emitter::emit;
use uptick_event_loop::catch;
use uptick_socket::{Address, Connection};

use super::{HttpServer, Service};
use crate::{HeaderMap, HeaderName, HeaderValue, HttpError, Method, Request, Response, StatusCode};

type OnResponse = Rc<dyn Fn(Response) -> Response>;

/// What looks at requests and answers; the flags keep it out of the way of those that nobody looks at.
#[derive(Default)]
pub(crate) struct Hooks {
    requests: Cell<bool>,
    answers: Cell<bool>,
    debug: Cell<bool>,
    fields: RefCell<HeaderMap>,
    on_response: RefCell<Option<OnResponse>>,
}

/// A request that has come: the payload of `request`. A clone shares its bytes.
pub struct RequestInfo(Request);

impl Clone for RequestInfo {
    fn clone(&self) -> Self {
        RequestInfo(self.0.again())
    }
}

impl RequestInfo {
    /// The method.
    pub fn method(&self) -> &Method {
        self.0.method()
    }

    /// The path in normal form, as [`Request::path`] has it.
    pub fn path(&self) -> &str {
        self.0.path()
    }

    /// The target as it was sent: path and query, or a whole URI.
    pub fn target(&self) -> &str {
        self.0.target()
    }

    /// The address at the other end of the connection.
    pub fn peer(&self) -> Option<Address> {
        self.0.peer()
    }

    /// The address of the client ([`Request::client`]).
    pub fn client(&self) -> Option<IpAddr> {
        self.0.client()
    }

    /// The host that the client asked for ([`Request::host`]).
    pub fn host(&self) -> Option<&str> {
        self.0.host()
    }

    /// Whether the client uses HTTPS ([`Request::is_secure`]).
    pub fn is_secure(&self) -> bool {
        self.0.is_secure()
    }

    /// The connection's number ([`Connection::id`]), the same as in the `response` that follows.
    pub fn connection(&self) -> Option<u64> {
        self.0.connection()?.id()
    }
}

impl fmt::Debug for RequestInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestInfo")
            .field("method", self.method())
            .field("target", &self.target())
            .field("connection", &self.connection())
            .finish()
    }
}

/// An answer that is about to be sent: the payload of `response`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResponseInfo {
    /// Its status.
    pub status: StatusCode,
    /// The connection's number ([`Connection::id`]).
    pub connection: Option<u64>,
}

/// A default field that cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("setting the field {name:?} of all answers failed: {why}")]
pub struct FieldError {
    name: String,
    why: &'static str,
}

/// What looks at requests and answers on their way.
impl HttpServer {
    /// Sets what rewrites every answer before it is sent, also those that are errors, and to what is no request.
    ///
    /// It comes last, behind middlewares and the callback of [`error`](HttpServer::error). When it panics, that is logged and the
    /// answer is 500; so it is when what it gives cannot be sent. Default: answers are sent as they are.
    ///
    /// # Examples
    /// ```
    /// use uptick_http::{HttpServer, Response};
    ///
    /// let http = HttpServer::new();
    /// http.on_response(|response: Response| response.header("x-frame-options", "DENY"));
    /// ```
    pub fn on_response(self, rewrite: impl Fn(Response) -> Response + 'static) -> Self {
        if let Some(service) = self.service() {
            service.hooks.answers.set(true);
            let before = service.hooks.on_response.replace(Some(Rc::new(rewrite)));
            drop(before);
        }
        self
    }

    /// Sets a field of all answers that do not have it themselves; one of the same name that was set before is replaced.
    /// `Connection: close` closes every connection after its first response; the other headers that are the server's own
    /// ([`Response`]) have no effect. Default: none.
    ///
    /// # Errors
    /// When the name or the value is not one of a field, as with a line break in it.
    pub fn set_header(self, name: &str, value: &str) -> Result<Self, FieldError> {
        let error = |why| FieldError {
            name: name.to_owned(),
            why,
        };
        let parsed: HeaderName = name
            .parse()
            .map_err(|_| error("it is no name of a field"))?;
        let value = HeaderValue::from_str(value)
            .map_err(|_| error("its value has characters that cannot be sent"))?;
        if let Some(service) = self.service()
            && parsed != CONTENT_LENGTH
        {
            service.hooks.fields.borrow_mut().insert(parsed, value);
            service.hooks.answers.set(true);
        }
        Ok(self)
    }

    /// Sets several fields of all answers, as [`set_header`](HttpServer::set_header) does. Default: none.
    ///
    /// # Errors
    /// As [`set_header`](HttpServer::set_header); the fields before that one are set.
    pub fn set_headers<'a>(
        self,
        fields: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, FieldError> {
        for (name, value) in fields {
            self.set_header(name, value)?;
        }
        Ok(self)
    }

    /// Sets whether clients get to read the cause of an answer that is an error, and whether each answer is logged on the level
    /// `DEBUG`. Causes may tell what is nobody's business: it is for development. Default: false.
    pub fn debug(self, debug: bool) -> Self {
        if let Some(service) = self.service() {
            service.hooks.debug.set(debug);
            if debug {
                service.hooks.answers.set(true);
            }
        }
        self
    }
}

impl Service {
    /// Somebody listens to an event of the server.
    pub(super) fn watch(&self, slot: u8) {
        if slot == HttpServer::REQUEST.slot() {
            self.hooks.requests.set(true);
        } else if slot == HttpServer::RESPONSE.slot() {
            self.hooks.answers.set(true);
        }
    }

    /// Emits `request`, if anybody listens.
    #[inline]
    pub(crate) fn tell_request(&self, request: &Request) {
        if self.hooks.requests.get() {
            self.tell(HttpServer::REQUEST, RequestInfo(request.again()));
        }
    }

    /// Emits `upgrade`.
    pub(crate) fn tell_upgrade(&self, conn: Connection) {
        self.tell(HttpServer::UPGRADE, conn);
    }

    fn tell<P: Clone + 'static>(&self, event: uptick_emitter::Event<HttpServer, P>, payload: P) {
        let Some(server) = self.server.get() else {
            return;
        };
        if let Err(message) = catch(|| emit(&server, event, payload)) {
            tracing::error!("a callback of an HTTP server panicked: {message}");
        }
    }

    /// Whether [`finished`](Service::finished) does anything.
    #[inline]
    pub(crate) fn finishes(&self) -> bool {
        self.hooks.answers.get()
    }

    /// What is sent of an answer.
    #[cold]
    pub(crate) fn finished(
        &self,
        conn: Connection,
        mut response: Response,
        request: Option<&Request>,
    ) -> Response {
        let on_response = self.hooks.on_response.borrow().clone();
        if let Some(rewrite) = on_response {
            response = catch(|| rewrite(response)).unwrap_or_else(|message| {
                HttpError::internal(format!("the callback for answers panicked: {message}")).into()
            });
        }
        if let Some(error) = response.failure() {
            error.log(request);
        }
        for (name, value) in &*self.hooks.fields.borrow() {
            if response.get_bytes(name).is_none() {
                response.headers_mut().insert(name, value.clone());
            }
        }
        let info = ResponseInfo {
            status: response.status(),
            connection: conn.id(),
        };
        if self.hooks.debug.get() {
            tracing::debug!(
                connection = info.connection,
                status = info.status.as_u16(),
                "answered"
            );
        }
        self.tell(HttpServer::RESPONSE, info);
        response
    }

    /// The page of an error, as [`HttpServer::debug`] has it.
    #[inline]
    pub(crate) fn explained(&self, response: Response) -> Response {
        if self.hooks.debug.get() {
            response.explained()
        } else {
            response
        }
    }
}
