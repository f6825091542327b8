//! The filters of a stream, and how bytes pass through them.
//!
//! Cost of a passage through a single filter, which is the usual case: one call of it, no allocation.

use std::any::Any;

use bytes::{Bytes, BytesMut};

use super::{Filter, FilterContext};
use crate::error::Error;
use crate::spare;
use crate::write_queue::WriteQueue;

/// A passage through the filters of a stream, from one end of the stack to the other.
pub(crate) enum Passage {
    Resumed,
    PeerEnded,
    /// Bytes from the lowest `height` filters, for those that were put above them since.
    Delivered {
        height: usize,
        bytes: Vec<Bytes>,
        end: bool,
    },
    Sending(Bytes),
    /// Bytes that were written in pieces and are in one.
    Gathered(Box<WriteQueue>),
    Ending,
}

/// The input of a filter from below.
#[derive(Default)]
struct Input {
    resume: bool,
    bytes: Vec<BytesMut>,
    end: bool,
}

impl Passage {
    /// Returns whether it comes from below.
    pub(crate) fn goes_up(&self) -> bool {
        !matches!(
            self,
            Passage::Sending(_) | Passage::Gathered(_) | Passage::Ending
        )
    }
}

/// The filters of a stream, from the descriptor up.
#[derive(Default)]
pub(crate) struct Filters {
    stack: Vec<Box<dyn Filter>>,
}

impl Filters {
    pub(crate) fn push(&mut self, filter: Option<Box<dyn Filter>>) {
        if let Some(filter) = filter {
            // Most streams have one at most.
            self.stack.reserve_exact(1);
            self.stack.push(filter);
        }
    }

    /// Puts the filters of another stack above these.
    pub(crate) fn append(&mut self, other: Filters) {
        self.stack.extend(other.stack);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.stack.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.stack.len()
    }

    /// Returns the highest filter of a type.
    pub(crate) fn find<F: Filter>(&self) -> Option<&F> {
        self.stack.iter().rev().find_map(|filter| {
            let filter: &dyn Any = &**filter;
            filter.downcast_ref()
        })
    }

    /// Returns the protocol that the highest filter with one has negotiated.
    pub(crate) fn alpn_protocol(&self) -> Option<&[u8]> {
        let mut stack = self.stack.iter().rev();
        stack.find_map(|filter| filter.alpn_protocol())
    }

    pub(crate) fn closed(&mut self) {
        for filter in &mut self.stack {
            filter.closed();
        }
    }

    /// Passes received bytes up; what comes out at the two ends of the stack is in the context, and in `bytes` the part that it
    /// names.
    #[inline]
    pub(crate) fn received(
        &mut self,
        bytes: &mut BytesMut,
        context: &mut FilterContext,
    ) -> Result<(), Error> {
        let [only] = &mut self.stack[..] else {
            let input = Input {
                bytes: vec![bytes.split()],
                ..Input::default()
            };
            return self.up(0, input, context);
        };
        let result = only.received(bytes, context);
        self.leave(result, context)
    }

    /// Passes down what was gathered.
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
                context.spent = Some(gathered);
                sent
            }
            _ => self.pass_all(Passage::Gathered(gathered), context),
        }
    }

    /// Passes something other than received bytes.
    pub(crate) fn pass(
        &mut self,
        passage: Passage,
        context: &mut FilterContext,
    ) -> Result<(), Error> {
        if let Passage::Gathered(gathered) = passage {
            return self.gathered(gathered, context);
        }
        match &mut self.stack[..] {
            [only] if !matches!(passage, Passage::Delivered { .. } | Passage::Gathered(_)) => {
                let up = passage.goes_up();
                let result = pass_only(&mut **only, passage, context);
                if up {
                    return self.leave(result, context);
                }
                context.end = false;
                context.remove = false;
                result
            }
            _ => self.pass_all(passage, context),
        }
    }

    /// Ends a passage up through the only filter, which may have removed itself.
    #[inline]
    fn leave(
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

    fn pass_all(&mut self, passage: Passage, outcome: &mut FilterContext) -> Result<(), Error> {
        let height = self.stack.len();
        let mut input = Input::default();
        match passage {
            Passage::Resumed => {
                input.resume = true;
                self.up(0, input, outcome)
            }
            Passage::PeerEnded => {
                input.end = true;
                self.up(0, input, outcome)
            }
            Passage::Delivered { height, bytes, end } => {
                input.bytes = bytes.into_iter().map(BytesMut::from).collect();
                input.end = end;
                self.up(height, input, outcome)
            }
            Passage::Sending(bytes) => {
                let mut down = WriteQueue::new();
                down.push(bytes);
                self.down(height, down, false, outcome)
            }
            Passage::Gathered(gathered) => self.down(height, *gathered, false, outcome),
            Passage::Ending => self.down(height, WriteQueue::new(), true, outcome),
        }
    }

    /// Passes bytes, and the end behind them, to the filter at `level` and those above it.
    fn up(
        &mut self,
        mut level: usize,
        input: Input,
        outcome: &mut FilterContext,
    ) -> Result<(), Error> {
        let Input {
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
            // An alert that goes with an error is still to be sent.
            let sent = self.down(level, context.take_sent(), false, outcome);
            if let Err(error) = result.and(sent) {
                // What came before the error is delivered.
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

    /// Passes bytes to the filters below `level`, from the highest down to the descriptor.
    fn down(
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
                // An alert that goes with an error is still to be sent; of two errors, the first one tells more.
                let _ = self.down(at, bytes, false, outcome);
                return Err(error);
            }
        }
        if !bytes.is_empty() {
            let down = outcome.down.get_or_insert_with(spare::queue);
            down.append(&mut bytes);
        }
        Ok(())
    }
}

/// Passes through the only filter: what comes out of it leaves the stack.
#[inline]
fn pass_only(
    filter: &mut dyn Filter,
    passage: Passage,
    context: &mut FilterContext,
) -> Result<(), Error> {
    match passage {
        Passage::Resumed => filter.resumed(context),
        Passage::PeerEnded => filter.peer_ended(context),
        Passage::Sending(bytes) => filter.sending(bytes, context),
        Passage::Ending => filter.ending(context),
        // They are passed by themselves.
        Passage::Delivered { .. } | Passage::Gathered(_) => Ok(()),
    }
}
