//! Which handler a request is for: patterns of paths and methods, without anything of a server.

mod error;
mod group;
mod methods;
mod params;
mod path;
mod pattern;
mod routes;
mod table;
#[macro_use]
mod verbs;

pub use error::RouteError;
pub use group::Group;
pub use params::Params;
pub(crate) use path::{BadEscape, NormalPath, names_segments};
pub(crate) use routes::{End, OnError, Routes};
pub use table::{Found, Router};
pub(crate) use verbs::routing_methods;
