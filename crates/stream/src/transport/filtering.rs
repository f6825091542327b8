//! Streams with filters: what comes and goes passes through them.

use bytes::Bytes;
use uptick_event_loop::{Token, catch};

use super::flags::Flags;
use super::reading::{Begun, Came};
use super::{
    Entry, Spare, Transport, Transports, ending, gathering, protocol, reading, with_entry, writing,
};
use crate::error::Error;
use crate::filter::{FilterContext, Filters, Passage};
use crate::write_queue::WriteQueue;

/// The filters of a stream while they are running, and what they want done.
pub(super) struct Taken {
    filters: Filters,
    context: Box<FilterContext>,
}

/// Bytes have come from the descriptor.
pub(super) fn received<T: Transport>(stream: T, bytes: Bytes) {
    pass(stream, Some(Passage::Received(bytes)));
}

/// Bytes have come from the descriptor, and the filters are at hand: [`Begun::Filtered`] becomes what is to be done next.
#[inline]
pub(super) fn begin<T: Transport>(stream: T, begun: &mut Begun<T>) {
    let Begun::Filtered { chunk, taken, more } = std::mem::replace(begun, Begun::Otherwise) else {
        return;
    };
    *begun = Begun::Passed { more };
    run(
        stream,
        taken,
        Passage::Received(chunk),
        Tell::Now,
        |entry, _, _, context, height| {
            if matches!(Way::of(entry, height, Tell::Now), Way::Out)
                && entry.rare().postponed.is_empty()
                && let Some(chunk) = context.take_only()
            {
                *begun = reading::tell_of(entry, Came::Passed(chunk), more);
            }
        },
    );
    if matches!(begun, Begun::Passed { .. }) {
        run_postponed(stream);
    }
}

/// Has what was gathered pass through the filters, and sends it: the callback that wrote it has returned, or the iteration
/// ends.
pub(super) fn flush<T: Transport>(stream: T, taken: Taken, gathered: Box<WriteQueue>) {
    let mut flushing = None;
    run(
        stream,
        taken,
        Passage::Gathered(gathered),
        Tell::Later,
        |entry, token, spare, context, _| {
            if context.is_settled() {
                flushing = Some(writing::flush_quickly(entry, token, spare));
            }
        },
    );
    match flushing {
        Some(flushing) => writing::finish(stream, flushing),
        None => {
            run_postponed(stream);
            writing::flush(stream);
        }
    }
}

/// What filters have kept back goes on.
pub(super) fn resume<T: Transport>(stream: T) {
    let mut waited = false;
    let filtered = with_entry(stream, |entry, _| {
        waited = entry.flags.take(Flags::FILTER_WAITS);
        entry.flags.contains(Flags::FILTERED) && !entry.flags.contains(Flags::CLOSING)
    });
    if filtered == Some(true) {
        pass(stream, Some(Passage::Resumed));
    }
    if waited {
        with_entry(stream, |entry, token| reading::schedule(entry, token));
    }
}

/// The descriptor has no more bytes.
pub(super) fn peer_ended<T: Transport>(stream: T) {
    pass(stream, Some(Passage::PeerEnded));
}

/// This side ends.
pub(super) fn ending<T: Transport>(stream: T) {
    pass(stream, Some(Passage::Ending));
}

/// A filter was added: what the filters below it have delivered and nobody has taken yet goes through it.
pub(super) fn pass_held<T: Transport>(stream: T) {
    let held = T::with_transports(|all| {
        let Transports { table, spare, .. } = all;
        let entry = table.get_mut(stream.to_id())?;
        if entry.flags.contains(Flags::FILTERING) || !entry.holds() {
            return None;
        }
        let rare = entry.rare();
        let held = Passage::Delivered {
            height: rare.filters.len() - 1,
            bytes: std::mem::take(&mut rare.held).into(),
            end: std::mem::take(&mut rare.held_end),
        };
        let taken = take(entry, spare, false);
        Some((held, taken))
    });
    if let Some(Some((held, taken))) = held {
        run(stream, taken, held, Tell::Later, |_, _, _, _, _| ());
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

/// Has what was gathered pass through the filters, and something else behind it.
pub(super) fn pass<T: Transport>(stream: T, mut passage: Option<Passage>) {
    let begun = T::with_transports(|all| {
        let Transports { table, spare, .. } = all;
        let entry = table.get_mut(stream.to_id())?;
        let gathered = gathering::take(entry).map(Passage::Gathered);
        // A filter's own code, or what it has set off, uses the stream: its turn comes after what is under way.
        let filtering = entry.flags.contains(Flags::FILTERING);
        let rare = entry.rare();
        if filtering || !rare.postponed.is_empty() {
            rare.postponed.extend(gathered);
            rare.postponed.extend(passage.take());
            return None;
        }
        let mut passages = gathered.into_iter().chain(passage.take());
        let first = passages.next()?;
        Some((take(entry, spare, !first.goes_up()), first, passages.next()))
    });
    let Some(Some((taken, first, second))) = begun else {
        return;
    };
    let tell = Tell::after(&first);
    run(stream, taken, first, tell, |_, _, _, _, _| ());
    if let Some(second) = second {
        run_next(stream, |_| Some(second));
    }
    run_postponed(stream);
}

/// What was written or ended by the filters' own code, and what it has set off, has its turn.
fn run_postponed<T: Transport>(stream: T) {
    while run_next(stream, |entry| entry.rare.as_mut()?.postponed.pop_front()) {}
}

/// Has what `next` gives pass through the filters; `false` when that is nothing.
fn run_next<T: Transport>(stream: T, next: impl FnOnce(&mut Entry<T>) -> Option<Passage>) -> bool {
    let begun = T::with_transports(|all| {
        let Transports { table, spare, .. } = all;
        let entry = table.get_mut(stream.to_id())?;
        let passage = next(entry)?;
        Some((take(entry, spare, !passage.goes_up()), passage))
    });
    let Some(Some((taken, passage))) = begun else {
        return false;
    };
    let tell = Tell::after(&passage);
    run(stream, taken, passage, tell, |_, _, _, _, _| ());
    true
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
            Passage::Sending(_) | Passage::Gathered(_) | Passage::Ending => Tell::Later,
            Passage::Received(_)
            | Passage::Resumed
            | Passage::PeerEnded
            | Passage::Delivered { .. } => Tell::Now,
        }
    }
}

/// Takes the filters out of a stream, for [`run`] to put back. With `sends` they append to the stream's own queue.
#[inline]
pub(super) fn take<T: Transport>(entry: &mut Entry<T>, spare: &mut Spare, sends: bool) -> Taken {
    entry.flags.insert(Flags::FILTERING);
    let filters = std::mem::take(&mut entry.rare().filters);
    let mut context = spare.context();
    if sends
        && !entry.flags.contains(Flags::FILES)
        && let Some(queue) = entry.queue.as_mut()
    {
        std::mem::swap(&mut context.down, queue);
    }
    Taken { filters, context }
}

/// Puts the filters back into their stream, and what is to be sent into its queue.
#[inline]
fn put_back<T: Transport>(
    entry: &mut Entry<T>,
    token: Token,
    spare: &mut Spare,
    filters: Filters,
    context: &mut FilterContext,
) {
    entry.flags.remove(Flags::FILTERING);
    let waiting = entry.holds() || entry.flags.contains(Flags::GATHERED);
    let rare = entry.rare();
    let added = std::mem::replace(&mut rare.filters, filters);
    if !added.is_empty() {
        rare.filters.append(added);
    }
    let filtered = !rare.filters.is_empty() || waiting;
    entry.flags.set(Flags::FILTERED, filtered);
    if context.wait {
        entry.flags.insert(Flags::FILTER_WAITS);
    }
    writing::recycle(context.spent.take(), spare);
    writing::append_all(entry, token, spare, &mut context.down);
}

/// Has something pass through the filters, and acts on what comes out.
///
/// `then` gets the stream when the filters are in it again and none has failed, with what came out and the number of
/// filters it came out of; it calls nobody.
#[inline]
fn run<T: Transport>(
    stream: T,
    taken: Taken,
    passage: Passage,
    tell: Tell,
    then: impl FnOnce(&mut Entry<T>, Token, &mut Spare, &mut FilterContext, usize),
) {
    let is_ending = matches!(passage, Passage::Ending);
    let Taken {
        mut filters,
        mut context,
    } = taken;
    let error = run_filters(&mut filters, passage, &mut context);
    let has_alert = error.is_some() && !context.down.is_empty();
    let height = filters.len();
    let mut context = Some(context);
    let found = T::with_transports(|all| {
        let id = stream.to_id();
        let token = all.token(id);
        let Transports { table, spare, .. } = all;
        let entry = table.get_mut(id)?;
        let outcome = context.as_mut()?;
        put_back(entry, token, spare, filters, outcome);
        if error.is_none() {
            then(entry, token, spare, outcome, height);
            if outcome.is_settled() && !is_ending {
                spare.keep_context(context.take());
            }
        }
        Some(())
    });
    let (Some(Some(())), Some(mut context)) = (found, context) else {
        return;
    };
    let failure = error.map(|error| Failure { error, has_alert });
    settle(stream, &mut context, failure, height, tell);
    if is_ending {
        ending::finish_when_flushed(stream);
    }
    T::with_transports(|all| all.spare.keep_context(Some(context)));
}

/// Calls the filters; what they panic with becomes an error.
#[inline]
fn run_filters(
    filters: &mut Filters,
    passage: Passage,
    context: &mut FilterContext,
) -> Option<Error> {
    match catch(|| filters.pass(passage, context)) {
        Ok(result) => result.err(),
        Err(message) => {
            context.up.clear();
            context.later.clear();
            context.end = false;
            context.remove = false;
            Some(Error::Panic {
                message: message.into(),
            })
        }
    }
}

/// The error of a filter.
struct Failure {
    error: Error,
    /// Whether the filters have sent something that goes with it.
    has_alert: bool,
}

/// Acts on what came out of the lowest `height` filters.
fn settle<T: Transport>(
    stream: T,
    context: &mut FilterContext,
    mut failure: Option<Failure>,
    height: usize,
    tell: Tell,
) {
    for call in context.later.drain(..) {
        if let Err(message) = catch(call) {
            failure.get_or_insert(Failure {
                error: Error::Panic {
                    message: message.into(),
                },
                has_alert: false,
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
            run_covered(stream, passage, tell);
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
    if let Some(Failure { error, has_alert }) = failure {
        if tell == Tell::Now {
            writing::send_last(stream);
            return match has_alert {
                true => ending::fail_and_linger(stream, error),
                false => ending::fail(stream, error),
            };
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

/// Has what came out of some filters pass through those above them.
fn run_covered<T: Transport>(stream: T, passage: Passage, tell: Tell) {
    let taken = T::with_transports(|all| {
        let Transports { table, spare, .. } = all;
        Some(take(table.get_mut(stream.to_id())?, spare, false))
    });
    if let Some(Some(taken)) = taken {
        run(stream, taken, passage, tell, |_, _, _, _, _| ());
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
