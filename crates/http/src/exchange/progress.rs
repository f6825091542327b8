//! The progress of an exchange.

/// The state of the request body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum BodyProgress {
    /// More of it must be received or read.
    #[default]
    Receiving,
    /// All of it was read.
    Received,
    /// All of it was read, and `end` must still be emitted.
    EndPending,
    /// It was refused, or ended early.
    Failed,
}

/// The consumer of the request body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Consumer {
    /// None yet.
    #[default]
    None,
    /// A [`BodyReader`](crate::BodyReader) that was polled.
    Reader,
    /// Event listeners.
    Listeners,
}

/// The state of the response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ResponseProgress {
    /// It has not started.
    #[default]
    None,
    /// It has not started, and a [`Responder`](crate::Responder) was created.
    Deferred,
    /// It has started.
    Started,
    /// All of it was written.
    Done,
}
