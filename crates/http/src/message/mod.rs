//! The parts of messages that HTTP/1 and HTTP/2 share: heads of requests, fields, trailers, and the checks of their characters.

pub(crate) mod block;
pub(crate) mod fields;
pub(crate) mod invalid;
#[cfg(not(feature = "simd"))]
mod lanes;
pub(crate) mod request_head;
pub(crate) mod target;
pub(crate) mod text;

pub use fields::{Fields, Trailers};
pub use invalid::InvalidMessage;
pub use request_head::{BodyLength, RequestHead, TargetForm, Version};
