//! Errors of request bodies.

mod error;
#[cfg(feature = "multipart")]
mod multipart_error;

pub use error::BodyError;
#[cfg(feature = "multipart")]
pub use multipart_error::MultipartError;
