//! Tests of `23-streaming-upload`, `24-server-sent-events` and `25-static-files` over HTTP/2.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use super::wire::{CANCEL, Http2Client, head};
use crate::http::serve;
use crate::program::TIMEOUT;
use crate::tls::Directory;

fn wait_for(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !condition() {
        assert!(Instant::now() < deadline, "timed out");
        thread::sleep(Duration::from_millis(5));
    }
}

fn count(directory: &Directory) -> usize {
    fs::read_dir(directory.path()).unwrap().count()
}

#[test]
fn uploads_are_stored_unchanged_at_the_same_time() {
    const SIZE: usize = 5_000_000;
    let directory = Directory::new("http2-uploads");
    let path = directory.path().to_str().unwrap();
    let (_server, uri) = serve("23-streaming-upload", &[path]);
    let mut client = Http2Client::connect(&uri);
    let body: Vec<u8> = (0..=250).cycle().take(SIZE).collect();
    let streams: Vec<_> = (0..3)
        .map(|n| client.request(&head("PUT", &format!("/uploads/{n}.bin")), false))
        .collect();
    for piece in body.chunks(300_000) {
        for stream in &streams {
            assert!(client.data(*stream, piece, false));
        }
    }
    for (n, stream) in streams.into_iter().enumerate() {
        client.data(stream, b"", true);
        let response = client.response(stream);
        let text = format!("{n}.bin: {SIZE} bytes\n");
        assert_eq!((response.status, response.text()), (201, &*text));
        let stored = fs::read(directory.path().join(format!("{n}.bin"))).unwrap();
        assert!(stored == body);
    }
}

#[test]
fn an_upload_that_is_reset_leaves_no_file() {
    let directory = Directory::new("http2-aborted");
    let path = directory.path().to_str().unwrap();
    let (_server, uri) = serve("23-streaming-upload", &[path]);
    let mut client = Http2Client::connect(&uri);
    let stream = client.request(&head("PUT", "/uploads/b"), false);
    client.data(stream, b"beginning", false);
    wait_for(|| count(&directory) == 1);
    client.reset(stream, CANCEL);
    wait_for(|| count(&directory) == 0);
    let stream = client.request(&head("PUT", "/uploads/c"), false);
    client.data(stream, b"whole", true);
    assert_eq!(client.response(stream).status, 201);
}

#[test]
fn static_files_are_sent_whole_and_in_ranges() {
    let directory = Directory::new("http2-static");
    let body: Vec<u8> = (0..=250).cycle().take(3_000_000).collect();
    fs::write(directory.path().join("large.bin"), &body).unwrap();
    let path = directory.path().to_str().unwrap();
    let (_server, uri) = serve("25-static-files", &[path]);
    let mut client = Http2Client::connect(&uri);
    let streams: Vec<_> = (0..5).map(|_| client.get("/large.bin")).collect();
    let mut tag = String::new();
    for stream in streams {
        let response = client.response(stream);
        assert!(response.status == 200 && response.body == body);
        tag = response.field("etag").unwrap();
    }
    let request = |client: &mut Http2Client, method: &str, field: (&str, &str)| {
        let fields = [&head(method, "/large.bin")[..], &[field]].concat();
        let stream = client.request(&fields, true);
        client.response(stream)
    };
    let part = request(&mut client, "GET", ("range", "bytes=1000-1999"));
    assert!(part.status == 206 && part.body == body[1000..2000]);
    let range = part.field("content-range");
    assert_eq!(range.as_deref(), Some("bytes 1000-1999/3000000"));
    let unchanged = request(&mut client, "GET", ("if-none-match", &tag));
    assert_eq!((unchanged.status, unchanged.text()), (304, ""));
    let length = request(&mut client, "HEAD", ("x", "y")).field("content-length");
    assert_eq!(length.as_deref(), Some("3000000"));

    // A client with a small window, which is opened step by step.
    let mut slow = Http2Client::connect_with_window(&uri, 10_000);
    slow.open_window(0, 1 << 30);
    let stream = slow.get("/large.bin");
    let mut received = 0;
    while received < body.len() {
        slow.wait(|client| client.stream(stream).body.len() > received);
        let count = slow.stream(stream).body.len() - received;
        received += count;
        slow.open_window(stream, count as u32);
    }
    assert!(slow.response(stream).body == body);
}

#[test]
fn events_are_pushed_while_requests_are_answered() {
    let (_server, uri) = serve("24-server-sent-events", &[]);
    let mut client = Http2Client::connect(&uri);
    let events = client.get("/events");
    client.wait(|client| client.stream(events).status != 0);
    for text in ["one", "two", "three"] {
        let said = client.request(&head("POST", "/say"), false);
        client.data(said, text.as_bytes(), true);
        assert_eq!(client.response(said).status, 204);
        let event = format!("event: said\ndata: {text}\n\n");
        client.wait(|client| client.stream(events).text().contains(&event));
    }
    let stream = client.stream(events);
    let content_type = stream.field("content-type").unwrap_or_default();
    assert!(content_type.starts_with("text/event-stream"));
    assert!(!stream.is_over());
    client.reset(events, CANCEL);
    let page = client.get("/");
    assert_eq!(client.response(page).status, 200);
}
