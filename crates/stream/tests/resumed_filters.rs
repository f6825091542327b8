//! Filters that retain data until they are resumed, and access to filters by their type.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use bytes::Bytes;
use support::{Log, pair, send, turn};
use uptick_emitter::Emitter;
use uptick_stream::Error;
use uptick_stream::filter::{Filter, FilterContext};
use uptick_stream::transport::{resume_filters, with_filter};

/// A filter that retains everything until it is resumed.
#[derive(Default)]
struct RetainsAll {
    retained: Vec<Bytes>,
    ended: bool,
    closed: bool,
}

impl Filter for RetainsAll {
    fn received(&mut self, bytes: &mut [u8], _: &mut FilterContext) -> Result<(), Error> {
        let bytes = Bytes::copy_from_slice(bytes);
        self.retained.push(bytes);
        Ok(())
    }

    fn sending(&mut self, bytes: Bytes, context: &mut FilterContext) -> Result<(), Error> {
        context.send(bytes);
        Ok(())
    }

    fn resumed(&mut self, context: &mut FilterContext) -> Result<(), Error> {
        self.retained
            .drain(..)
            .for_each(|bytes| context.deliver(bytes));
        if std::mem::take(&mut self.ended) {
            context.deliver_end();
        }
        Ok(())
    }

    fn peer_ended(&mut self, _: &mut FilterContext) -> Result<(), Error> {
        self.ended = true;
        Ok(())
    }

    fn closed(&mut self) {
        self.closed = true;
    }
}

/// A filter that accepts one chunk each time it is resumed.
#[derive(Default)]
struct OneByOne {
    retained: Option<Bytes>,
    accepted: usize,
}

impl Filter for OneByOne {
    fn received(&mut self, bytes: &mut [u8], context: &mut FilterContext) -> Result<(), Error> {
        let bytes = Bytes::copy_from_slice(bytes);
        self.accepted += 1;
        self.retained = Some(bytes);
        context.pause_reading();
        Ok(())
    }

    fn sending(&mut self, bytes: Bytes, context: &mut FilterContext) -> Result<(), Error> {
        context.send(bytes);
        Ok(())
    }

    fn resumed(&mut self, context: &mut FilterContext) -> Result<(), Error> {
        self.retained
            .take()
            .into_iter()
            .for_each(|bytes| context.deliver(bytes));
        Ok(())
    }
}

/// A filter that delivers each chunk twice.
struct Twice;

impl Filter for Twice {
    fn received(&mut self, bytes: &mut [u8], context: &mut FilterContext) -> Result<(), Error> {
        let bytes = Bytes::copy_from_slice(bytes);
        context.deliver(bytes.clone());
        context.deliver(bytes);
        Ok(())
    }

    fn sending(&mut self, bytes: Bytes, context: &mut FilterContext) -> Result<(), Error> {
        context.send(bytes);
        Ok(())
    }
}

#[test]
fn retained_data_passes_through_the_filters_above_followed_by_the_end() {
    let (stream, mut peer) = pair();
    stream.add_filter(RetainsAll::default());
    stream.add_filter(Twice);
    let log = Log::recording(stream);
    send(&mut peer, "x");
    turn();
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    turn();
    assert_eq!(log.take(), "");
    resume_filters(stream);
    assert_eq!(log.take(), "x,x,end,close");
}

#[test]
fn no_data_is_read_while_a_filter_waits() {
    for with_another in [false, true] {
        let (stream, mut peer) = pair();
        stream.add_filter(OneByOne::default());
        if with_another {
            stream.add_filter(Twice);
        }
        let accepted = || with_filter(stream, |filter: &OneByOne| filter.accepted);
        let log = Log::recording(stream);
        send(&mut peer, "x");
        turn();
        send(&mut peer, "y");
        turn();
        // `resume` of the user does not resume the filter.
        stream.pause();
        stream.resume();
        turn();
        assert_eq!((accepted(), &log.take()[..]), (Some(1), ""));
        resume_filters(stream);
        assert_eq!(log.take(), if with_another { "x,x" } else { "x" });
        turn();
        assert_eq!(accepted(), Some(2));
        resume_filters(stream);
        assert_eq!(log.take(), if with_another { "y,y" } else { "y" });
    }
}

#[test]
fn resuming_a_stream_without_filters_or_a_closed_one_does_nothing() {
    let (stream, mut peer) = pair();
    let log = Log::recording(stream);
    send(&mut peer, "x");
    resume_filters(stream);
    assert_eq!(log.take(), "");
    stream.close();
    log.take();
    resume_filters(stream);
    assert_eq!(log.take(), "");
}

#[test]
fn a_filter_is_found_by_its_type_even_in_close_listeners() {
    let (stream, mut peer) = pair();
    let count = move || {
        with_filter(stream, |filter: &RetainsAll| {
            (filter.retained.len(), filter.closed)
        })
    };
    assert_eq!(count(), None);
    stream.add_filter(RetainsAll::default());
    stream.add_filter(Twice);
    send(&mut peer, "x");
    turn();
    assert_eq!(count(), Some((1, false)));
    let log = Log::default();
    let seen = log.clone();
    stream.on("close", move |()| seen.note(format!("{:?}", count())));
    stream.close();
    assert_eq!(log.take(), "Some((1, true))");
    assert_eq!(count(), None);
}
