//! Answers that are files, which the kernel sends where it can.

use std::future::poll_fn;

use uptick_event_loop::spawn;
use uptick_stream::FileRange;

use super::exchange::keep_task;
use super::outgoing::{Facts, Head, begin, finish, poll_writable, send_pieces};
use super::{At, Flags, with_exchange};
use crate::BodyStream;
use crate::h1::ResponseBody;

/// Sends the head, and the file behind it.
pub(super) fn send_file(at: At, facts: Facts, head: &Head<'_>, range: FileRange) -> bool {
    if !begin(at, facts, head, ResponseBody::Bytes(range.len())) {
        return false;
    }
    match write_file(at, range) {
        Ok(true) => {
            finish(at, None);
        }
        Ok(false) => {
            let task = spawn(async move {
                if poll_fn(|context| poll_writable(at, context)).await {
                    finish(at, None);
                }
            });
            keep_task(at, task);
        }
        Err(range) => send_pieces(at, BodyStream::file(range)),
    }
    true
}

/// Writes the whole body, which has a length; `true` when it is sent.
fn write_file(at: At, range: FileRange) -> Result<bool, FileRange> {
    let begun = with_exchange(at, |entry| {
        let done = entry.flags.contains(Flags::ANSWERED);
        let encoder = entry.exchange.as_ref()?.encoder.filter(|_| !done)?;
        Some((entry.conn, encoder))
    });
    let Some(Some((conn, mut encoder))) = begun else {
        return Ok(false);
    };
    let Ok(length) = usize::try_from(range.len()) else {
        return Err(range);
    };
    // With a length, there is nothing between the head and the body.
    if encoder.open_piece(&mut Vec::new(), length) != Ok(true) {
        return Ok(true);
    }
    let sent = conn.write_file(range)?;
    with_exchange(at, |entry| {
        entry.note_room(Some(sent));
        entry.exchange().encoder = Some(encoder);
    });
    Ok(sent)
}
