//! The filters of a stream, and the passage of bytes through them.
//!
//! With a single filter, which is the usual case, a passage costs one call of the filter and no allocation.

use std::any::Any;

use bytes::{Bytes, BytesMut};

use super::{Filter, FilterContext};
use crate::error::Error;
use crate::queue_pool;
use crate::write_queue::WriteQueue;

/// An event that passes through the filters of a stream, from one end of the stack to the other.
pub(crate) enum FilterEvent {
    Resumed,
    PeerEnded,
    /// Bytes from the lowest `height` filters, for the filters added above them since.
    Delivered {
        height: usize,
        bytes: Vec<Bytes>,
        end: bool,
    },
    Sending(Bytes),
    /// Bytes of several writes, gathered in a queue.
    Gathered(Box<WriteQueue>),
    Ending,
}

/// The input of a filter from the layer below.
#[derive(Default)]
struct UpwardInput {
    resume: bool,
    bytes: Vec<BytesMut>,
    end: bool,
}

impl FilterEvent {
    /// Returns whether the event passes upwards, from the descriptor to the listeners.
    pub(crate) fn is_upward(&self) -> bool {
        !matches!(
            self,
            FilterEvent::Sending(_) | FilterEvent::Gathered(_) | FilterEvent::Ending
        )
    }
}

/// The filters of a stream, from the descriptor upwards.
#[derive(Default)]
pub(crate) struct Filters {
    stack: Vec<Box<dyn Filter>>,
}

impl Filters {
    pub(crate) fn push(&mut self, filter: Option<Box<dyn Filter>>) {
        if let Some(filter) = filter {
            // Most streams have at most one filter.
            self.stack.reserve_exact(1);
            self.stack.push(filter);
        }
    }

    /// Adds the filters of another stack above these.
    pub(crate) fn append(&mut self, other: Filters) {
        self.stack.extend(other.stack);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.stack.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.stack.len()
    }

    /// Returns the topmost filter of a type.
    pub(crate) fn find<F: Filter>(&self) -> Option<&F> {
        self.stack.iter().rev().find_map(|filter| {
            let filter: &dyn Any = &**filter;
            filter.downcast_ref()
        })
    }

    /// Returns the protocol negotiated by the topmost filter that has one.
    pub(crate) fn alpn_protocol(&self) -> Option<&[u8]> {
        let mut stack = self.stack.iter().rev();
        stack.find_map(|filter| filter.alpn_protocol())
    }

    pub(crate) fn closed(&mut self) {
        for filter in &mut self.stack {
            filter.closed();
        }
    }

    /// Passes received bytes up. The output at both ends of the stack is in the context; `bytes` holds the received bytes of
    /// which the context names a part.
    #[inline]
    pub(crate) fn received(
        &mut self,
        bytes: &mut BytesMut,
        context: &mut FilterContext,
    ) -> Result<(), Error> {
        let [only] = &mut self.stack[..] else {
            let input = UpwardInput {
                bytes: vec![bytes.split()],
                ..UpwardInput::default()
            };
            return self.pass_up(0, input, context);
        };
        let result = only.received(bytes, context);
        self.finish_upward(result, context)
    }

    /// Passes gathered bytes down.
    #[inline]
    pub(crate) fn gathered(
        &mut self,
        gathered: Box<WriteQueue>,
        context: &mut FilterContext,
    ) -> Result<(), Error> {
        match (&mut self.stack[..], gathered.as_single()) {
            ([only], Some(bytes)) => {
                let sent = only.sending_slice(bytes, context);
                context.end = false;
                context.remove = false;
                context.used_queue = Some(gathered);
                sent
            }
            _ => self.pass_all(FilterEvent::Gathered(gathered), context),
        }
    }

    /// Passes any event except received bytes.
    pub(crate) fn pass(
        &mut self,
        event: FilterEvent,
        context: &mut FilterContext,
    ) -> Result<(), Error> {
        if let FilterEvent::Gathered(gathered) = event {
            return self.gathered(gathered, context);
        }
        match &mut self.stack[..] {
            [only]
                if !matches!(
                    event,
                    FilterEvent::Delivered { .. } | FilterEvent::Gathered(_)
                ) =>
            {
                let up = event.is_upward();
                let result = pass_only(&mut **only, event, context);
                if up {
                    return self.finish_upward(result, context);
                }
                context.end = false;
                context.remove = false;
                result
            }
            _ => self.pass_all(event, context),
        }
    }

    /// Ends an upward passage through the only filter, which may have removed itself.
    #[inline]
    fn finish_upward(
        &mut self,
        result: Result<(), Error>,
        context: &mut FilterContext,
    ) -> Result<(), Error> {
        context.end &= result.is_ok();
        if std::mem::take(&mut context.remove) && result.is_ok() {
            self.stack.clear();
        }
        result
    }

    fn pass_all(&mut self, event: FilterEvent, outcome: &mut FilterContext) -> Result<(), Error> {
        let height = self.stack.len();
        let mut input = UpwardInput::default();
        match event {
            FilterEvent::Resumed => {
                input.resume = true;
                self.pass_up(0, input, outcome)
            }
            FilterEvent::PeerEnded => {
                input.end = true;
                self.pass_up(0, input, outcome)
            }
            FilterEvent::Delivered { height, bytes, end } => {
                input.bytes = bytes.into_iter().map(BytesMut::from).collect();
                input.end = end;
                self.pass_up(height, input, outcome)
            }
            FilterEvent::Sending(bytes) => {
                let mut down = WriteQueue::new();
                down.push(bytes);
                self.pass_down(height, down, false, outcome)
            }
            FilterEvent::Gathered(gathered) => self.pass_down(height, *gathered, false, outcome),
            FilterEvent::Ending => self.pass_down(height, WriteQueue::new(), true, outcome),
        }
    }

    /// Passes bytes, and the end after them, to the filter at `level` and those above it.
    fn pass_up(
        &mut self,
        mut level: usize,
        input: UpwardInput,
        outcome: &mut FilterContext,
    ) -> Result<(), Error> {
        let UpwardInput {
            resume,
            mut bytes,
            mut end,
        } = input;
        let mut failure = None;
        while level < self.stack.len() {
            let mut context = FilterContext::default();
            let mut result = Ok(());
            if resume {
                result = self.stack[level].resumed(&mut context);
            }
            let mut input = bytes.into_iter();
            let mut delivered: Vec<BytesMut> = context.take_delivered(BytesMut::new());
            while result.is_ok()
                && !context.remove
                && let Some(mut chunk) = input.next()
            {
                result = self.stack[level].received(&mut chunk, &mut context);
                delivered.append(&mut context.take_delivered(chunk));
            }
            if end && result.is_ok() && !context.remove {
                result = self.stack[level].peer_ended(&mut context);
                delivered.append(&mut context.take_delivered(BytesMut::new()));
            }
            outcome.later.append(&mut context.later);
            outcome.wait |= context.wait;
            bytes = delivered;
            // An alert for an error must still be sent.
            let sent = self.pass_down(level, context.take_sent(), false, outcome);
            if let Err(error) = result.and(sent) {
                // Data before the error is delivered.
                failure.get_or_insert(error);
                end = false;
                level += 1;
            } else if context.remove {
                self.stack.remove(level);
                bytes.extend(input);
                end = end || context.end;
            } else {
                end = context.end;
                level += 1;
            }
        }
        outcome.up.extend(bytes.into_iter().map(BytesMut::freeze));
        match failure {
            Some(error) => Err(error),
            None => {
                outcome.end |= end;
                Ok(())
            }
        }
    }

    /// Passes bytes to the filters below `level`, from the topmost down to the descriptor.
    fn pass_down(
        &mut self,
        level: usize,
        mut bytes: WriteQueue,
        ending: bool,
        outcome: &mut FilterContext,
    ) -> Result<(), Error> {
        for at in (0..level).rev() {
            if bytes.is_empty() && !ending {
                return Ok(());
            }
            let mut context = FilterContext::default();
            let filter = &mut self.stack[at];
            let mut result = bytes
                .into_chunks()
                .try_for_each(|chunk| filter.sending(chunk, &mut context));
            if ending && result.is_ok() {
                result = filter.ending(&mut context);
            }
            bytes = context.take_sent();
            outcome.later.append(&mut context.later);
            outcome.up.append(&mut context.up);
            if let Err(error) = result {
                // An alert for an error must still be sent; of two errors, the first one is reported.
                let _ = self.pass_down(at, bytes, false, outcome);
                return Err(error);
            }
        }
        if !bytes.is_empty() {
            let down = outcome.down.get_or_insert_with(queue_pool::take);
            down.append(&mut bytes);
        }
        Ok(())
    }
}

/// Passes an event through the only filter; its output leaves the stack.
#[inline]
fn pass_only(
    filter: &mut dyn Filter,
    event: FilterEvent,
    context: &mut FilterContext,
) -> Result<(), Error> {
    match event {
        FilterEvent::Resumed => filter.resumed(context),
        FilterEvent::PeerEnded => filter.peer_ended(context),
        FilterEvent::Sending(bytes) => filter.sending(bytes, context),
        FilterEvent::Ending => filter.ending(context),
        // Handled by the callers.
        FilterEvent::Delivered { .. } | FilterEvent::Gathered(_) => Ok(()),
    }
}
