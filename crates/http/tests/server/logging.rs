//! The level and the length of log lines about failed requests.

use uptick_http::{HttpError, HttpServer, Request, Response, StatusCode};

use crate::support::{Client, capture_logs, get, server};

/// Maximum length of a log line of a request.
const MAX_LINE: usize = 2048;

/// Sends a request. Returns the status of the response and the log lines.
fn lines_of(http: HttpServer, request: &str) -> (u16, Vec<String>) {
    let mut status = 0;
    let lines = capture_logs(|| {
        let mut client = Client::new(http);
        client.send(request);
        status = client.response().status();
    });
    for line in &lines {
        assert!(line.len() < MAX_LINE, "{} bytes: {line}", line.len());
        assert!(!line.contains(['\n', '\r']), "{line}");
    }
    (status, lines)
}

/// Returns the log line with this level.
#[track_caller]
fn line_of<'a>(level: &str, lines: &'a [String]) -> &'a str {
    let line = lines.iter().find(|line| line.starts_with(level));
    line.unwrap_or_else(|| panic!("no {level} in {lines:?}"))
}

#[track_caller]
fn assert_no_error(lines: &[String]) {
    let errors = ["ERROR", "WARN"];
    let quiet = |line: &String| !errors.iter().any(|level| line.starts_with(level));
    assert!(lines.iter().all(quiet), "{lines:?}");
}

#[test]
fn an_unknown_method_is_logged_truncated_at_debug_level() {
    let http = server();
    http.get("/", |_: Request| "get");
    let method = "M".repeat(15_000);
    let (status, lines) = lines_of(http, &format!("{method} / HTTP/1.1\r\nHost: t\r\n\r\n"));
    assert_eq!(status, 501);
    assert_no_error(&lines);
    let line = line_of("DEBUG", &lines);
    assert!(
        line.contains("501") && line.contains("… (15000 bytes)"),
        "{line}"
    );
}

#[test]
fn a_refused_request_is_not_logged_as_an_error() {
    let http = server();
    http.on_response(|response: Response| response.header("x-a", "b"));
    for (request, expected) in [
        ("GET / HTTP/3.0\r\nHost: t\r\n\r\n", 505),
        (
            "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip\r\n\r\n",
            501,
        ),
        ("GET / HTTP/1.1\r\n\r\n", 400),
    ] {
        let (status, lines) = lines_of(http, request);
        assert_eq!(status, expected);
        assert_no_error(&lines);
    }
}

#[test]
fn a_handler_error_is_logged_with_truncated_method_path_and_cause() {
    let http = server();
    http.get("/{*path}", |req: Request| {
        let error = HttpError::internal(format!("no such thing:\r\n{}", req.path()));
        Err::<Response, _>(error)
    });
    let path = format!("/{}", "p".repeat(10_000));
    let (status, lines) = lines_of(http, &get(&path));
    assert_eq!(status, 500);
    let line = line_of("ERROR", &lines);
    assert!(line.contains("method=GET"), "{line}");
    assert!(
        line.contains("path=\"/ppp") && line.contains("ppp… (10001 bytes)"),
        "{line}"
    );
    assert!(line.contains(r"no such thing:\r\n/ppp"), "{line}");
}

#[test]
fn a_503_without_a_cause_is_not_logged_as_an_error() {
    let http = server();
    http.get("/busy", |_: Request| {
        HttpError::from_status(StatusCode::SERVICE_UNAVAILABLE)
    });
    http.get("/broken", |_: Request| {
        HttpError::from_status(StatusCode::SERVICE_UNAVAILABLE).with_source(std::fmt::Error)
    });
    http.get("/gateway", |_: Request| {
        HttpError::from_status(StatusCode::BAD_GATEWAY)
    });
    let (status, lines) = lines_of(http, &get("/busy"));
    assert_eq!(status, 503);
    assert_no_error(&lines);
    for path in ["/broken", "/gateway"] {
        line_of("ERROR", &lines_of(http, &get(path)).1);
    }
}

#[test]
fn a_panic_that_quotes_the_client_is_logged_on_one_truncated_line() {
    let http = server();
    http.get("/{*path}", |req: Request| async move {
        assert_eq!(req.query_string(), Some("fine"), "bad path\n{}", req.path());
        "fine"
    });
    let path = format!("/{}", "p".repeat(10_000));
    let (status, lines) = lines_of(http, &get(&path));
    assert_eq!(status, 500);
    assert!(line_of("ERROR", &lines).contains(r"bad path\n/ppp"));
}

#[test]
fn the_response_to_json_of_another_type_quotes_a_limited_part() {
    let http = server();
    http.post("/", |req: Request| async move {
        let value: bool = req.json().await?;
        Ok::<_, HttpError>(value.to_string())
    });
    let body = format!("\"{}\"", "x".repeat(10_000));
    let mut client = Client::new(http);
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: t\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    let response = client.response();
    assert_eq!(response.status(), 422);
    assert!(response.body.len() < 400, "{}", response.body);
    assert!(response.body.contains("invalid type"), "{}", response.body);
}
