use super::*;
use crate::error::Failure;
use std::rc::Rc;
use uptick_event_loop::driver::Timestamp;
use uptick_socket::Connection;
pub(crate) struct Http2Session;
impl Http2Session {
    pub(crate) fn new(_: Connection, _: Rc<dyn SessionOwner>, _: usize) -> Rc<Self> {
        Rc::new(Http2Session)
    }
    pub(crate) fn begin(self: &Rc<Self>, _: OutgoingRequest<'_>) -> Result<Rc<Exchange>, Failure> {
        Err(Failure::closed_before_response())
    }
    pub(crate) fn set_idle(&self, _: Option<Timestamp>) {}
    pub(crate) fn is_reusable(&self) -> bool {
        false
    }
    pub(crate) fn close(&self) {}
    pub(crate) fn room(&self) -> usize {
        0
    }
    pub(crate) fn active(&self) -> usize {
        0
    }
}
