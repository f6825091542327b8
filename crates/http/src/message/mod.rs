//! The parts of messages that HTTP/1 and HTTP/2 share: heads of requests, fields, trailers, and the checks of their characters.

pub(crate) mod block;
#[allow(dead_code, reason = "HTTP/2 uses it")]
mod field_name;
pub(crate) mod fields;
#[allow(dead_code, reason = "HTTP/2 uses it")]
mod head_builder;
pub(crate) mod invalid;
#[cfg(not(feature = "simd"))]
mod lanes;
pub(crate) mod request_head;
pub(crate) mod target;
pub(crate) mod text;
#[allow(dead_code, reason = "HTTP/2 uses it")]
mod trailers_builder;

pub(crate) use field_name::{FORBIDDEN_TRAILER, is_forbidden_in_trailers};
pub use fields::{Fields, Trailers};
#[allow(unused_imports, reason = "HTTP/2 uses it")]
pub(crate) use head_builder::{HeadBuilder, HeadRules};
pub use invalid::InvalidMessage;
pub use request_head::{BodyLength, RequestHead, TargetForm, Version};
#[allow(unused_imports, reason = "HTTP/2 uses it")]
pub(crate) use trailers_builder::TrailersBuilder;
