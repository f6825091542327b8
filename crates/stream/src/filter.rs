//! Layers inside a stream, between the descriptor and the listeners: TLS, a PROXY header.
//!
//! ```text
//! listeners ─ write ─▶ Filter::sending ─▶ … ─▶ write queue ─▶ descriptor
//!           ◀─ data ── Filter::received ◀─ … ◀── reads ◀───── descriptor
//! ```

use std::any::Any;
use std::fmt;

use bytes::Bytes;

use crate::error::Error;

/// A layer inside a stream. It does no I/O: bytes in, bytes out.
///
/// It is put on a stream with `add_filter`, above the filters that are there. An error that it returns is emitted by
/// the stream, behind what was delivered before, and the stream closes. It may call the loop, but not the stream that it is in: what it wants done there
/// goes through the [`FilterContext`].
pub trait Filter: Any {
    /// Bytes have come from below.
    ///
    /// # Errors
    /// Closes the stream.
    fn received(&mut self, bytes: Bytes, context: &mut FilterContext) -> Result<(), Error>;

    /// The layer above wants bytes sent.
    ///
    /// # Errors
    /// Closes the stream.
    fn sending(&mut self, bytes: Bytes, context: &mut FilterContext) -> Result<(), Error>;

    /// `resume_filters` was called on the stream: what the filter has kept back may go on. The default does nothing.
    ///
    /// # Errors
    /// Closes the stream.
    fn resumed(&mut self, context: &mut FilterContext) -> Result<(), Error> {
        let _ = context;
        Ok(())
    }

    /// The peer has ended its side. The default hands that on; an error says that the end came too early.
    ///
    /// # Errors
    /// Closes the stream.
    fn peer_ended(&mut self, context: &mut FilterContext) -> Result<(), Error> {
        context.deliver_end();
        Ok(())
    }

    /// The layer above ends its side; what is sent now is the last. The default sends nothing.
    ///
    /// # Errors
    /// Closes the stream.
    fn ending(&mut self, context: &mut FilterContext) -> Result<(), Error> {
        let _ = context;
        Ok(())
    }

    /// The stream has closed, and the filter is dropped when the `close` listeners have run.
    fn closed(&mut self) {}
}

/// What a filter wants done, in order.
#[derive(Default)]
pub struct FilterContext {
    pub(crate) up: Vec<Bytes>,
    pub(crate) end: bool,
    pub(crate) down: Vec<Bytes>,
    pub(crate) later: Vec<Box<dyn FnOnce()>>,
    pub(crate) remove: bool,
}

impl FilterContext {
    /// Hands bytes to the layer above.
    pub fn deliver(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.up.push(bytes);
        }
    }

    /// Tells the layer above that the peer has ended, behind what was delivered.
    pub fn deliver_end(&mut self) {
        self.end = true;
    }

    /// Hands bytes to the layer below.
    pub fn send(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.down.push(bytes);
        }
    }

    /// Has `f` called when the stream is whole again, before what was delivered is emitted; it may use the stream.
    pub fn then(&mut self, f: impl FnOnce() + 'static) {
        self.later.push(Box::new(f));
    }

    /// Takes the filter out of the stream: what it delivered with this call is the last.
    pub fn remove(&mut self) {
        self.remove = true;
    }
}

impl fmt::Debug for FilterContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilterContext")
            .field("up", &self.up)
            .field("end", &self.end)
            .field("down", &self.down)
            .field("remove", &self.remove)
            .finish_non_exhaustive()
    }
}

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
    Ending,
}

/// What comes to a filter from below.
#[derive(Default)]
struct Input {
    resume: bool,
    bytes: Vec<Bytes>,
    end: bool,
}

impl Input {
    fn of(bytes: Vec<Bytes>) -> Self {
        Input {
            bytes,
            ..Input::default()
        }
    }
}

/// What came out at the two ends of the stack.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) up: Vec<Bytes>,
    pub(crate) end: bool,
    pub(crate) down: Vec<Bytes>,
    pub(crate) later: Vec<Box<dyn FnOnce()>>,
    pub(crate) error: Option<Error>,
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

    pub(crate) fn pass(&mut self, passage: Passage) -> Outcome {
        let mut outcome = Outcome::default();
        let result = match passage {
            Passage::Received(bytes) => self.up(0, Input::of(vec![bytes]), &mut outcome),
            Passage::Resumed => {
                let input = Input {
                    resume: true,
                    ..Input::default()
                };
                self.up(0, input, &mut outcome)
            }
            Passage::PeerEnded => {
                let input = Input {
                    end: true,
                    ..Input::default()
                };
                self.up(0, input, &mut outcome)
            }
            Passage::Delivered { height, bytes, end } => {
                let input = Input {
                    bytes,
                    end,
                    ..Input::default()
                };
                self.up(height, input, &mut outcome)
            }
            Passage::Sending(bytes) => {
                self.down(self.stack.len(), vec![bytes], false, &mut outcome)
            }
            Passage::Ending => self.down(self.stack.len(), Vec::new(), true, &mut outcome),
        };
        outcome.error = result.err();
        outcome
    }

    /// Passes bytes, and the end behind them, to the filter at `level` and those above it.
    fn up(&mut self, mut level: usize, input: Input, outcome: &mut Outcome) -> Result<(), Error> {
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
            } = context;
            bytes = up;
            outcome.later.extend(later);
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
        append(&mut outcome.up, bytes);
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
        mut bytes: Vec<Bytes>,
        ending: bool,
        outcome: &mut Outcome,
    ) -> Result<(), Error> {
        for at in (0..level).rev() {
            if bytes.is_empty() && !ending {
                return Ok(());
            }
            let mut context = FilterContext::default();
            let filter = &mut self.stack[at];
            let mut result = bytes
                .into_iter()
                .try_for_each(|chunk| filter.sending(chunk, &mut context));
            if ending && result.is_ok() {
                result = filter.ending(&mut context);
            }
            bytes = context.down;
            outcome.later.extend(context.later);
            append(&mut outcome.up, context.up);
            if let Err(error) = result {
                // An alert that goes with an error is still to be sent; of two errors, the first one tells more.
                let _ = self.down(at, bytes, false, outcome);
                return Err(error);
            }
        }
        append(&mut outcome.down, bytes);
        Ok(())
    }
}

/// Appends without an allocation where there is nothing before, which is nearly always.
fn append(to: &mut Vec<Bytes>, from: Vec<Bytes>) {
    if to.is_empty() {
        *to = from;
    } else {
        to.extend(from);
    }
}
