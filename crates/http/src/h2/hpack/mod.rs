//! HPACK (RFC 7541), the compression of header blocks: a [`Decoder`] and an [`Encoder`] for one connection each.
//!
//! A connection has one decoder and one encoder, because each of them owns a dynamic table that must stay in step with the table of the peer. An
//! empty table owns no heap memory. A repeated field costs one or two bytes and a look-up; the steady state allocates nothing.
//!
//! # Limits
//!
//! The decoder counts each field with the length of its name and its value and 32 bytes of overhead (RFC 9113, 6.5.2) before it decodes or
//! copies the field: see [`ListLimits`]. The size of the tables is limited to [`Decoder::MAX_TABLE_SIZE`] and [`Encoder::with_limit`].
//!
//! ```
//! use uptick_http::h2::hpack::{Decoded, Decoder, Encoder, Field, Indexing, ListLimits, StaticName};
//!
//! let mut encoder = Encoder::new();
//! let mut block = Vec::new();
//! encoder.begin(&mut block);
//! encoder.status(200, &mut block);
//! encoder.static_field(StaticName::CONTENT_TYPE, b"text/plain", Indexing::Add, &mut block);
//! encoder.field(b"x-request-id", b"7", Indexing::Without, &mut block);
//!
//! let mut fields = Vec::new();
//! let mut collect = |field: Field<'_>| fields.push((field.name.to_vec(), field.value.to_vec()));
//! let decoded = Decoder::new(4096).decode(&block, ListLimits::default(), &mut collect);
//! assert_eq!(decoded, Ok(Decoded::Complete));
//! assert_eq!(fields[1], (b"content-type".to_vec(), b"text/plain".to_vec()));
//! assert_eq!(fields.len(), 3);
//! ```

mod decoder;
mod dynamic_table;
mod encoder;
mod error;
mod huffman;
mod integer;
mod limits;
mod scratch;
mod static_table;

pub use decoder::{Decoded, Decoder, Field, FieldSink};
pub use encoder::{Encoder, Indexing, write_literal};
pub use error::DecodeError;
pub use limits::ListLimits;
pub use static_table::StaticName;

/// The bytes that each field counts in addition to its name and its value (RFC 7541, 4.1).
pub const FIELD_OVERHEAD: usize = 32;
