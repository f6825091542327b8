//! Publishing from other threads.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use uptick_event_loop::{Id, LoopHandle, handle};

use super::hub::Topics;
use crate::message::{Payload, Text};

/// How many bytes of messages may wait for the loop's thread: 64 MiB.
const WAITING: usize = 64 * 1024 * 1024;

/// Publishes to the topics of a server from any thread.
///
/// # Limits
/// 64 MiB of messages wait for the loop's thread, and as many calls as [`LoopHandle::post`] takes.
///
/// # Examples
/// ```
/// use uptick_websocket::Topics;
///
/// let publisher = Topics::new().publisher();
/// std::thread::spawn(move || publisher.publish("news", "from another thread")).join().unwrap()?;
/// # Ok::<(), uptick_websocket::PublishError>(())
/// ```
#[derive(Clone)]
pub struct Publisher {
    id: Option<Id>,
    handle: LoopHandle,
    waiting: Arc<AtomicUsize>,
}

/// Why a message was not taken for publishing.
#[derive(Clone, Debug, thiserror::Error)]
#[error("publishing to the topic {topic:?} failed: {why}")]
pub struct PublishError {
    topic: String,
    why: String,
}

impl Publisher {
    pub(super) fn new(id: Option<Id>) -> Self {
        Publisher {
            id,
            handle: handle(),
            waiting: Arc::default(),
        }
    }

    /// Has the loop's thread publish a message; see [`Topics::publish`]. Messages of one thread keep their order.
    ///
    /// # Errors
    /// When the loop's thread has ended, or is too far behind; the message is dropped.
    pub fn publish(&self, topic: &str, payload: impl Payload) -> Result<(), PublishError> {
        let error = |why: String| PublishError {
            topic: topic.to_owned(),
            why,
        };
        let Some(id) = self.id else { return Ok(()) };
        let length = payload.as_slice().len();
        let before = self.waiting.fetch_add(length, Ordering::Relaxed);
        if before > 0 && before.saturating_add(length) > WAITING {
            self.waiting.fetch_sub(length, Ordering::Relaxed);
            let why = format!("{before} bytes of messages wait for the loop's thread already");
            return Err(error(why));
        }
        let name = topic.to_owned();
        let text = payload.is_text();
        let bytes = payload.into_bytes();
        let waiting = Arc::clone(&self.waiting);
        let posted = self.handle.post(move || {
            waiting.fetch_sub(length, Ordering::Relaxed);
            let topics = Topics::from_id(Some(id));
            match Text::try_from(bytes.clone()).ok().filter(|_| text) {
                Some(text) => topics.publish(&name, text),
                None => topics.publish(&name, bytes),
            };
        });
        posted.map_err(|failure| {
            self.waiting.fetch_sub(length, Ordering::Relaxed);
            error(failure.to_string())
        })
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").finish_non_exhaustive()
    }
}
