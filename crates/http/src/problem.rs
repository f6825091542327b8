//! Problem details (RFC 9457).

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{HttpError, IntoResponse, Response, StatusCode};

/// An error in the format of RFC 9457: `application/problem+json`.
///
/// [`HttpServer::problem_details`](crate::HttpServer::problem_details) sends all errors of a server in this format.
///
/// # Examples
/// ```
/// use uptick_http::{HttpServer, ProblemDetails, Request, StatusCode};
///
/// let http = HttpServer::new();
/// http.get("/pay", |_: Request| {
///     ProblemDetails::new(StatusCode::FORBIDDEN)
///         .kind("https://example.com/probs/out-of-credit")
///         .title("You do not have enough credit")
///         .detail("Your balance is 30, but that costs 50")
///         .extension("balance", 30)
/// });
/// # let response = http.test().get("/pay").send()?;
/// # assert_eq!(response.header("content-type"), Some("application/problem+json"));
/// # assert!(response.text().contains(r#""balance":30"#), "{}", response.text());
/// # Ok::<(), uptick_http::test::TestError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ProblemDetails {
    status: StatusCode,
    kind: Option<Cow<'static, str>>,
    title: Option<Cow<'static, str>>,
    detail: Option<Cow<'static, str>>,
    instance: Option<String>,
    extensions: Map<String, Value>,
}

impl ProblemDetails {
    /// Creates problem details with a status and its reason phrase as the title. A status that is not 4xx or 5xx becomes 500.
    pub fn new(status: StatusCode) -> Self {
        ProblemDetails {
            status: HttpError::from_status(status).status(),
            kind: None,
            title: None,
            detail: None,
            instance: None,
            extensions: Map::new(),
        }
    }

    /// Sets the URI that identifies the problem type, the member `type`. Default: none, which means `about:blank`.
    pub fn kind(mut self, uri: impl Into<Cow<'static, str>>) -> Self {
        self.kind = Some(uri.into());
        self
    }

    /// Sets the summary of the problem type. Default: the reason phrase of the status.
    pub fn title(mut self, title: impl Into<Cow<'static, str>>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Sets the explanation of this occurrence of the problem. Default: none.
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Sets the URI of this occurrence of the problem. Default: none.
    pub fn instance(mut self, uri: impl Into<String>) -> Self {
        self.instance = Some(uri.into());
        self
    }

    /// Adds an extension member. Standard members take precedence over an extension with the same name. A value that cannot be serialized is
    /// omitted. Default: none.
    pub fn extension(mut self, name: impl Into<String>, value: impl Serialize) -> Self {
        if let Ok(value) = serde_json::to_value(value) {
            self.extensions.insert(name.into(), value);
        }
        self
    }
}

/// Uses the message of the error as the detail, unless it is the reason phrase of the status. The cause is omitted.
impl From<&HttpError> for ProblemDetails {
    fn from(error: &HttpError) -> Self {
        let details = ProblemDetails::new(error.status());
        match error.message() {
            message if Some(message) == error.status().canonical_reason() => details,
            "" => details,
            message => details.detail(message.to_owned()),
        }
    }
}

impl IntoResponse for ProblemDetails {
    fn into_response(self) -> Response {
        let reason = self.status.canonical_reason().unwrap_or("Error");
        let mut members = self.extensions;
        let mut set = |name: &str, value: Option<Cow<'static, str>>| {
            if let Some(value) = value {
                members.insert(name.to_owned(), Value::String(value.into_owned()));
            }
        };
        set("type", self.kind);
        set("title", Some(self.title.unwrap_or(Cow::Borrowed(reason))));
        set("detail", self.detail);
        set("instance", self.instance.map(Cow::Owned));
        members.insert("status".to_owned(), self.status.as_u16().into());
        Response::json(members)
            .content_type("application/problem+json")
            .with_status(self.status)
    }
}
