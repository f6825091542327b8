//! Parser of responses in text form.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderName, TRANSFER_ENCODING};

use super::Response;
use crate::{HeaderValue, StatusCode};

/// Maximum number of headers of a parsed response.
const MAX_FIELDS: usize = 100;

/// The error for a text that is not a valid response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The text is not a status line and headers.
    #[error("parsing a response failed: {reason}")]
    Malformed {
        /// The reason.
        reason: Box<str>,
    },
    /// The empty line after the headers is missing.
    #[error("parsing a response failed: the empty line after the headers is missing")]
    Incomplete,
    /// The status is 1xx, which is not the status of a final response.
    #[error("parsing a response failed: {status} is not the status of a final response")]
    Interim {
        /// The status.
        status: u16,
    },
    /// The body has a transfer coding.
    #[error(
        "parsing a response failed: Transfer-Encoding is not allowed, as the server applies transfer codings itself"
    )]
    TransferEncoding,
}

impl Response {
    /// Parses a response in text form: a status line such as `HTTP/1.1 200 OK`, headers, an empty line, and the body.
    ///
    /// Lines end with CRLF or LF. Everything after the empty line is the body, regardless of `Content-Length`. The server writes that
    /// header, the version and the reason itself; `Connection: close` closes the connection.
    ///
    /// Strings returned by handlers are never parsed this way, because a part of them may come from a client. For the same reason, do not
    /// pass such strings to this function.
    ///
    /// # Errors
    ///
    /// If the status line or the empty line is missing, a header is malformed, the status is 1xx, or there is a `Transfer-Encoding`.
    ///
    /// # Limits
    ///
    /// 100 headers.
    ///
    /// # Examples
    ///
    /// ```
    /// use uptick_http::Response;
    ///
    /// let response = Response::parse("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nHello World!")?;
    /// assert_eq!(response.get("content-type"), Some("text/plain"));
    /// assert_eq!(response.body().as_bytes(), Some(&b"Hello World!"[..]));
    /// # Ok::<(), uptick_http::ParseError>(())
    /// ```
    pub fn parse(raw: impl Into<Bytes>) -> Result<Self, ParseError> {
        let raw = raw.into();
        let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let mut head = httparse::Response::new(&mut fields);
        let length = match head.parse(&raw).map_err(malformed)? {
            httparse::Status::Complete(length) => length,
            httparse::Status::Partial => return Err(ParseError::Incomplete),
        };
        let code = head.code.unwrap_or_default();
        let status = StatusCode::from_u16(code).map_err(malformed)?;
        if status.is_informational() {
            return Err(ParseError::Interim { status: code });
        }
        let mut response = Self::new(status).with_body(raw.slice(length..));
        for field in head.headers {
            let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(malformed)?;
            let value = HeaderValue::from_bytes(field.value).map_err(malformed)?;
            match name {
                TRANSFER_ENCODING => return Err(ParseError::TransferEncoding),
                CONTENT_LENGTH => {}
                name => {
                    response.headers_mut().append(name, value);
                }
            }
        }
        Ok(response)
    }
}

fn malformed(error: impl std::error::Error) -> ParseError {
    ParseError::Malformed {
        reason: error.to_string().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(response: &Response) -> &[u8] {
        response.body().as_bytes().unwrap()
    }

    #[test]
    fn the_body_is_everything_after_the_empty_line_regardless_of_content_length() {
        // Too large, too small, and not a number.
        for length in ["18", "0", "-1", "many"] {
            let raw = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nHello World!");
            let response = Response::parse(raw).unwrap();
            assert_eq!(body(&response), b"Hello World!");
            assert_eq!(response.get("content-length"), None);
        }
    }

    #[test]
    fn content_length_is_optional() {
        let response = Response::parse("HTTP/1.1 404 Not Found\r\n\r\nnothing").unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(body(&response), b"nothing");
    }

    #[test]
    fn the_body_may_contain_empty_lines() {
        let response = Response::parse("HTTP/1.0 200 OK\r\n\r\n\r\n\r\n").unwrap();
        assert_eq!(body(&response), b"\r\n\r\n");
    }

    #[test]
    fn lines_may_end_with_lf() {
        let response = Response::parse("HTTP/1.1 200 OK\nX-A: 1\nX-A: 2\n\nhi").unwrap();
        assert_eq!(
            response
                .headers
                .as_ref()
                .unwrap()
                .get_all("x-a")
                .iter()
                .count(),
            2
        );
        assert_eq!(body(&response), b"hi");
    }

    #[test]
    fn connection_close_is_kept() {
        let response = Response::parse("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").unwrap();
        assert_eq!(response.get("connection"), Some("close"));
    }

    #[test]
    fn a_transfer_coding_is_refused() {
        let raw = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        assert_eq!(
            Response::parse(raw).unwrap_err(),
            ParseError::TransferEncoding
        );
    }

    #[test]
    fn an_informational_status_is_refused() {
        let raw = "HTTP/1.1 101 Switching Protocols\r\n\r\n";
        assert_eq!(
            Response::parse(raw).unwrap_err(),
            ParseError::Interim { status: 101 }
        );
    }

    #[test]
    fn a_missing_empty_line_is_refused() {
        for raw in ["", "HTTP/1.1 200 OK", "HTTP/1.1 200 OK\r\nA: b\r\n"] {
            assert_eq!(
                Response::parse(raw).unwrap_err(),
                ParseError::Incomplete,
                "{raw:?}"
            );
        }
    }

    #[test]
    fn malformed_input_is_refused() {
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(101));
        for raw in [
            "Hello World!",
            "HTTP/2 200 OK\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1 099 Low\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA B: c\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n",
            &many,
        ] {
            let result = Response::parse(raw.to_owned());
            assert!(
                matches!(result, Err(ParseError::Malformed { .. })),
                "{raw:?}"
            );
        }
    }
}
