//! The progress of an exchange.

/// The state of the request's body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum BodyProgress {
    /// A part of it is still to be received or read.
    #[default]
    Coming,
    /// All of it was read.
    Received,
    /// As [`Received`](BodyProgress::Received), and `end` is still to be emitted.
    EndDue,
    /// It was refused, or has ended too early.
    Failed,
}

/// The consumer of the request's body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Consumer {
    /// Nothing consumes it yet.
    #[default]
    None,
    /// A [`BodyReader`](crate::BodyReader) has asked for it.
    Reader,
    /// It is emitted to listeners.
    Listeners,
}

/// The state of the response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ResponseProgress {
    /// It has not begun.
    #[default]
    None,
    /// It has not begun, and a [`Responder`](crate::Responder) was taken.
    Held,
    /// It has begun.
    Started,
    /// All of it is written.
    Done,
}
