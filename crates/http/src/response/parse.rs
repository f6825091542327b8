//! Responses written out as text.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderName, TRANSFER_ENCODING};

use super::Response;
use crate::{HeaderValue, StatusCode};

/// The most fields that a response written out may have.
const MAX_FIELDS: usize = 100;

/// Why a response that is written out cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// It is not a status line and fields.
    #[error("reading a response failed: {why}")]
    Malformed {
        /// What is wrong with it.
        why: Box<str>,
    },
    /// There is no empty line after the fields.
    #[error("reading a response failed: there is no empty line after its fields")]
    Unfinished,
    /// A status of 1xx is not an answer.
    #[error("reading a response failed: {status} is not the status of an answer")]
    Interim {
        /// The status.
        status: u16,
    },
    /// The body is in a transfer coding.
    #[error(
        "reading a response failed: its body is in a transfer coding, which is for the server to apply"
    )]
    TransferEncoding,
}

impl Response {
    /// A response that is written out: a status line such as `HTTP/1.1 200 OK`, fields, an empty line, and the body.
    ///
    /// Lines end in CRLF or LF. What follows the empty line is the body, whatever `Content-Length` says. The server writes
    /// that header, the version and the reason itself; `Connection: close` closes the connection.
    ///
    /// A string that a handler returns is never read in this way by itself, because a part of it may come from a
    /// client; nor should one be given to this function.
    ///
    /// # Errors
    ///
    /// If there is no status line or no empty line, if a field is malformed, if the status is one of 1xx, or if there
    /// is a `Transfer-Encoding`.
    ///
    /// # Limits
    ///
    /// 100 fields.
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
            httparse::Status::Partial => return Err(ParseError::Unfinished),
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
        why: error.to_string().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(response: &Response) -> &[u8] {
        response.body().as_bytes().unwrap()
    }

    #[test]
    fn the_body_is_all_that_follows_whatever_the_length_says() {
        // The lengths that the seed's ready-made answers had, 18 for 12 and so on.
        for length in ["18", "0", "-1", "many"] {
            let raw = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\nHello World!");
            let response = Response::parse(raw).unwrap();
            assert_eq!(body(&response), b"Hello World!");
            assert_eq!(response.get("content-length"), None);
        }
    }

    #[test]
    fn a_length_is_not_needed() {
        let response = Response::parse("HTTP/1.1 404 Not Found\r\n\r\nnothing").unwrap();
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(body(&response), b"nothing");
    }

    #[test]
    fn the_body_may_have_empty_lines() {
        let response = Response::parse("HTTP/1.0 200 OK\r\n\r\n\r\n\r\n").unwrap();
        assert_eq!(body(&response), b"\r\n\r\n");
    }

    #[test]
    fn lines_may_end_as_in_a_program() {
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
    fn a_body_in_a_transfer_coding_is_refused() {
        let raw = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        assert_eq!(
            Response::parse(raw).unwrap_err(),
            ParseError::TransferEncoding
        );
    }

    #[test]
    fn a_status_of_1xx_is_refused() {
        let raw = "HTTP/1.1 101 Switching Protocols\r\n\r\n";
        assert_eq!(
            Response::parse(raw).unwrap_err(),
            ParseError::Interim { status: 101 }
        );
    }

    #[test]
    fn what_has_no_empty_line_is_refused() {
        for raw in ["", "HTTP/1.1 200 OK", "HTTP/1.1 200 OK\r\nA: b\r\n"] {
            assert_eq!(
                Response::parse(raw).unwrap_err(),
                ParseError::Unfinished,
                "{raw:?}"
            );
        }
    }

    #[test]
    fn what_is_malformed_is_refused() {
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
