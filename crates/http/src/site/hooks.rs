//! Callbacks and events for requests and responses in transit, and the default headers.

use std::fmt;
use std::io::Write;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use uptick_emitter::Excerpt;
use uptick_event_loop::{Id, catch, driver};
use uptick_socket::{Address, Connection};

use crate::exchange::log;
use crate::{
    Channel, HeaderMap, HttpError, Method, Request, Response, ShutdownOptions, StatusCode,
};

/// A callback that replaces responses.
pub(crate) type OnResponse = Rc<dyn Fn(Response) -> Response>;

/// The observer of a site's connections: the server.
pub(crate) trait Observer {
    /// Returns the id of the server.
    fn id(&self) -> Option<Id>;

    /// Returns the options of the shutdown in progress.
    fn draining(&self) -> Option<ShutdownOptions>;

    /// Called when a request is passed to its handler.
    fn request(&self, request: RequestInfo);

    /// Called when a response is about to be sent.
    fn response(&self, response: ResponseInfo);

    /// Called when a response is about to be sent, with the time since its request was passed to the middleware.
    fn handled(&self, time: Duration);

    /// Called when a connection or a stream was upgraded to another protocol.
    fn upgraded(&self, channel: Channel);

    /// Called when a connection was opened while only one may be open.
    fn opened(&self);

    /// Called when a connection was closed while the server waits for that.
    fn closed(&self);
}

/// Callbacks and events for requests and responses, and the default headers.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    pub(crate) observer: Option<Rc<dyn Observer>>,
    /// `true` if any hook handles requests.
    watches_requests: bool,
    /// `true` if any hook handles responses.
    finishes: bool,
    /// `true` if the observer is notified of requests.
    pub(crate) requests: bool,
    /// `true` if the observer is notified of responses.
    pub(crate) responses: bool,
    /// `true` if handler times are measured.
    pub(crate) measures: bool,
    /// `true` if error pages contain causes, and responses are printed.
    pub(crate) debug: bool,
    pub(crate) headers: HeaderMap,
    pub(crate) on_response: Option<OnResponse>,
}

impl Hooks {
    /// Updates the flags that indicate whether hooks handle requests and responses.
    pub(super) fn update(&mut self) {
        let times = self.measures || self.debug;
        self.watches_requests = self.requests || times;
        self.finishes =
            self.responses || times || self.on_response.is_some() || !self.headers.is_empty();
    }

    /// Notifies the observer of a request, if enabled.
    #[inline]
    pub(crate) fn request(&self, request: &Request) {
        if self.watches_requests {
            self.watch_request(request);
        }
    }

    #[cold]
    fn watch_request(&self, request: &Request) {
        if self.requests
            && let Some(observer) = &self.observer
        {
            observer.request(RequestInfo(request.clone_handle()));
        }
        if self.measures || self.debug {
            request.set_start(driver::current_time());
        }
    }

    /// Returns `true` if [`finish`](Hooks::finish) does anything.
    #[inline]
    pub(crate) fn finishes(&self) -> bool {
        self.finishes
    }

    /// Applies the hooks to a response, and returns the response to send.
    #[cold]
    pub(crate) fn finish(
        &self,
        conn: Option<Connection>,
        mut response: Response,
        request: Option<&Request>,
    ) -> Response {
        if self.measures
            && let Some(start) = request.map(Request::start)
            && let Some(observer) = &self.observer
        {
            observer.handled(driver::current_time().saturating_sub(start));
        }
        if let Some(rewrite) = &self.on_response {
            response = catch(|| rewrite(response)).unwrap_or_else(|message| {
                HttpError::internal(format!("the callback for responses panicked: {message}"))
                    .into()
            });
        }
        if let Some(error) = response.failure() {
            log(error, request);
        }
        for (name, value) in &self.headers {
            if response.get_bytes(name).is_none() {
                response.headers_mut().insert(name, value.clone());
            }
        }
        let info = ResponseInfo {
            status: response.status(),
            connection: conn.and_then(Connection::id),
        };
        if self.debug {
            print(info.status, request);
        }
        if self.responses
            && let Some(observer) = &self.observer
        {
            observer.response(info);
        }
        response
    }
}

/// Prints a response to standard error, as a line such as `127.0.0.1:51234 GET /users/7 200 0.3 ms`.
fn print(status: StatusCode, request: Option<&Request>) {
    let Some(request) = request else { return };
    let time = driver::current_time().saturating_sub(request.start());
    let peer = request.peer().map_or("-".into(), |peer| peer.to_string());
    let peer = peer.rsplit("//").next().unwrap_or_default();
    let method = request.method();
    let path = Excerpt::new(request.path());
    let status = status.as_u16();
    let milliseconds = time.as_secs_f64() * 1e3;
    let line = format!("{peer} {method} {path} {status} {milliseconds:.1} ms\n");
    // Errors of standard error are ignored.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// The payload of the event `request`: a received request. Clones share its data.
pub struct RequestInfo(Request);

impl Clone for RequestInfo {
    fn clone(&self) -> Self {
        RequestInfo(self.0.clone_handle())
    }
}

impl RequestInfo {
    /// Returns the method.
    pub fn method(&self) -> &Method {
        self.0.method()
    }

    /// Returns the path in normal form, as [`Request::path`] does.
    pub fn path(&self) -> &str {
        self.0.path()
    }

    /// Returns the target as sent: a path and query, or a complete URI.
    pub fn target(&self) -> &str {
        self.0.target()
    }

    /// Returns the address of the peer.
    pub fn peer(&self) -> Option<Address> {
        self.0.peer()
    }

    /// Returns the address of the client ([`Request::client`]).
    pub fn client(&self) -> Option<IpAddr> {
        self.0.client()
    }

    /// Returns the requested host ([`Request::host`]).
    pub fn host(&self) -> Option<&str> {
        self.0.host()
    }

    /// Returns `true` if the client uses HTTPS ([`Request::is_secure`]).
    pub fn is_secure(&self) -> bool {
        self.0.is_secure()
    }

    /// Returns the id of the connection ([`Connection::id`]), as in the following `response` event.
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

/// The payload of the event `response`: a response that is about to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResponseInfo {
    /// The status.
    pub status: StatusCode,
    /// The id of the connection ([`Connection::id`]).
    pub connection: Option<u64>,
}
