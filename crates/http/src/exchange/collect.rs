//! Bodies collected in memory.

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use serde::de::DeserializeOwned;

use super::{BodyReader, Request};
use crate::body::BodyError;
use crate::extract::decode_json;

impl Request {
    /// Returns the whole body, once it was received.
    ///
    /// The future does not borrow the request.
    ///
    /// # Errors
    /// [`BodyError::TooLong`] as soon as a `Content-Length` or a chunk size announces more than `limit` bytes. Returned by `?` from a
    /// handler, it becomes a response with status 413, which is sent while the client is still sending the body.
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
        let mut body = self.body_stream().limited(limit);
        async move {
            let first = body.next().await.transpose()?.unwrap_or_default();
            if announced == Some(first.len() as u64) {
                return end(&mut body).await.map(|()| first);
            }
            let mut whole = BytesMut::from(&first[..]);
            drop(first);
            while let Some(piece) = body.next().await.transpose()? {
                whole.extend_from_slice(&piece);
            }
            Ok(whole.freeze())
        }
    }

    /// Returns the body as text, up to 1 MiB ([`HttpServer::body_limit`](crate::HttpServer::body_limit)).
    ///
    /// # Errors
    /// As for [`bytes`](Request::bytes), and [`BodyError::Malformed`] if the body is not UTF-8.
    pub fn text(&self) -> impl Future<Output = Result<String, BodyError>> + use<> {
        let bytes = self.bytes(self.body_limit());
        async move {
            let bytes = Vec::from(bytes.await?);
            String::from_utf8(bytes)
                .map_err(|error| BodyError::malformed("text in UTF-8", error.utf8_error()))
        }
    }

    /// Deserializes the JSON body into a `serde` type, up to 1 MiB ([`HttpServer::body_limit`](crate::HttpServer::body_limit)). The
    /// `Content-Type` must be `application/json` or end with `+json`, because pages from other origins can send other types without a
    /// preflight.
    ///
    /// # Errors
    /// As for [`bytes`](Request::bytes); [`BodyError::WrongType`] (415) if the `Content-Type` is another one; [`BodyError::Malformed`]
    /// (400) if the body is not JSON; [`BodyError::Data`] (422), which contains the path of the value, if it is JSON but not a `T`.
    ///
    /// # Examples
    /// To accept any `Content-Type`, use `serde_json::from_slice(&req.bytes(64 * 1024).await?)`.
    /// ```
    /// use uptick_http::{HttpError, Request};
    ///
    /// async fn sum(req: Request) -> Result<String, HttpError> {
    ///     let numbers: Vec<i64> = req.json().await?;
    ///     Ok(numbers.iter().sum::<i64>().to_string())
    /// }
    /// # let _ = sum;
    /// ```
    pub fn json<T: DeserializeOwned>(&self) -> impl Future<Output = Result<T, BodyError>> + use<T> {
        let is_json = is_json(self.media_type());
        let bytes = self.bytes(self.body_limit());
        async move {
            if !is_json {
                let expected = "application/json";
                return Err(BodyError::WrongType { expected });
            }
            decode_json(&bytes.await?)
        }
    }
}

impl Request {
    /// Returns the media type of the body without its parameters; empty if there is none.
    pub(crate) fn media_type(&self) -> &str {
        let content_type = self.header("content-type").unwrap_or_default();
        content_type.split(';').next().unwrap_or_default().trim()
    }
}

/// Returns `true` if a media type is JSON (RFC 6839, section 3.1).
fn is_json(media_type: &str) -> bool {
    let has_suffix = |end: &str| {
        let start = media_type.len().checked_sub(end.len());
        start
            .and_then(|start| media_type.get(start..))
            .is_some_and(|last| last.eq_ignore_ascii_case(end))
    };
    media_type.eq_ignore_ascii_case("application/json") || has_suffix("+json")
}

/// Waits for the end of a body whose bytes were all received.
async fn end(body: &mut BodyReader) -> Result<(), BodyError> {
    match body.next().await.transpose()? {
        Some(_) => Err(BodyError::Closed),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_known_by_its_name_or_its_suffix() {
        for media_type in [
            "application/json",
            "Application/JSON",
            "application/ld+json",
            "a/b+JSON",
        ] {
            assert!(is_json(media_type), "{media_type}");
        }
        for media_type in [
            "",
            "json",
            "text/plain",
            "text/json",
            "application/jsonp",
            "+jso",
            "é+jso",
        ] {
            assert!(!is_json(media_type), "{media_type}");
        }
    }
}
