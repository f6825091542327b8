//! StreamTable with filters: received and written bytes pass through them.
//!
//! A chunk costs one call of each filter; the filters are taken out of the stream in the meantime. The part of the read buffer
//! that a filter delivers stays in the buffer.

use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use uptick_event_loop::{Id, catch};

use super::flags::StreamFlags;
use super::session::Session;
use super::stream::Visit;
use super::{StreamEntry, Transport, closing, gathering, output, session};
use crate::error::Error;
use crate::filter::{FilterContext, FilterEvent, Filters, context};
use crate::queue_pool;

/// The filters of a stream while they are running, and their requests.
struct RunningFilters {
    filters: Filters,
    context: Box<FilterContext>,
}

/// The action that remains for the caller after the filters have run.
#[must_use = "the caller ends or fails the stream"]
pub(super) enum FollowUp {
    Nothing,
    /// The peer's end of stream must be emitted.
    Ended,
    /// The stream must fail, in such a way that the alert sent by the filters arrives.
    Failed(Box<Error>),
}

impl FollowUp {
    /// Returns the action that remains after two runs of the filters.
    #[inline]
    fn and(self, next: FollowUp) -> FollowUp {
        match (self, next) {
            (FollowUp::Failed(error), _) | (_, FollowUp::Failed(error)) => FollowUp::Failed(error),
            (FollowUp::Ended, _) | (_, FollowUp::Ended) => FollowUp::Ended,
            (FollowUp::Nothing, FollowUp::Nothing) => FollowUp::Nothing,
        }
    }
}

/// The error of a filter.
struct FilterFailure {
    error: Box<Error>,
    /// `true` if the filters have sent bytes for the peer together with the error.
    has_alert: bool,
}

impl FilterEvent {
    /// Returns when the stream's listeners are called for the output.
    fn emit_timing(&self) -> EmitTiming {
        match self {
            FilterEvent::Resumed | FilterEvent::PeerEnded | FilterEvent::Delivered { .. } => {
                EmitTiming::Now
            }
            FilterEvent::Sending(_) | FilterEvent::Gathered(_) | FilterEvent::Ending => {
                EmitTiming::Later
            }
        }
    }
}

/// The time at which listeners are called for the output of the filters.
#[derive(Clone, Copy, PartialEq)]
enum EmitTiming {
    Now,
    /// After the current call of the user has returned.
    Later,
}

/// Passes received bytes through the filters and delivers the output; empties `buffer`.
#[inline]
pub(super) fn received<T: Transport>(stream: &Visit<T>, buffer: &mut BytesMut) -> FollowUp {
    let running = stream.with(|entry, _| {
        let ready = !entry.flags.contains(StreamFlags::GATHERED) && !is_busy(entry);
        ready.then(|| take(entry, false))
    });
    let follow_up = match running.flatten() {
        Some(running) => run(stream, running, EmitTiming::Now, buffer, Filters::received),
        None => received_later(stream, buffer),
    };
    buffer.clear();
    follow_up
}

/// Passes received bytes after the events that must pass before them.
#[cold]
fn received_later<T: Transport>(stream: &Visit<T>, buffer: &mut BytesMut) -> FollowUp {
    let follow_up = flush(stream);
    let running = stream.with(|entry, _| {
        if !is_busy(entry) {
            return Some(take(entry, false));
        }
        let event = FilterEvent::Delivered {
            height: 0,
            bytes: vec![buffer.split().freeze()],
            end: false,
        };
        entry.extended().postponed.push_back(event);
        None
    });
    match running.flatten() {
        Some(running) => follow_up.and(run(
            stream,
            running,
            EmitTiming::Now,
            buffer,
            Filters::received,
        )),
        None => follow_up,
    }
}

/// Calls the filters so that they continue with data that they have retained.
pub(super) fn resume<T: Transport>(stream: &Visit<T>) -> FollowUp {
    let mut was_waiting = false;
    let filtered = stream.with(|entry, _| {
        was_waiting = entry.flags.take(StreamFlags::FILTERS_WAITING);
        entry.flags.contains(StreamFlags::FILTERED) && !entry.flags.contains(StreamFlags::CLOSING)
    });
    let follow_up = match filtered {
        Some(true) => pass(stream, FilterEvent::Resumed),
        _ => FollowUp::Nothing,
    };
    if was_waiting {
        stream.with(|entry, id| entry.schedule_read(id));
    }
    follow_up
}

/// Passes the end of the descriptor.
pub(super) fn peer_ended<T: Transport>(stream: &Visit<T>) -> FollowUp {
    pass(stream, FilterEvent::PeerEnded)
}

/// Passes the end of the writing side.
pub(super) fn ending<T: Transport>(stream: &Visit<T>) -> FollowUp {
    pass(stream, FilterEvent::Ending)
}

/// Passes a chunk that is sent without being gathered, after the gathered bytes.
pub(super) fn send<T: Transport>(stream: &Visit<T>, bytes: Bytes) -> FollowUp {
    pass(stream, FilterEvent::Sending(bytes))
}

/// Passes the gathered bytes.
#[inline]
pub(super) fn flush<T: Transport>(stream: &Visit<T>) -> FollowUp {
    let started = stream.with(|entry, _| {
        let gathered = gathering::take(entry)?;
        if is_busy(entry) {
            entry
                .extended()
                .postponed
                .push_back(FilterEvent::Gathered(gathered));
            return None;
        }
        Some((take(entry, true), gathered))
    });
    let Some((running, gathered)) = started.flatten() else {
        return FollowUp::Nothing;
    };
    run(
        stream,
        running,
        EmitTiming::Later,
        &mut BytesMut::new(),
        |filters, _, context| filters.gathered(gathered, context),
    )
}

/// Passes undelivered bytes of the other filters through a filter that was just added.
pub(super) fn pass_undelivered<T: Transport>(stream: &Visit<T>) -> FollowUp {
    let held = stream.with(|entry, _| {
        if entry.flags.contains(StreamFlags::FILTERING) || !entry.has_undelivered() {
            return None;
        }
        let extended = entry.extended();
        let held = FilterEvent::Delivered {
            height: extended.filters.len() - 1,
            bytes: std::mem::take(&mut extended.undelivered).into(),
            end: std::mem::take(&mut extended.undelivered_end),
        };
        Some((held, take(entry, false)))
    });
    if let Some(Some((held, running))) = held {
        return run_event(stream, running, held, EmitTiming::Later);
    }
    FollowUp::Nothing
}

/// Delivers the next undelivered bytes, if data can be delivered now.
pub(super) fn release<T: Transport>(stream: &Visit<T>) -> FollowUp {
    let next = stream.with(|entry, _| {
        let can_deliver = entry.accepts_data();
        let extended = entry.extended.as_mut()?;
        if !can_deliver {
            None
        } else if extended.undelivered.is_empty() {
            std::mem::take(&mut extended.undelivered_end).then_some(None)
        } else {
            Some(extended.undelivered.pop_front())
        }
    });
    match next.flatten() {
        Some(Some(bytes)) => {
            session::deliver_bytes(stream, bytes);
            FollowUp::Nothing
        }
        Some(None) => FollowUp::Ended,
        None => FollowUp::Nothing,
    }
}

/// Passes an event through the filters, after the gathered bytes.
fn pass<T: Transport>(stream: &Visit<T>, event: FilterEvent) -> FollowUp {
    let follow_up = flush(stream);
    let started = stream.with(|entry, _| {
        // A call from within the filters is postponed until they have run.
        if is_busy(entry) {
            entry.extended().postponed.push_back(event);
            return None;
        }
        Some((take(entry, !event.is_upward()), event))
    });
    match started.flatten() {
        Some((running, event)) => {
            let timing = event.emit_timing();
            follow_up.and(run_event(stream, running, event, timing))
        }
        None => follow_up,
    }
}

/// Returns whether filters are running, or events are postponed.
fn is_busy<T: Transport>(entry: &StreamEntry<T>) -> bool {
    entry.flags.contains(StreamFlags::FILTERING) || entry.has_postponed()
}

/// Runs the events postponed while the filters were running.
#[cold]
fn run_postponed<T: Transport>(stream: &Visit<T>) -> FollowUp {
    let mut follow_up = FollowUp::Nothing;
    loop {
        let next = stream.with(|entry, _| {
            if entry.flags.contains(StreamFlags::FILTERING) {
                return None;
            }
            let event = entry.extended.as_mut()?.postponed.pop_front()?;
            Some((take(entry, !event.is_upward()), event))
        });
        let Some((running, event)) = next.flatten() else {
            return follow_up;
        };
        let timing = event.emit_timing();
        follow_up = follow_up.and(run_event(stream, running, event, timing));
    }
}

/// Takes the filters out of a stream, for [`run`] to put back. With `sends` they append to the stream's own queue.
#[inline]
fn take<T: Transport>(entry: &mut StreamEntry<T>, sends: bool) -> RunningFilters {
    entry.flags.insert(StreamFlags::FILTERING);
    let filters = std::mem::take(&mut entry.extended().filters);
    let mut context = context::take();
    if sends && !entry.flags.contains(StreamFlags::FILES) {
        context.down = entry.queue.take();
    }
    RunningFilters { filters, context }
}

/// Puts the filters back into their stream.
#[inline]
fn put_back<T: Transport>(entry: &mut StreamEntry<T>, filters: Filters) {
    entry.flags.remove(StreamFlags::FILTERING);
    let extended = entry.extended();
    let added = std::mem::replace(&mut extended.filters, filters);
    if !added.is_empty() || extended.filters.is_empty() {
        put_back_changed(entry, added);
    }
}

/// Merges filters that were added in the meantime; also handles a last filter that has removed itself.
#[cold]
fn put_back_changed<T: Transport>(entry: &mut StreamEntry<T>, added: Filters) {
    let waiting = entry.has_undelivered() || entry.flags.contains(StreamFlags::GATHERED);
    let extended = entry.extended();
    extended.filters.append(added);
    let filtered = !extended.filters.is_empty() || waiting;
    entry.flags.set(StreamFlags::FILTERED, filtered);
}

fn run_event<T: Transport>(
    stream: &Visit<T>,
    running: RunningFilters,
    event: FilterEvent,
    timing: EmitTiming,
) -> FollowUp {
    run(
        stream,
        running,
        timing,
        &mut BytesMut::new(),
        |filters, _, context| filters.pass(event, context),
    )
}

/// Calls the filters with `work`, and acts on their output.
///
/// `buffer` holds received bytes, of which the filters may deliver a part.
#[inline]
fn run<T: Transport>(
    stream: &Visit<T>,
    running: RunningFilters,
    timing: EmitTiming,
    buffer: &mut BytesMut,
    work: impl FnOnce(&mut Filters, &mut BytesMut, &mut FilterContext) -> Result<(), Error>,
) -> FollowUp {
    let RunningFilters {
        mut filters,
        mut context,
    } = running;
    let result = catch(|| work(&mut filters, buffer, &mut context));
    if !matches!(result, Ok(Ok(()))) {
        return run_failed(
            stream,
            RunningFilters { filters, context },
            timing,
            buffer,
            result,
        );
    }
    let height = filters.len();
    let outcome = stream.with(|entry, id| {
        restore_state(entry, id, filters, &mut context);
        let postponed = entry.has_postponed();
        if !context.is_simple() {
            return PassOutcome::Other;
        }
        if !context.has_last() {
            return PassOutcome::Nothing { postponed };
        }
        match OutputDestination::of(entry, height, timing) {
            OutputDestination::Receiver => PassOutcome::Deliver {
                session: entry.session.clone(),
                postponed,
            },
            _ => PassOutcome::Other,
        }
    });
    let (follow_up, postponed) = match outcome {
        Some(PassOutcome::Nothing { postponed }) => {
            context::keep(context);
            (FollowUp::Nothing, postponed)
        }
        Some(PassOutcome::Deliver { session, postponed }) => {
            context.move_last(buffer);
            // Makes the context available to filters that run inside the callback.
            context::keep(context);
            session::deliver_buffer(stream, session, buffer);
            (FollowUp::Nothing, postponed)
        }
        Some(PassOutcome::Other) => {
            let follow_up = handle_output(stream, context, buffer, height, None, timing);
            (follow_up, true)
        }
        // The stream is gone.
        None => return FollowUp::Nothing,
    };
    match postponed {
        true => follow_up.and(run_postponed(stream)),
        false => follow_up,
    }
}

/// The outcome of putting the filters back into their stream.
enum PassOutcome<T: Transport> {
    Nothing {
        postponed: bool,
    },
    /// A part of the read buffer goes to the session or the listeners.
    Deliver {
        session: Option<Rc<dyn Session<T>>>,
        postponed: bool,
    },
    Other,
}

/// Puts the filters back, and applies the parts of the context that concern the state of the stream.
#[inline]
fn restore_state<T: Transport>(
    entry: &mut StreamEntry<T>,
    id: Id,
    filters: Filters,
    context: &mut FilterContext,
) {
    put_back(entry, filters);
    if std::mem::take(&mut context.wait) {
        entry.flags.insert(StreamFlags::FILTERS_WAITING);
    }
    queue_pool::put_back(context.used_queue.take());
    if let Some(down) = context.down.take() {
        output::append_all(entry, id, down);
    }
}

/// Handles an error or a panic of the filters.
#[cold]
fn run_failed<T: Transport>(
    stream: &Visit<T>,
    running: RunningFilters,
    timing: EmitTiming,
    buffer: &mut BytesMut,
    result: Result<Result<(), Error>, String>,
) -> FollowUp {
    let RunningFilters {
        filters,
        mut context,
    } = running;
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
    let failure = error.map(|error| FilterFailure {
        error: Box::new(error),
        has_alert: context.down.as_ref().is_some_and(|down| !down.is_empty()),
    });
    let height = filters.len();
    let outcome = stream.with(|entry, id| restore_state(entry, id, filters, &mut context));
    match outcome {
        Some(()) => {
            let follow_up = handle_output(stream, context, buffer, height, failure, timing);
            follow_up.and(run_postponed(stream))
        }
        None => FollowUp::Nothing,
    }
}

/// Acts on the output of the filters, other than a single part of the read buffer.
#[cold]
fn handle_output<T: Transport>(
    stream: &Visit<T>,
    mut context: Box<FilterContext>,
    buffer: &mut BytesMut,
    height: usize,
    mut failure: Option<FilterFailure>,
    timing: EmitTiming,
) -> FollowUp {
    for call in context.later.drain(..) {
        if let Err(message) = catch(call) {
            failure.get_or_insert(FilterFailure {
                error: Box::new(Error::Panic {
                    message: message.into(),
                }),
                has_alert: false,
            });
        }
    }
    let mut follow_up = FollowUp::Nothing;
    let last = context.move_last(buffer).then(|| buffer.split().freeze());
    let mut up = context.up.drain(..).chain(last).peekable();
    while up.peek().is_some() || context.end {
        let destination = stream.with(|entry, _| OutputDestination::of(entry, height, timing));
        if let Some(OutputDestination::AddedFilters) = destination {
            let event = FilterEvent::Delivered {
                height,
                bytes: up.by_ref().collect(),
                end: std::mem::take(&mut context.end),
            };
            let running = stream.with(|entry, _| take(entry, false));
            if let Some(running) = running {
                follow_up = run_event(stream, running, event, timing);
            }
            break;
        }
        match (up.next(), destination) {
            (Some(bytes), Some(OutputDestination::Receiver)) => {
                session::deliver_bytes(stream, bytes)
            }
            (Some(bytes), Some(OutputDestination::Undelivered)) => {
                keep_undelivered(stream, bytes, timing)
            }
            (Some(_), _) => {}
            (None, _) => break,
        }
    }
    drop(up);
    let ends = context.end;
    context.reset();
    context::keep(context);
    if let Some(FilterFailure { error, has_alert }) = failure {
        if timing == EmitTiming::Now {
            if has_alert {
                return FollowUp::Failed(error);
            }
            closing::send_remaining(stream);
            closing::fail(stream, *error);
            return FollowUp::Nothing;
        }
        stream.with(|entry, id| entry.fail_later(id, *error));
    }
    if ends && ends_now(stream, timing) {
        return follow_up.and(FollowUp::Ended);
    }
    follow_up
}

/// Returns whether the peer's end of stream is emitted now; otherwise it is kept until the bytes before it are delivered.
fn ends_now<T: Transport>(stream: &Visit<T>, timing: EmitTiming) -> bool {
    let now = stream.with(|entry, id| {
        if entry
            .flags
            .intersects(StreamFlags::ENDING | StreamFlags::CLOSING)
        {
            return false;
        }
        let paused = entry.flags.contains(StreamFlags::PAUSED);
        let extended = entry.extended();
        extended.undelivered_end =
            paused || !extended.undelivered.is_empty() || timing == EmitTiming::Later;
        let held = extended.undelivered_end;
        if held {
            // Needed even if the last filter has removed itself.
            entry.flags.insert(StreamFlags::FILTERED);
            entry.schedule_read(id);
        }
        !held
    });
    now == Some(true)
}

/// The destination of bytes that passed the filters.
enum OutputDestination {
    /// To the session or the listeners.
    Receiver,
    /// Kept until they are wanted.
    Undelivered,
    /// Filters that a callback has added above the filters that the bytes passed, as a TLS server does when it is called for a
    /// connection whose first bytes arrived with a PROXY header.
    AddedFilters,
    /// None: the writing side has ended.
    Discarded,
}

impl OutputDestination {
    /// Returns the destination of bytes that passed the lowest `height` filters.
    #[inline]
    fn of<T: Transport>(
        entry: &StreamEntry<T>,
        height: usize,
        timing: EmitTiming,
    ) -> OutputDestination {
        let extended = entry.extended.as_ref();
        let all_delivered = extended.is_none_or(|extended| extended.undelivered.is_empty());
        if all_delivered && extended.is_some_and(|extended| extended.filters.len() > height) {
            OutputDestination::AddedFilters
        } else if entry
            .flags
            .intersects(StreamFlags::ENDING | StreamFlags::CLOSING)
        {
            OutputDestination::Discarded
        } else if all_delivered && timing == EmitTiming::Now && entry.accepts_data() {
            OutputDestination::Receiver
        } else {
            OutputDestination::Undelivered
        }
    }
}

/// Keeps bytes that passed the filters until they are wanted.
fn keep_undelivered<T: Transport>(stream: &Visit<T>, bytes: Bytes, timing: EmitTiming) {
    stream.with(|entry, id| {
        entry.extended().undelivered.push_back(bytes);
        entry.flags.insert(StreamFlags::FILTERED);
        if timing == EmitTiming::Later {
            entry.schedule_read(id);
        }
    });
}
