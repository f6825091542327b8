//! The table of routes: patterns of paths and methods, without anything of a server.

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
pub(crate) use path::{BadEscape, NormalPath, names_segments};
pub use table::{Found, Router};
