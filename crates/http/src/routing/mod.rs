//! The table of routes: patterns of paths and methods, without anything of a server.

mod error;
mod methods;
mod params;
mod path;
mod pattern;
mod table;
mod tree;

pub use error::RouteError;
pub use params::Params;
pub(crate) use path::{BadEscape, NormalPath, names_segments};
pub(crate) use pattern::whole_match;
pub use table::{Found, Router};
