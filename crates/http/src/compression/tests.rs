use std::io::Read as _;

use super::*;
use crate::HttpError;

fn page() -> Response {
    Response::html("<p>hello</p>".repeat(200))
}

fn compressed(response: Response) -> Response {
    Compression::new().apply(Some(Coding::Gzip), response)
}

fn is_as_it_was(response: &Response) -> bool {
    response.get("content-encoding").is_none()
}

#[test]
fn a_page_is_compressed_and_says_so() {
    let response = compressed(page());
    assert_eq!(response.get("content-encoding"), Some("gzip"));
    assert_eq!(response.get("vary"), Some("accept-encoding"));
    assert_eq!(
        response.get("content-type"),
        Some("text/html; charset=utf-8")
    );
    let mut text = String::new();
    let mut decoder = flate2::read::GzDecoder::new(response.body().as_bytes().unwrap());
    decoder.read_to_string(&mut text).unwrap();
    assert_eq!(text, "<p>hello</p>".repeat(200));
}

#[test]
fn a_page_that_would_be_compressed_for_others_says_so() {
    let response = Compression::new().apply(None, page());
    assert!(is_as_it_was(&response));
    assert_eq!(response.get("vary"), Some("accept-encoding"));
}

#[test]
fn vary_is_added_to_and_said_once() {
    let mut response = compressed(page().header("vary", "origin"));
    assert_eq!(response.headers_mut().get_all("vary").iter().count(), 2);
    for named in ["Origin, Accept-Encoding", "*"] {
        let mut response = compressed(page().header("vary", named));
        assert_eq!(response.headers_mut().get_all("vary").iter().count(), 1);
    }
}

#[test]
fn a_strong_tag_becomes_a_weak_one() {
    let tag = |tag| {
        compressed(page().header("etag", tag))
            .get("etag")
            .map(str::to_owned)
    };
    assert_eq!(tag("\"1\"").unwrap(), "W/\"1\"");
    assert_eq!(tag("W/\"1\"").unwrap(), "W/\"1\"");
    assert_eq!(compressed(page()).get("etag"), None);
}

#[test]
fn lengths_and_ranges_of_the_old_body_go() {
    let response = page()
        .header("content-length", "2400")
        .header("accept-ranges", "bytes");
    let response = compressed(response);
    assert_eq!(response.get("content-length"), None);
    assert_eq!(response.get("accept-ranges"), None);
}

#[test]
fn what_is_too_small_or_too_large_stays_as_it_is() {
    let sizes = Compression::new().min_size(10).max_size(100);
    let fits =
        |size| !is_as_it_was(&sizes.apply(Some(Coding::Gzip), Response::plain("a".repeat(size))));
    assert!(!fits(9));
    assert!(!fits(101));
    assert!(fits(100));
    assert!(is_as_it_was(&compressed(Response::plain(
        "a".repeat((1 << 20) + 1)
    ))));
}

#[test]
fn what_does_not_get_smaller_stays_as_it_is() {
    let sizes = Compression::new().min_size(0);
    let response = sizes.apply(Some(Coding::Gzip), Response::plain("abc"));
    assert!(is_as_it_was(&response));
    assert_eq!(response.body().as_bytes(), Some(&b"abc"[..]));
}

#[test]
fn an_empty_body_stays_empty() {
    let response = Compression::new()
        .min_size(0)
        .apply(Some(Coding::Gzip), Response::plain(""));
    assert!(is_as_it_was(&response) && response.get("vary").is_none());
}

#[test]
fn types_that_are_compressed_already_stay_as_they_are() {
    let with = |kind: &'static str| compressed(page().content_type(kind));
    for kind in [
        "image/png",
        "application/octet-stream",
        "application/zip",
        "font/woff2",
    ] {
        assert!(is_as_it_was(&with(kind)), "{kind}");
        assert_eq!(with(kind).get("vary"), None);
    }
    for kind in [
        "application/problem+json",
        "IMAGE/SVG+XML",
        "text/css ; charset=utf-8",
    ] {
        assert!(!is_as_it_was(&with(kind)), "{kind}");
    }
}

#[test]
fn what_is_not_to_be_touched_stays_as_it_is() {
    for (name, value) in [
        ("content-encoding", "br"),
        ("content-range", "bytes 0-1/2"),
        ("content-digest", "sha-256=:x:"),
        ("cache-control", "private, No-Transform"),
    ] {
        let response = compressed(page().header(name, value));
        assert_eq!(response.get("vary"), None, "{name}");
        assert_eq!(response.body().len(), Some(2400), "{name}");
    }
    let part = compressed(page().with_status(StatusCode::PARTIAL_CONTENT));
    assert!(is_as_it_was(&part));
    let error = HttpError::bad_request("no ".repeat(1000));
    assert!(is_as_it_was(&compressed(error.into())));
}

#[test]
fn streams_stay_as_they_are() {
    let pieces = futures::stream::iter([Ok::<_, std::io::Error>("a".repeat(2000))]);
    let response = compressed(Response::stream(pieces).content_type("text/plain"));
    assert!(is_as_it_was(&response));
}
