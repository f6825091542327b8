//! The filters of a stream, and how bytes pass through them.
//!
//! Cost of a passage through a single filter, which is the usual case: one call of it, no allocation.

use std::any::Any;

use bytes::Bytes;

use super::{Filter, FilterContext};
use crate::error::Error;
use crate::write_queue::WriteQueue;

/// What passes through the filters of a stream, from one end of the stack to the other.
pub(crate) enum Passage {
    Received(Bytes),
    Resumed,
    PeerEnded,
    /// What came out of the lowest `height` filters, to those that were put above them since.
    Delivered {
        height: usize,
        bytes: Vec<Bytes>,
        end: bool,
    },
    Sending(Bytes),
    /// What was written in pieces: it is in one.
    Gathered(Box<WriteQueue>),
    Ending,
}

/// What comes to a filter from below.
#[derive(Default)]
struct Input {
    resume: bool,
    bytes: Vec<Bytes>,
    end: bool,
}

impl Passage {
    /// Whether it comes from below.
    pub(crate) fn goes_up(&self) -> bool {
        !matches!(
            self,
            Passage::Sending(_) | Passage::Gathered(_) | Passage::Ending
        )
    }
}

impl Input {
    fn of(bytes: Vec<Bytes>) -> Self {
        Input {
            bytes,
            ..Input::default()
        }
    }
}

/// The filters of a stream, from the descriptor up.
#[derive(Default)]
pub(crate) struct Filters {
    stack: Vec<Box<dyn Filter>>,
}

impl Filters {
    pub(crate) fn push(&mut self, filter: Option<Box<dyn Filter>>) {
        self.stack.extend(filter);
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

    /// The highest filter of a type.
    pub(crate) fn find<F: Filter>(&self) -> Option<&F> {
        self.stack.iter().rev().find_map(|filter| {
            let filter: &dyn Any = &**filter;
            filter.downcast_ref()
        })
    }

    pub(crate) fn closed(&mut self) {
        for filter in &mut self.stack {
            filter.closed();
        }
    }

    /// Has something pass; what comes out at the two ends of the stack, is in the context.
    pub(crate) fn pass(
        &mut self,
        passage: Passage,
        context: &mut FilterContext,
    ) -> Result<(), Error> {
        match &mut self.stack[..] {
            [only] if !matches!(passage, Passage::Delivered { .. }) => {
                let up = passage.goes_up();
                let result = pass_only(&mut **only, passage, context);
                context.end &= up && result.is_ok();
                if std::mem::take(&mut context.remove) && up && result.is_ok() {
                    self.stack.clear();
                }
                result
            }
            _ => self.pass_all(passage, context),
        }
    }

    fn pass_all(&mut self, passage: Passage, outcome: &mut FilterContext) -> Result<(), Error> {
        let height = self.stack.len();
        match passage {
            Passage::Received(bytes) => self.up(0, Input::of(vec![bytes]), outcome),
            Passage::Resumed => {
                let input = Input {
                    resume: true,
                    ..Input::default()
                };
                self.up(0, input, outcome)
            }
            Passage::PeerEnded => {
                let input = Input {
                    end: true,
                    ..Input::default()
                };
                self.up(0, input, outcome)
            }
            Passage::Delivered { height, bytes, end } => {
                let input = Input {
                    bytes,
                    end,
                    ..Input::default()
                };
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
            while result.is_ok()
                && !context.remove
                && let Some(chunk) = input.next()
            {
                result = self.stack[level].received(chunk, &mut context);
            }
            if end && result.is_ok() && !context.remove {
                result = self.stack[level].peer_ended(&mut context);
            }
            let FilterContext {
                up,
                end: ended,
                down,
                later,
                remove,
                wait,
                ..
            } = context;
            bytes = up;
            outcome.later.extend(later);
            outcome.wait |= wait;
            // An alert that goes with an error is still to be sent.
            let sent = self.down(level, down, false, outcome);
            if let Err(error) = result.and(sent) {
                // What came before the error is handed on.
                failure.get_or_insert(error);
                end = false;
                level += 1;
            } else if remove {
                self.stack.remove(level);
                bytes.extend(input);
                end = end || ended;
            } else {
                end = ended;
                level += 1;
            }
        }
        outcome.up.extend(bytes);
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
            bytes = context.down;
            outcome.later.extend(context.later);
            outcome.up.extend(context.up);
            if let Err(error) = result {
                // An alert that goes with an error is still to be sent; of two errors, the first one tells more.
                let _ = self.down(at, bytes, false, outcome);
                return Err(error);
            }
        }
        outcome.down.append(&mut bytes);
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
        Passage::Received(bytes) => filter.received(bytes, context),
        Passage::Resumed => filter.resumed(context),
        Passage::PeerEnded => filter.peer_ended(context),
        Passage::Sending(bytes) => filter.sending(bytes, context),
        Passage::Gathered(gathered) => {
            let sent = match gathered.as_single() {
                Some(bytes) => filter.sending_slice(bytes, context),
                None => Ok(()),
            };
            context.spent = Some(gathered);
            sent
        }
        Passage::Ending => filter.ending(context),
        // It comes from this filter, and so goes by it.
        Passage::Delivered { .. } => Ok(()),
    }
}
