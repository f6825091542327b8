//! A limit for how many requests are handled at a time.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use futures::channel::oneshot;

use crate::{HttpError, IntoMiddleware, Middleware, Next, Reply, Request, StatusCode};

/// A middleware that has requests wait while as many are handled as may be, in the order in which they came; when too many
/// wait, it answers 503.
///
/// A request is handled until its answer is there; when the client goes away before, it counts no longer. One that is
/// answered through its responder counts until the handler returns. While a request waits its body is not read, and the time
/// for its answer runs ([`HttpServer::answer_timeout`](crate::HttpServer::answer_timeout)).
///
/// # Limits
/// As many requests wait as [`queue`](LimitConcurrency::queue) says.
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
    /// Has at most `max` requests handled at a time; 0 counts as 1.
    pub fn new(max: usize) -> Self {
        LimitConcurrency {
            max: max.max(1),
            queue: 1024,
        }
    }

    /// Sets how many requests may wait. Default: 1,024.
    pub fn queue(mut self, waiting: usize) -> Self {
        self.queue = waiting;
        self
    }
}

#[derive(Default)]
struct Places {
    taken: Cell<usize>,
    waiting: RefCell<VecDeque<oneshot::Sender<Place>>>,
}

/// A request is being handled. When it is dropped the one that has waited longest is next.
struct Place(Rc<Places>);

impl Drop for Place {
    fn drop(&mut self) {
        loop {
            let next = self.0.waiting.borrow_mut().pop_front();
            match next {
                Some(next) if next.is_canceled() => {}
                Some(next) => {
                    // Its receiver is there; if it goes before it looks, it drops the place in its turn.
                    let _ = next.send(Place(Rc::clone(&self.0)));
                    return;
                }
                None => return self.0.taken.set(self.0.taken.get().saturating_sub(1)),
            }
        }
    }
}

impl IntoMiddleware<LimitConcurrency> for LimitConcurrency {
    fn into_middleware(self) -> Middleware {
        let places = Rc::new(Places::default());
        (move |request: Request, next: Next| {
            if places.taken.get() < self.max {
                places.taken.set(places.taken.get() + 1);
                let place = Place(Rc::clone(&places));
                return match next.run(request) {
                    Reply::Later(future) => Reply::Later(Box::pin(async move {
                        let response = future.await;
                        drop(place);
                        response
                    })),
                    reply => reply,
                };
            }
            let mut waiting = places.waiting.borrow_mut();
            waiting.retain(|other| !other.is_canceled());
            if waiting.len() >= self.queue {
                return Reply::Ready(
                    HttpError::from_status(StatusCode::SERVICE_UNAVAILABLE).into(),
                );
            }
            let (sender, place) = oneshot::channel();
            waiting.push_back(sender);
            Reply::Later(Box::pin(async move {
                let _place = place.await.ok()?;
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
