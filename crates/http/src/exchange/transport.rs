//! The interface between exchanges and what carries them.

use std::task::{Context, Poll};

use bytes::Bytes;
use uptick_stream::FileRange;

use super::state::Exchange;
use crate::body::BodyError;
use crate::h1::ResponseBody;
use crate::{HeaderMap, StatusCode, Upgrade};

/// Pieces up to this many bytes are copied; longer ones are passed on as they are.
pub(crate) const COPIED: usize = 4096;

/// The head of a response. What a [`Response`](crate::Response) is made of is valid in one.
#[derive(Clone, Copy)]
pub(crate) struct Head<'a> {
    pub(crate) status: StatusCode,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) headers: Option<&'a HeaderMap>,
}

/// A piece of a response's body.
pub(crate) enum Piece<'a> {
    /// [`COPIED`] bytes at most.
    Short(&'a [u8]),
    Long(Bytes),
}

impl Piece<'_> {
    /// The number of bytes.
    pub(crate) fn len(&self) -> usize {
        match self {
            Piece::Short(bytes) => bytes.len(),
            Piece::Long(bytes) => bytes.len(),
        }
    }
}

/// Carries exchanges: an HTTP/1 connection.
///
/// No method calls listeners or handlers.
pub(crate) trait Transport {
    /// Returns whether the connection closes: nothing is sent any more.
    fn is_closing(&self) -> bool;

    /// Polls for the next piece of the body, of which `taken` bytes were read before. Fails with [`BodyError::TooLong`] as
    /// soon as more than `limit` bytes are announced.
    fn poll_body(
        &self,
        exchange: &Exchange,
        taken: u64,
        limit: usize,
        context: &Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>>;

    /// Lets the body come to listeners.
    fn resume_body(&self, exchange: &Exchange);

    /// Stops the body, and in time the client.
    fn pause_body(&self, exchange: &Exchange);

    /// Sends a whole response; one that has begun already is the caller's error.
    fn respond(&self, exchange: &Exchange, head: &Head<'_>, body: Piece<'_>);

    /// Sends the head of a response whose body follows in pieces; returns `false` when nothing can be sent any more.
    fn start(&self, exchange: &Exchange, head: &Head<'_>, length: ResponseBody) -> bool;

    /// Returns whether the body of a response that has begun is sent at all: not to `HEAD`, nor with a status that has none.
    fn sends_body(&self, exchange: &Exchange) -> bool;

    /// Sends a piece of the body; returns `false` when the writer should wait, or nothing is taken.
    fn write(&self, exchange: &Exchange, piece: Piece<'_>) -> bool;

    /// Sends a file as the whole body; returns `true` when it is sent, and the file when it is to be read and written instead.
    fn write_file(&self, exchange: &Exchange, range: FileRange) -> Result<bool, FileRange>;

    /// Ends a response that has begun; returns `false` when there is none.
    fn finish(&self, exchange: &Exchange, trailers: Option<&HeaderMap>) -> bool;

    /// Returns whether so much waits to be sent that no more is written.
    fn is_full(&self) -> bool;

    /// Makes this exchange the last one of the connection.
    fn set_last(&self);

    /// Breaks a response off, so that the client cannot take a part for the whole.
    fn cut(&self);

    /// Sends the head, and hands the connection over to another protocol; returns whether the head is sent.
    fn upgrade(&self, exchange: &Exchange, head: &Head<'_>, upgrade: Upgrade) -> bool;
}
