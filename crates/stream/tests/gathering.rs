//! Writing to a stream with filters: small writes are gathered, in order and without loss.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use support::{Log, arrived, fill, pair, run_until, send, text, turn};
use uptick_emitter::Emitter;
use uptick_stream::filter::{Filter, FilterContext};
use uptick_stream::{DuplexResourceStream, Error, transport};

/// A filter that puts brackets around each piece.
struct Brackets(&'static str);

impl Filter for Brackets {
    fn received(&mut self, bytes: &mut [u8], context: &mut FilterContext) -> Result<(), Error> {
        context.deliver_within(0..bytes.len());
        Ok(())
    }

    fn sending(&mut self, bytes: Bytes, context: &mut FilterContext) -> Result<(), Error> {
        context.send_with(|out| {
            out.extend_from_slice(self.0.as_bytes());
            out.push(b'[');
            out.extend_from_slice(&bytes);
            out.push(b']');
        });
        Ok(())
    }

    fn ending(&mut self, context: &mut FilterContext) -> Result<(), Error> {
        context.send(Bytes::from_static(b"bye"));
        Ok(())
    }
}

/// A filter that records the lengths of the pieces.
struct Lengths(Rc<RefCell<Vec<usize>>>);

impl Filter for Lengths {
    fn received(&mut self, bytes: &mut [u8], context: &mut FilterContext) -> Result<(), Error> {
        context.deliver_within(0..bytes.len());
        Ok(())
    }

    fn sending(&mut self, bytes: Bytes, context: &mut FilterContext) -> Result<(), Error> {
        self.0.borrow_mut().push(bytes.len());
        context.send(bytes);
        Ok(())
    }
}

fn lengths(stream: DuplexResourceStream) -> Rc<RefCell<Vec<usize>>> {
    let lengths = Rc::default();
    stream.add_filter(Lengths(Rc::clone(&lengths)));
    lengths
}

#[test]
fn writes_of_a_callback_pass_in_one_piece() {
    let (stream, mut peer) = pair();
    stream.add_filter(Brackets(""));
    stream.on("data", move |_: Bytes| {
        stream.write("a");
        transport::write_with(stream, |buffer| buffer.extend_from_slice(b"b"));
        stream.write("c".to_owned());
    });
    send(&mut peer, "x");
    turn();
    assert_eq!(text(&mut peer), "[abc]");
    send(&mut peer, "x");
    turn();
    assert_eq!(text(&mut peer), "[abc]");
}

#[test]
fn writes_outside_of_callbacks_pass_at_the_end_of_the_iteration() {
    let (stream, mut peer) = pair();
    stream.add_filter(Brackets("outer"));
    stream.add_filter(Brackets("inner"));
    assert!(stream.write("a"));
    assert!(stream.write("b"));
    assert_eq!(stream.buffered(), 2);
    assert_eq!(text(&mut peer), "");
    turn();
    assert_eq!(text(&mut peer), "outer[inner[ab]]");
    assert_eq!(stream.buffered(), 0);
}

#[test]
fn an_empty_write_passes_nothing() {
    let (stream, mut peer) = pair();
    let lengths = lengths(stream);
    assert!(stream.write(""));
    transport::write_with(stream, |_| ());
    turn();
    assert!(lengths.borrow().is_empty());
    assert_eq!(text(&mut peer), "");
}

#[test]
fn the_end_follows_written_data() {
    for shutdown in [false, true] {
        let (stream, mut peer) = pair();
        stream.add_filter(Brackets(""));
        stream.write("a");
        match shutdown {
            true => transport::shutdown_write(stream),
            false => stream.end(),
        }
        assert!(!stream.write("late"));
        turn();
        assert_eq!(arrived(&mut peer), (b"[a]bye".to_vec(), true));
    }
}

#[test]
fn data_written_before_a_filter_was_added_does_not_pass_through_it() {
    let (stream, mut peer) = pair();
    stream.write("a");
    stream.add_filter(Brackets("1"));
    stream.write("b");
    stream.add_filter(Brackets("2"));
    stream.write("c");
    turn();
    assert_eq!(text(&mut peer), "a1[b]1[2[c]]");
}

#[test]
fn a_close_discards_gathered_data() {
    let (stream, mut peer) = pair();
    let lengths = lengths(stream);
    let log = Log::recording(stream);
    stream.write("a");
    stream.close();
    turn();
    assert_eq!(log.take(), "close");
    assert!(lengths.borrow().is_empty());
    assert_eq!(arrived(&mut peer), (Vec::new(), true));
}

#[test]
fn a_piece_is_at_most_16_kib_and_a_single_write_is_not_split() {
    let (stream, mut peer) = pair();
    let lengths = lengths(stream);
    for _ in 0..40 {
        stream.write(vec![b'a'; 1000]);
    }
    turn();
    assert_eq!(*lengths.borrow(), [16 * 1024, 616, 16 * 1024, 616, 6000]);
    lengths.borrow_mut().clear();
    stream.write("head");
    stream.write(vec![b'a'; 50_000]);
    turn();
    assert_eq!(*lengths.borrow(), [16 * 1024, 50_004 - 16 * 1024]);
    assert_eq!(arrived(&mut peer).0.len(), 90_004);
}

#[test]
fn a_queue_at_the_soft_limit_is_sent_at_once() {
    let (stream, mut peer) = pair();
    stream.add_filter(Brackets(""));
    transport::set_write_limits(stream, Some(4), None);
    assert!(stream.write("abc"));
    assert_eq!(text(&mut peer), "");
    assert!(stream.write("d"), "everything was sent");
    assert_eq!(text(&mut peer), "[abcd]");
}

#[test]
fn data_written_while_the_peer_does_not_read_counts_and_drains() {
    let (stream, mut peer) = pair();
    stream.add_filter(Brackets(""));
    let drained = Rc::new(Cell::new(false));
    let seen = Rc::clone(&drained);
    stream.on("drain", move |()| seen.set(true));
    fill(stream);
    let before = stream.buffered();
    transport::set_write_limits(stream, Some(before + 3), None);
    assert!(stream.write("ab"));
    assert_eq!(stream.buffered(), before + 2);
    assert!(!stream.write("c"), "the soft limit is reached");
    turn();
    assert!(!drained.get());
    let mut got = Vec::new();
    run_until(|| {
        got.extend(arrived(&mut peer).0);
        drained.get() && stream.buffered() == 0
    });
    turn();
    got.extend(arrived(&mut peer).0);
    assert!(got.ends_with(b"[abc]"));
}

#[test]
fn the_hard_limit_includes_gathered_data() {
    let (stream, _peer) = pair();
    stream.add_filter(Brackets(""));
    let log = Log::recording(stream);
    fill(stream);
    let limit = stream.buffered() + 3;
    transport::set_write_limits(stream, Some(limit), Some(limit));
    assert!(!stream.write("abc"));
    turn();
    assert_eq!(log.take(), "");
    stream.write("d");
    turn();
    assert_eq!(log.take(), "error (ENOBUFS),close");
}

#[test]
fn a_received_chunk_passes_after_earlier_writes() {
    let (stream, mut peer) = pair();
    let order = Log::default();
    struct Order(Log);
    impl Filter for Order {
        fn received(&mut self, bytes: &mut [u8], context: &mut FilterContext) -> Result<(), Error> {
            self.0.note("received");
            context.deliver_within(0..bytes.len());
            Ok(())
        }

        fn sending(&mut self, bytes: Bytes, context: &mut FilterContext) -> Result<(), Error> {
            self.0.note("sending");
            context.send(bytes);
            Ok(())
        }
    }
    stream.add_filter(Order(order.clone()));
    stream.on("data", |_: Bytes| ());
    turn();
    send(&mut peer, "x");
    stream.write("a");
    turn();
    assert_eq!(order.take(), "sending,received");
}
