//! The kinds of handlers and of return values: the parameter `M` of [`IntoHandler`](crate::IntoHandler) and
//! [`IntoReply`](crate::IntoReply), which is always inferred. Programs do not name them.

/// A response.
#[derive(Debug)]
pub enum Now {}
/// A future of a response.
#[derive(Debug)]
pub enum Later {}
/// A future of `Option<Response>`, as returned by [`Next::run`](crate::Next::run) in async middleware.
#[derive(Debug)]
pub enum Passed {}
/// `()`: the handler responds through the responder.
#[derive(Debug)]
pub enum Answered {}
/// A future of `()`.
#[derive(Debug)]
pub enum AnsweredLater {}

/// A function that takes only the request.
#[derive(Debug)]
pub enum Responds {}
/// A function that takes the request and its responder.
#[derive(Debug)]
pub enum RespondsLater {}

/// The kinds of return values of a handler that takes the [`Responder`](crate::Responder).
#[diagnostic::on_unimplemented(
    message = "a handler that takes the `Responder` returns `()`",
    label = "returns a response",
    note = "respond with `res.send(…)`, or take only the request and return the response"
)]
pub trait ByResponder {}

impl ByResponder for Answered {}
impl ByResponder for AnsweredLater {}
