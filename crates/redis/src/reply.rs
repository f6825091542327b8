//! Replies: futures and callbacks.
//!
//! A reply is an entry of a table of the thread, so a command needs no allocation for it. A callback is boxed.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use uptick_event_loop::{Id, Table, catch, future_tick};

use crate::client::Redis;
use crate::protocol::Value;
use crate::{Error, FromValue};

/// The result of a command before its conversion.
pub(crate) type RawResult = Result<Value, Error>;

enum ReplyEntry {
    Pending,
    Awaited(Waker),
    Callback(Box<dyn FnOnce(RawResult)>),
    Ready(RawResult),
}

thread_local! {
    static REPLIES: RefCell<Table<ReplyEntry>> = const { RefCell::new(Table::new()) };
}

/// The reply to a command: a future, or a callback with [`then`](Reply::then).
///
/// The command is sent whether the reply is used or not. If it is dropped, an error reply is emitted as an `error` event of the client.
///
/// # Cancel safety
/// Dropping it does not cancel the command, except for blocking commands, whose connection is closed.
///
/// # Examples
/// ```no_run
/// use uptick_redis::Redis;
///
/// let redis = Redis::connect("redis://127.0.0.1:6379")?;
/// redis.incr("visits").then(|visits| println!("{visits:?}"));
/// uptick_event_loop::spawn(async move {
///     let name: Option<String> = redis.get("name").await?;
///     println!("{name:?}");
///     Ok::<_, uptick_redis::Error>(())
/// });
/// # Ok::<(), uptick_redis::Error>(())
/// ```
pub struct Reply<T> {
    state: ReplyState,
    convert: fn(Value) -> Result<T, Error>,
    /// The client of a blocking command, which is cancelled when the reply is dropped.
    blocking: Option<Redis>,
}

enum ReplyState {
    Table(Id),
    Failed(Error),
    Done,
}

/// Adds a pending reply to the table.
pub(crate) fn add() -> Option<Id> {
    let added = REPLIES.try_with(|replies| replies.borrow_mut().insert(ReplyEntry::Pending));
    added.ok().flatten()
}

/// Removes a reply whose command was not sent.
pub(crate) fn remove(id: Id) {
    let entry = REPLIES.try_with(|replies| replies.borrow_mut().remove(id));
    drop(entry);
}

/// Completes a reply. Returns the error if the reply is not used.
pub(crate) fn complete(id: Id, result: RawResult) -> Option<Error> {
    enum Action {
        Wake(Waker),
        Call(Box<dyn FnOnce(RawResult)>, RawResult),
        Nothing,
        Unused(RawResult),
    }
    let action = REPLIES.try_with(|replies| {
        let mut replies = replies.borrow_mut();
        let Some(entry) = replies.get_mut(id) else {
            return Action::Unused(result);
        };
        match entry {
            ReplyEntry::Ready(_) => Action::Nothing,
            ReplyEntry::Callback(_) => match replies.remove(id) {
                Some(ReplyEntry::Callback(callback)) => Action::Call(callback, result),
                _ => Action::Nothing,
            },
            entry => match std::mem::replace(entry, ReplyEntry::Ready(result)) {
                ReplyEntry::Awaited(waker) => Action::Wake(waker),
                _ => Action::Nothing,
            },
        }
    });
    match action {
        Ok(Action::Wake(waker)) => waker.wake(),
        Ok(Action::Call(callback, result)) => call(callback, result),
        Ok(Action::Unused(result)) => return result.err(),
        Ok(Action::Nothing) | Err(_) => {}
    }
    None
}

/// Calls a callback; a panic does not affect the connection, which other callbacks use as well.
fn call(callback: Box<dyn FnOnce(RawResult)>, result: RawResult) {
    if let Err(message) = catch(|| callback(result)) {
        tracing::error!("a callback of a Redis command panicked: {message}");
    }
}

impl<T> Reply<T> {
    pub(crate) fn new(state: Result<Id, Error>, convert: fn(Value) -> Result<T, Error>) -> Self {
        Reply {
            state: match state {
                Ok(id) => ReplyState::Table(id),
                Err(error) => ReplyState::Failed(error),
            },
            convert,
            blocking: None,
        }
    }

    pub(crate) fn of_blocking(mut self, client: Redis) -> Self {
        self.blocking = Some(client);
        self
    }

    /// Calls `callback` with the result, as an alternative to awaiting the reply. A panic in the callback is logged.
    pub fn then<R>(mut self, callback: impl FnOnce(Result<T, Error>) -> R + 'static)
    where
        T: 'static,
    {
        let convert = self.convert;
        let callback = Box::new(move |result: RawResult| {
            callback(result.and_then(convert));
        });
        let result = match std::mem::replace(&mut self.state, ReplyState::Done) {
            ReplyState::Failed(error) => Err(error),
            ReplyState::Done => return,
            ReplyState::Table(id) => {
                let mut callback = Some(callback as Box<dyn FnOnce(RawResult)>);
                let ready = REPLIES.try_with(|replies| {
                    let mut replies = replies.borrow_mut();
                    let entry = replies.get_mut(id)?;
                    if let ReplyEntry::Ready(_) = entry {
                        return replies.remove(id);
                    }
                    callback
                        .take()
                        .map(|callback| std::mem::replace(entry, ReplyEntry::Callback(callback)))
                });
                match (ready, callback) {
                    (Ok(Some(ReplyEntry::Ready(result))), Some(callback)) => {
                        future_tick(move || call(callback, result));
                    }
                    (replaced, _) => drop(replaced),
                }
                return;
            }
        };
        future_tick(move || call(callback, result));
    }
}

impl<T> Future for Reply<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let id = match std::mem::replace(&mut self.state, ReplyState::Done) {
            ReplyState::Table(id) => id,
            ReplyState::Failed(error) => return Poll::Ready(Err(error)),
            ReplyState::Done => return Poll::Ready(Err(Error::Closed)),
        };
        let entry = REPLIES.try_with(|replies| {
            let mut replies = replies.borrow_mut();
            match replies.get_mut(id) {
                Some(ReplyEntry::Ready(_)) => replies.remove(id),
                Some(entry) => {
                    let waker = ReplyEntry::Awaited(context.waker().clone());
                    Some(std::mem::replace(entry, waker))
                }
                None => None,
            }
        });
        match entry {
            Ok(Some(ReplyEntry::Ready(result))) => Poll::Ready(result.and_then(self.convert)),
            Ok(Some(_)) => {
                self.state = ReplyState::Table(id);
                Poll::Pending
            }
            Ok(None) | Err(_) => Poll::Ready(Err(Error::Closed)),
        }
    }
}

impl<T> Drop for Reply<T> {
    fn drop(&mut self) {
        let id = match &self.state {
            ReplyState::Table(id) => *id,
            // A full queue is reported once, by an event.
            ReplyState::Failed(Error::QueueFull { .. } | Error::Closed) | ReplyState::Done => {
                return;
            }
            ReplyState::Failed(error) => {
                return tracing::warn!("a Redis command was not sent: {error}");
            }
        };
        // The entry is dropped after the borrow: a waker may use the table.
        let entry = REPLIES.try_with(|replies| replies.borrow_mut().remove(id));
        drop(entry);
        if let Some(client) = self.blocking {
            client.cancel_blocking(id);
        }
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").finish_non_exhaustive()
    }
}

/// Creates the reply of a command that is converted by the type of its result.
pub(crate) fn reply<T: FromValue>(state: Result<Id, Error>) -> Reply<T> {
    Reply::new(state, T::from_value)
}
