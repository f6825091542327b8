//! Callbacks for the end of an exchange.

use std::rc::Rc;

use uptick_event_loop::catch;

use super::request::Request;
use super::state::{Exchange, ExtendedState};
use crate::Method;
use crate::h1::RequestHead;

/// A finished exchange.
pub(crate) struct Finished<'a> {
    pub(crate) head: &'a RequestHead,
    pub(crate) user: Option<Rc<str>>,
    pub(crate) id: Option<Rc<str>>,
    /// Size of the response body, in bytes.
    pub(crate) bytes: u64,
    /// `true` if the whole response was written.
    pub(crate) is_complete: bool,
}

/// A callback for the end of an exchange.
pub(super) type OnFinish = Box<dyn FnOnce(&Finished<'_>)>;

impl Request {
    /// Registers a callback for the end of the exchange. The callback registered last is called first.
    ///
    /// Requires [`on_response_headers`](Request::on_response_headers): bytes are counted only if it is used.
    pub(crate) fn on_finish(&self, callback: impl FnOnce(&Finished<'_>) + 'static) {
        self.exchange
            .extended(|extended| extended.on_finish.push(Box::new(callback)));
    }

    /// Sets the name of the authenticated user, for the access log. `Authentication::basic` calls this. Default: none.
    pub fn set_user(&self, name: impl Into<Rc<str>>) {
        let name = name.into();
        self.exchange
            .extended(|extended| extended.user = Some(name));
    }

    /// Returns the name of the authenticated user, if one was [set](Request::set_user).
    pub fn user(&self) -> Option<Rc<str>> {
        self.exchange
            .extended_if_any(|extended| extended.user.clone())
            .flatten()
    }
}

impl Exchange {
    /// Counts bytes of the response body. The body of a response to `HEAD` is not sent.
    #[inline]
    pub(super) fn count_bytes(&self, bytes: u64) {
        if self.edits_headers.get() && *self.head.method() != Method::HEAD {
            self.extended(|extended| extended.bytes += bytes);
        }
    }

    /// Calls the callbacks for the end of the exchange.
    #[cold]
    pub(super) fn finish(&self, extended: &mut ExtendedState) {
        let finished = Finished {
            head: &self.head,
            user: extended.user.take(),
            id: extended.id.take(),
            bytes: extended.bytes,
            is_complete: self.is_done(),
        };
        while let Some(callback) = extended.on_finish.pop() {
            if let Err(message) = catch(|| callback(&finished)) {
                tracing::error!("a callback for the end of a request panicked: {message}");
            }
        }
    }
}
