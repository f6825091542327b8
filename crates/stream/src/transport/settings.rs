//! The settings of an open stream: limits, timeouts, and the attached value.

use std::any::Any;
use std::rc::Rc;
use std::time::Duration;

use uptick_event_loop::driver::Timestamp;

use super::flags::StreamFlags;
use super::stream::with_entry;
use super::{Transport, deadlines};

/// Sets the limits of the write queue, in bytes; `None` leaves a limit unchanged. A soft limit above the hard limit is
/// reduced to it, and a soft limit of 0 is raised to 1. Default: 64 KiB and 16 MiB.
pub fn set_write_limits<T: Transport>(stream: T, soft: Option<usize>, hard: Option<usize>) {
    let limit = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    with_entry(stream, |entry, id| {
        entry.hard_limit = hard.map_or(entry.hard_limit, limit);
        entry.soft_limit = soft.map_or(entry.soft_limit, limit);
        entry.soft_limit = entry.soft_limit.min(entry.hard_limit).max(1);
        if entry.flags.contains(StreamFlags::FULL) {
            // The queue may now be below the new limit.
            entry.schedule_flush(id);
        }
    });
}

/// Sets whether the stream stays open for writing after the peer's end of stream. Default: false.
pub fn set_allow_half_open<T: Transport>(stream: T, allow: bool) {
    with_entry(stream, |entry, _| {
        entry.flags.set(StreamFlags::HALF_OPEN, allow)
    });
}

/// Sets the maximum time without a byte in either direction, including acknowledged bytes. Default: `None`, no limit.
pub fn set_idle_limit<T: Transport>(stream: T, limit: Option<Duration>) {
    with_entry(stream, |entry, id| {
        entry.extended().idle_limit = limit;
        entry.active = Timestamp::now();
        deadlines::arm(entry, id);
    });
}

/// Sets the maximum time without an acknowledgement from the peer while data is queued; `None` disables the limit. Default:
/// 30 s.
pub fn set_stall_limit<T: Transport>(stream: T, limit: Option<Duration>) {
    with_entry(stream, |entry, id| {
        entry.extended().stall_limit = limit;
        deadlines::arm(entry, id);
    });
}

/// Sets the time for which an ended stream waits for the peer's end of stream. Default: 1 s.
pub fn set_linger<T: Transport>(stream: T, time: Duration) {
    with_entry(stream, |entry, id| {
        entry.extended().linger = time;
        deadlines::arm(entry, id);
    });
}

/// Attaches a value to the stream, replacing the previous one. Default: `None`.
pub fn set_extension<T: Transport>(stream: T, extension: Option<Rc<dyn Any>>) {
    // The old value, or the new one if the stream is gone, is dropped after the borrow, as it may use the stream.
    let mut extension = extension;
    with_entry(stream, |entry, _| {
        std::mem::swap(&mut entry.extended().extension, &mut extension);
    });
    drop(extension);
}

/// Returns the value attached to the stream.
pub fn extension<T: Transport>(stream: T) -> Option<Rc<dyn Any>> {
    with_entry(stream, |entry, _| {
        entry
            .extended
            .as_ref()
            .and_then(|extended| extended.extension.clone())
    })
    .flatten()
}
