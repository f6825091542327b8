//! Callbacks of the application for requests and response headers.

use std::cell::RefCell;
use std::fmt;
use std::future::Future;
use std::rc::Rc;

use uptick_http::{HeaderMap, LocalFuture, Request, Response};

use crate::marker::{Later, Now};

/// The position of a response in its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResponseStage {
    /// The response to the handshake.
    Handshake,
    /// Any other response.
    Other,
}

/// A callback that changes response headers.
pub(super) type HeaderHook = Rc<RefCell<dyn FnMut(&mut HeaderMap, &Request)>>;

/// The decision on a handshake.
pub enum Permission {
    /// An immediate decision.
    Now(Result<(), String>),
    /// A future of the decision.
    Later(LocalFuture<Result<(), String>>),
}

/// A callback that accepts or refuses handshakes.
pub(super) type AllowRequest = Rc<dyn Fn(&Request) -> Permission>;

/// The return value of the callback of [`EngineIo::allow_request`](super::EngineIo::allow_request): `Ok(())` accepts the handshake, an error
/// refuses it with the error's text. A future of such a result is also accepted.
///
/// `M` distinguishes the two forms, and is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a decision on a handshake",
    label = "not a decision",
    note = "return `Result<(), E>` where `E` implements `Display`, or a future of it"
)]
pub trait IntoPermission<M> {
    /// Converts the value to a decision.
    fn into_permission(self) -> Permission;
}

impl<E: fmt::Display> IntoPermission<Now> for Result<(), E> {
    fn into_permission(self) -> Permission {
        Permission::Now(self.map_err(|error| error.to_string()))
    }
}

impl<F, E> IntoPermission<Later> for F
where
    F: Future<Output = Result<(), E>> + 'static,
    E: fmt::Display,
{
    fn into_permission(self) -> Permission {
        Permission::Later(Box::pin(async move {
            self.await.map_err(|error| error.to_string())
        }))
    }
}

impl fmt::Debug for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Permission::Now(result) => f.debug_tuple("Now").field(result).finish(),
            Permission::Later(_) => f.debug_tuple("Later").finish_non_exhaustive(),
        }
    }
}

/// The callbacks that change response headers.
#[derive(Default)]
pub(super) struct HeaderHooks {
    first: RefCell<Vec<HeaderHook>>,
    all: RefCell<Vec<HeaderHook>>,
}

impl HeaderHooks {
    pub(super) fn add(&self, stage: ResponseStage, hook: HeaderHook) {
        let hooks = match stage {
            ResponseStage::Handshake => &self.first,
            ResponseStage::Other => &self.all,
        };
        hooks.borrow_mut().push(hook);
    }

    /// Calls the callbacks for a response.
    pub(super) fn apply(
        &self,
        req: &Request,
        response: Response,
        stage: ResponseStage,
    ) -> Response {
        let first = match stage {
            ResponseStage::Handshake => self.first.borrow().clone(),
            ResponseStage::Other => Vec::new(),
        };
        let all = self.all.borrow().clone();
        if first.is_empty() && all.is_empty() {
            return response;
        }
        let mut response = response;
        for hook in first.into_iter().chain(all) {
            // A callback that is already running is skipped.
            if let Ok(mut hook) = hook.try_borrow_mut() {
                hook(response.headers_mut(), req);
            }
        }
        response
    }
}
