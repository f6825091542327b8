//! The routing table: path patterns and methods, independent of a server.

mod error;
mod expression;
mod methods;
mod params;
mod path;
mod pattern;
mod table;
mod tree;

pub use error::RouteError;
#[cfg(feature = "regex")]
pub(crate) use expression::Expression;
pub use params::Params;
pub(crate) use path::{BadEscape, NormalPath, has_plain_segments};
pub use table::{RouteMatch, Router};
