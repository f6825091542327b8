//! Settings and events of requests and responses on their way.

use std::rc::Rc;
use std::time::Duration;

use http::header::CONTENT_LENGTH;
use uptick_event_loop::Id;
use uptick_socket::Connection;

use super::HttpServer;
use crate::site::{Observer, OnResponse};
use crate::{
    HeaderName, HeaderValue, Request, RequestInfo, Response, ResponseInfo, ShutdownOptions,
};

/// A default field that cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("setting the field {name:?} of all answers failed: {why}")]
pub struct FieldError {
    name: String,
    why: &'static str,
}

/// What looks at requests and answers on their way.
impl HttpServer {
    /// Sets the callback that replaces each response before it is sent, including errors and the responses to malformed requests.
    ///
    /// It is called after the middleware and the callback of [`error`](HttpServer::error); only the callbacks of
    /// [`Request::on_response_headers`] come later. If it panics, the panic is logged and the response is 500. The response is 500, too,
    /// if the one that it returns cannot be sent. Default: responses are sent as they are.
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
        // A callback that was set before is dropped when nothing is borrowed.
        let before = self.configure(|site| site.hooks.on_response.replace(rewrite));
        drop(before);
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
        if parsed != CONTENT_LENGTH {
            self.configure(|site| site.hooks.headers.insert(parsed, value));
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

    /// Sets whether clients get to read the cause of an error response, and whether each response is printed to standard error, as
    /// a line such as `127.0.0.1:51234 GET /users/7 200 0.3 ms`. It is for development: causes may contain what clients should
    /// not know. [`TraceRequests`](crate::TraceRequests) is for production. Default: false.
    pub fn debug(self, debug: bool) -> Self {
        self.configure(|site| site.hooks.debug = debug);
        self
    }
}

impl Request {
    /// Returns the server that has received the request; `None` when the exchange is over.
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

    fn upgraded(&self, conn: Connection) {
        self.notify(HttpServer::UPGRADE, conn);
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
