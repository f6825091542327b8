//! Streams with filters: what comes and goes passes through them.
//!
//! Cost of a chunk: the filters are taken out of the stream and put back, and one call of each. What one filter delivers of the
//! read buffer stays in it.

use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use uptick_event_loop::{Id, catch};

use super::flags::Flags;
use super::session::Session;
use super::stream::Visit;
use super::{Entry, Transport, closing, gathering, output, session};
use crate::error::Error;
use crate::filter::{FilterContext, FilterEvent, Filters, context};
use crate::queue_pool;

/// The filters of a stream while they are running, and what they want done.
struct Taken {
    filters: Filters,
    context: Box<FilterContext>,
}

/// The action that a passage leaves to the caller.
#[must_use = "the caller ends or fails the stream"]
pub(super) enum After {
    Nothing,
    /// The peer's end is to be emitted.
    Ended,
    /// The stream is to fail, in such a way that the alert which the filters have sent arrives.
    Failed(Box<Error>),
}

impl After {
    /// Returns the action that is left after two passages.
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

impl FilterEvent {
    /// Returns when the stream's listeners are called for what comes out.
    fn emits(&self) -> Emits {
        match self {
            FilterEvent::Resumed | FilterEvent::PeerEnded | FilterEvent::Delivered { .. } => {
                Emits::Now
            }
            FilterEvent::Sending(_) | FilterEvent::Gathered(_) | FilterEvent::Ending => {
                Emits::Later
            }
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
    let taken = stream.with(|entry, _| {
        let ready = !entry.flags.contains(Flags::GATHERED) && !is_busy(entry);
        ready.then(|| take(entry, false))
    });
    let after = match taken.flatten() {
        Some(taken) => run(stream, taken, Emits::Now, buffer, Filters::received),
        None => received_later(stream, buffer),
    };
    buffer.clear();
    after
}

/// Passes received bytes behind what is to pass before them.
#[cold]
fn received_later<T: Transport>(stream: &Visit<T>, buffer: &mut BytesMut) -> After {
    let after = flush(stream);
    let taken = stream.with(|entry, _| {
        if !is_busy(entry) {
            return Some(take(entry, false));
        }
        let event = FilterEvent::Delivered {
            height: 0,
            bytes: vec![buffer.split().freeze()],
            end: false,
        };
        entry.rare().postponed.push_back(event);
        None
    });
    match taken.flatten() {
        Some(taken) => after.and(run(stream, taken, Emits::Now, buffer, Filters::received)),
        None => after,
    }
}

/// Lets the filters go on with what they have kept back.
pub(super) fn resume<T: Transport>(stream: &Visit<T>) -> After {
    let mut waited = false;
    let filtered = stream.with(|entry, _| {
        waited = entry.flags.take(Flags::FILTER_WAITS);
        entry.flags.contains(Flags::FILTERED) && !entry.flags.contains(Flags::CLOSING)
    });
    let after = match filtered {
        Some(true) => pass(stream, FilterEvent::Resumed),
        _ => After::Nothing,
    };
    if waited {
        stream.with(|entry, id| entry.schedule_read(id));
    }
    after
}

/// Passes the end of the descriptor.
pub(super) fn peer_ended<T: Transport>(stream: &Visit<T>) -> After {
    pass(stream, FilterEvent::PeerEnded)
}

/// Passes the end of this side.
pub(super) fn ending<T: Transport>(stream: &Visit<T>) -> After {
    pass(stream, FilterEvent::Ending)
}

/// Passes a chunk that is to be sent as it is, behind what was gathered.
pub(super) fn send<T: Transport>(stream: &Visit<T>, bytes: Bytes) -> After {
    pass(stream, FilterEvent::Sending(bytes))
}

/// Passes what was gathered.
#[inline]
pub(super) fn flush<T: Transport>(stream: &Visit<T>) -> After {
    let begun = stream.with(|entry, _| {
        let gathered = gathering::take(entry)?;
        if is_busy(entry) {
            entry
                .rare()
                .postponed
                .push_back(FilterEvent::Gathered(gathered));
            return None;
        }
        Some((take(entry, true), gathered))
    });
    let Some((taken, gathered)) = begun.flatten() else {
        return After::Nothing;
    };
    run(
        stream,
        taken,
        Emits::Later,
        &mut BytesMut::new(),
        |filters, _, context| filters.gathered(gathered, context),
    )
}

/// A filter was added: passes through it the bytes that the filters below it have delivered and that were not emitted yet.
pub(super) fn pass_held<T: Transport>(stream: &Visit<T>) -> After {
    let held = stream.with(|entry, _| {
        if entry.flags.contains(Flags::FILTERING) || !entry.holds() {
            return None;
        }
        let rare = entry.rare();
        let held = FilterEvent::Delivered {
            height: rare.filters.len() - 1,
            bytes: std::mem::take(&mut rare.held).into(),
            end: std::mem::take(&mut rare.held_end),
        };
        Some((held, take(entry, false)))
    });
    if let Some(Some((held, taken))) = held {
        return run_passage(stream, taken, held, Emits::Later);
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

/// Passes something through the filters, behind what was gathered.
fn pass<T: Transport>(stream: &Visit<T>, event: FilterEvent) -> After {
    let after = flush(stream);
    let begun = stream.with(|entry, _| {
        // A filter's own code, or what it has set off, uses the stream: its turn comes after what is under way.
        if is_busy(entry) {
            entry.rare().postponed.push_back(event);
            return None;
        }
        Some((take(entry, !event.is_upward()), event))
    });
    match begun.flatten() {
        Some((taken, event)) => {
            let emits = event.emits();
            after.and(run_passage(stream, taken, event, emits))
        }
        None => after,
    }
}

/// Returns whether filters are running, or something waits for its turn.
fn is_busy<T: Transport>(entry: &Entry<T>) -> bool {
    entry.flags.contains(Flags::FILTERING) || entry.is_postponing()
}

/// Runs what was written or ended by the filters' own code, and what it has set off.
#[cold]
fn run_postponed<T: Transport>(stream: &Visit<T>) -> After {
    let mut after = After::Nothing;
    loop {
        let next = stream.with(|entry, _| {
            if entry.flags.contains(Flags::FILTERING) {
                return None;
            }
            let event = entry.rare.as_mut()?.postponed.pop_front()?;
            Some((take(entry, !event.is_upward()), event))
        });
        let Some((taken, event)) = next.flatten() else {
            return after;
        };
        let emits = event.emits();
        after = after.and(run_passage(stream, taken, event, emits));
    }
}

/// Takes the filters out of a stream, for [`run`] to put back. With `sends` they append to the stream's own queue.
#[inline]
fn take<T: Transport>(entry: &mut Entry<T>, sends: bool) -> Taken {
    entry.flags.insert(Flags::FILTERING);
    let filters = std::mem::take(&mut entry.rare().filters);
    let mut context = context::take();
    if sends && !entry.flags.contains(Flags::FILES) {
        context.down = entry.queue.take();
    }
    Taken { filters, context }
}

/// Puts the filters back into their stream.
#[inline]
fn put_back<T: Transport>(entry: &mut Entry<T>, filters: Filters) {
    entry.flags.remove(Flags::FILTERING);
    let rare = entry.rare();
    let added = std::mem::replace(&mut rare.filters, filters);
    if !added.is_empty() || rare.filters.is_empty() {
        put_back_changed(entry, added);
    }
}

/// Filters were added, or the last one has removed itself.
#[cold]
fn put_back_changed<T: Transport>(entry: &mut Entry<T>, added: Filters) {
    let waiting = entry.holds() || entry.flags.contains(Flags::GATHERED);
    let rare = entry.rare();
    rare.filters.append(added);
    let filtered = !rare.filters.is_empty() || waiting;
    entry.flags.set(Flags::FILTERED, filtered);
}

fn run_passage<T: Transport>(
    stream: &Visit<T>,
    taken: Taken,
    event: FilterEvent,
    emits: Emits,
) -> After {
    run(
        stream,
        taken,
        emits,
        &mut BytesMut::new(),
        |filters, _, context| filters.pass(event, context),
    )
}

/// Calls the filters with `work`, and acts on what comes out.
///
/// `buffer` has received bytes, of which the filters may deliver a part.
#[inline]
fn run<T: Transport>(
    stream: &Visit<T>,
    taken: Taken,
    emits: Emits,
    buffer: &mut BytesMut,
    work: impl FnOnce(&mut Filters, &mut BytesMut, &mut FilterContext) -> Result<(), Error>,
) -> After {
    let Taken {
        mut filters,
        mut context,
    } = taken;
    let result = catch(|| work(&mut filters, buffer, &mut context));
    if !matches!(result, Ok(Ok(()))) {
        return run_failed(stream, Taken { filters, context }, emits, buffer, result);
    }
    let height = filters.len();
    let settled = stream.with(|entry, id| {
        settle_state(entry, id, filters, &mut context);
        let postponed = entry.is_postponing();
        if !context.is_simple() {
            return Settled::No;
        }
        if !context.has_last() {
            return Settled::Nothing { postponed };
        }
        match Destination::of(entry, height, emits) {
            Destination::Out => Settled::Out {
                session: entry.session.clone(),
                postponed,
            },
            _ => Settled::No,
        }
    });
    let (after, postponed) = match settled {
        Some(Settled::Nothing { postponed }) => {
            context::keep(context);
            (After::Nothing, postponed)
        }
        Some(Settled::Out { session, postponed }) => {
            context.move_last(buffer);
            // Filters of callbacks in this one find the context.
            context::keep(context);
            session::data(stream, session, buffer);
            (After::Nothing, postponed)
        }
        Some(Settled::No) => {
            let after = settle(stream, context, buffer, height, None, emits);
            (after, true)
        }
        // The stream is gone.
        None => return After::Nothing,
    };
    match postponed {
        true => after.and(run_postponed(stream)),
        false => after,
    }
}

/// The outcome of putting the filters back into their stream.
enum Settled<T: Transport> {
    Nothing {
        postponed: bool,
    },
    /// A part of the read buffer goes to the session or the listeners.
    Out {
        session: Option<Rc<dyn Session<T>>>,
        postponed: bool,
    },
    No,
}

/// Puts the filters back, and takes from the context what concerns the state of the stream.
#[inline]
fn settle_state<T: Transport>(
    entry: &mut Entry<T>,
    id: Id,
    filters: Filters,
    context: &mut FilterContext,
) {
    put_back(entry, filters);
    if std::mem::take(&mut context.wait) {
        entry.flags.insert(Flags::FILTER_WAITS);
    }
    queue_pool::put_back(context.used_queue.take());
    if let Some(down) = context.down.take() {
        output::append_all(entry, id, down);
    }
}

/// The filters have returned an error or panicked.
#[cold]
fn run_failed<T: Transport>(
    stream: &Visit<T>,
    taken: Taken,
    emits: Emits,
    buffer: &mut BytesMut,
    result: Result<Result<(), Error>, String>,
) -> After {
    let Taken {
        filters,
        mut context,
    } = taken;
    let error = match result {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error),
        Err(message) => {
            context.discard();
            context.later.clear();
            context.end = false;
            context.remove = false;
            Some(Error::Panic {
                message: message.into(),
            })
        }
    };
    let failure = error.map(|error| Failure {
        error: Box::new(error),
        has_alert: context.down.as_ref().is_some_and(|down| !down.is_empty()),
    });
    let height = filters.len();
    let settled = stream.with(|entry, id| settle_state(entry, id, filters, &mut context));
    match settled {
        Some(()) => {
            let after = settle(stream, context, buffer, height, failure, emits);
            after.and(run_postponed(stream))
        }
        None => After::Nothing,
    }
}

/// Acts on what came out of the filters, other than a part of the read buffer alone.
#[cold]
fn settle<T: Transport>(
    stream: &Visit<T>,
    mut context: Box<FilterContext>,
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
            let event = FilterEvent::Delivered {
                height,
                bytes: up.by_ref().collect(),
                end: std::mem::take(&mut context.end),
            };
            let taken = stream.with(|entry, _| take(entry, false));
            if let Some(taken) = taken {
                after = run_passage(stream, taken, event, emits);
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
    let ends = context.end;
    context.reset();
    context::keep(context);
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
    if ends && ends_now(stream, emits) {
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
