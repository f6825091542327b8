//! Callbacks of a request for the headers of its response.

use std::rc::Rc;

use uptick_event_loop::catch;

use super::request::Request;
use super::state::Exchange;
use crate::{HeaderMap, HttpError, Response, StatusCode};

/// A callback that edits the headers of a response.
pub(crate) type EditHeaders = Rc<dyn Fn(StatusCode, &mut HeaderMap)>;

impl Request {
    /// Registers a callback that edits the headers of the response just before they are sent.
    ///
    /// It is called however the response is made: returned by the handler or a middleware, sent or started by a
    /// [`Responder`](crate::Responder), or an error of the server, such as the 500 for a handler that takes too long.
    /// [`Reply::map`](crate::Reply::map) does not see the last two. The callbacks of a request are called after
    /// [`HttpServer::on_response`](crate::HttpServer::on_response), the one that was registered last first, so that those of an outer
    /// middleware see what an inner one has set.
    ///
    /// It is called once for each response; there is a second one if the first cannot be sent. If it panics, the panic is logged, the
    /// response is 500, and the callback is not called again. After the response has begun, it has no effect. Default: none.
    ///
    /// # Examples
    /// ```
    /// use uptick_http::{HeaderValue, HttpServer, Next, Request, Responder};
    ///
    /// let http = HttpServer::new();
    /// http.wrap(|req: Request, next: Next| {
    ///     req.on_response_headers(|_, headers| {
    ///         headers.insert("x-frame-options", HeaderValue::from_static("DENY"));
    ///     });
    ///     next.run(req)
    /// });
    /// http.get("/", |_: Request, res: Responder| {
    ///     res.send("This response has the header.");
    /// });
    /// # assert_eq!(http.test().get("/").send()?.header("x-frame-options"), Some("DENY"));
    /// # Ok::<(), uptick_http::test::TestError>(())
    /// ```
    pub fn on_response_headers(&self, edit: impl Fn(StatusCode, &mut HeaderMap) + 'static) {
        self.exchange.add_header_edit(Rc::new(edit));
    }

    /// Registers a callback that others have, too ([`on_response_headers`](Request::on_response_headers)).
    pub(crate) fn add_header_edit(&self, edit: EditHeaders) {
        self.exchange.add_header_edit(edit);
    }
}

impl Exchange {
    fn add_header_edit(&self, edit: EditHeaders) {
        if !self.is_over() {
            self.edits_headers.set(true);
            self.extras(|extras| extras.header_edits.push(edit));
        }
    }

    /// Passes the headers of a response through the callbacks; returns what is sent. A callback that panics is removed, and `failed`
    /// makes the page of the error.
    #[cold]
    pub(super) fn edit_headers(
        &self,
        mut response: Response,
        failed: impl Fn(HttpError) -> Response,
    ) -> Response {
        let mut left = self.header_edits();
        // No callback is called while the list is borrowed: it may add another one, which is not called any more.
        while let Some(index) = left.checked_sub(1) {
            left = index;
            let Some(edit) = self.header_edit(index) else {
                continue;
            };
            let status = response.status();
            if let Err(message) = catch(|| edit(status, response.headers_mut())) {
                let removed = self.remove_header_edit(&edit);
                drop(removed);
                let cause = format!("a callback for response headers panicked: {message}");
                response = failed(HttpError::internal(cause));
                // The page has none of the headers.
                left = self.header_edits();
            }
        }
        response
    }

    fn header_edits(&self) -> usize {
        self.extras_if_any(|extras| extras.header_edits.len())
            .unwrap_or_default()
    }

    fn header_edit(&self, index: usize) -> Option<EditHeaders> {
        self.extras_if_any(|extras| extras.header_edits.get(index).cloned())
            .flatten()
    }

    fn remove_header_edit(&self, edit: &EditHeaders) -> Option<EditHeaders> {
        self.extras_if_any(|extras| {
            let edits = &mut extras.header_edits;
            let index = edits.iter().position(|other| Rc::ptr_eq(other, edit))?;
            Some(edits.remove(index))
        })
        .flatten()
    }
}
