//! The HTTP servers. All of them answer `GET /hello` with [`HELLO`] and `GET /user/{id}` with the id, as
//! `text/plain; charset=utf-8`, with `Content-Length` and `Date`.

pub(super) mod actix;
pub(super) mod axum;
pub(super) mod bun;
pub(super) mod floor;
pub(super) mod hyper;
pub(super) mod node;
pub(super) mod uptick;

/// The body at `/hello`.
pub(super) const HELLO: &str = "Hello, World!";

/// What the path of a user begins with.
const USER: &str = "/user/";
