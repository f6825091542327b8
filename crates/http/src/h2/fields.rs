//! Receivers of decoded fields.

use super::hpack::{Field, FieldSink, StaticName};
use super::priority::Priority;
use crate::message::{
    HeadBuilder, HeadRules, InvalidMessage, RequestHead, Trailers, TrailersBuilder,
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

/// Returns `true` if a header describes a connection of HTTP/1 (RFC 9113, section 8.2.2).
pub(super) fn is_connection_specific(name: &[u8]) -> bool {
    matches!(
        name,
        b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade"
    )
}
