//! Streams with filters: what comes and goes passes through them.
//!
//! Cost of a chunk: the filters are taken out of the stream and put back, and one call of each. What one filter delivers of the
//! read buffer stays in it.

use bytes::{Bytes, BytesMut};
use uptick_event_loop::catch;

use super::flags::Flags;
use super::stream::Visit;
use super::{Entry, Transport, closing, gathering, output, session};
use crate::error::Error;
use crate::filter::{FilterContext, Filters, Passage};
use crate::spare;

/// The filters of a stream while they are running, and what they want done.
struct Taken {
    filters: Filters,
    context: Box<FilterContext>,
}

/// What is left to be done of a passage.
#[must_use = "the caller ends or fails the stream"]
pub(super) enum After {
    Nothing,
    /// The peer's end is to be emitted.
    Ended,
    /// The stream is to fail, in such a way that the alert which the filters have sent arrives.
    Failed(Box<Error>),
}

impl After {
    /// What is left to be done after two passages.
    #[inline]
    fn and(self, next: After) -> After {
        match (self, next) {
            (After::Failed(error), _) | (_, After::Failed(error)) => After::Failed(error),
            (After::Ended, _) | (_, After::Ended) => After::Ended,
            (After::Nothing, After::Nothing) => After::Nothing,
        }
    }
}

/// The error of a filter.
struct Failure {
    error: Box<Error>,
    /// Whether the filters have sent something that goes with it.
    has_alert: bool,
}

/// What goes through the filters.
enum Work<'a> {
    Received(&'a mut BytesMut),
    Passage(Passage),
}

impl<'a> Work<'a> {
    /// When the stream's listeners are called for what comes out.
    fn emits(&self) -> Emits {
        match self {
            Work::Received(_)
            | Work::Passage(Passage::Resumed | Passage::PeerEnded | Passage::Delivered { .. }) => {
                Emits::Now
            }
            Work::Passage(Passage::Sending(_) | Passage::Gathered(_) | Passage::Ending) => {
                Emits::Later
            }
        }
    }

    fn into_buffer(self) -> Option<&'a mut BytesMut> {
        match self {
            Work::Received(bytes) => Some(bytes),
            Work::Passage(_) => None,
        }
    }
}

/// When listeners are called for what comes out of the filters.
#[derive(Clone, Copy, PartialEq)]
enum Emits {
    Now,
    /// A call of the user's is under way, and nothing is emitted before it has returned.
    Later,
}

/// Passes received bytes through the filters and delivers what comes out; `buffer` is empty then.
#[inline]
pub(super) fn received<T: Transport>(stream: &Visit<T>, buffer: &mut BytesMut) -> After {
    let mut after = After::Nothing;
    if stream.flags().contains(Flags::GATHERED) {
        after = pass(stream, None);
    }
    let taken = stream.with(|entry, _| {
        if is_busy(entry) {
            let bytes = vec![buffer.split().freeze()];
            let passage = Passage::Delivered {
                height: 0,
                bytes,
                end: false,
            };
            entry.rare().postponed.push_back(passage);
            return None;
        }
        Some(take(entry, false))
    });
    if let Some(Some(taken)) = taken {
        after = after.and(run(stream, taken, Work::Received(buffer)));
        after = after.and(run_postponed(stream));
    }
    buffer.clear();
    after
}

/// Lets the filters go on with what they have kept back.
pub(super) fn resume<T: Transport>(stream: &Visit<T>) -> After {
    let mut waited = false;
    let filtered = stream.with(|entry, _| {
        waited = entry.flags.take(Flags::FILTER_WAITS);
        entry.flags.contains(Flags::FILTERED) && !entry.flags.contains(Flags::CLOSING)
    });
    let after = match filtered {
        Some(true) => pass(stream, Some(Passage::Resumed)),
        _ => After::Nothing,
    };
    if waited {
        stream.with(|entry, id| entry.schedule_read(id));
    }
    after
}

/// Passes the end of the descriptor.
pub(super) fn peer_ended<T: Transport>(stream: &Visit<T>) -> After {
    pass(stream, Some(Passage::PeerEnded))
}

/// Passes the end of this side.
pub(super) fn ending<T: Transport>(stream: &Visit<T>) -> After {
    pass(stream, Some(Passage::Ending))
}

/// Passes a chunk that is to be sent as it is, behind what was gathered.
pub(super) fn send<T: Transport>(stream: &Visit<T>, bytes: Bytes) -> After {
    pass(stream, Some(Passage::Sending(bytes)))
}

/// Passes what was gathered.
pub(super) fn flush<T: Transport>(stream: &Visit<T>) -> After {
    pass(stream, None)
}

/// A filter was added: passes through it the bytes that the filters below it have delivered and that were not emitted yet.
pub(super) fn pass_held<T: Transport>(stream: &Visit<T>) -> After {
    let held = stream.with(|entry, _| {
        if entry.flags.contains(Flags::FILTERING) || !entry.holds() {
            return None;
        }
        let rare = entry.rare();
        let held = Passage::Delivered {
            height: rare.filters.len() - 1,
            bytes: std::mem::take(&mut rare.held).into(),
            end: std::mem::take(&mut rare.held_end),
        };
        Some((held, take(entry, false)))
    });
    if let Some(Some((held, taken))) = held {
        return run_as(stream, taken, Work::Passage(held), Emits::Later);
    }
    After::Nothing
}

/// Delivers the next of what was held back, if it is wanted now.
pub(super) fn release<T: Transport>(stream: &Visit<T>) -> After {
    let next = stream.with(|entry, _| {
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
            session::kept(stream, bytes);
            After::Nothing
        }
        Some(None) => After::Ended,
        None => After::Nothing,
    }
}

/// Passes what was gathered through the filters, and something else behind it.
fn pass<T: Transport>(stream: &Visit<T>, mut passage: Option<Passage>) -> After {
    let begun = stream.with(|entry, _| {
        let gathered = gathering::take(entry).map(Passage::Gathered);
        // A filter's own code, or what it has set off, uses the stream: its turn comes after what is under way.
        if is_busy(entry) {
            let rare = entry.rare();
            rare.postponed.extend(gathered);
            rare.postponed.extend(passage.take());
            return None;
        }
        let mut passages = gathered.into_iter().chain(passage.take());
        let first = passages.next()?;
        Some((take(entry, !first.goes_up()), first, passages.next()))
    });
    let Some(Some((taken, first, second))) = begun else {
        return After::Nothing;
    };
    let mut after = run(stream, taken, Work::Passage(first));
    if let Some(second) = second
        && let Some(next) = run_next(stream, |_| Some(second))
    {
        after = after.and(next);
    }
    after.and(run_postponed(stream))
}

/// Returns whether filters are running, or something waits for its turn.
fn is_busy<T: Transport>(entry: &Entry<T>) -> bool {
    entry.flags.contains(Flags::FILTERING) || entry.is_postponing()
}

/// Runs what was written or ended by the filters' own code, and what it has set off.
fn run_postponed<T: Transport>(stream: &Visit<T>) -> After {
    let mut after = After::Nothing;
    while let Some(next) = run_next(stream, |entry| entry.rare.as_mut()?.postponed.pop_front()) {
        after = after.and(next);
    }
    after
}

/// Passes what `next` returns through the filters; `None` when that is nothing.
fn run_next<T: Transport>(
    stream: &Visit<T>,
    next: impl FnOnce(&mut Entry<T>) -> Option<Passage>,
) -> Option<After> {
    let begun = stream.with(|entry, _| {
        let passage = next(entry)?;
        Some((take(entry, !passage.goes_up()), passage))
    });
    let (taken, passage) = begun.flatten()?;
    Some(run(stream, taken, Work::Passage(passage)))
}

/// Takes the filters out of a stream, for [`run`] to put back. With `sends` they append to the stream's own queue.
#[inline]
fn take<T: Transport>(entry: &mut Entry<T>, sends: bool) -> Taken {
    entry.flags.insert(Flags::FILTERING);
    let filters = std::mem::take(&mut entry.rare().filters);
    let mut context = spare::context();
    if sends && !entry.flags.contains(Flags::FILES) {
        context.down = entry.queue.take();
    }
    Taken { filters, context }
}

/// Puts the filters back into their stream.
#[inline]
fn put_back<T: Transport>(entry: &mut Entry<T>, filters: Filters) {
    entry.flags.remove(Flags::FILTERING);
    let waiting = entry.holds() || entry.flags.contains(Flags::GATHERED);
    let rare = entry.rare();
    let added = std::mem::replace(&mut rare.filters, filters);
    if !added.is_empty() {
        rare.filters.append(added);
    }
    let filtered = !rare.filters.is_empty() || waiting;
    entry.flags.set(Flags::FILTERED, filtered);
}

#[inline]
fn run<T: Transport>(stream: &Visit<T>, taken: Taken, work: Work<'_>) -> After {
    let emits = work.emits();
    run_as(stream, taken, work, emits)
}

/// Passes something through the filters, and acts on what comes out.
#[inline]
fn run_as<T: Transport>(
    stream: &Visit<T>,
    taken: Taken,
    mut work: Work<'_>,
    emits: Emits,
) -> After {
    let Taken {
        mut filters,
        mut context,
    } = taken;
    let error = run_filters(&mut filters, &mut work, &mut context);
    let has_alert = error.is_some() && context.down.as_ref().is_some_and(|down| !down.is_empty());
    let height = filters.len();
    let mut out = None;
    let settled = stream.with(|entry, id| {
        put_back(entry, filters);
        if context.wait {
            entry.flags.insert(Flags::FILTER_WAITS);
        }
        spare::keep_queue(context.spent.take());
        if let Some(down) = context.down.take() {
            output::append_all(entry, id, down);
        }
        if error.is_none() && context.is_simple() {
            if !context.has_last() {
                return true;
            }
            if matches!(Destination::of(entry, height, emits), Destination::Out) {
                out = Some(entry.session.clone());
                return true;
            }
        }
        false
    });
    let Some(settled) = settled else {
        // The stream is gone.
        return After::Nothing;
    };
    let mut own = BytesMut::new();
    let buffer = work.into_buffer().unwrap_or(&mut own);
    if let Some(session) = out {
        context.move_last(buffer);
        // Filters of callbacks in this one find the context.
        spare::keep_context(context);
        session::data(stream, session, buffer);
        return After::Nothing;
    }
    let mut after = After::Nothing;
    if !settled {
        let failure = error.map(|error| Failure { error, has_alert });
        after = settle(stream, &mut context, buffer, height, failure, emits);
    }
    spare::keep_context(context);
    after
}

/// Calls the filters; a panic in one becomes an error.
#[inline]
fn run_filters(
    filters: &mut Filters,
    work: &mut Work<'_>,
    context: &mut FilterContext,
) -> Option<Box<Error>> {
    let result = catch(|| match work {
        Work::Received(bytes) => filters.received(bytes, context),
        Work::Passage(passage) => {
            let passage = std::mem::replace(passage, Passage::Resumed);
            filters.pass(passage, context)
        }
    });
    match result {
        Ok(result) => result.err().map(Box::new),
        Err(message) => {
            context.discard();
            context.later.clear();
            context.end = false;
            context.remove = false;
            Some(Box::new(Error::Panic {
                message: message.into(),
            }))
        }
    }
}

/// Acts on what came out of the filters, other than a part of the read buffer alone.
#[cold]
fn settle<T: Transport>(
    stream: &Visit<T>,
    context: &mut FilterContext,
    buffer: &mut BytesMut,
    height: usize,
    mut failure: Option<Failure>,
    emits: Emits,
) -> After {
    for call in context.later.drain(..) {
        if let Err(message) = catch(call) {
            failure.get_or_insert(Failure {
                error: Box::new(Error::Panic {
                    message: message.into(),
                }),
                has_alert: false,
            });
        }
    }
    let mut after = After::Nothing;
    let last = context.move_last(buffer).then(|| buffer.split().freeze());
    let mut up = context.up.drain(..).chain(last).peekable();
    while up.peek().is_some() || context.end {
        let destination = stream.with(|entry, _| Destination::of(entry, height, emits));
        if let Some(Destination::Covered) = destination {
            let passage = Passage::Delivered {
                height,
                bytes: up.by_ref().collect(),
                end: std::mem::take(&mut context.end),
            };
            let taken = stream.with(|entry, _| take(entry, false));
            if let Some(taken) = taken {
                after = run_as(stream, taken, Work::Passage(passage), emits);
            }
            break;
        }
        match (up.next(), destination) {
            (Some(bytes), Some(Destination::Out)) => session::kept(stream, bytes),
            (Some(bytes), Some(Destination::Held)) => hold(stream, bytes, emits),
            (Some(_), _) => {}
            (None, _) => break,
        }
    }
    drop(up);
    if let Some(Failure { error, has_alert }) = failure {
        if emits == Emits::Now {
            if has_alert {
                return After::Failed(error);
            }
            closing::send_last(stream);
            closing::fail(stream, *error);
            return After::Nothing;
        }
        stream.with(|entry, id| entry.fail_later(id, *error));
    }
    if context.end && ends_now(stream, emits) {
        return after.and(After::Ended);
    }
    after
}

/// Returns whether the peer's end is emitted now; otherwise it is held behind the bytes before it.
fn ends_now<T: Transport>(stream: &Visit<T>, emits: Emits) -> bool {
    let now = stream.with(|entry, id| {
        if entry.flags.intersects(Flags::ENDING | Flags::CLOSING) {
            return false;
        }
        let paused = entry.flags.contains(Flags::PAUSED);
        let rare = entry.rare();
        rare.held_end = paused || !rare.held.is_empty() || emits == Emits::Later;
        let held = rare.held_end;
        if held {
            // Also when the last filter has removed itself.
            entry.flags.insert(Flags::FILTERED);
            entry.schedule_read(id);
        }
        !held
    });
    now == Some(true)
}

/// Where bytes go that came through the filters.
enum Destination {
    /// To the session or the listeners.
    Out,
    /// They wait until they are wanted.
    Held,
    /// Through filters that a callback has put above those that they came through, as a TLS server does when it is
    /// called for a connection whose first bytes have come along with a PROXY header.
    Covered,
    /// Nowhere: this side has ended.
    Discarded,
}

impl Destination {
    /// The destination of bytes that came through the lowest `height` filters.
    #[inline]
    fn of<T: Transport>(entry: &Entry<T>, height: usize, emits: Emits) -> Destination {
        let rare = entry.rare.as_ref();
        let nothing_held = rare.is_none_or(|rare| rare.held.is_empty());
        if nothing_held && rare.is_some_and(|rare| rare.filters.len() > height) {
            Destination::Covered
        } else if entry.flags.intersects(Flags::ENDING | Flags::CLOSING) {
            Destination::Discarded
        } else if nothing_held && emits == Emits::Now && entry.wants_data() {
            Destination::Out
        } else {
            Destination::Held
        }
    }
}

/// Holds back bytes that came through the filters.
fn hold<T: Transport>(stream: &Visit<T>, bytes: Bytes, emits: Emits) {
    stream.with(|entry, id| {
        entry.rare().held.push_back(bytes);
        entry.flags.insert(Flags::FILTERED);
        if emits == Emits::Later {
            entry.schedule_read(id);
        }
    });
}
