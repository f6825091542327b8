//! Responses to test requests.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::header::SET_COOKIE;
use serde::de::DeserializeOwned;
use uptick_emitter::Excerpt;

use super::TestError;
use crate::{HeaderMap, StatusCode};

/// A complete response.
#[derive(Clone, Debug)]
pub struct TestResponse {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) trailers: HeaderMap,
}

impl TestResponse {
    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the first value of a header, if it is text. The case of the name is ignored.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns the value of a cookie that the response sets, without its attributes.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let fields = self.headers.get_all(SET_COOKIE).into_iter();
        fields
            .filter_map(|field| field.to_str().ok())
            .filter_map(|field| field.split(';').next()?.split_once('='))
            .find_map(|(key, value)| (key.trim() == name).then_some(value))
    }

    /// Returns the body.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Returns the body as text; bytes that are not UTF-8 are replaced.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// Decodes the body as JSON.
    ///
    /// # Errors
    /// [`TestError::Json`] if it is not JSON, or does not match the type `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, TestError> {
        serde_json::from_slice(&self.body).map_err(|source| TestError::Json {
            body: Excerpt::new(self.text()).to_string(),
            source: Arc::new(source),
        })
    }

    /// Returns the trailers.
    pub fn trailers(&self) -> &HeaderMap {
        &self.trailers
    }
}
