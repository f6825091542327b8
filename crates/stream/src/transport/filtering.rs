//! Streams with filters: what comes and goes passes through them.

use bytes::Bytes;
use uptick_event_loop::catch;

use super::flags::Flags;
use super::{Entry, Transport, Transports, ending, protocol, reading, with_entry, writing};
use crate::error::Error;
use crate::filter::{FilterContext, Filters, Outcome, Passage};

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
        let held = Passage::Delivered {
            height: rare.filters.len() - 1,
            bytes: std::mem::take(&mut rare.held).into(),
            end: std::mem::take(&mut rare.held_end),
        };
        Some((held, take_filters(entry)))
    });
    if let Some(Some((held, filters))) = held {
        run(stream, filters, held, Tell::Later);
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
    let filters = with_entry(stream, |entry, _| {
        // A filter's own code, or what it has set off, uses the stream: its turn comes after what is under way.
        let filtering = entry.flags.contains(Flags::FILTERING);
        let rare = entry.rare();
        if filtering || !rare.postponed.is_empty() {
            rare.postponed.extend(passage.take());
            return None;
        }
        Some(take_filters(entry))
    });
    let mut next = passage.zip(filters.flatten());
    while let Some((passage, filters)) = next {
        let tell = Tell::after(&passage);
        run(stream, filters, passage, tell);
        next = with_entry(stream, |entry, _| {
            let postponed = entry.rare.as_mut()?.postponed.pop_front()?;
            Some((postponed, take_filters(entry)))
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

/// Takes the filters out of a stream, for [`run`] to put back.
fn take_filters<T: Transport>(entry: &mut Entry<T>) -> Filters {
    entry.flags.insert(Flags::FILTERING);
    std::mem::take(&mut entry.rare().filters)
}

fn run<T: Transport>(stream: T, mut filters: Filters, passage: Passage, tell: Tell) {
    let is_ending = matches!(passage, Passage::Ending);
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
        if !added.is_empty() {
            rare.filters.append(added);
        }
        let filtered = !rare.filters.is_empty() || entry.holds();
        entry.flags.set(Flags::FILTERED, filtered);
        if outcome.context.wait {
            entry.flags.insert(Flags::FILTER_WAITS);
        }
        writing::append_all(entry, token, spare, &mut outcome.context.down);
        Some(())
    });
    if found.flatten().is_some() {
        if !outcome.is_settled() {
            settle(stream, &mut outcome, height, tell);
        }
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
        let way = with_entry(stream, |entry, _| Way::of(entry, height, tell));
        if let Some(Way::Covered) = way {
            let passage = Passage::Delivered {
                height,
                bytes: up.by_ref().collect(),
                end: std::mem::take(&mut context.end),
            };
            if let Some(filters) = with_entry(stream, |entry, _| take_filters(entry)) {
                run(stream, filters, passage, tell);
            }
            break;
        }
        match (up.next(), way) {
            (Some(bytes), Some(Way::Out)) => protocol::tell_data(stream, bytes),
            (Some(bytes), Some(Way::Held)) => hold(stream, bytes, tell),
            (Some(_), _) => {}
            (None, _) => break,
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

/// Where what came through the filters goes.
enum Way {
    /// To the listeners.
    Out,
    /// It waits until somebody wants it.
    Held,
    /// Through filters that a callback has put above those that it came through, as a server that speaks TLS does when it
    /// is told of a connection whose first bytes have come along with a PROXY header.
    Covered,
    /// Nowhere: this side has ended.
    Discarded,
}

impl Way {
    /// Where it goes from the lowest `height` filters.
    fn of<T: Transport>(entry: &Entry<T>, height: usize, tell: Tell) -> Way {
        let rare = entry.rare.as_ref();
        let nothing_held = rare.is_none_or(|rare| rare.held.is_empty());
        if nothing_held && rare.is_some_and(|rare| rare.filters.len() > height) {
            Way::Covered
        } else if entry.flags.intersects(Flags::ENDING | Flags::CLOSING) {
            Way::Discarded
        } else if nothing_held && tell == Tell::Now && entry.wants_data() {
            Way::Out
        } else {
            Way::Held
        }
    }
}

/// Holds back what came through the filters.
fn hold<T: Transport>(stream: T, bytes: Bytes, tell: Tell) {
    with_entry(stream, |entry, token| {
        entry.rare().held.push_back(bytes);
        entry.flags.insert(Flags::FILTERED);
        if tell == Tell::Later {
            reading::schedule(entry, token);
        }
    });
}
