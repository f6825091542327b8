use std::collections::BTreeMap;
use std::io::Write as _;

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use http::{HeaderMap, HeaderValue};
use serde::Serialize;
use uptick_event_loop::block_on;

use super::{MultipartForm, RequestBody, encode_pairs};
use crate::ErrorKind;
use crate::transport::OutgoingBody;

/// Returns all bytes of a body, or the text of its error.
fn read(body: &mut RequestBody) -> Option<Result<Vec<u8>, String>> {
    let mut pieces = body.open()?;
    let result = block_on(async move {
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.next().await {
            bytes.extend_from_slice(&piece.map_err(|error| error.to_string())?);
        }
        Ok(bytes)
    });
    Some(result.unwrap())
}

fn text(body: &mut RequestBody) -> String {
    String::from_utf8(read(body).unwrap().unwrap()).unwrap()
}

fn once(pieces: &'static [&'static str]) -> RequestBody {
    RequestBody::stream(stream::iter(pieces).map(|piece| Ok::<_, std::io::Error>(*piece)))
}

#[test]
fn bytes_are_sent_with_their_length_any_number_of_times() {
    let mut body = RequestBody::from("hello");
    assert!(matches!(body.outgoing(), OutgoingBody::Bytes(bytes) if bytes == "hello"));
    assert!(body.is_repeatable());
    assert_eq!(text(&mut body), "hello");
    assert_eq!(text(&mut body), "hello");
    assert!(
        matches!(RequestBody::from("").outgoing(), OutgoingBody::Bytes(bytes) if bytes.is_empty())
    );
}

#[test]
fn the_default_is_no_body() {
    let mut body = RequestBody::default();
    assert!(body.is_none());
    assert!(!RequestBody::from("").is_none());
    assert!(matches!(body.outgoing(), OutgoingBody::Empty));
    assert_eq!(text(&mut body), "");
}

#[test]
fn a_stream_is_sent_once() {
    let mut body = once(&["ab", "", "c"]);
    assert!(matches!(body.outgoing(), OutgoingBody::Stream));
    assert!(!body.is_repeatable());
    assert_eq!(text(&mut body), "abc");
    assert!(body.open().is_none());
    assert!(matches!(
        once(&[]).with_length(3).outgoing(),
        OutgoingBody::Sized(3)
    ));
}

#[test]
fn a_repeatable_stream_is_created_for_each_attempt() {
    let mut body =
        RequestBody::repeatable(|| stream::iter([Ok::<_, std::io::Error>("ab"), Ok("c")]));
    assert!(body.is_repeatable());
    assert_eq!(text(&mut body), "abc");
    assert_eq!(text(&mut body), "abc");
}

#[test]
fn an_error_of_a_stream_is_passed_on() {
    let pieces = [Ok("ab"), Err(std::io::Error::other("the disk is on fire"))];
    let mut body = RequestBody::stream(stream::iter(pieces));
    assert_eq!(read(&mut body).unwrap().unwrap_err(), "the disk is on fire");
}

#[test]
fn a_body_with_trailers_has_no_length() {
    let mut body = RequestBody::from("abc").with_trailers(|| {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("1"));
        trailers
    });
    assert!(matches!(body.outgoing(), OutgoingBody::Stream));
    assert_eq!(text(&mut body), "abc");
    assert_eq!(body.trailers().unwrap()()["x-sum"], "1");
}

#[test]
fn files_and_ranges_are_read_in_pieces() {
    let content: Vec<u8> = (0..200_000_u32).map(|index| (index % 251) as u8).collect();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&content).unwrap();
    let mut body = RequestBody::file(file.path()).unwrap();
    assert!(matches!(body.outgoing(), OutgoingBody::Sized(200_000)));
    assert_eq!(read(&mut body).unwrap().unwrap(), content);
    assert_eq!(read(&mut body).unwrap().unwrap(), content);
    let mut range = RequestBody::file_range(file.reopen().unwrap(), 70_000, 80_000);
    assert_eq!(read(&mut range).unwrap().unwrap(), content[70_000..150_000]);
    let mut longer = RequestBody::file_range(file.reopen().unwrap(), 199_999, 2);
    assert!(read(&mut longer).unwrap().is_err());
    assert!(RequestBody::file("/nonexistent/file").is_err());
}

#[test]
fn json_bodies_have_a_content_type() {
    let mut body = RequestBody::json(&BTreeMap::from([("a", 1)])).unwrap();
    assert_eq!(body.content_type().unwrap(), "application/json");
    assert_eq!(text(&mut body), "{\"a\":1}");
    let error = RequestBody::json(&BTreeMap::from([((1, 2), 1)])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidRequest);
}

#[derive(Serialize)]
enum Color {
    Red,
}

#[derive(Serialize)]
struct Order {
    name: &'static str,
    count: u32,
    price: f64,
    gift: bool,
    note: Option<&'static str>,
    color: Color,
    tags: Vec<&'static str>,
}

#[test]
fn forms_are_encoded_from_structs_maps_and_pairs() {
    let order = Order {
        name: "Ada L. & söhne",
        count: 3,
        price: 1.5,
        gift: true,
        note: None,
        color: Color::Red,
        tags: vec!["a+b", "c"],
    };
    let encoded =
        "name=Ada%20L.%20%26%20s%C3%B6hne&count=3&price=1.5&gift=true&color=Red&tags=a%2Bb&tags=c";
    assert_eq!(encode_pairs(&order).unwrap(), encoded);
    assert_eq!(
        encode_pairs(&BTreeMap::from([(1, "x"), (2, "=")])).unwrap(),
        "1=x&2=%3D"
    );
    assert_eq!(encode_pairs(&[("a", "1"), ("a", "2")]).unwrap(), "a=1&a=2");
    assert_eq!(
        encode_pairs(&vec![("a b", Some(1)), ("c", None)]).unwrap(),
        "a%20b=1"
    );
    assert_eq!(encode_pairs(&vec![vec!["a", "b"]]).unwrap(), "a=b");
    assert_eq!(encode_pairs(&()).unwrap(), "");
    assert_eq!(encode_pairs(&[("", "")]).unwrap(), "=");
    let body = RequestBody::form(&[("a", 1)]).unwrap();
    assert_eq!(
        body.content_type().unwrap(),
        "application/x-www-form-urlencoded"
    );
}

#[test]
fn values_without_names_and_nested_values_are_refused() {
    assert!(encode_pairs("a").is_err());
    assert!(encode_pairs(&[1, 2]).is_err());
    assert!(encode_pairs(&[("a", 1, 2)]).is_err());
    assert!(encode_pairs(&vec![vec!["a"]]).is_err());
    assert!(encode_pairs(&vec![vec!["a", "b", "c"]]).is_err());
    assert!(encode_pairs(&[("a", vec![vec![1]])]).is_err());
    let nested = encode_pairs(&[("a", BTreeMap::from([("b", 1)]))]).unwrap_err();
    assert_eq!(nested.kind(), ErrorKind::InvalidRequest);
    assert!(nested.to_string().contains("\"a\" is nested"), "{nested}");
    assert!(encode_pairs(&[(Option::<u8>::None, 1)]).is_err());
}

fn expected(boundary: &str) -> String {
    format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n\
         --{boundary}\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.txt\"\r\nContent-Type: text/plain\r\n\r\nhello\r\n\
         --{boundary}--\r\n"
    )
}

#[test]
fn a_short_form_is_one_piece() {
    let form = MultipartForm::new()
        .text("a", "1")
        .bytes("f", "x.txt", "text/plain", "hello");
    let boundary = form.boundary().to_owned();
    let mut body = form.into_body().unwrap();
    assert_eq!(
        body.content_type().unwrap(),
        &format!("multipart/form-data; boundary={boundary}")
    );
    assert!(matches!(body.outgoing(), OutgoingBody::Bytes(_)));
    assert_eq!(text(&mut body), expected(&boundary));
    assert_ne!(MultipartForm::new().boundary(), boundary);
}

#[test]
fn a_form_with_streams_has_a_length_if_all_parts_have_one() {
    let form = |body| {
        MultipartForm::new()
            .text("a", "1")
            .part("f", "x.txt", "text/plain", body)
    };
    let sized = form(once(&["hel", "lo"]).with_length(5));
    let boundary = sized.boundary().to_owned();
    let mut sized = sized.into_body().unwrap();
    let length = expected(&boundary).len() as u64;
    assert!(matches!(sized.outgoing(), OutgoingBody::Sized(sum) if sum == length));
    assert!(!sized.is_repeatable());
    assert_eq!(text(&mut sized), expected(&boundary));
    assert!(sized.open().is_none());

    let unsized_body = form(once(&["hello"])).into_body().unwrap();
    assert!(matches!(unsized_body.outgoing(), OutgoingBody::Stream));

    let repeatable = form(RequestBody::repeatable(|| {
        stream::iter([Ok::<_, std::io::Error>("hello")])
    }));
    let boundary = repeatable.boundary().to_owned();
    let mut repeatable = repeatable.into_body().unwrap();
    assert!(repeatable.is_repeatable());
    assert_eq!(text(&mut repeatable), expected(&boundary));
    assert_eq!(text(&mut repeatable), expected(&boundary));
}

#[test]
fn a_form_with_a_file_states_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data.bin");
    std::fs::write(&path, vec![b'x'; 100_000]).unwrap();
    let form = MultipartForm::new().file("f", &path).unwrap();
    let mut body = form.into_body().unwrap();
    let OutgoingBody::Sized(length) = body.outgoing() else {
        panic!("the length is known");
    };
    let text = text(&mut body);
    assert_eq!(text.len() as u64, length);
    assert!(text.contains(
        "name=\"f\"; filename=\"data.bin\"\r\nContent-Type: application/octet-stream\r\n\r\nxxx"
    ));
    assert!(
        MultipartForm::new()
            .file("f", directory.path().join("none"))
            .is_err()
    );
}

#[test]
fn names_and_content_types_cannot_add_headers() {
    let form = MultipartForm::new().bytes("a\"\r\nX: y", "ü\"\n", "text/plain", Bytes::new());
    let sent = text(&mut form.into_body().unwrap());
    assert!(
        sent.contains("name=\"a%22%0D%0AX: y\"; filename=\"ü%22%0A\"\r\nContent-Type"),
        "{sent}"
    );
    let form = MultipartForm::new().bytes("a", "b", "text/plain\r\nX: y", Bytes::new());
    assert_eq!(
        form.into_body().unwrap_err().kind(),
        ErrorKind::InvalidRequest
    );
}

#[test]
fn an_empty_form_is_valid() {
    let form = MultipartForm::default();
    let end = format!("--{}--\r\n", form.boundary());
    assert_eq!(text(&mut form.into_body().unwrap()), end);
}
