//! Tests of the end of HTTP/2 connections when the server shuts down.

use rustix::process::Signal;

use super::serve;
use super::wire::{Http2Client, NO_ERROR, head};

#[test]
fn requests_in_progress_are_answered_and_the_end_is_announced_twice() {
    let (server, uri) = serve(&[]);
    let mut idle = Http2Client::connect(&uri);
    let mut busy = Http2Client::connect(&uri);
    let slow: Vec<_> = (0..10).map(|_| busy.get("/slow")).collect();
    let upload = busy.request(&head("POST", "/slow"), false);
    busy.data(upload, b"first", false);
    busy.ping();
    server.signal(Signal::TERM);
    busy.wait(|client| !client.go_aways.is_empty());
    // The last stream is not known yet.
    assert_eq!(busy.go_aways, [(i32::MAX as u32, NO_ERROR)]);
    // A request that was in transit.
    let late = busy.get("/hello");
    assert_eq!(busy.response(late).text(), "hello world\n");
    busy.data(upload, b"second", true);
    for stream in slow.into_iter().chain([upload]) {
        assert_eq!(busy.response(stream).text(), "hello world\n");
    }
    busy.wait(|_| false);
    assert_eq!(busy.go_aways[1..], [(late, NO_ERROR)]);
    idle.wait(|_| false);
    let last = idle.go_aways.last();
    assert_eq!(last, Some(&(0, NO_ERROR)));
    assert_eq!(server.wait().status.code(), Some(0));
}

#[test]
fn a_download_is_finished_before_the_connection_ends() {
    let (server, uri) = serve(&[]);
    let mut client = Http2Client::connect_with_window(&uri, 1000);
    let stream = client.get("/big");
    client.wait(|client| client.stream(stream).body.len() >= 1000);
    server.signal(Signal::TERM);
    client.wait(|client| client.go_aways.len() == 2);
    client.open_window(0, 1 << 30);
    client.open_window(stream, 1 << 30);
    assert_eq!(client.response(stream).body.len(), 1024 * 1024);
    client.wait(|_| false);
    assert_eq!(server.wait().status.code(), Some(0));
}
