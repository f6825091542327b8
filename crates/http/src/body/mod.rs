//! Why the body of a request is refused or was not read to its end.

mod error;
mod multipart_error;

pub use error::BodyError;
pub use multipart_error::MultipartError;
