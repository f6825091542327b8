//! Bodies read whole.

use std::fmt::Display;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use serde::de::DeserializeOwned;

use super::{BodyError, BodyReader};
use crate::Request;

impl Request {
    /// The body, once all of it has come.
    ///
    /// The future is by itself: it may be awaited while the request is used.
    ///
    /// # Errors
    /// [`BodyError::TooLong`] as soon as it is longer than `limit` bytes; returned by `?` from a handler, that is an
    /// answer with status 413 which comes while the client is still sending.
    ///
    /// # Examples
    /// ```
    /// use uptick_http::{HttpError, Request, Response};
    ///
    /// async fn echo(req: Request) -> Result<Response, HttpError> {
    ///     Ok(Response::binary(req.bytes(64 * 1024).await?))
    /// }
    /// # let _ = echo;
    /// ```
    pub fn bytes(&self, limit: usize) -> impl Future<Output = Result<Bytes, BodyError>> + use<> {
        let announced = self.content_length();
        let mut body = self.body_stream();
        async move {
            let too_long = || BodyError::TooLong { limit };
            if announced.is_some_and(|length| length > limit as u64) {
                return Err(too_long());
            }
            let first = body.next().await.transpose()?.unwrap_or_default();
            if first.len() > limit {
                return Err(too_long());
            }
            if announced == Some(first.len() as u64) {
                return end(&mut body).await.map(|()| first);
            }
            let mut whole = BytesMut::from(&first[..]);
            drop(first);
            while let Some(piece) = body.next().await.transpose()? {
                if whole.len() + piece.len() > limit {
                    return Err(too_long());
                }
                whole.extend_from_slice(&piece);
            }
            Ok(whole.freeze())
        }
    }

    /// The body as text, of 1 MiB at most ([`HttpServer::body_limit`](crate::HttpServer::body_limit)).
    ///
    /// # Errors
    /// As [`bytes`](Request::bytes), and [`BodyError::Malformed`] when it is not UTF-8.
    pub fn text(&self) -> impl Future<Output = Result<String, BodyError>> + use<> {
        let bytes = self.bytes(self.body_limit());
        async move {
            let bytes = Vec::from(bytes.await?);
            String::from_utf8(bytes).map_err(|error| malformed("text in UTF-8", error.utf8_error()))
        }
    }

    /// The body as JSON, of 1 MiB at most ([`HttpServer::body_limit`](crate::HttpServer::body_limit)), whatever its
    /// `Content-Type` is.
    ///
    /// # Errors
    /// As [`bytes`](Request::bytes), and [`BodyError::Malformed`] when it is not JSON, or not of a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> impl Future<Output = Result<T, BodyError>> + use<T> {
        let bytes = self.bytes(self.body_limit());
        async move {
            serde_json::from_slice(&bytes.await?)
                .map_err(|error| malformed("JSON as expected", error))
        }
    }
}

/// Sees to the end of a body whose bytes have all come.
async fn end(body: &mut BodyReader) -> Result<(), BodyError> {
    match body.next().await.transpose()? {
        Some(_) => Err(BodyError::Closed),
        None => Ok(()),
    }
}

fn malformed(what: &'static str, reason: impl Display) -> BodyError {
    BodyError::Malformed {
        what,
        reason: reason.to_string().into(),
    }
}
