use std::io::{Read as _, Write as _};

use super::*;
use crate::response::SelectedRepresentation;
use uptick_event_loop::block_on;

fn page() -> Response {
    Response::html("<p>hello</p>".repeat(200))
}

fn preferences(coding: Option<ContentCoding>) -> ClientPreferences {
    ClientPreferences {
        coding,
        is_head: false,
        tags: Box::default(),
    }
}

fn applied(
    compression: &Compression,
    preferences: &ClientPreferences,
    response: Response,
) -> Response {
    let reply = compression.apply(preferences, response);
    block_on(reply.into_future()).unwrap().unwrap()
}

fn compressed_by(compression: &Compression, response: Response) -> Response {
    applied(
        compression,
        &preferences(Some(ContentCoding::Gzip)),
        response,
    )
}

fn compressed(response: Response) -> Response {
    compressed_by(&Compression::new(), response)
}

fn unpacked(response: &Response) -> String {
    let mut text = String::new();
    let mut decoder = flate2::read::GzDecoder::new(response.body().as_bytes().unwrap());
    decoder.read_to_string(&mut text).unwrap();
    text
}

/// Returns a range of an unnamed temporary file.
fn range(text: &str) -> FileRange {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    FileRange::new(file, 0, text.len() as u64)
}

fn is_unchanged(response: &Response) -> bool {
    response.get("content-encoding").is_none()
}

#[test]
fn a_compressed_page_has_content_encoding_and_vary() {
    let response = compressed(page());
    assert_eq!(response.get("content-encoding"), Some("gzip"));
    assert_eq!(response.get("vary"), Some("accept-encoding"));
    assert_eq!(
        response.get("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(unpacked(&response), "<p>hello</p>".repeat(200));
}

#[test]
fn a_compressible_page_varies_for_clients_without_compression_too() {
    let response = applied(&Compression::new(), &preferences(None), page());
    assert!(is_unchanged(&response));
    assert_eq!(response.get("vary"), Some("accept-encoding"));
}

#[test]
fn vary_is_extended_without_duplicates() {
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
fn the_length_and_the_ranges_of_the_old_body_are_removed() {
    let response = page()
        .header("content-length", "2400")
        .header("accept-ranges", "bytes");
    let response = compressed(response);
    assert_eq!(response.get("content-length"), None);
    assert_eq!(response.get("accept-ranges"), None);
}

#[test]
fn small_and_large_bodies_are_not_compressed() {
    let sizes = Compression::new().min_size(10).max_size(100);
    let fits = |size| !is_unchanged(&compressed_by(&sizes, Response::plain("a".repeat(size))));
    assert!(!fits(9));
    assert!(!fits(101));
    assert!(fits(100));
    assert!(is_unchanged(&compressed(Response::plain(
        "a".repeat((1 << 20) + 1)
    ))));
}

#[test]
fn incompressible_content_is_compressed_so_that_the_headers_of_head_match() {
    let sizes = Compression::new().min_size(0);
    let response = compressed_by(&sizes, Response::plain("abc"));
    assert_eq!(unpacked(&response), "abc");
}

#[test]
fn an_empty_body_stays_empty() {
    let response = compressed_by(&Compression::new().min_size(0), Response::plain(""));
    assert!(is_unchanged(&response) && response.get("vary").is_none());
}

#[test]
fn types_that_are_already_compressed_are_not_changed() {
    let with = |kind: &'static str| compressed(page().content_type(kind));
    for kind in [
        "image/png",
        "application/octet-stream",
        "application/zip",
        "font/woff2",
    ] {
        assert!(is_unchanged(&with(kind)), "{kind}");
        assert_eq!(with(kind).get("vary"), None);
    }
    for kind in [
        "application/problem+json",
        "IMAGE/SVG+XML",
        "text/css ; charset=utf-8",
    ] {
        assert!(!is_unchanged(&with(kind)), "{kind}");
    }
}

#[test]
fn responses_that_must_not_be_transformed_are_not_changed() {
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
    assert!(is_unchanged(&part));
    let error = HttpError::bad_request("no ".repeat(1000));
    assert!(is_unchanged(&compressed(error.into())));
}

#[test]
fn streams_are_not_changed() {
    let pieces = futures::stream::iter([Ok::<_, std::io::Error>("a".repeat(2000))]);
    let response = compressed(Response::stream(pieces).content_type("text/plain"));
    assert!(is_unchanged(&response));
}

#[test]
fn a_file_is_compressed_up_to_the_limit() {
    let text = "<p>hello</p>".repeat(20_000);
    let file = compressed(Response::html(range(&text)).header("etag", "\"1\""));
    assert_eq!(unpacked(&file), text);
    assert_eq!(file.get("content-encoding"), Some("gzip"));
    assert_eq!(file.get("etag"), Some("W/\"1\""));
    let read = compressed(Response::html(BodyStream::file(range(&text))));
    assert_eq!(unpacked(&read), text);
    let limited = Compression::new().max_size(text.len() - 1);
    let large = compressed_by(&limited, Response::html(range(&text)));
    assert!(is_unchanged(&large) && large.get("vary").is_none());
    assert_eq!(large.body().len(), Some(text.len() as u64));
}

#[test]
fn compressing_a_file_that_became_shorter_is_an_error() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[b'a'; 5000]).unwrap();
    let response = compressed(Response::plain(FileRange::new(file, 0, 5001)));
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[test]
fn a_head_response_has_the_headers_of_the_compressed_file() {
    let head = ClientPreferences {
        is_head: true,
        ..preferences(Some(ContentCoding::Gzip))
    };
    let page = || Response::html(range(&"a".repeat(70_000))).header("etag", "\"1\"");
    let (head, get) = (
        applied(&Compression::new(), &head, page()),
        compressed(page()),
    );
    for name in ["content-encoding", "etag", "vary", "content-type"] {
        assert_eq!(head.get(name), get.get(name), "{name}");
    }
    assert_eq!(head.body().len(), None);
}

#[test]
fn a_206_and_a_304_have_the_headers_of_the_compressed_file() {
    let whole = |length, is_encoded| SelectedRepresentation {
        content_type: "text/html".into(),
        length,
        is_encoded,
    };
    for status in [StatusCode::PARTIAL_CONTENT, StatusCode::NOT_MODIFIED] {
        let part = |length, is_encoded| {
            let part = Response::new(status).header("etag", "\"1\"");
            part.with_selected(whole(length, is_encoded))
        };
        let response = compressed(part(5000, false));
        assert!(is_unchanged(&response));
        assert_eq!(response.get("vary"), Some("accept-encoding"));
        assert_eq!(response.get("etag"), Some("W/\"1\""));
        let plain = applied(&Compression::new(), &preferences(None), part(5000, false));
        assert_eq!(plain.get("vary"), Some("accept-encoding"));
        assert_eq!(plain.get("etag"), Some("\"1\""));
        for untouched in [part(50, false), part(2 << 20, false), part(5000, true)] {
            let untouched = compressed(untouched);
            assert_eq!(untouched.get("vary"), None);
            assert_eq!(untouched.get("etag"), Some("\"1\""));
        }
    }
}

#[test]
fn a_304_from_a_handler_varies_and_has_the_tag_of_the_client() {
    let not_modified = |tags: &str, coding| {
        let preferences = ClientPreferences {
            tags: tags.as_bytes().into(),
            ..preferences(coding)
        };
        let response = Response::new(StatusCode::NOT_MODIFIED).header("etag", "\"1\"");
        let response = applied(&Compression::new(), &preferences, response);
        assert_eq!(response.get("vary"), Some("accept-encoding"));
        response.get("etag").unwrap().to_owned()
    };
    let gzip = Some(ContentCoding::Gzip);
    assert_eq!(not_modified("\"0\", W/\"1\"", gzip), "W/\"1\"");
    assert_eq!(not_modified("\"1\"", gzip), "\"1\"");
    assert_eq!(not_modified("", gzip), "\"1\"");
    assert_eq!(not_modified("W/\"1\"", None), "\"1\"");
}
