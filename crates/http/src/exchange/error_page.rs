//! Errors that handlers return: their log lines and their pages.

use std::rc::Rc;

use tracing::field::display;
use uptick_emitter::Excerpt;

use super::Request;
use crate::{HttpError, Response, StatusCode};

/// The most bytes of a report that are logged, since a cause may quote what a client has sent.
const REPORT: usize = 1024;

/// The callback that makes the page of an error.
pub(crate) type OnError = Rc<dyn Fn(HttpError, &Request) -> Response>;

/// Returns the response itself, or, if it stands for an error, the page that `on_error` makes of it; the error is logged.
///
/// The headers of the error stay, and so do those that middlewares have added.
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
    // The page of another error is not passed to the callback again.
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

/// Logs a failed request: at error level if the server is at fault, at debug level if the client is.
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
    fn a_page_for_an_error_keeps_the_status_it_asks_for() {
        let request = Request::for_test(Method::GET, "/");
        let gone: OnError = Rc::new(|_, _| (StatusCode::GONE, "gone").into_response());
        let page = error_page(HttpError::not_found().into(), Some(&gone), &request);
        assert_eq!((page.status(), text(&page)), (StatusCode::GONE, "gone"));
    }

    #[test]
    fn a_page_that_cannot_be_sent_is_the_plain_page() {
        let request = Request::for_test(Method::GET, "/");
        let bad: OnError = Rc::new(|_, _| Response::html("x").header("x", "\n"));
        let page = error_page(HttpError::not_found().into(), Some(&bad), &request);
        assert_eq!(text(&page), "Internal Server Error\n");
    }
}
