//! Which handler a request is for: patterns of paths and methods, without anything of a server.

mod params;
mod routes;

pub use params::Params;
#[allow(unused_imports, reason = "the server is being put together")]
pub(crate) use routes::Routes;
