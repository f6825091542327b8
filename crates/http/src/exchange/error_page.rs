//! Logging and pages of errors that handlers return.

use std::rc::Rc;

use tracing::field::display;
use uptick_emitter::Excerpt;

use super::Request;
use crate::{HttpError, Response, StatusCode};

/// Maximum number of bytes of an error report that are logged. A cause may quote data sent by a client.
const REPORT: usize = 1024;

/// The callback that creates the page of an error.
pub(crate) type OnError = Rc<dyn Fn(HttpError, &Request) -> Response>;

/// Returns the response, or, if it represents an error, the page that `on_error` creates for it. The error is logged.
///
/// The headers of the error and those added by middleware are kept.
pub(crate) fn error_page(
    mut response: Response,
    on_error: Option<&OnError>,
    request: &Request,
) -> Response {
    let Some(error) = response.take_failure() else {
        return response;
    };
    log(&error, Some(request));
    let Some(on_error) = on_error else {
        return response;
    };
    let mut page = on_error(error, request);
    // The page may be an error itself. It is not passed to the callback again.
    drop(page.take_failure());
    if page.status() == StatusCode::OK {
        page = page.with_status(response.status());
    }
    for (name, value) in response.header_map().into_iter().flatten() {
        if page.get_bytes(name).is_none() {
            page.headers_mut().append(name, value.clone());
        }
    }
    page
}

/// Logs a failed request: at error level for a server error, at debug level for a client error.
#[cold]
pub(crate) fn log(error: &HttpError, request: Option<&Request>) {
    let method = || request.map(|request| display(Excerpt::new(request.method())));
    let path = || request.map(|request| Excerpt::new(request.path()).to_string());
    let id = || request.and_then(Request::id).map(display);
    let client = || request.and_then(Request::client).map(display);
    let report = || Excerpt::new(error.report()).limit(REPORT);
    if error.is_server_fault() {
        tracing::error!(
            method = method(),
            path = path(),
            client = client(),
            id = id(),
            "{}",
            report()
        );
    } else {
        tracing::debug!(
            method = method(),
            path = path(),
            client = client(),
            id = id(),
            "{}",
            report()
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{IntoResponse, Method};

    fn text(response: &Response) -> &str {
        std::str::from_utf8(response.body().as_bytes().unwrap()).unwrap()
    }

    #[test]
    fn an_error_page_may_set_its_own_status() {
        let request = Request::for_test(Method::GET, "/");
        let gone: OnError = Rc::new(|_, _| (StatusCode::GONE, "gone").into_response());
        let page = error_page(HttpError::not_found().into(), Some(&gone), &request);
        assert_eq!((page.status(), text(&page)), (StatusCode::GONE, "gone"));
    }

    #[test]
    fn the_plain_page_replaces_an_error_page_that_cannot_be_sent() {
        let request = Request::for_test(Method::GET, "/");
        let bad: OnError = Rc::new(|_, _| Response::html("x").header("x", "\n"));
        let page = error_page(HttpError::not_found().into(), Some(&bad), &request);
        assert_eq!(text(&page), "Internal Server Error\n");
    }
}
