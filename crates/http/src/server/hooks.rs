//! Settings and events of requests and responses in transit.

use std::rc::Rc;
use std::time::Duration;

use http::header::CONTENT_LENGTH;
use uptick_event_loop::Id;

use super::HttpServer;
use crate::site::{Observer, OnResponse};
use crate::{
    Channel, HeaderName, HeaderValue, Request, RequestInfo, Response, ResponseInfo, ShutdownOptions,
};

/// The error for a default header that cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("setting the header {name:?} of all responses failed: {reason}")]
pub struct HeaderError {
    name: String,
    reason: &'static str,
}

/// Observation and modification of requests and responses.
impl HttpServer {
    /// Sets the callback that replaces each response before it is sent, including errors and the responses to malformed requests.
    ///
    /// It is called after the middleware and the callback of [`error`](HttpServer::error); only the callbacks of
    /// [`Request::on_response_headers`] follow. If it panics, the panic is logged and the response is 500. The response is also 500 if
    /// the one that it returns cannot be sent. Default: responses are sent unchanged.
    ///
    /// # Examples
    /// ```
    /// use uptick_http::{HttpServer, Response};
    ///
    /// let http = HttpServer::new();
    /// http.on_response(|response: Response| response.header("x-frame-options", "DENY"));
    /// ```
    pub fn on_response(self, rewrite: impl Fn(Response) -> Response + 'static) -> Self {
        let rewrite: OnResponse = Rc::new(rewrite);
        // The previous callback is dropped while no `RefCell` is borrowed.
        let before = self.configure(|site| site.hooks.on_response.replace(rewrite));
        drop(before);
        self
    }

    /// Sets a header of all responses that do not set it themselves, replacing a previous value. `Connection: close` closes every
    /// connection after its first response; other headers that the server sets itself ([`Response`]) have no effect. Default: none.
    ///
    /// # Errors
    /// If the name or the value is not valid in a header, for example because it contains a line break.
    pub fn set_header(self, name: &str, value: &str) -> Result<Self, HeaderError> {
        let error = |reason| HeaderError {
            name: name.to_owned(),
            reason,
        };
        let parsed: HeaderName = name
            .parse()
            .map_err(|_| error("the name is not a valid header name"))?;
        let value = HeaderValue::from_str(value)
            .map_err(|_| error("the value has characters that cannot be sent"))?;
        if parsed != CONTENT_LENGTH {
            self.configure(|site| site.hooks.headers.insert(parsed, value));
        }
        Ok(self)
    }

    /// Sets several headers of all responses, like [`set_header`](HttpServer::set_header). Default: none.
    ///
    /// # Errors
    /// As for [`set_header`](HttpServer::set_header). The headers before the invalid one are set.
    pub fn set_headers<'a>(
        self,
        fields: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, HeaderError> {
        for (name, value) in fields {
            self.set_header(name, value)?;
        }
        Ok(self)
    }

    /// Sets whether error responses contain the cause, and whether each response is printed to standard error, as a line such as
    /// `127.0.0.1:51234 GET /users/7 200 0.3 ms`. This is for development: causes may contain information that clients must not see. Use
    /// [`TraceRequests`](crate::TraceRequests) in production. Default: false.
    pub fn debug(self, debug: bool) -> Self {
        self.configure(|site| site.hooks.debug = debug);
        self
    }
}

impl Request {
    /// Returns the server that received the request; `None` if the exchange has ended.
    pub fn server(&self) -> Option<HttpServer> {
        let id = self.server_id()?;
        Some(HttpServer::from_id(Some(id)))
    }
}

impl Observer for HttpServer {
    fn id(&self) -> Option<Id> {
        self.id
    }

    fn draining(&self) -> Option<ShutdownOptions> {
        self.shutdown_options()
    }

    fn request(&self, request: RequestInfo) {
        self.notify(HttpServer::REQUEST, request);
    }

    fn response(&self, response: ResponseInfo) {
        self.notify(HttpServer::RESPONSE, response);
    }

    fn handled(&self, time: Duration) {
        if let Some(service) = self.service() {
            service.handled_in(time);
        }
    }

    fn upgraded(&self, channel: Channel) {
        self.notify(HttpServer::UPGRADE, channel);
    }

    fn opened(&self) {
        self.update_listeners();
    }

    fn closed(&self) {
        self.serve_next();
        self.update_listeners();
        self.connection_closed();
    }
}
