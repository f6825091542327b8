//! Receivers of decoded fields.

use bytes::Bytes;
use http::StatusCode;

use super::hpack::{Field, FieldSink, StaticName};
use super::priority::Priority;
use crate::message::{
    HeadBuilder, HeadRules, InvalidMessage, RequestHead, Trailers, TrailersBuilder, check_name,
    check_value, is_connection_specific, parse_length,
};

/// Receives the fields of a request.
pub(super) struct RequestSink<'a> {
    builder: HeadBuilder<'a>,
    /// Number of fields other than `cookie` and the pseudo-headers.
    pub(super) count: usize,
    pub(super) priority: Option<Priority>,
}

impl<'a> RequestSink<'a> {
    #[inline]
    pub(super) fn new(head: &'a mut RequestHead, rules: HeadRules) -> RequestSink<'a> {
        RequestSink {
            builder: HeadBuilder::new(head, rules),
            count: 0,
            priority: None,
        }
    }

    #[inline]
    pub(super) fn finish(self, end: bool) -> Result<(), InvalidMessage> {
        self.builder.finish(end)
    }
}

impl FieldSink for RequestSink<'_> {
    #[inline]
    fn field(&mut self, field: Field<'_>) {
        let is_counted = field.static_name != Some(StaticName::COOKIE);
        self.count += usize::from(is_counted && field.name.first() != Some(&b':'));
        if field.static_name.is_none() && field.name == b"priority" {
            self.priority = Some(Priority::parse(field.value));
        }
        let name = field.static_name.map_or(0, |name| name.index() as u8);
        self.builder.field(field.name, field.value, name);
    }
}

/// The decoded head of a response.
pub(super) struct DecodedResponse {
    /// The head as text.
    pub(super) bytes: Bytes,
    /// Start of the fields.
    pub(super) fields: usize,
    pub(super) status: StatusCode,
    pub(super) length: Option<u64>,
}

/// Receives the fields of a response, and writes them as the text of an HTTP/1 head.
pub(super) struct ResponseSink {
    text: Vec<u8>,
    status: Option<StatusCode>,
    length: Option<u64>,
    /// Number of fields other than pseudo-headers.
    pub(super) count: usize,
    error: Option<InvalidMessage>,
}

/// The text before the status.
const STATUS_LINE: &[u8] = b"HTTP/2 ";

impl ResponseSink {
    pub(super) fn new() -> ResponseSink {
        ResponseSink {
            text: STATUS_LINE.to_vec(),
            status: None,
            length: None,
            count: 0,
            error: None,
        }
    }

    /// Returns the head.
    ///
    /// # Errors
    ///
    /// The first error of a field, or that there is no status.
    pub(super) fn finish(mut self) -> Result<DecodedResponse, InvalidMessage> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let status = self.status.ok_or(BAD_STATUS)?;
        self.text.extend_from_slice(b"\r\n");
        Ok(DecodedResponse {
            bytes: self.text.into(),
            fields: STATUS_LINE.len() + 6,
            status,
            length: self.length,
        })
    }

    fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), InvalidMessage> {
        if name == b":status" {
            let status = StatusCode::from_bytes(value).map_err(|_| BAD_STATUS)?;
            if self.status.is_some() || self.count > 0 || status == StatusCode::SWITCHING_PROTOCOLS
            {
                return Err(BAD_STATUS);
            }
            self.status = Some(status);
            self.text.extend_from_slice(value);
            self.text.extend_from_slice(b" \r\n");
            return Ok(());
        }
        self.count += 1;
        if self.status.is_none() {
            return Err(BAD_STATUS);
        }
        check_name(name)?;
        check_value(value)?;
        if is_connection_specific(name) {
            return Err(InvalidMessage::bad(
                "a header of the response is not allowed in HTTP/2",
            ));
        }
        if name == b"content-length" {
            let length = parse_length(value)?;
            if self.length.is_some_and(|other| other != length) {
                return Err(InvalidMessage::bad(
                    "there are several Content-Length headers with different values",
                ));
            }
            self.length = Some(length);
        }
        for part in [name, b": ", value, b"\r\n"] {
            self.text.extend_from_slice(part);
        }
        Ok(())
    }
}

const BAD_STATUS: InvalidMessage =
    InvalidMessage::bad("the pseudo-header :status is missing or malformed");

impl FieldSink for ResponseSink {
    fn field(&mut self, field: Field<'_>) {
        if self.error.is_none()
            && let Err(error) = self.add(field.name, field.value)
        {
            self.error = Some(error);
        }
    }
}

/// Receives fields that are not used.
pub(super) struct Ignore;

impl FieldSink for Ignore {
    fn field(&mut self, _: Field<'_>) {}
}

/// Receives trailers.
pub(super) struct TrailerSink {
    builder: TrailersBuilder,
}

impl TrailerSink {
    pub(super) fn new() -> TrailerSink {
        TrailerSink {
            builder: TrailersBuilder::new(),
        }
    }

    pub(super) fn finish(self) -> Result<Trailers, InvalidMessage> {
        self.builder.finish()
    }
}

impl FieldSink for TrailerSink {
    fn field(&mut self, field: Field<'_>) {
        let name = field.static_name.map_or(0, |name| name.index() as u8);
        self.builder.field(field.name, field.value, name);
    }
}
