//! Promises: results of operations that complete later.

use std::cell::RefCell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// The result of an operation that completes later. It is a future, and can also call a callback.
///
/// The operation is already in progress, and continues when the promise is dropped.
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
/// use uptick_socketio::{AckError, Socket};
///
/// fn ask(socket: Socket) {
///     let answer = socket.timeout(Duration::from_secs(5)).emit_with_ack("question", "Tea?");
///     answer.then(|answer: Result<String, AckError>| match answer {
///         Ok(answer) => println!("the client answered {answer}"),
///         Err(error) => eprintln!("{error}"),
///     });
/// }
/// ```
#[must_use = "the result is lost unless the promise is awaited or has a callback"]
pub struct Promise<T> {
    state: Rc<RefCell<PromiseState<T>>>,
}

enum PromiseState<T> {
    Pending(Option<Waker>),
    Callback(Box<dyn FnOnce(T)>),
    Ready(T),
    /// The result was taken, or the promise was dropped.
    Done,
}

/// The resolving half of a [`Promise`]: it sets the result.
pub struct Resolver<T> {
    state: Rc<RefCell<PromiseState<T>>>,
}

impl<T: 'static> Promise<T> {
    /// Creates a pending promise, and the resolver that sets its result.
    pub fn pending() -> (Promise<T>, Resolver<T>) {
        let state = Rc::new(RefCell::new(PromiseState::Pending(None)));
        let resolver = Resolver {
            state: Rc::clone(&state),
        };
        (Promise { state }, resolver)
    }

    /// Creates a promise that already has its result.
    pub fn ready(value: T) -> Promise<T> {
        let (promise, resolver) = Promise::pending();
        resolver.resolve(value);
        promise
    }

    /// Calls `callback` with the result: immediately if the promise already has one.
    pub fn then(self, callback: impl FnOnce(T) + 'static) {
        let before = self.state.replace(PromiseState::Done);
        match before {
            PromiseState::Ready(value) => callback(value),
            PromiseState::Pending(_) => {
                self.state
                    .replace(PromiseState::Callback(Box::new(callback)));
            }
            PromiseState::Callback(_) | PromiseState::Done => {}
        }
    }

    /// Converts the result with `f`.
    pub fn map<U: 'static>(self, f: impl FnOnce(T) -> U + 'static) -> Promise<U> {
        let (promise, resolver) = Promise::pending();
        self.then(move |value| resolver.resolve(f(value)));
        promise
    }
}

impl<T> Resolver<T> {
    /// Sets the result: wakes the task that awaits the promise, or calls its callback.
    pub fn resolve(self, value: T) {
        let before = self.state.replace(PromiseState::Done);
        match before {
            PromiseState::Pending(waker) => {
                self.state.replace(PromiseState::Ready(value));
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
            PromiseState::Callback(callback) => callback(value),
            PromiseState::Ready(_) | PromiseState::Done => {}
        }
    }
}

impl<T> Future for Promise<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut state = self.state.borrow_mut();
        match std::mem::replace(&mut *state, PromiseState::Done) {
            PromiseState::Ready(value) => Poll::Ready(value),
            _ => {
                *state = PromiseState::Pending(Some(context.waker().clone()));
                Poll::Pending
            }
        }
    }
}

impl<T> fmt::Debug for Promise<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ready = matches!(*self.state.borrow(), PromiseState::Ready(_));
        f.debug_struct("Promise").field("ready", &ready).finish()
    }
}

impl<T> fmt::Debug for Resolver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolver").finish_non_exhaustive()
    }
}
