//! Filters in a stream over a socket pair.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::cell::RefCell;
use std::net::Shutdown;
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use support::{Log, arrived, pair, run_until, send, text, turn};
use uptick_emitter::Emitter;
use uptick_stream::filter::{Filter, FilterContext};
use uptick_stream::{DuplexResourceStream, Error};

fn failure(operation: &str) -> Error {
    Error::Filter {
        operation: operation.into(),
        source: Arc::new(std::io::Error::other("on purpose")),
    }
}

/// A filter that marks the bytes in both directions, to show the order of filters; sends final bytes.
struct Mark(&'static str);

impl Filter for Mark {
    fn received(&mut self, bytes: &mut [u8], context: &mut FilterContext) -> Result<(), Error> {
        let bytes = Bytes::copy_from_slice(bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        context.deliver(Bytes::from(format!("{}({text})", self.0)));
        Ok(())
    }

    fn sending(&mut self, bytes: Bytes, context: &mut FilterContext) -> Result<(), Error> {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        context.send(Bytes::from(format!("{}[{text}]", self.0)));
        Ok(())
    }

    fn ending(&mut self, context: &mut FilterContext) -> Result<(), Error> {
        context.send(Bytes::from(format!("{}bye", self.0)));
        Ok(())
    }
}

#[test]
fn the_filter_added_last_is_nearest_to_the_listeners() {
    let (stream, mut peer) = pair();
    stream.add_filter(Mark("a"));
    stream.add_filter(Mark("b"));
    let log = Log::recording(stream);
    send(&mut peer, "x");
    stream.write("y");
    turn();
    assert_eq!(log.take(), "b(a(x))");
    assert_eq!(text(&mut peer), "a[b[y]]");
}

#[test]
fn final_bytes_of_upper_filters_pass_through_the_lower_ones_once() {
    let (stream, mut peer) = pair();
    stream.add_filter(Mark("a"));
    stream.add_filter(Mark("b"));
    let log = Log::recording(stream);
    stream.write("y");
    stream.shutdown_write();
    stream.end();
    turn();
    assert_eq!(arrived(&mut peer), (b"a[b[y]]a[bbye]abye".to_vec(), true));
    drop(peer);
    turn();
    assert_eq!(log.take(), "close");
}

#[test]
fn a_close_sends_final_bytes_if_nothing_is_discarded() {
    let (stream, mut peer) = pair();
    stream.add_filter(Mark("a"));
    stream.add_filter(Mark("b"));
    let log = Log::recording(stream);
    send(&mut peer, "x");
    stream.write("y");
    turn();
    // Unread bytes would reset the connection.
    send(&mut peer, "z");
    stream.close();
    assert_eq!(log.take(), "b(a(x)),close");
    assert_eq!(arrived(&mut peer), (b"a[b[y]]a[bbye]abye".to_vec(), true));
}

#[test]
fn a_close_that_discards_bytes_sends_no_final_bytes() {
    let (stream, mut peer) = pair();
    stream.add_filter(Mark("a"));
    stream.write("y");
    stream.close();
    assert_eq!(arrived(&mut peer), (Vec::new(), true));
}

#[test]
fn an_error_is_not_followed_by_final_bytes() {
    let (stream, mut peer) = pair();
    stream.add_filter(Mark("a"));
    let log = Log::recording(stream);
    uptick_stream::transport::fail(stream, failure("testing"));
    assert_eq!(log.take(), "error purpose,close");
    assert_eq!(arrived(&mut peer), (Vec::new(), true));
}

/// A greeting line before the data, as in the PROXY protocol. The filter removes itself afterwards.
struct Greeting {
    seen: BytesMut,
    stream: DuplexResourceStream,
    log: Log,
}

impl Filter for Greeting {
    fn received(&mut self, bytes: &mut [u8], context: &mut FilterContext) -> Result<(), Error> {
        let bytes = Bytes::copy_from_slice(bytes);
        self.seen.extend_from_slice(&bytes);
        if let Some(at) = self.seen.iter().position(|byte| *byte == b'\n') {
            let line = self.seen.split_to(at + 1).freeze();
            let (log, stream) = (self.log.clone(), self.stream);
            context.call_later(move || {
                log.note(format!(
                    "greeted by {}",
                    String::from_utf8_lossy(&line).trim()
                ));
                stream.write("welcome ");
            });
            context.deliver(self.seen.split().freeze());
            context.remove();
        } else if self.seen.len() > 20 {
            return Err(failure("greeting"));
        }
        Ok(())
    }

    fn sending(&mut self, bytes: Bytes, context: &mut FilterContext) -> Result<(), Error> {
        context.send(bytes);
        Ok(())
    }

    fn peer_ended(&mut self, _: &mut FilterContext) -> Result<(), Error> {
        Err(failure("greeting"))
    }
}

fn greeted() -> (DuplexResourceStream, std::os::unix::net::UnixStream, Log) {
    let (stream, peer) = pair();
    let log = Log::default();
    stream.add_filter(Greeting {
        seen: BytesMut::new(),
        stream,
        log: log.clone(),
    });
    (stream, peer, log)
}

#[test]
fn a_filter_that_removes_itself_within_a_chunk_loses_nothing() {
    let (stream, mut peer, log) = greeted();
    log.listen(stream, "");
    send(&mut peer, "Ann\nhello");
    turn();
    assert_eq!(log.take(), "greeted by Ann,hello");
    send(&mut peer, "again");
    peer.shutdown(Shutdown::Write).unwrap();
    turn();
    assert_eq!(log.take(), "again,end,close");
    assert_eq!(text(&mut peer), "welcome ");
}

#[test]
fn a_filter_may_receive_single_bytes() {
    let (stream, mut peer, log) = greeted();
    log.listen(stream, "");
    for byte in b"Bob\nhi" {
        send(&mut peer, [*byte]);
        turn();
    }
    assert_eq!(log.take(), "greeted by Bob,h,i");
}

#[test]
fn delivered_data_is_kept_until_there_is_a_listener() {
    let (stream, mut peer, log) = greeted();
    send(&mut peer, "Ann\nhello");
    turn();
    peer.shutdown(Shutdown::Write).unwrap();
    turn();
    assert_eq!(log.take(), "greeted by Ann");
    log.listen(stream, "");
    turn();
    assert_eq!(log.take(), "hello,end,close");
}

#[test]
fn data_delivered_while_paused_is_kept_followed_by_the_end() {
    let (stream, mut peer, log) = greeted();
    log.listen(stream, "");
    stream.on("data", move |_: Bytes| stream.pause());
    send(&mut peer, "Ann\none");
    turn();
    send(&mut peer, "two");
    peer.shutdown(Shutdown::Write).unwrap();
    turn();
    assert_eq!(log.take(), "greeted by Ann,one");
    stream.resume();
    turn();
    assert_eq!(log.take(), "two");
    stream.resume();
    turn();
    assert_eq!(log.take(), "end,close");
}

/// A filter that splits its input into single bytes, and ends at the first full stop.
struct Letters;

impl Filter for Letters {
    fn received(&mut self, bytes: &mut [u8], context: &mut FilterContext) -> Result<(), Error> {
        let bytes = Bytes::copy_from_slice(bytes);
        for at in 0..bytes.len() {
            if bytes[at] == b'.' {
                context.deliver_end();
                context.remove();
                break;
            }
            context.deliver(bytes.slice(at..=at));
        }
        Ok(())
    }

    fn sending(&mut self, bytes: Bytes, context: &mut FilterContext) -> Result<(), Error> {
        context.send(bytes);
        Ok(())
    }
}

#[test]
fn pausing_between_two_deliveries_of_one_chunk_keeps_the_rest() {
    let (stream, mut peer) = pair();
    stream.add_filter(Letters);
    let log = Log::recording(stream);
    stream.on("data", move |_: Bytes| stream.pause());
    send(&mut peer, "abc");
    turn();
    for letter in ["a", "b", "c"] {
        assert_eq!(log.take(), letter);
        stream.resume();
        turn();
    }
    assert_eq!(log.take(), "");
}

#[test]
fn an_end_reported_by_a_removed_filter_is_kept_while_paused() {
    let (stream, mut peer) = pair();
    stream.add_filter(Letters);
    let log = Log::recording(stream);
    stream.on("data", move |_: Bytes| stream.pause());
    send(&mut peer, "a.");
    turn();
    assert_eq!(log.take(), "a");
    stream.shutdown_write();
    turn();
    assert_eq!(log.take(), "");
    stream.resume();
    turn();
    assert!(log.take().starts_with("end"));
}

#[test]
fn data_after_the_end_of_a_filter_is_discarded_so_that_the_response_is_not_lost() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    for half_open in [false, true] {
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let stream = DuplexResourceStream::new(listener.accept().unwrap().0).unwrap();
        stream.add_filter(Letters);
        stream.set_allow_half_open(half_open);
        let log = Log::recording(stream);
        stream.on("end", move |()| {
            stream.write(vec![b'x'; 4_000_000]);
            if half_open {
                stream.shutdown_write();
            }
        });
        let mut sender = client.try_clone().unwrap();
        std::io::Write::write_all(&mut sender, b"a.").unwrap();
        run_until(|| log.count() == 2);
        assert_eq!(log.take(), "a,end");
        std::io::Write::write_all(&mut sender, b"more").unwrap();
        let reader = std::thread::spawn(move || {
            let mut response = Vec::new();
            std::io::Read::read_to_end(&mut { client }, &mut response).map(|_| response.len())
        });
        run_until(|| reader.is_finished());
        assert_eq!(reader.join().unwrap().unwrap(), 4_000_000);
        assert_eq!(log.take(), "");
        drop(sender);
        run_until(|| !stream.is_open());
        assert_eq!(log.take(), "close");
    }
}

#[test]
fn the_end_of_a_filter_is_not_emitted_after_end_was_called() {
    let (stream, mut peer) = pair();
    stream.add_filter(Letters);
    let log = Log::recording(stream);
    stream.on("data", move |_: Bytes| stream.end());
    send(&mut peer, "a.");
    turn();
    assert_eq!(log.take(), "a");
    drop(peer);
    turn();
    assert_eq!(log.take(), "close");
}

#[test]
fn undelivered_data_and_its_end_are_kept_when_the_writing_side_ends_first() {
    let (stream, mut peer) = pair();
    stream.add_filter(Mark("a"));
    let log = Log::recording(stream);
    stream.on("data", move |_: Bytes| stream.pause());
    send(&mut peer, "x");
    turn();
    send(&mut peer, "y");
    peer.shutdown(Shutdown::Write).unwrap();
    stream.shutdown_write();
    turn();
    assert_eq!(log.take(), "a(x)");
    stream.resume();
    turn();
    stream.resume();
    turn();
    assert_eq!(log.take(), "a(y),end,close");
}

#[test]
fn an_early_end_is_an_error() {
    let (stream, mut peer, log) = greeted();
    log.listen(stream, "");
    send(&mut peer, "An");
    peer.shutdown(Shutdown::Write).unwrap();
    turn();
    assert_eq!(log.take(), "error purpose,close");
}

/// A filter that fails on input, with an alert.
struct Alert;

impl Filter for Alert {
    fn received(&mut self, _: &mut [u8], context: &mut FilterContext) -> Result<(), Error> {
        context.send(Bytes::from_static(b"alert"));
        Err(failure("parsing"))
    }

    fn sending(&mut self, bytes: Bytes, context: &mut FilterContext) -> Result<(), Error> {
        if bytes == "bad" {
            return Err(failure("sending"));
        }
        context.send(bytes);
        Ok(())
    }
}

#[test]
fn an_error_with_an_alert_closes_the_stream_after_the_linger_time() {
    let (stream, mut peer) = pair();
    stream.add_filter(Alert);
    let log = Log::recording(stream);
    send(&mut peer, "x");
    turn();
    assert_eq!(log.take(), "error purpose");
    assert!(!stream.write("more"));
    // Input is discarded from here on.
    send(&mut peer, "y");
    turn();
    assert_eq!(arrived(&mut peer), (b"alert".to_vec(), true));
    drop(peer);
    turn();
    assert_eq!(log.take(), "close");
}

#[test]
fn an_error_without_an_alert_closes_the_stream_at_once() {
    let (stream, mut peer, log) = greeted();
    log.listen(stream, "");
    send(&mut peer, "too long for a greeting line");
    turn();
    assert_eq!(log.take(), "error purpose,close");
}

/// A filter that delivers its input, and then fails.
struct DeliversAndFails;

impl Filter for DeliversAndFails {
    fn received(&mut self, bytes: &mut [u8], context: &mut FilterContext) -> Result<(), Error> {
        context.deliver_within(0..bytes.len());
        Err(failure("parsing"))
    }

    fn sending(&mut self, bytes: Bytes, context: &mut FilterContext) -> Result<(), Error> {
        context.send(bytes);
        Ok(())
    }
}

#[test]
fn data_delivered_before_an_error_passes_through_the_filters_above() {
    let (stream, mut peer) = pair();
    stream.add_filter(DeliversAndFails);
    stream.add_filter(Mark("a"));
    let log = Log::recording(stream);
    send(&mut peer, "x");
    turn();
    assert_eq!(log.take(), "a(x),error purpose,close");
}

#[test]
fn an_error_while_sending_closes_the_stream() {
    let (stream, _peer) = pair();
    stream.add_filter(Alert);
    let log = Log::recording(stream);
    assert!(stream.write("bad"));
    turn();
    assert_eq!(log.take(), "error purpose,close");
}

/// A filter that wrongly uses its own stream: its writes are postponed.
struct Meddler(DuplexResourceStream);

impl Filter for Meddler {
    fn received(&mut self, bytes: &mut [u8], context: &mut FilterContext) -> Result<(), Error> {
        self.0.write("meddling");
        context.deliver_within(0..bytes.len());
        Ok(())
    }

    fn sending(&mut self, bytes: Bytes, context: &mut FilterContext) -> Result<(), Error> {
        context.send(bytes);
        Ok(())
    }
}

#[test]
fn a_write_from_inside_a_filter_is_postponed_and_passes_the_filters() {
    let (stream, mut peer) = pair();
    stream.add_filter(Meddler(stream));
    stream.add_filter(Mark("m"));
    let log = Log::recording(stream);
    send(&mut peer, "x");
    turn();
    assert_eq!(log.take(), "m(x)");
    assert_eq!(text(&mut peer), "m[meddling]");
}

/// A filter that adds another filter at a command, as STARTTLS does.
struct Upgrade(DuplexResourceStream);

impl Filter for Upgrade {
    fn received(&mut self, bytes: &mut [u8], context: &mut FilterContext) -> Result<(), Error> {
        let bytes = Bytes::copy_from_slice(bytes);
        if bytes == "upgrade" {
            let stream = self.0;
            context.call_later(move || stream.add_filter(Mark("u")));
        } else {
            context.deliver(bytes);
        }
        Ok(())
    }

    fn sending(&mut self, bytes: Bytes, context: &mut FilterContext) -> Result<(), Error> {
        context.send(bytes);
        Ok(())
    }
}

#[test]
fn a_filter_added_by_a_filter_receives_the_next_data() {
    let (stream, mut peer) = pair();
    stream.add_filter(Upgrade(stream));
    let log = Log::recording(stream);
    send(&mut peer, "plain");
    turn();
    send(&mut peer, "upgrade");
    turn();
    send(&mut peer, "marked");
    turn();
    assert_eq!(log.take(), "plain,u(marked)");
}

#[test]
fn filters_are_closed_and_dropped_with_the_stream() {
    struct ClosedRecorder(Rc<RefCell<Vec<&'static str>>>);
    impl Filter for ClosedRecorder {
        fn received(&mut self, _: &mut [u8], _: &mut FilterContext) -> Result<(), Error> {
            Ok(())
        }
        fn sending(&mut self, _: Bytes, _: &mut FilterContext) -> Result<(), Error> {
            Ok(())
        }
        fn closed(&mut self) {
            self.0.borrow_mut().push("closed");
        }
    }
    impl Drop for ClosedRecorder {
        fn drop(&mut self) {
            self.0.borrow_mut().push("dropped");
        }
    }
    let (stream, _peer) = pair();
    let seen = Rc::default();
    stream.add_filter(ClosedRecorder(Rc::clone(&seen)));
    stream.close();
    assert_eq!(*seen.borrow(), ["closed", "dropped"]);
}

/// A simple cipher, whose state depends on the number of bytes passed, so that loss and reordering show.
#[derive(Default)]
struct Cipher {
    received: usize,
    sent: usize,
}

fn crypt(bytes: &[u8], position: &mut usize) -> Bytes {
    bytes
        .iter()
        .map(|byte| {
            *position += 1;
            byte ^ (*position * 7 % 255) as u8
        })
        .collect()
}

impl Filter for Cipher {
    fn received(&mut self, bytes: &mut [u8], context: &mut FilterContext) -> Result<(), Error> {
        let bytes = Bytes::copy_from_slice(bytes);
        context.deliver(crypt(&bytes, &mut self.received));
        Ok(())
    }

    fn sending(&mut self, bytes: Bytes, context: &mut FilterContext) -> Result<(), Error> {
        context.send(crypt(&bytes, &mut self.sent));
        Ok(())
    }
}

#[test]
fn every_split_passes_through_two_ciphers_and_back() {
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(32));
    let chunks = prop::collection::vec((1_usize..5000, any::<bool>()), 1..30);
    runner
        .run(&chunks, |chunks| {
            let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
            let near = DuplexResourceStream::new(ours).unwrap();
            let far = DuplexResourceStream::new(theirs).unwrap();
            for stream in [near, far] {
                stream.add_filter(Cipher::default());
                stream.add_filter(Cipher::default());
            }
            far.pipe(far);
            let received = Rc::<RefCell<Vec<u8>>>::default();
            let all = Rc::clone(&received);
            near.on("data", move |chunk: Bytes| {
                all.borrow_mut().extend_from_slice(&chunk)
            });
            let mut sent = Vec::new();
            for (length, pause) in chunks {
                if pause {
                    near.pause();
                } else {
                    near.resume();
                }
                let chunk: Vec<u8> = (0..length).map(|n| (n * 3 + sent.len()) as u8).collect();
                sent.extend_from_slice(&chunk);
                near.write(chunk);
                turn();
            }
            near.resume();
            near.shutdown_write();
            run_until(|| !near.is_open());
            prop_assert!(*received.borrow() == sent, "the bytes differ");
            Ok(())
        })
        .unwrap();
}

/// A filter that passes everything on, and panics in the method `self.0`.
struct Panics(&'static str);

impl Panics {
    fn on(&self, cue: &str) {
        assert_ne!(self.0, cue, "on cue");
    }
}

impl Filter for Panics {
    fn received(&mut self, bytes: &mut [u8], context: &mut FilterContext) -> Result<(), Error> {
        self.on("received");
        context.deliver_within(0..bytes.len());
        let later = self.0 == "then";
        context.call_later(move || assert!(!later, "on cue"));
        Ok(())
    }

    fn sending(&mut self, bytes: Bytes, context: &mut FilterContext) -> Result<(), Error> {
        self.on("sending");
        context.send(bytes);
        Ok(())
    }

    fn ending(&mut self, _: &mut FilterContext) -> Result<(), Error> {
        self.on("ending");
        Ok(())
    }

    fn closed(&mut self) {
        self.on("closed");
    }
}

#[test]
fn a_panic_in_any_method_of_a_filter_fails_its_stream() {
    for cue in ["received", "sending", "ending", "then"] {
        let (stream, mut peer) = pair();
        stream.add_filter(Panics(cue));
        let log = Log::recording(stream);
        match cue {
            "sending" => assert!(stream.write("x")),
            "ending" => stream.end(),
            _ => send(&mut peer, "x"),
        }
        turn();
        let events = log.take();
        assert!(
            events.ends_with("error cue,close") || events.contains("error"),
            "{cue}: {events}"
        );
        assert!(events.ends_with(",close"), "{cue}: {events}");
        assert!(!stream.is_writable(), "{cue}");
    }
}

/// A filter that decodes the first part into a buffer and delivers the rest in place, in either order; it may panic while it
/// responds.
struct Halves;

impl Filter for Halves {
    fn received(&mut self, bytes: &mut [u8], context: &mut FilterContext) -> Result<(), Error> {
        let part = 2..bytes.len();
        let part_first = bytes.starts_with(b"part");
        if part_first {
            context.deliver_within(part.clone());
        }
        context.deliver_and_send_with(|buffer, out| {
            if bytes.starts_with(b"panic") {
                out.extend_from_slice(b"secret");
                panic!("on cue");
            }
            buffer.extend_from_slice(&bytes[..2].to_ascii_uppercase());
            out.extend_from_slice(b"ok");
        });
        if !part_first {
            context.deliver_within(part);
        }
        Ok(())
    }

    fn sending(&mut self, bytes: Bytes, context: &mut FilterContext) -> Result<(), Error> {
        context.send(bytes);
        Ok(())
    }
}

#[test]
fn a_part_of_the_received_bytes_follows_the_decoded_bytes() {
    for filters in [1, 2] {
        let (stream, mut peer) = pair();
        (0..filters).for_each(|_| stream.add_filter(Halves));
        let log = Log::recording(stream);
        for chunk in ["first", "parts"] {
            send(&mut peer, chunk);
            turn();
        }
        let expected = match filters {
            1 => "FI,rst,PA,rts",
            _ => "FI,RS,t,PA,RT,s",
        };
        assert_eq!(log.take(), expected);
        // The bytes must not reach another stream.
        let (other, mut peer) = pair();
        other.add_filter(Halves);
        let log = Log::recording(other);
        send(&mut peer, "other");
        turn();
        assert_eq!(log.take(), "OT,her");
    }
}

#[test]
fn the_response_of_a_panicking_filter_is_not_sent_on_another_stream() {
    let (stream, mut peer) = pair();
    stream.add_filter(Halves);
    let log = Log::recording(stream);
    send(&mut peer, "panic");
    turn();
    assert_eq!(log.take(), "error cue,close");
    let (other, mut peer) = pair();
    other.add_filter(Halves);
    let log = Log::recording(other);
    send(&mut peer, "other");
    turn();
    assert_eq!(log.take(), "OT,her");
    assert_eq!(text(&mut peer), "ok");
}

#[test]
fn a_filter_that_panics_in_closed_does_not_prevent_the_close_event() {
    let (stream, _peer) = pair();
    stream.add_filter(Panics("closed"));
    let log = Log::recording(stream);
    stream.close();
    assert_eq!(log.take(), "close");
}

#[test]
fn an_error_of_a_filter_during_a_write_is_emitted_after_the_write() {
    struct Refuses;
    impl Filter for Refuses {
        fn received(&mut self, _: &mut [u8], _: &mut FilterContext) -> Result<(), Error> {
            Ok(())
        }

        fn sending(&mut self, _: Bytes, context: &mut FilterContext) -> Result<(), Error> {
            context.send(Bytes::from_static(b"alert"));
            Err(failure("sending"))
        }
    }
    let (stream, mut peer) = pair();
    stream.add_filter(Refuses);
    let log = Log::recording(stream);
    let long = vec![b'x'; 20 * 1024];
    assert!(!stream.write(long), "it passes the filter at once");
    assert!(!stream.write("x"), "the stream has failed");
    assert_eq!(log.take(), "");
    turn();
    assert_eq!(log.take(), "error purpose,close");
    assert_eq!(arrived(&mut peer), (b"alert".to_vec(), true));
}

#[test]
fn ending_from_inside_a_filter_sends_final_bytes() {
    struct EndsItself {
        stream: DuplexResourceStream,
    }
    impl Filter for EndsItself {
        fn received(&mut self, bytes: &mut [u8], _: &mut FilterContext) -> Result<(), Error> {
            let bytes = Bytes::copy_from_slice(bytes);
            self.stream.write(bytes);
            self.stream.end();
            Ok(())
        }

        fn sending(&mut self, bytes: Bytes, context: &mut FilterContext) -> Result<(), Error> {
            context.send(bytes);
            Ok(())
        }

        fn ending(&mut self, context: &mut FilterContext) -> Result<(), Error> {
            context.send(Bytes::from_static(b" bye"));
            Ok(())
        }
    }
    let (stream, mut peer) = pair();
    stream.add_filter(EndsItself { stream });
    let log = Log::recording(stream);
    send(&mut peer, "x");
    turn();
    turn();
    assert_eq!(arrived(&mut peer), (b"x bye".to_vec(), true));
    drop(peer);
    turn();
    assert_eq!(log.take(), "close");
}

#[test]
fn a_filter_added_later_receives_the_undelivered_data_and_the_end() {
    let (stream, mut peer) = pair();
    stream.set_allow_half_open(true);
    stream.add_filter(Mark("a"));
    send(&mut peer, "x");
    peer.shutdown(Shutdown::Write).unwrap();
    turn();
    turn();
    stream.add_filter(Mark("b"));
    let log = Log::recording(stream);
    turn();
    turn();
    assert_eq!(log.take(), "b(a(x)),end");
}
