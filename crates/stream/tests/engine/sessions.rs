//! Sessions, which handle the events of a stream in place of listeners.

use std::net::Shutdown;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use uptick_stream::filter::{Filter, FilterContext};
use uptick_stream::transport::{self, Session, Visit};
use uptick_stream::{DuplexResourceStream, Error};

use crate::support::{Log, arrived, fill, pair, run_until, send, text, turn};

/// A session that records its calls.
struct RecordingSession(Log);

impl RecordingSession {
    fn note(&self, entry: impl Into<String>) {
        self.0.note(entry);
    }
}

impl Session<DuplexResourceStream> for RecordingSession {
    fn data(&self, stream: &Visit<DuplexResourceStream>, bytes: &mut BytesMut) {
        let text = String::from_utf8_lossy(bytes).into_owned();
        assert_ne!(text, "panic", "panics on purpose");
        if text == "upgrade|rest" {
            let stream = stream.handle();
            transport::clear_session(stream);
            transport::unshift(stream, Bytes::from_static(b"rest"), false);
            return self.note("upgraded");
        }
        stream.write(format!("<{text}>"));
        self.note(text);
    }

    fn end(&self, _: &Visit<DuplexResourceStream>) {
        self.note("end");
    }

    fn end_pending(&self, _: &Visit<DuplexResourceStream>) {
        self.note("end pending");
    }

    fn drain(&self, _: &Visit<DuplexResourceStream>) {
        self.note("drain");
    }

    fn error(&self, _: &Visit<DuplexResourceStream>, _: &Error) {
        self.note("error");
    }

    fn close(&self, _: &Visit<DuplexResourceStream>) {
        self.note("close");
    }
}

fn serve(stream: DuplexResourceStream) -> Log {
    let log = Log::default();
    transport::set_session(stream, Rc::new(RecordingSession(log.clone())));
    log
}

#[test]
fn a_session_receives_all_events_without_a_listener() {
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
fn each_stream_uses_its_own_session() {
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
fn data_end_and_drain_go_to_the_session_only_and_close_to_listeners_too() {
    let (stream, mut peer) = pair();
    let listeners = Log::recording(stream);
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
fn a_session_is_paused_like_a_listener() {
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
fn an_end_after_unread_bytes_is_reported_to_a_paused_session() {
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
        let events = log.take();
        assert!(
            events.split(',').all(|event| event == "end pending"),
            "{events}"
        );
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
fn a_panic_in_a_session_is_its_error_and_close() {
    let (stream, mut peer) = pair();
    let log = serve(stream);
    send(&mut peer, "panic");
    turn();
    assert_eq!(log.take(), "error,close");
    assert!(!stream.is_open());
}

#[test]
fn a_stream_without_its_session_delivers_unshifted_bytes_first() {
    let (stream, mut peer) = pair();
    let log = serve(stream);
    send(&mut peer, "upgrade|rest");
    turn();
    send(&mut peer, "after");
    turn();
    // There is no listener yet.
    let listeners = Log::recording(stream);
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
    transport::clear_session(stream);
    transport::unshift(stream, Bytes::from_static(b"rest"), true);
    let listeners = Log::recording(stream);
    turn();
    assert_eq!(listeners.take(), "rest,end,close");
}

#[test]
fn write_with_appends_to_the_queue_and_returns_none_after_the_end() {
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
fn an_error_of_a_stream_with_a_session_is_emitted_to_its_listeners_too() {
    let (stream, mut peer) = pair();
    let listeners = Log::recording(stream);
    serve(stream);
    send(&mut peer, "panic");
    turn();
    assert!(
        listeners.take().starts_with("error"),
        "no error was emitted"
    );
    assert!(!stream.is_open());
}

/// A session of another type.
struct Other;

impl Session<DuplexResourceStream> for Other {
    fn data(&self, _: &Visit<DuplexResourceStream>, _: &mut BytesMut) {}

    fn end(&self, _: &Visit<DuplexResourceStream>) {}

    fn close(&self, _: &Visit<DuplexResourceStream>) {}
}

/// A filter that sends in upper case.
struct Upper;

impl Filter for Upper {
    fn received(&mut self, bytes: &mut [u8], context: &mut FilterContext) -> Result<(), Error> {
        context.deliver(Bytes::copy_from_slice(bytes));
        Ok(())
    }

    fn sending(&mut self, bytes: Bytes, context: &mut FilterContext) -> Result<(), Error> {
        context.send(bytes.to_ascii_uppercase().into());
        Ok(())
    }
}

#[test]
fn a_session_is_found_by_its_type() {
    let (stream, _peer) = pair();
    let log = serve(stream);
    let noted = transport::with_session(stream, |session: &RecordingSession| session.note("found"));
    assert_eq!((noted, log.take()), (Some(()), "found".to_owned()));
    assert_eq!(transport::with_session(stream, |_: &Other| ()), None);
    stream.close();
    assert_eq!(
        transport::with_session(stream, |_: &RecordingSession| ()),
        None
    );
}

#[test]
fn write_for_appends_if_the_session_allows_it_and_the_stream_is_writable() {
    let (stream, mut peer) = pair();
    let append = |allowed: bool, text: &'static str| {
        let allows = move |_: &RecordingSession| allowed;
        transport::write_for(stream, allows, |buffer| {
            buffer.extend_from_slice(text.as_bytes())
        })
    };
    assert_eq!(append(true, "no session"), None);
    let _log = serve(stream);
    assert_eq!(append(true, "a"), Some(true));
    assert_eq!(append(false, "refused"), None);
    let other = |_: &Other| true;
    assert_eq!(
        transport::write_for(stream, other, |_| panic!("called")),
        None
    );
    stream.write("b");
    transport::add_filter(stream, Upper);
    assert_eq!(append(true, "c"), Some(true));
    turn();
    assert_eq!(text(&mut peer), "abC");
    stream.end();
    assert_eq!(append(true, "late"), None);
    stream.close();
}
