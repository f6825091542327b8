//! The parts of messages that HTTP/1 and HTTP/2 share: heads of requests, fields, trailers, and the checks of their characters.

pub(crate) mod block;
mod field_checks;
pub(crate) mod field_name;
pub(crate) mod fields;
mod head_builder;
pub(crate) mod invalid;
#[cfg(not(feature = "simd"))]
mod lanes;
mod request_fields;
pub(crate) mod request_head;
pub(crate) mod response;
pub(crate) mod target;
pub(crate) mod text;
mod trailers_builder;

pub(crate) use field_checks::{check_name, check_value, parse_length};
pub(crate) use field_name::{FORBIDDEN_TRAILER, is_connection_specific, is_forbidden_in_trailers};
pub use fields::{Fields, Trailers};
pub(crate) use head_builder::{HeadBuilder, HeadRules};
pub use invalid::InvalidMessage;
pub use request_fields::RequestFields;
pub use request_head::{BodyLength, RequestHead, TargetForm, Version};
pub use response::{ResponseBody, is_owned};
pub(crate) use response::{is_owned_name, response_length};
pub(crate) use trailers_builder::TrailersBuilder;
