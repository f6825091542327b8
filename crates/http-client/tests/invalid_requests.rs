//! Requests that are not valid, which fail before a connection is opened.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::future::IntoFuture;

use uptick_event_loop::block_on;
use uptick_http_client::{Browser, Error, ErrorKind, RequestBuilder};

fn error_of(request: RequestBuilder) -> Error {
    let result = block_on(request.into_future()).unwrap();
    result.unwrap_err()
}

#[test]
fn the_error_of_a_setter_states_the_request() {
    let browser = Browser::new();
    for (request, text) in [
        (
            browser.get("http://127.0.0.1:9/a?b#c").header("a b", "c"),
            "GET http://127.0.0.1:9/a?b#c failed: the name of a header has characters that are not allowed",
        ),
        (
            browser
                .put("http://user:secret@127.0.0.1:9/")
                .header("x", "a\nb"),
            "PUT http://127.0.0.1:9/ failed: the value of the header x has characters that are not allowed",
        ),
        (
            browser.post("http://127.0.0.1:9/").bearer_auth("a\nb"),
            "POST http://127.0.0.1:9/ failed: the token has characters that are not allowed",
        ),
    ] {
        let error = error_of(request);
        assert_eq!(error.to_string(), text);
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        assert_eq!(error.attempts(), 0);
        assert!(error.url().unwrap().starts_with("http://127.0.0.1:9/"));
    }
    assert_eq!(browser.stats().created, 0);
}

#[test]
fn the_error_of_an_invalid_url_or_method_states_it() {
    let browser = Browser::new();
    let error = error_of(browser.get("/relative"));
    assert_eq!(error.kind(), ErrorKind::InvalidUrl);
    assert!(
        error
            .to_string()
            .starts_with("parsing the URL \"/relative\" failed: ")
    );
    assert_eq!(error.url(), None);

    let error = error_of(browser.request("A B", "http://127.0.0.1:9/"));
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
    assert!(
        error
            .to_string()
            .ends_with("the method has characters that are not allowed")
    );
}
