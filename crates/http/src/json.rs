//! JSON responses.

use serde::Serialize;

use crate::{IntoResponse, Response};

/// A JSON response, as created by [`Response::json`]. A value that cannot be serialized becomes a response with status 500.
///
/// # Examples
/// ```
/// use uptick_http::{HttpServer, Json, Request, StatusCode};
///
/// let http = HttpServer::new();
/// http.get("/primes", |_: Request| Json([2, 3, 5, 7]));
/// http.post("/primes", |_: Request| (StatusCode::CREATED, Json(11)));
/// # assert_eq!(http.test().get("/primes").send()?.text(), "[2,3,5,7]");
/// # Ok::<(), uptick_http::test::TestError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        Response::json(self.0)
    }
}
