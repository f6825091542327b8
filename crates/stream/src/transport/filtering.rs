//! Streams with filters: what comes and goes passes through them.

use bytes::Bytes;
use uptick_emitter::emit;

use super::flags::Flags;
use super::{Transport, Transports, ending, reading, with_entry, writing};
use crate::filter::{Outcome, Passage};

/// Bytes have come from the descriptor.
pub(super) fn received<T: Transport>(stream: T, bytes: Bytes) {
    pass(stream, Passage::Received(bytes));
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
            Some(Some(rare.held.remove(0)))
        }
    });
    match next.flatten() {
        Some(Some(bytes)) => {
            emit(&stream, T::DATA, bytes);
        }
        Some(None) => reading::emit_end(stream),
        None => {}
    }
}

fn pass<T: Transport>(stream: T, passage: Passage) {
    let mut passage = Some(passage);
    while let Some(current) = passage.take() {
        let mut current = Some(current);
        let filters = with_entry(stream, |entry, _| {
            if entry.flags.contains(Flags::FILTERING) {
                // A filter's own code uses the stream it is in.
                if let Some(Passage::Sending(bytes)) = current.take() {
                    entry.rare().postponed.push(bytes);
                }
                return None;
            }
            entry.flags.insert(Flags::FILTERING);
            Some(std::mem::take(&mut entry.rare().filters))
        });
        let (Some(Some(mut filters)), Some(current)) = (filters, current) else {
            return;
        };
        let outcome = filters.pass(current);
        let height = filters.len();
        let postponed = T::with_transports(|all| {
            let id = stream.to_id();
            let token = all.token(id);
            let Transports { table, spare, .. } = all;
            let entry = table.get_mut(id)?;
            entry.flags.remove(Flags::FILTERING);
            let rare = entry.rare();
            let added = std::mem::replace(&mut rare.filters, filters);
            rare.filters.append(added);
            let postponed = std::mem::take(&mut rare.postponed);
            let filtered = !rare.filters.is_empty() || !rare.held.is_empty() || rare.held_end;
            entry.flags.set(Flags::FILTERED, filtered);
            for bytes in &outcome.down {
                writing::append(entry, token, spare, bytes.clone());
            }
            Some(postponed)
        });
        let Some(Some(postponed)) = postponed else {
            return;
        };
        settle(stream, outcome, height);
        let mut postponed = postponed.into_iter();
        passage = postponed.next().map(Passage::Sending);
        with_entry(stream, |entry, _| {
            let rest = postponed.collect::<Vec<_>>();
            if !rest.is_empty() {
                entry.rare().postponed.splice(0..0, rest);
            }
        });
    }
}

/// Acts on what came out of the lowest `height` filters.
fn settle<T: Transport>(stream: T, mut outcome: Outcome, height: usize) {
    for call in outcome.later {
        call();
    }
    let mut up = outcome.up.into_iter();
    while up.len() > 0 || outcome.end {
        if covered(stream, height) {
            let passage = Passage::Delivered {
                height,
                bytes: up.by_ref().collect(),
                end: std::mem::take(&mut outcome.end),
            };
            pass(stream, passage);
            break;
        }
        match up.next() {
            Some(bytes) => deliver(stream, bytes),
            None => break,
        }
    }
    if let Some(error) = outcome.error {
        writing::send_last(stream);
        return ending::fail(stream, error);
    }
    if outcome.end {
        let held = with_entry(stream, |entry, _| {
            let paused = entry.flags.contains(Flags::PAUSED);
            let rare = entry.rare();
            rare.held_end = paused || !rare.held.is_empty();
            let held = rare.held_end;
            if held {
                // Also when the last filter has taken itself out.
                entry.flags.insert(Flags::FILTERED);
            }
            held
        });
        if held == Some(false) {
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
fn deliver<T: Transport>(stream: T, bytes: Bytes) {
    let mut bytes = Some(bytes);
    let wanted = with_entry(stream, |entry, _| {
        if entry.flags.intersects(Flags::ENDING | Flags::CLOSING) {
            return false;
        }
        let wanted = entry.wants_data();
        let rare = entry.rare();
        if rare.held.is_empty() && wanted {
            return true;
        }
        rare.held.extend(bytes.take());
        entry.flags.insert(Flags::FILTERED);
        false
    });
    if let (Some(true), Some(bytes)) = (wanted, bytes) {
        emit(&stream, T::DATA, bytes);
    }
}
