//! The head and the pieces of a response, as transports send them.

use bytes::Bytes;

use crate::{HeaderMap, StatusCode};

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
