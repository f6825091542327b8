use std::cell::RefCell;
use std::net::Shutdown;

use bytes::Bytes;
use uptick_event_loop::{Id, Table};
use uptick_stream::DuplexResourceStream;
use uptick_stream::transport::{self, Protocol};

use crate::support::{Log, arrived, fill, pair, run_until, send, text, turn};

thread_local!(static SERVED: RefCell<Table<Log>> = const { RefCell::new(Table::new()) });

/// Notes what it is told, under the key of the stream.
struct Noting;

impl Noting {
    fn note(key: Id, what: impl Into<String>) {
        let log = SERVED.with_borrow(|all| all.get(key).cloned());
        log.unwrap().note(what);
    }
}

impl Protocol<DuplexResourceStream> for Noting {
    fn data(&self, stream: DuplexResourceStream, key: Id, chunk: Bytes) {
        let text = String::from_utf8_lossy(&chunk).into_owned();
        assert_ne!(text, "panic", "asked to");
        if text == "upgrade|rest" {
            transport::clear_protocol(stream);
            transport::unshift(stream, Bytes::from_static(b"rest"), false);
            return Noting::note(key, "upgraded");
        }
        stream.write(format!("<{text}>"));
        Noting::note(key, text);
    }

    fn end(&self, _stream: DuplexResourceStream, key: Id) {
        Noting::note(key, "end");
    }

    fn end_pending(&self, _stream: DuplexResourceStream, key: Id) {
        Noting::note(key, "end pending");
    }

    fn drain(&self, _stream: DuplexResourceStream, key: Id) {
        Noting::note(key, "drain");
    }

    fn error(&self, _stream: DuplexResourceStream, key: Id, _error: &uptick_stream::Error) {
        Noting::note(key, "error");
    }

    fn close(&self, _stream: DuplexResourceStream, key: Id) {
        Noting::note(key, "close");
    }
}

fn serve(stream: DuplexResourceStream) -> Log {
    let log = Log::default();
    let key = SERVED.with_borrow_mut(|all| all.insert(log.clone()));
    transport::set_protocol(stream, &Noting, key.unwrap());
    log
}

#[test]
fn a_protocol_is_told_of_everything_without_a_listener() {
    let (stream, mut peer) = pair();
    let log = serve(stream);
    send(&mut peer, "a");
    turn();
    send(&mut peer, "b");
    turn();
    assert_eq!(text(&mut peer), "<a><b>");
    peer.shutdown(Shutdown::Write).unwrap();
    turn();
    assert_eq!(log.take(), "a,b,end,close");
    assert!(!stream.is_open());
}

#[test]
fn two_streams_of_a_protocol_are_told_apart_by_their_keys() {
    let ((first, mut one), (second, mut two)) = (pair(), pair());
    let (log, other) = (serve(first), serve(second));
    send(&mut one, "1");
    send(&mut two, "2");
    turn();
    assert_eq!((log.take(), other.take()), ("1".to_owned(), "2".to_owned()));
    first.close();
    assert_eq!(
        (log.take(), other.take()),
        ("close".to_owned(), String::new())
    );
    second.close();
}

#[test]
fn data_end_and_drain_go_to_the_protocol_only_and_close_to_listeners_too() {
    let (stream, mut peer) = pair();
    let listeners = Log::of(stream);
    let log = serve(stream);
    stream.set_allow_half_open(true);
    fill(stream);
    send(&mut peer, "a");
    peer.shutdown(Shutdown::Write).unwrap();
    run_until(|| {
        arrived(&mut peer);
        stream.buffered() == 0
    });
    while stream.write(vec![b'.'; 64 * 1024]) {}
    run_until(|| {
        arrived(&mut peer);
        stream.buffered() == 0
    });
    assert_eq!(log.take(), "a,end,drain");
    assert_eq!(listeners.take(), "");
    stream.close();
    assert_eq!(
        (log.take(), listeners.take()),
        ("close".to_owned(), "close".to_owned())
    );
}

#[test]
fn a_protocol_is_paused_like_a_listener() {
    let (stream, mut peer) = pair();
    let log = serve(stream);
    stream.pause();
    send(&mut peer, "later");
    turn();
    assert_eq!(log.take(), "");
    stream.resume();
    turn();
    assert_eq!(log.take(), "later");
    stream.close();
}

#[test]
fn a_protocol_that_is_paused_hears_of_an_end_behind_what_it_has_not_read() {
    for unread in ["", "later"] {
        let (stream, mut peer) = pair();
        let log = serve(stream);
        stream.pause();
        if !unread.is_empty() {
            send(&mut peer, unread);
        }
        turn();
        assert_eq!(log.take(), "");
        peer.shutdown(Shutdown::Write).unwrap();
        turn();
        let told = log.take();
        assert!(told.split(',').all(|what| what == "end pending"), "{told}");
        stream.resume();
        turn();
        let rest = if unread.is_empty() {
            "end,close"
        } else {
            "later,end,close"
        };
        assert_eq!(log.take(), rest);
    }
}

#[test]
fn a_panic_in_a_protocol_is_its_error_and_close() {
    let (stream, mut peer) = pair();
    let log = serve(stream);
    send(&mut peer, "panic");
    turn();
    assert_eq!(log.take(), "error,close");
    assert!(!stream.is_open());
}

#[test]
fn a_stream_given_back_delivers_first_what_was_unshifted() {
    let (stream, mut peer) = pair();
    let log = serve(stream);
    send(&mut peer, "upgrade|rest");
    turn();
    send(&mut peer, "after");
    turn();
    // Nobody listens yet.
    let listeners = Log::of(stream);
    turn();
    peer.shutdown(Shutdown::Write).unwrap();
    turn();
    assert_eq!(log.take(), "upgraded");
    assert_eq!(listeners.take(), "rest,after,end,close");
}

#[test]
fn an_unshifted_end_follows_the_bytes() {
    let (stream, peer) = pair();
    stream.set_allow_half_open(true);
    let log = serve(stream);
    peer.shutdown(Shutdown::Write).unwrap();
    turn();
    assert_eq!(log.take(), "end");
    stream.set_allow_half_open(false);
    transport::clear_protocol(stream);
    transport::unshift(stream, Bytes::from_static(b"rest"), true);
    let listeners = Log::of(stream);
    turn();
    assert_eq!(listeners.take(), "rest,end,close");
}

#[test]
fn write_with_appends_to_what_waits_and_refuses_after_the_end() {
    let (stream, mut peer) = pair();
    stream.write("a");
    let taken = transport::write_with(stream, |buffer| buffer.extend_from_slice(b"b"));
    assert_eq!(taken, Some(true));
    stream.write("c");
    turn();
    assert_eq!(text(&mut peer), "abc");
    stream.end();
    let mut called = false;
    assert_eq!(transport::write_with(stream, |_| called = true), None);
    assert!(!called);
    stream.close();
}

#[test]
fn an_error_of_a_served_stream_comes_to_its_listeners_too() {
    let (stream, mut peer) = pair();
    let listeners = Log::of(stream);
    serve(stream);
    send(&mut peer, "panic");
    turn();
    assert!(listeners.take().starts_with("error"), "no error came");
    assert!(!stream.is_open());
}
