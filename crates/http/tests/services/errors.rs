//! Problem details and JSON.

use uptick_http::{HttpError, HttpServer, IntoResponse, Json, ProblemDetails, Request, StatusCode};

#[test]
fn all_errors_of_a_server_are_problem_details() {
    let http = HttpServer::new();
    http.problem_details();
    http.get("/page", |_: Request| {
        HttpError::bad_request("the page is not a number")
    });
    http.get("/fails", |_: Request| {
        Err::<&str, _>(HttpError::internal("the password is 1234"))
    });
    http.get("/panics", |_: Request| -> &str {
        panic!("the password is 1234")
    });
    let get = |path: &str| {
        let response = http.test().get(path).send().unwrap();
        assert_eq!(
            response.header("content-type"),
            Some("application/problem+json")
        );
        (response.status().as_u16(), response.text().into_owned())
    };
    let detailed =
        r#"{"detail":"the page is not a number","status":400,"title":"Bad Request"}"#.to_owned();
    assert_eq!(get("/page"), (400, detailed));
    let missing = r#"{"status":404,"title":"Not Found"}"#.to_owned();
    assert_eq!(get("/none"), (404, missing));
    let internal = r#"{"status":500,"title":"Internal Server Error"}"#.to_owned();
    assert_eq!(get("/fails"), (500, internal.clone()));
    assert_eq!(get("/panics"), (500, internal));
}

#[test]
fn problem_details_keep_the_headers_of_the_error() {
    let http = HttpServer::new();
    http.problem_details();
    http.post("/", |_: Request| "posted");
    let response = http.test().get("/").send().unwrap();
    assert_eq!(response.status(), 405);
    assert_eq!(response.header("allow"), Some("POST, OPTIONS"));
}

#[test]
fn extensions_do_not_replace_standard_members() {
    let response = ProblemDetails::new(StatusCode::CONFLICT)
        .kind("https://example.com/conflict")
        .instance("/orders/7")
        .extension("status", 200)
        .extension("order", 7)
        .into_response();
    assert_eq!(response.status(), 409);
    let body = std::str::from_utf8(response.body().as_bytes().unwrap()).unwrap();
    assert_eq!(
        body,
        r#"{"instance":"/orders/7","order":7,"status":409,"title":"Conflict","type":"https://example.com/conflict"}"#
    );
}

#[test]
fn a_status_that_is_not_an_error_becomes_500() {
    assert_eq!(
        ProblemDetails::new(StatusCode::OK).into_response().status(),
        500
    );
}

#[test]
fn json_accepts_any_value_and_a_status() {
    let http = HttpServer::new();
    http.post("/", |_: Request| {
        (StatusCode::CREATED, Json([("a", 1), ("b", 2)]))
    });
    let response = http.test().post("/").send().unwrap();
    assert_eq!(response.status(), 201);
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.text(), r#"[["a",1],["b",2]]"#);
}
