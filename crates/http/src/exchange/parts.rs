//! The head and body pieces of a response, as passed to transports.

use bytes::Bytes;

use crate::{Body, HeaderMap, Response, StatusCode};

/// Maximum size of pieces that are copied, in bytes. Longer ones are passed on as `Bytes`.
pub(crate) const MAX_COPIED: usize = 4096;

/// The head of a response, created from a [`Response`], whose parts are valid.
#[derive(Clone, Copy)]
pub(crate) struct Head<'a> {
    pub(crate) status: StatusCode,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) headers: Option<&'a HeaderMap>,
}

impl<'a> Head<'a> {
    /// Returns the head of a response.
    #[inline]
    pub(crate) fn of(response: &'a Response) -> Self {
        Head {
            status: response.status(),
            content_type: response.default_content_type(),
            headers: response.header_map(),
        }
    }
}

/// A piece of a response body.
pub(crate) enum BodyPiece<'a> {
    /// At most [`MAX_COPIED`] bytes.
    Short(&'a [u8]),
    Long(Bytes),
}

impl<'a> BodyPiece<'a> {
    /// Returns a body in memory that is short enough to be copied.
    #[inline]
    pub(crate) fn short(body: &'a Body) -> Option<Self> {
        let bytes = body.as_bytes()?;
        (bytes.len() <= MAX_COPIED && !matches!(body, Body::Upgrade(_)))
            .then_some(BodyPiece::Short(bytes))
    }

    /// Returns the number of bytes.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        match self {
            BodyPiece::Short(bytes) => bytes.len(),
            BodyPiece::Long(bytes) => bytes.len(),
        }
    }
}
