//! A limit on concurrent requests.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use futures::channel::oneshot;

use crate::{HttpError, IntoMiddleware, Middleware, Next, Reply, Request, StatusCode};

/// Middleware that limits the number of requests handled at the same time. Further requests wait in order of arrival; if the queue is
/// full, the response is 503.
///
/// A request counts until its response is available, or until its connection closes. A request whose responder sends the response counts
/// until the handler returns. While a request waits, its body is not read, and its response timeout runs
/// ([`HttpServer::response_timeout`](crate::HttpServer::response_timeout)).
///
/// # Limits
/// [`queue`](LimitConcurrency::queue) limits the number of waiting requests.
///
/// # Examples
/// ```
/// use uptick_http::{HttpServer, LimitConcurrency, Request};
///
/// let http = HttpServer::new().wrap(LimitConcurrency::new(100).queue(1_000));
/// http.get("/", |_: Request| "hello");
/// ```
pub struct LimitConcurrency {
    max: usize,
    queue: usize,
}

impl LimitConcurrency {
    /// Creates the middleware for at most `max` concurrent requests; 0 counts as 1.
    pub fn new(max: usize) -> Self {
        LimitConcurrency {
            max: max.max(1),
            queue: 1024,
        }
    }

    /// Sets the maximum number of waiting requests. Default: 1,024.
    pub fn queue(mut self, waiting: usize) -> Self {
        self.queue = waiting;
        self
    }
}

#[derive(Default)]
struct Permits {
    taken: Cell<usize>,
    waiting: RefCell<VecDeque<oneshot::Sender<Permit>>>,
}

/// A permit to handle a request. When it is dropped, the request that has waited longest is next.
struct Permit(Rc<Permits>);

impl Drop for Permit {
    fn drop(&mut self) {
        loop {
            let next = self.0.waiting.borrow_mut().pop_front();
            match next {
                Some(next) if next.is_canceled() => {}
                Some(next) => {
                    // If the receiver is dropped before it takes the permit, the permit is dropped with it.
                    let _ = next.send(Permit(Rc::clone(&self.0)));
                    return;
                }
                None => return self.0.taken.set(self.0.taken.get().saturating_sub(1)),
            }
        }
    }
}

impl IntoMiddleware<LimitConcurrency> for LimitConcurrency {
    fn into_middleware(self) -> Middleware {
        let permits = Rc::new(Permits::default());
        (move |request: Request, next: Next| {
            if permits.taken.get() < self.max {
                permits.taken.set(permits.taken.get() + 1);
                let permit = Permit(Rc::clone(&permits));
                return match next.run(request) {
                    Reply::Later(future) => Reply::Later(Box::pin(async move {
                        let response = future.await;
                        drop(permit);
                        response
                    })),
                    reply => reply,
                };
            }
            let mut waiting = permits.waiting.borrow_mut();
            waiting.retain(|other| !other.is_canceled());
            if waiting.len() >= self.queue {
                return Reply::Ready(
                    HttpError::from_status(StatusCode::SERVICE_UNAVAILABLE).into(),
                );
            }
            let (sender, permit) = oneshot::channel();
            waiting.push_back(sender);
            Reply::Later(Box::pin(async move {
                let _permit = permit.await.ok()?;
                next.run(request).await
            }))
        })
        .into_middleware()
    }
}

impl fmt::Debug for LimitConcurrency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitConcurrency")
            .field("max", &self.max)
            .field("queue", &self.queue)
            .finish()
    }
}
