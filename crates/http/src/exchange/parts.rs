//! The head and the pieces of a response, as transports send them.

use bytes::Bytes;

use crate::{Body, HeaderMap, Response, StatusCode};

/// Pieces up to this many bytes are copied; longer ones are passed on as they are.
pub(crate) const COPIED: usize = 4096;

/// The head of a response. What a [`Response`](crate::Response) is made of is valid in one.
#[derive(Clone, Copy)]
pub(crate) struct Head<'a> {
    pub(crate) status: StatusCode,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) headers: Option<&'a HeaderMap>,
}

impl<'a> Head<'a> {
    /// The head of a response.
    #[inline]
    pub(crate) fn of(response: &'a Response) -> Self {
        Head {
            status: response.status(),
            content_type: response.default_content_type(),
            headers: response.header_map(),
        }
    }
}

/// A piece of a response's body.
pub(crate) enum Piece<'a> {
    /// [`COPIED`] bytes at most.
    Short(&'a [u8]),
    Long(Bytes),
}

impl<'a> Piece<'a> {
    /// Returns a body in memory that is short enough to be copied.
    #[inline]
    pub(crate) fn short(body: &'a Body) -> Option<Self> {
        let bytes = body.as_bytes()?;
        (bytes.len() <= COPIED && !matches!(body, Body::Upgrade(_))).then_some(Piece::Short(bytes))
    }

    /// The number of bytes.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        match self {
            Piece::Short(bytes) => bytes.len(),
            Piece::Long(bytes) => bytes.len(),
        }
    }
}
