//! HTTP/1.1 connections: one request at a time.
//!
//! ```text
//! begin → head and body → interim responses → head → body → available → complete
//!                       ↘ failure → close → fail
//! ```
//!
//! A session is idle between requests, and then keeps nothing of them: the state of a request is in a box. In the steady state a request
//! costs one write, one read, and the allocations of the box and of its exchange; its timeouts share one deadline that is usually armed
//! already.

mod deadlines;
mod receiving;
mod request;
mod sending;
mod session;
#[cfg(test)]
mod tests;

pub(crate) use session::Http1Session;
