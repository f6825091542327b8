//! A response whose body is buffered.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;
use uptick_http::h1::client::ResponseHead;
use uptick_http::h1::{Fields, Trailers, Version};

use crate::error::{Error, ErrorKind};
use crate::url::Url;

/// A complete response. Clones share it.
#[derive(Clone)]
pub struct Response(Arc<ResponseParts>);

struct ResponseParts {
    head: HeadParts,
    body: Bytes,
    trailers: Option<Trailers>,
}

/// The head of a response, and how it was obtained.
pub(crate) struct HeadParts {
    pub(crate) head: ResponseHead,
    pub(crate) headers: OnceLock<HeaderMap>,
    pub(crate) url: Url,
    pub(crate) redirects: u32,
    pub(crate) informational: Vec<u16>,
    pub(crate) is_reused: bool,
    pub(crate) attempts: u32,
}

/// The accessors of the head, which both kinds of responses have. They use a method `parts`.
macro_rules! head_methods {
    () => {
        /// Returns the status.
        pub fn status(&self) -> StatusCode {
            self.parts().head.status()
        }

        /// Returns the version of the response.
        pub fn version(&self) -> Version {
            self.parts().head.version()
        }

        /// Returns the headers. A decompressed body keeps its `Content-Encoding` and `Content-Length` here.
        pub fn headers(&self) -> &HeaderMap {
            let parts = self.parts();
            parts.headers.get_or_init(|| parts.head.to_header_map())
        }

        /// Returns the headers in the order in which they were received, with their names as written.
        pub fn fields(&self) -> Fields<'_> {
            self.parts().head.fields()
        }

        /// Returns the first value of a header; `None` if it is missing or not text. Names are case-insensitive.
        pub fn header(&self, name: &str) -> Option<&str> {
            str::from_utf8(self.parts().head.field(name)?).ok()
        }

        /// Returns the URL of the last hop, with its fragment and without user information.
        pub fn url(&self) -> &str {
            self.parts().url.as_str()
        }

        /// Returns the number of redirects that were followed.
        pub fn redirects(&self) -> u32 {
            self.parts().redirects
        }

        /// Returns the status codes of the interim responses (1xx) before this response, in order.
        pub fn informational(&self) -> &[u16] {
            &self.parts().informational
        }

        /// Returns `true` if the connection had carried an earlier request.
        pub fn is_reused(&self) -> bool {
            self.parts().is_reused
        }

        /// Returns the number of attempts of the last hop: 1, or 2 after a retry.
        pub fn attempts(&self) -> u32 {
            self.parts().attempts
        }
    };
}

pub(super) use head_methods;

impl Response {
    pub(crate) fn new(head: HeadParts, body: Bytes, trailers: Option<Trailers>) -> Response {
        Response(Arc::new(ResponseParts {
            head,
            body,
            trailers,
        }))
    }

    fn parts(&self) -> &HeadParts {
        &self.0.head
    }

    head_methods!();

    /// Returns the body.
    pub fn body(&self) -> &Bytes {
        &self.0.body
    }

    /// Returns the body as text. Invalid UTF-8 is replaced by U+FFFD.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0.body)
    }

    /// Parses the body as JSON.
    ///
    /// # Errors
    /// [`ErrorKind::Other`] if it is not JSON of this type.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.0.body).map_err(|error| {
            let reason = format!(
                "the body of {} is not the expected JSON: {error}",
                self.url()
            );
            Error::new(ErrorKind::Other, reason)
        })
    }

    /// Returns the trailers of the body.
    pub fn trailers(&self) -> Option<&Trailers> {
        self.0.trailers.as_ref()
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("url", &self.url())
            .field("status", &self.status())
            .field("body", &self.0.body.len())
            .finish_non_exhaustive()
    }
}
