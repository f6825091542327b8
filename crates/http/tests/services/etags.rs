//! Entity tags by hash.

use uptick_http::{ETags, HttpServer, Request, Response, StatusCode};

fn server() -> HttpServer {
    let http = HttpServer::new().wrap(ETags::new());
    http.get("/", |_: Request| "hello");
    http.get("/own", |_: Request| {
        Response::plain("own").header("etag", "\"1\"")
    });
    http.get("/created", |_: Request| (StatusCode::CREATED, "created"));
    http.post("/", |_: Request| "posted");
    http
}

#[test]
fn equal_bodies_have_equal_weak_tags() {
    let http = server();
    let tag = |method: &str| {
        let request = match method {
            "HEAD" => http.test().head("/"),
            _ => http.test().get("/"),
        };
        request.send().unwrap().header("etag").unwrap().to_owned()
    };
    assert!(tag("GET").starts_with("W/\""), "{}", tag("GET"));
    assert_eq!(tag("GET"), tag("HEAD"));
}

#[test]
fn a_client_that_has_the_tag_gets_304_without_a_body() {
    let http = server();
    let first = http.test().get("/").send().unwrap();
    let tag = first.header("etag").unwrap();
    for known in [tag.to_owned(), format!("\"x\", {tag}"), "*".to_owned()] {
        let request = http.test().get("/").header("if-none-match", known.as_str());
        let response = request.send().unwrap();
        assert_eq!(response.status(), 304, "{known}");
        assert_eq!(response.header("etag"), Some(tag));
        assert_eq!(response.text(), "");
    }
    let request = http.test().get("/").header("if-none-match", "\"other\"");
    assert_eq!(request.send().unwrap().text(), "hello");
}

#[test]
fn a_tag_of_the_handler_is_kept_and_compared() {
    let http = server();
    let first = http.test().get("/own").send().unwrap();
    assert_eq!(first.header("etag"), Some("\"1\""));
    let second = http.test().get("/own").header("if-none-match", "W/\"1\"");
    assert_eq!(second.send().unwrap().status(), 304);
}

#[test]
fn other_methods_and_statuses_have_no_tag() {
    let http = server();
    let posted = http.test().post("/").header("if-none-match", "*");
    let posted = posted.send().unwrap();
    assert_eq!(
        (posted.status().as_u16(), posted.header("etag")),
        (200, None)
    );
    let created = http.test().get("/created").header("if-none-match", "*");
    let created = created.send().unwrap();
    assert_eq!(
        (created.status().as_u16(), created.header("etag")),
        (201, None)
    );
}
