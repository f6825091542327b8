//! Publishing from other threads.
//!
//! Cost of a message: a lock, and the frame, which is encoded on the publishing thread. The first message in the queue
//! wakes the loop's thread, which publishes the queued messages in order.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use uptick_event_loop::{Id, LoopHandle, POST_LIMIT, catch, future_tick, handle};

use super::hub::Hub;
use super::message::HubMessage;
use crate::message::Payload;

/// Maximum number of queued bytes: 64 MiB.
const MAX_QUEUED_BYTES: usize = 64 * 1024 * 1024;

/// Maximum number of messages published in one iteration of the loop, so that other callbacks are not delayed.
const MAX_BATCH: usize = 1024;

/// A handle that publishes to the hub of a server from any thread.
///
/// # Limits
/// The queue for the loop's thread holds at most 64 MiB of messages and at most [`POST_LIMIT`] messages.
///
/// # Examples
/// ```
/// use uptick_websocket::Hub;
///
/// let publisher = Hub::new().publisher();
/// std::thread::spawn(move || publisher.publish("news", "from another thread")).join().unwrap()?;
/// # Ok::<(), uptick_websocket::PublishError>(())
/// ```
#[derive(Clone)]
pub struct Publisher {
    id: Option<Id>,
    handle: LoopHandle,
    queue: Arc<Mutex<PublishQueue>>,
}

/// The messages queued for the loop's thread.
#[derive(Default)]
struct PublishQueue {
    messages: VecDeque<(Box<str>, HubMessage)>,
    /// The total length of the payloads, in bytes.
    bytes: usize,
    /// The posted call that will publish the queued messages. It is dropped if the loop's thread ends before.
    scheduled: Weak<()>,
}

/// The reason why a message was not queued for publishing.
#[derive(Clone, Debug, thiserror::Error)]
#[error("publishing to the topic {topic:?} failed: {reason}")]
pub struct PublishError {
    topic: String,
    reason: String,
}

fn lock(queue: &Mutex<PublishQueue>) -> MutexGuard<'_, PublishQueue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Publisher {
    pub(super) fn new(hub: Hub) -> Self {
        Publisher {
            id: hub.id(),
            handle: handle(),
            queue: Arc::default(),
        }
    }

    /// Publishes a message on the loop's thread; see [`Hub::publish`]. Messages of one thread keep their order.
    ///
    /// # Errors
    /// If the loop's thread has ended, or the queue is full; the message is dropped.
    pub fn publish(&self, topic: &str, payload: impl Payload) -> Result<(), PublishError> {
        let Some(id) = self.id else { return Ok(()) };
        self.check_room(payload.as_slice().len())
            .and_then(|()| self.enqueue(id, topic.into(), HubMessage::new(&payload)))
            .map_err(|reason| PublishError {
                topic: topic.to_owned(),
                reason,
            })
    }

    /// Checks the capacity for a message before it is encoded.
    fn check_room(&self, length: usize) -> Result<(), String> {
        lock(&self.queue).check_room(length)
    }

    fn enqueue(&self, id: Id, topic: Box<str>, message: HubMessage) -> Result<(), String> {
        let length = message.payload().len();
        let mut queue = lock(&self.queue);
        queue.check_room(length)?;
        if queue.scheduled.strong_count() == 0 {
            let alive = Arc::new(());
            let scheduled = Arc::downgrade(&alive);
            let call = QueueCall {
                hub: id,
                queue: Arc::clone(&self.queue),
                _alive: alive,
            };
            // The loop's thread blocks on the lock, so the message is in the queue before the call runs.
            let posted = self.handle.post(move || call.run());
            posted.map_err(|failure| failure.to_string())?;
            queue.scheduled = scheduled;
        }
        queue.bytes += length;
        queue.messages.push_back((topic, message));
        Ok(())
    }
}

impl PublishQueue {
    fn check_room(&self, length: usize) -> Result<(), String> {
        if self.bytes > 0 && self.bytes.saturating_add(length) > MAX_QUEUED_BYTES {
            let bytes = self.bytes;
            return Err(format!(
                "{bytes} bytes of messages are already queued for the loop's thread"
            ));
        }
        if self.messages.len() >= POST_LIMIT {
            return Err(format!(
                "{POST_LIMIT} messages are already queued for the loop's thread"
            ));
        }
        Ok(())
    }

    /// Removes the next message. If there is none, the next `publish` has to wake the loop's thread again.
    fn pop(&mut self) -> Option<(Box<str>, HubMessage)> {
        let next = self.messages.pop_front();
        match &next {
            Some((_, message)) => self.bytes -= message.payload().len(),
            None => self.scheduled = Weak::new(),
        }
        next
    }
}

/// The posted call that publishes the queued messages on the loop's thread.
struct QueueCall {
    hub: Id,
    queue: Arc<Mutex<PublishQueue>>,
    /// Dropped with the call, whether or not it has run.
    _alive: Arc<()>,
}

impl QueueCall {
    /// Publishes queued messages, up to [`MAX_BATCH`].
    fn run(self) {
        let hub = Hub::from_id(Some(self.hub));
        for _ in 0..MAX_BATCH {
            let next = lock(&self.queue).pop();
            let Some((topic, message)) = next else {
                return;
            };
            // A panicking listener must not stop the next messages.
            if let Err(message) = catch(|| hub.publish_encoded(&topic, message)) {
                tracing::error!("a listener panicked while publishing a message: {message}");
            }
        }
        future_tick(move || self.run());
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").finish_non_exhaustive()
    }
}
