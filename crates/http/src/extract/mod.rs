//! Typed extraction of parameters, queries, forms and JSON.
//!
//! Cost: none for requests that do not use it. Values without escapes are borrowed from the request.

mod error;
mod pairs;

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use crate::{BodyError, Request};

pub use error::{ExtractError, ExtractFrom};
pub(crate) use pairs::{Pairs, PairsDeserializer};

impl Request {
    /// Deserializes the parameters of the route with `serde`: a struct or a map by name, a tuple by order, or a single value if there is one
    /// parameter.
    ///
    /// # Errors
    /// [`ExtractError`] if a parameter is missing or has the wrong type. Returned by `?` from a handler, it becomes a response with status 400
    /// that names the parameter.
    ///
    /// # Examples
    /// ```
    /// use uptick_http::{HttpError, HttpServer, Request};
    ///
    /// let http = HttpServer::new();
    /// http.get("/users/{user}/posts/{post}", |req: Request| {
    ///     let (user, post): (String, u64) = req.params()?;
    ///     Ok::<_, HttpError>(format!("post {post} of {user}"))
    /// });
    /// # assert_eq!(http.test().get("/users/ada/posts/7").send()?.text(), "post 7 of ada");
    /// # assert_eq!(http.test().get("/users/ada/posts/x").send()?.status(), 400);
    /// # Ok::<(), uptick_http::test::TestError>(())
    /// ```
    pub fn params<T: DeserializeOwned>(&self) -> Result<T, ExtractError> {
        let params = self.route_params();
        let path = self.path();
        let pairs = params.into_iter().flat_map(|params| params.iter(path));
        let pairs = pairs.map(|(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value)));
        decode(pairs, ExtractFrom::Params)
    }

    /// Deserializes the query with `serde`: a struct or a map by name, or a sequence of names and values.
    ///
    /// Names and values are decoded like those of a form: `+` is a space. A name that occurs more than once is a sequence. Booleans are `true`,
    /// `false`, `1`, `0`, `on` and `off`. An empty value is `None` for an `Option`.
    ///
    /// # Errors
    /// [`ExtractError`] if a value is missing or has the wrong type, or if there are more than 1,000 names. Returned by `?` from a handler, it
    /// becomes a response with status 400 that names the value.
    ///
    /// # Limits
    /// 1,000 names.
    ///
    /// # Examples
    /// ```
    /// use std::collections::BTreeMap;
    /// use uptick_http::{HttpError, HttpServer, Request};
    ///
    /// let http = HttpServer::new();
    /// http.get("/search", |req: Request| {
    ///     let query: BTreeMap<String, u32> = req.query()?;
    ///     Ok::<_, HttpError>(format!("{query:?}"))
    /// });
    /// # assert_eq!(http.test().get("/search?page=2").send()?.text(), "{\"page\": 2}");
    /// # let error = http.test().get("/search?page=two").send()?;
    /// # assert!(error.text().contains("the query parameter \"page\" is not valid"), "{}", error.text());
    /// # Ok::<(), uptick_http::test::TestError>(())
    /// ```
    pub fn query<T: DeserializeOwned>(&self) -> Result<T, ExtractError> {
        decode(self.query_pairs(), ExtractFrom::Query)
    }
}

/// Decodes the names and values of parameters or a query.
fn decode<'a, T: DeserializeOwned>(
    pairs: impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)>,
    from: ExtractFrom,
) -> Result<T, ExtractError> {
    let pairs = Pairs::collect(pairs).map_err(|error| ExtractError::new(from, "", error))?;
    serde_path_to_error::deserialize(PairsDeserializer::new(&pairs))
        .map_err(|error| ExtractError::new(from, name_of(&error, &pairs), error.inner()))
}

/// Decodes a form.
pub(crate) fn decode_form<'a, T: DeserializeOwned>(
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<T, BodyError> {
    let pairs = pairs.map(|(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value)));
    let invalid = |path: String, error: &pairs::Error| BodyError::data("the form", path, error);
    let pairs = Pairs::collect(pairs).map_err(|error| invalid(String::new(), &error))?;
    serde_path_to_error::deserialize(PairsDeserializer::new(&pairs))
        .map_err(|error| invalid(name_of(&error, &pairs), error.inner()))
}

/// Decodes JSON.
pub(crate) fn decode_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BodyError> {
    let error = match serde_json::from_slice(bytes) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    if !error.is_data() {
        return Err(BodyError::malformed("JSON", error));
    }
    // The value is decoded again to find the path of the error.
    let deserializer = &mut serde_json::Deserializer::from_slice(bytes);
    let path = match serde_path_to_error::deserialize::<_, T>(deserializer) {
        Ok(_) => String::new(),
        Err(error) => path_of(&error),
    };
    Err(BodyError::data("JSON", path, error))
}

/// Returns the name of the value that an error concerns, or its path; empty if the error concerns all of them.
fn name_of(error: &serde_path_to_error::Error<pairs::Error>, pairs: &Pairs<'_>) -> String {
    let name = match error.path().iter().next() {
        // The values of a tuple have the order of the pairs.
        Some(Segment::Seq { index }) => pairs.name(*index),
        Some(_) => None,
        None => error.inner().name(),
    };
    name.map_or_else(|| path_of(error), str::to_owned)
}

/// Returns the path of an error, such as `users[3].age`; empty if the error concerns the whole value.
fn path_of<E>(error: &serde_path_to_error::Error<E>) -> String {
    let path = error.path();
    match path.iter().next() {
        Some(_) => path.to_string(),
        None => String::new(),
    }
}
