//! Streams with filters: what comes and goes passes through them.

use bytes::Bytes;
use uptick_event_loop::catch;

use super::flags::Flags;
use super::{Transport, Transports, ending, protocol, reading, with_entry, writing};
use crate::error::Error;
use crate::filter::{FilterContext, Outcome, Passage};

/// Bytes have come from the descriptor.
pub(super) fn received<T: Transport>(stream: T, bytes: Bytes) {
    pass(stream, Passage::Received(bytes));
}

/// What filters have kept back goes on.
pub(super) fn resume<T: Transport>(stream: T) {
    let mut waited = false;
    let filtered = with_entry(stream, |entry, _| {
        waited = entry.flags.take(Flags::FILTER_WAITS);
        entry.flags.contains(Flags::FILTERED) && !entry.flags.contains(Flags::CLOSING)
    });
    if filtered == Some(true) {
        pass(stream, Passage::Resumed);
    }
    if waited {
        with_entry(stream, |entry, token| reading::schedule(entry, token));
    }
}

/// The descriptor has no more bytes.
pub(super) fn peer_ended<T: Transport>(stream: T) {
    pass(stream, Passage::PeerEnded);
}

/// This side ends.
pub(super) fn ending<T: Transport>(stream: T) {
    pass(stream, Passage::Ending);
}

/// The user writes.
pub(super) fn write<T: Transport>(stream: T, bytes: Bytes) -> bool {
    if !bytes.is_empty() {
        pass(stream, Passage::Sending(bytes));
    }
    with_entry(stream, |entry, _| {
        entry.is_writable() && !entry.flags.contains(Flags::FULL)
    })
    .unwrap_or(false)
}

/// A filter was added: what the filters below it have delivered and nobody has taken yet goes through it.
pub(super) fn pass_held<T: Transport>(stream: T) {
    let held = with_entry(stream, |entry, _| {
        if entry.flags.contains(Flags::FILTERING) || !entry.holds() {
            return None;
        }
        let rare = entry.rare();
        Some(Passage::Delivered {
            height: rare.filters.len() - 1,
            bytes: std::mem::take(&mut rare.held).into(),
            end: std::mem::take(&mut rare.held_end),
        })
    });
    if let Some(Some(held)) = held {
        run(stream, held, Tell::Later);
    }
}

/// Reading goes on: hands on what was held back, for as long as it is wanted.
pub(super) fn release<T: Transport>(stream: T) {
    let next = with_entry(stream, |entry, _| {
        let wanted = entry.wants_data();
        let rare = entry.rare.as_mut()?;
        if !wanted {
            None
        } else if rare.held.is_empty() {
            std::mem::take(&mut rare.held_end).then_some(None)
        } else {
            Some(rare.held.pop_front())
        }
    });
    match next.flatten() {
        Some(Some(bytes)) => {
            protocol::tell_data(stream, bytes);
        }
        Some(None) => reading::emit_end(stream),
        None => {}
    }
}

fn pass<T: Transport>(stream: T, passage: Passage) {
    let mut passage = Some(passage);
    with_entry(stream, |entry, _| {
        // A filter's own code, or what it has set off, uses the stream: its turn comes after what is under way.
        let waits = entry.flags.contains(Flags::FILTERING)
            || entry
                .rare
                .as_ref()
                .is_some_and(|rare| !rare.postponed.is_empty());
        if waits {
            entry.rare().postponed.extend(passage.take());
        }
    });
    while let Some(current) = passage {
        let tell = Tell::after(&current);
        run(stream, current, tell);
        passage = with_entry(stream, |entry, _| {
            entry.rare.as_mut()?.postponed.pop_front()
        })
        .flatten();
    }
}

/// When listeners are told of what comes out of the filters.
#[derive(Clone, Copy, PartialEq)]
enum Tell {
    Now,
    /// A call of the user's is under way, who is told of nothing before it has returned.
    Later,
}

impl Tell {
    fn after(passage: &Passage) -> Self {
        match passage {
            Passage::Sending(_) | Passage::Ending => Tell::Later,
            Passage::Received(_)
            | Passage::Resumed
            | Passage::PeerEnded
            | Passage::Delivered { .. } => Tell::Now,
        }
    }
}

fn run<T: Transport>(stream: T, passage: Passage, tell: Tell) {
    let is_ending = matches!(passage, Passage::Ending);
    let filters = with_entry(stream, |entry, _| {
        entry.flags.insert(Flags::FILTERING);
        std::mem::take(&mut entry.rare().filters)
    });
    let Some(mut filters) = filters else { return };
    let mut outcome = match catch(|| filters.pass(passage)) {
        Ok(outcome) => outcome,
        Err(message) => Outcome {
            context: FilterContext::take(),
            error: Some(Error::Panic {
                message: message.into(),
            }),
        },
    };
    let height = filters.len();
    let found = T::with_transports(|all| {
        let id = stream.to_id();
        let token = all.token(id);
        let Transports { table, spare, .. } = all;
        let entry = table.get_mut(id)?;
        entry.flags.remove(Flags::FILTERING);
        let rare = entry.rare();
        let added = std::mem::replace(&mut rare.filters, filters);
        rare.filters.append(added);
        let filtered = !rare.filters.is_empty() || entry.holds();
        entry.flags.set(Flags::FILTERED, filtered);
        if outcome.context.wait {
            entry.flags.insert(Flags::FILTER_WAITS);
        }
        writing::append_all(entry, token, spare, &mut outcome.context.down);
        Some(())
    });
    if found.flatten().is_some() {
        settle(stream, &mut outcome, height, tell);
        if is_ending {
            ending::finish_when_flushed(stream);
        }
    }
    outcome.context.give_back();
}

/// Acts on what came out of the lowest `height` filters.
fn settle<T: Transport>(stream: T, outcome: &mut Outcome, height: usize, tell: Tell) {
    let Outcome { context, error } = outcome;
    for call in context.later.drain(..) {
        if let Err(message) = catch(call) {
            error.get_or_insert(Error::Panic {
                message: message.into(),
            });
        }
    }
    let mut up = context.up.drain(..);
    while up.len() > 0 || context.end {
        if covered(stream, height) {
            let passage = Passage::Delivered {
                height,
                bytes: up.by_ref().collect(),
                end: std::mem::take(&mut context.end),
            };
            run(stream, passage, tell);
            break;
        }
        match up.next() {
            Some(bytes) => deliver(stream, bytes, tell),
            None => break,
        }
    }
    drop(up);
    if let Some(error) = error.take() {
        if tell == Tell::Now {
            writing::send_last(stream);
            return ending::fail(stream, error);
        }
        with_entry(stream, |entry, token| {
            writing::fail_later(entry, token, error)
        });
    }
    if context.end {
        let told = with_entry(stream, |entry, token| {
            if entry.flags.intersects(Flags::ENDING | Flags::CLOSING) {
                return false;
            }
            let paused = entry.flags.contains(Flags::PAUSED);
            let rare = entry.rare();
            rare.held_end = paused || !rare.held.is_empty() || tell == Tell::Later;
            let held = rare.held_end;
            if held {
                // Also when the last filter has taken itself out.
                entry.flags.insert(Flags::FILTERED);
                reading::schedule(entry, token);
            }
            !held
        });
        if told == Some(true) {
            reading::emit_end(stream);
        }
    }
}

/// Whether a callback has put a filter above the lowest `height` ones, as a server that speaks TLS does when it is told
/// of a connection whose first bytes have come along with a PROXY header.
fn covered<T: Transport>(stream: T, height: usize) -> bool {
    with_entry(stream, |entry, _| {
        let rare = entry.rare.as_ref();
        rare.is_some_and(|rare| rare.held.is_empty() && rare.filters.len() > height)
    })
    .unwrap_or(false)
}

/// Emits what came through the filters, or holds it back while nobody wants it.
fn deliver<T: Transport>(stream: T, bytes: Bytes, tell: Tell) {
    let mut bytes = Some(bytes);
    let wanted = with_entry(stream, |entry, token| {
        if entry.flags.intersects(Flags::ENDING | Flags::CLOSING) {
            return false;
        }
        let wanted = entry.wants_data();
        let rare = entry.rare();
        if rare.held.is_empty() && wanted && tell == Tell::Now {
            return true;
        }
        rare.held.extend(bytes.take());
        entry.flags.insert(Flags::FILTERED);
        if tell == Tell::Later {
            reading::schedule(entry, token);
        }
        false
    });
    if let (Some(true), Some(bytes)) = (wanted, bytes) {
        protocol::tell_data(stream, bytes);
    }
}
