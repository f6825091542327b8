//! Callbacks that edit the headers of a response.

use std::rc::Rc;

use uptick_event_loop::catch;

use super::request::Request;
use super::state::Exchange;
use crate::{HeaderMap, HttpError, Response, StatusCode};

/// A callback that edits the headers of a response.
pub(crate) type EditHeaders = Rc<dyn Fn(StatusCode, &mut HeaderMap)>;

impl Request {
    /// Registers a callback that edits the headers of the response immediately before they are sent.
    ///
    /// It is called for every kind of response: returned by the handler or a middleware, sent or started by a
    /// [`Responder`](crate::Responder), or an error of the server, such as the 500 for a handler that exceeds the time limit.
    /// [`Reply::map`](crate::Reply::map) does not apply to the last two. The callbacks of a request are called after
    /// [`HttpServer::on_response`](crate::HttpServer::on_response), the one registered last first, so that the callbacks of an outer
    /// middleware see the headers set by an inner one.
    ///
    /// The callback is called once for each response; there is a second response if the first one cannot be sent. If the callback panics,
    /// the panic is logged, the response is 500, and the callback is not called again. Registering a callback after the response has
    /// started has no effect. Default: none.
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

    /// Registers a callback that is shared with other requests ([`on_response_headers`](Request::on_response_headers)).
    pub(crate) fn add_header_edit(&self, edit: EditHeaders) {
        self.exchange.add_header_edit(edit);
    }
}

impl Exchange {
    fn add_header_edit(&self, edit: EditHeaders) {
        if !self.is_over() {
            self.edits_headers.set(true);
            self.extended(|extended| extended.header_edits.push(edit));
        }
    }

    /// Passes the headers of a response through the callbacks, and returns the response to send. A callback that panics is removed, and
    /// `failed` creates the error response.
    #[cold]
    pub(super) fn edit_headers(
        &self,
        mut response: Response,
        failed: impl Fn(HttpError) -> Response,
    ) -> Response {
        let mut left = self.header_edits();
        // The list is not borrowed during a call: a callback may register another one, which is not called for this response.
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
                // The error response has none of the edited headers.
                left = self.header_edits();
            }
        }
        response
    }

    fn header_edits(&self) -> usize {
        self.extended_if_any(|extended| extended.header_edits.len())
            .unwrap_or_default()
    }

    fn header_edit(&self, index: usize) -> Option<EditHeaders> {
        self.extended_if_any(|extended| extended.header_edits.get(index).cloned())
            .flatten()
    }

    fn remove_header_edit(&self, edit: &EditHeaders) -> Option<EditHeaders> {
        self.extended_if_any(|extended| {
            let edits = &mut extended.header_edits;
            let index = edits.iter().position(|other| Rc::ptr_eq(other, edit))?;
            Some(edits.remove(index))
        })
        .flatten()
    }
}
