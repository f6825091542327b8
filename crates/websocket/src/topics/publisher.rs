//! Publishing from other threads.
//!
//! Cost of a message: a lock, and the frame, which is encoded on the thread that publishes. Of any number of messages, the first
//! wakes the loop's thread, which takes them one after the other.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use uptick_event_loop::{Id, LoopHandle, POST_LIMIT, catch, future_tick, handle};

use super::hub::Hub;
use super::message::HubMessage;
use crate::message::Payload;

/// How many bytes of messages may wait for the loop's thread: 64 MiB.
const WAITING: usize = 64 * 1024 * 1024;

/// The number of messages published in one iteration of the loop, before others have their turn.
const BATCH: usize = 1024;

/// Publishes to the hub of a server from any thread.
///
/// # Limits
/// 64 MiB of messages wait for the loop's thread, [`POST_LIMIT`] at most.
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
    queue: Arc<Mutex<Queue>>,
}

/// The messages that wait for the loop's thread.
#[derive(Default)]
struct Queue {
    messages: VecDeque<(Box<str>, HubMessage)>,
    /// The number of bytes in their payloads.
    bytes: usize,
    /// The call that will take what is in here. If the loop's thread ends before, it is gone.
    scheduled: Weak<()>,
}

/// Why a message was not taken for publishing.
#[derive(Clone, Debug, thiserror::Error)]
#[error("publishing to the topic {topic:?} failed: {why}")]
pub struct PublishError {
    topic: String,
    why: String,
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
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
    /// When the loop's thread has ended, or is too far behind; the message is dropped.
    pub fn publish(&self, topic: &str, payload: impl Payload) -> Result<(), PublishError> {
        let Some(id) = self.id else { return Ok(()) };
        self.check_room(payload.as_slice().len())
            .and_then(|()| self.enqueue(id, topic.into(), HubMessage::new(&payload)))
            .map_err(|why| PublishError {
                topic: topic.to_owned(),
                why,
            })
    }

    /// Checks the room for a message before it is encoded.
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
            // The loop's thread waits for the lock, so the message is there before it looks.
            let posted = self.handle.post(move || call.run());
            posted.map_err(|failure| failure.to_string())?;
            queue.scheduled = scheduled;
        }
        queue.bytes += length;
        queue.messages.push_back((topic, message));
        Ok(())
    }
}

impl Queue {
    fn check_room(&self, length: usize) -> Result<(), String> {
        if self.bytes > 0 && self.bytes.saturating_add(length) > WAITING {
            let bytes = self.bytes;
            return Err(format!(
                "{bytes} bytes of messages wait for the loop's thread already"
            ));
        }
        if self.messages.len() >= POST_LIMIT {
            return Err(format!(
                "{POST_LIMIT} messages wait for the loop's thread already"
            ));
        }
        Ok(())
    }

    /// Takes the next message. Without one, the loop's thread has to be woken for the next.
    fn pop(&mut self) -> Option<(Box<str>, HubMessage)> {
        let next = self.messages.pop_front();
        match &next {
            Some((_, message)) => self.bytes -= message.payload().len(),
            None => self.scheduled = Weak::new(),
        }
        next
    }
}

/// The call that takes what waits, on the loop's thread.
struct QueueCall {
    hub: Id,
    queue: Arc<Mutex<Queue>>,
    /// Gone when the call is, whether it was run or not.
    _alive: Arc<()>,
}

impl QueueCall {
    /// Publishes what waits, up to a budget.
    fn run(self) {
        let hub = Hub::from_id(Some(self.hub));
        for _ in 0..BATCH {
            let next = lock(&self.queue).pop();
            let Some((topic, message)) = next else {
                return;
            };
            // Whatever panics, the next message follows.
            if let Err(message) = catch(|| hub.publish_encoded(&topic, message)) {
                tracing::error!("a listener panicked while a message was published: {message}");
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
