//! Why the body of a request is refused or was not read to its end.

mod error;
#[cfg(feature = "multipart")]
mod multipart_error;

pub use error::BodyError;
#[cfg(feature = "multipart")]
pub use multipart_error::MultipartError;
