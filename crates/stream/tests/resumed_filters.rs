//! Filters that wait for their turn, and that are asked what they know.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use bytes::Bytes;
use support::{Log, pair, send, turn};
use uptick_emitter::Emitter;
use uptick_stream::Error;
use uptick_stream::filter::{Filter, FilterContext};
use uptick_stream::transport::{resume_filters, with_filter};

/// Keeps everything back until it is resumed.
#[derive(Default)]
struct Waits {
    kept: Vec<Bytes>,
    ended: bool,
    closed: bool,
}

impl Filter for Waits {
    fn received(&mut self, bytes: &mut [u8], _: &mut FilterContext) -> Result<(), Error> {
        let bytes = Bytes::copy_from_slice(bytes);
        self.kept.push(bytes);
        Ok(())
    }

    fn sending(&mut self, bytes: Bytes, context: &mut FilterContext) -> Result<(), Error> {
        context.send(bytes);
        Ok(())
    }

    fn resumed(&mut self, context: &mut FilterContext) -> Result<(), Error> {
        self.kept.drain(..).for_each(|bytes| context.deliver(bytes));
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

/// Takes a chunk for each time that it is resumed.
#[derive(Default)]
struct OneByOne {
    kept: Option<Bytes>,
    taken: usize,
}

impl Filter for OneByOne {
    fn received(&mut self, bytes: &mut [u8], context: &mut FilterContext) -> Result<(), Error> {
        let bytes = Bytes::copy_from_slice(bytes);
        self.taken += 1;
        self.kept = Some(bytes);
        context.wait();
        Ok(())
    }

    fn sending(&mut self, bytes: Bytes, context: &mut FilterContext) -> Result<(), Error> {
        context.send(bytes);
        Ok(())
    }

    fn resumed(&mut self, context: &mut FilterContext) -> Result<(), Error> {
        self.kept
            .take()
            .into_iter()
            .for_each(|bytes| context.deliver(bytes));
        Ok(())
    }
}

/// Doubles what comes.
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
fn what_a_filter_has_kept_back_goes_on_through_those_above_it_with_the_end_behind() {
    let (stream, mut peer) = pair();
    stream.add_filter(Waits::default());
    stream.add_filter(Twice);
    let log = Log::of(stream);
    send(&mut peer, "x");
    turn();
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    turn();
    assert_eq!(log.take(), "");
    resume_filters(stream);
    assert_eq!(log.take(), "x,x,end,close");
}

#[test]
fn nothing_is_read_while_a_filter_waits() {
    for with_another in [false, true] {
        let (stream, mut peer) = pair();
        stream.add_filter(OneByOne::default());
        if with_another {
            stream.add_filter(Twice);
        }
        let taken = || with_filter(stream, |filter: &OneByOne| filter.taken);
        let log = Log::of(stream);
        send(&mut peer, "x");
        turn();
        send(&mut peer, "y");
        turn();
        // What the user wants does not matter to the filter.
        stream.pause();
        stream.resume();
        turn();
        assert_eq!((taken(), &log.take()[..]), (Some(1), ""));
        resume_filters(stream);
        assert_eq!(log.take(), if with_another { "x,x" } else { "x" });
        turn();
        assert_eq!(taken(), Some(2));
        resume_filters(stream);
        assert_eq!(log.take(), if with_another { "y,y" } else { "y" });
    }
}

#[test]
fn a_stream_without_filters_or_one_that_is_gone_has_nothing_to_resume() {
    let (stream, mut peer) = pair();
    let log = Log::of(stream);
    send(&mut peer, "x");
    resume_filters(stream);
    assert_eq!(log.take(), "");
    stream.close();
    log.take();
    resume_filters(stream);
    assert_eq!(log.take(), "");
}

#[test]
fn a_filter_is_found_by_its_type_also_by_close_listeners() {
    let (stream, mut peer) = pair();
    let count = move || with_filter(stream, |filter: &Waits| (filter.kept.len(), filter.closed));
    assert_eq!(count(), None);
    stream.add_filter(Waits::default());
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
