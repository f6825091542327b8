//! Adding entries to a stream.
//!
//! The entries are added in order, several with one system call. Each stays queued until Redis has returned its id. If the connection is lost before, it is not known
//! which of the entries were added: the writer searches the stream for them, and adds the missing entries again.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use uptick_redis::{Error, Reply, XAddOptions};

use super::RedisStreamsError;
use super::entry_id::EntryId;
use super::reader::wait;
use super::stream::StreamState;
use crate::adapter::redis::wire::stream_entry::{EntryFields, ReceivedEntry};
use crate::{Promise, Resolver};

/// Maximum number of entries that are sent at once.
const BATCH: usize = 256;

/// Number of entries that are read at once to look for own entries.
const SCAN_COUNT: usize = 1000;

/// Size of an entry in addition to its fields, in bytes.
const OVERHEAD: usize = 128;

/// The entries that are not added yet.
#[derive(Default)]
pub(super) struct WriteQueue {
    entries: RefCell<VecDeque<QueuedEntry>>,
    /// The number and the size of the entries, including sent entries without a reply.
    count: Cell<usize>,
    bytes: Cell<usize>,
    /// Wakes the writer.
    waker: RefCell<Option<Resolver<()>>>,
    is_closed: Cell<bool>,
    /// Set once a full queue was reported, until there is room.
    was_full: Cell<bool>,
}

struct QueuedEntry {
    fields: EntryFields,
    bytes: usize,
    resolver: Resolver<bool>,
}

impl WriteQueue {
    /// Adds the queued entries, and then ends the writer.
    pub(super) fn close(&self) {
        self.is_closed.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.resolve(());
        }
    }

    /// Waits for entries. Returns `false` if the queue is closed and empty.
    async fn filled(&self) -> bool {
        while self.entries.borrow().is_empty() {
            if self.is_closed.get() {
                return false;
            }
            let (promise, resolver) = Promise::pending();
            self.waker.replace(Some(resolver));
            promise.await;
        }
        true
    }

    fn take(&self, count: usize) -> VecDeque<QueuedEntry> {
        let mut entries = self.entries.borrow_mut();
        let count = count.min(entries.len());
        entries.drain(..count).collect()
    }

    fn put_back(&self, before: VecDeque<QueuedEntry>) {
        let mut entries = self.entries.borrow_mut();
        for entry in before.into_iter().rev() {
            entries.push_front(entry);
        }
    }
}

impl StreamState {
    /// Adds an entry. The result is `false` if it could not be added.
    pub(super) fn add(&self, fields: EntryFields) -> Promise<bool> {
        let size: usize = fields.iter().map(|(_, value)| value.len()).sum();
        let bytes = size + OVERHEAD;
        let (queue, options) = (&self.queue, &self.shared.options);
        let (count, total) = (queue.count.get(), queue.bytes.get());
        let is_full = count >= options.max_queued
            || count > 0 && total.saturating_add(bytes) > options.max_queued_bytes;
        if is_full || !self.redis.is_open() {
            let error = match is_full {
                true => RedisStreamsError::QueueFull {
                    stream: self.name.as_str().into(),
                    entries: count,
                    bytes: total,
                },
                false => RedisStreamsError::Add {
                    stream: self.name.as_str().into(),
                    cause: Error::Closed,
                },
            };
            self.shared.counters.lost(&error.to_string());
            if !queue.was_full.replace(true) {
                self.shared.emit(error);
            }
            return Promise::ready(false);
        }
        queue.count.set(count + 1);
        queue.bytes.set(total + bytes);
        let (promise, resolver) = Promise::pending();
        queue.entries.borrow_mut().push_back(QueuedEntry {
            fields,
            bytes,
            resolver,
        });
        queue.wake();
        promise
    }

    /// Removes an entry from the counts, and sets its result.
    fn finish(&self, entry: QueuedEntry, result: Result<(), Error>) {
        let queue = &self.queue;
        queue.count.set(queue.count.get() - 1);
        queue.bytes.set(queue.bytes.get() - entry.bytes);
        queue.was_full.set(false);
        let added = result.is_ok();
        match result {
            Ok(()) => self.shared.counters.published(&Ok(())),
            Err(cause) => {
                let error = RedisStreamsError::Add {
                    stream: self.name.as_str().into(),
                    cause,
                };
                self.shared.counters.lost(&error.to_string());
                self.shared.emit(error);
            }
        }
        entry.resolver.resolve(added);
    }
}

/// The entries of a batch that must be sent again.
#[derive(Default)]
struct Retries {
    entries: VecDeque<QueuedEntry>,
    /// Set if entries may have been added.
    is_unknown: bool,
}

/// Adds the queued entries of a stream to it, until its queue is closed and empty.
pub(super) async fn write(stream: Rc<StreamState>) {
    // Own entries are delivered to the clients of this server when they are read.
    if stream.redis.is_open() {
        stream.reached(EntryId::default()).await;
    }
    let mut last = stream.position().unwrap_or_default();
    let mut window = BATCH;
    while stream.queue.filled().await {
        if !stream.redis.is_ready() && stream.redis.is_open() {
            wait(stream.redis).await;
        }
        let retries = send(&stream, window, &mut last).await;
        // One entry is sent to find out whether the server accepts entries again.
        window = match retries.entries.is_empty() {
            true => BATCH,
            false => 1,
        };
        if retries.entries.is_empty() {
            continue;
        }
        wait(stream.redis).await;
        let entries = match retries.is_unknown {
            true => find_added(&stream, retries.entries, &mut last).await,
            false => retries.entries,
        };
        stream.queue.put_back(entries);
    }
}

/// Sends entries and waits for the replies. Returns the entries that must be sent again.
async fn send(stream: &StreamState, count: usize, last: &mut EntryId) -> Retries {
    let options = XAddOptions::new().max_len(stream.shared.options.max_len);
    let add = |entry: QueuedEntry| {
        let fields = &entry.fields;
        let reply = stream
            .redis
            .xadd_with(&stream.name, options.clone(), fields);
        (entry, reply)
    };
    let sent: Vec<(QueuedEntry, Reply<Option<String>>)> =
        stream.queue.take(count).into_iter().map(add).collect();
    let mut retries = Retries::default();
    for (entry, reply) in sent {
        match reply.await {
            Ok(id) => {
                if let Some(id) = id.and_then(|id| EntryId::parse(&id)) {
                    *last = id.max(*last);
                }
                stream.finish(entry, Ok(()));
            }
            Err(error) => match retry(stream, &error) {
                Some(is_unknown) => {
                    retries.is_unknown |= is_unknown;
                    retries.entries.push_back(entry);
                }
                None => stream.finish(entry, Err(error)),
            },
        }
    }
    retries
}

/// Returns whether an entry may have been added that must be sent again; `None` if it is not sent again.
fn retry(stream: &StreamState, error: &Error) -> Option<bool> {
    if !stream.redis.is_open() {
        return None;
    }
    match error {
        // The connection is ending.
        Error::Closed => Some(false),
        Error::NotConnected { .. } | Error::QueueFull { .. } => Some(false),
        Error::Reply { code, .. } => {
            let is_temporary = matches!(
                &**code,
                "LOADING"
                    | "BUSY"
                    | "TRYAGAIN"
                    | "CLUSTERDOWN"
                    | "MASTERDOWN"
                    | "READONLY"
                    | "MISCONF"
            );
            is_temporary.then_some(false)
        }
        Error::InvalidUrl { .. } | Error::Conversion { .. } => None,
        _ => Some(true),
    }
}

/// Searches the stream for entries that may have been added, in order. Returns the missing entries.
async fn find_added(
    stream: &StreamState,
    mut entries: VecDeque<QueuedEntry>,
    last: &mut EntryId,
) -> VecDeque<QueuedEntry> {
    let mut after = *last;
    while !entries.is_empty() {
        let start = after.next().to_string();
        let found = stream
            .redis
            .xrange_count(&stream.name, start, "+", SCAN_COUNT);
        let found = match found.await {
            Ok(found) => found,
            Err(_) if !stream.redis.is_open() => break,
            Err(_) => {
                wait(stream.redis).await;
                continue;
            }
        };
        for entry in &found {
            after = EntryId::parse(&entry.id).unwrap_or(after);
            let is_first = entries.front().is_some_and(|first| {
                ReceivedEntry::of(&entry.fields).is_ok_and(|entry| entry.is_equal(&first.fields))
            });
            if is_first && let Some(first) = entries.pop_front() {
                *last = after;
                stream.finish(first, Ok(()));
            }
        }
        if found.len() < SCAN_COUNT {
            break;
        }
    }
    entries
}
