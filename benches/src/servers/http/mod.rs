//! The HTTP servers. All of them respond to `GET /hello` with [`HELLO`] and to `GET /user/{id}` with the
//! id, as `text/plain; charset=utf-8`, with `Content-Length` and `Date`.

pub(super) mod actix;
pub(super) mod axum;
pub(super) mod bun;
pub(super) mod floor;
pub(super) mod hyper;
pub(super) mod node;
pub(super) mod uptick;

/// The response body of `/hello`.
pub(super) const HELLO: &str = "Hello, World!";

/// The prefix of the path of a user.
const USER: &str = "/user/";
