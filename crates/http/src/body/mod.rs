//! Bodies of requests, for those who read them.

mod collect;
mod error;
mod reader;

pub use error::BodyError;
pub use reader::BodyReader;
