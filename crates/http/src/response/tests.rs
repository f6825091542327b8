use super::*;
use crate::IntoResponse;

fn text(response: &Response) -> &str {
    std::str::from_utf8(response.body().as_bytes().unwrap()).unwrap()
}

#[test]
fn each_constructor_sets_its_content_type() {
    let type_of = |response: Response| response.get("content-type").map(str::to_owned);
    assert_eq!(
        type_of(Response::plain("")).unwrap(),
        "text/plain; charset=utf-8"
    );
    assert_eq!(
        type_of(Response::html("")).unwrap(),
        "text/html; charset=utf-8"
    );
    assert_eq!(type_of(Response::xml("")).unwrap(), "application/xml");
    assert_eq!(
        type_of(Response::binary("")).unwrap(),
        "application/octet-stream"
    );
    assert_eq!(type_of(Response::json(1)).unwrap(), "application/json");
    assert_eq!(type_of(Response::new(StatusCode::OK)), None);
}

#[test]
fn static_text_is_not_copied() {
    let page = "<h1>Hello, World!</h1>";
    let response = Response::html(page);
    assert!(matches!(response.body(), Body::Static(bytes) if bytes.as_ptr() == page.as_ptr()));
    assert!(response.header_map().is_none());
}

#[test]
fn a_response_is_small() {
    assert!(size_of::<Response>() <= 96, "{}", size_of::<Response>());
}

#[test]
fn json_is_serialized() {
    let value = std::collections::BTreeMap::from([("a", vec![1, 2])]);
    assert_eq!(text(&Response::json(&value)), r#"{"a":[1,2]}"#);
}

#[test]
fn a_value_that_is_not_valid_json_is_an_error() {
    let value = std::collections::BTreeMap::from([((1, 2), 3)]);
    let response = Response::json(value);
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(response.failure().unwrap().report().contains("string"));
}

#[test]
fn a_header_that_cannot_be_sent_makes_the_response_an_error() {
    for value in ["a\r\nb: c", "a\nb", "a\rb", "a\0b", "\x7f"] {
        let response = Response::html("secret").header("x-echo", value);
        assert_eq!(
            response.status(),
            StatusCode::INTERNAL_SERVER_ERROR,
            "{value:?}"
        );
        assert_eq!(text(&response), "Internal Server Error\n");
        assert_eq!(response.get("x-echo"), None);
    }
    for name in ["", "a b", "a:", "a\r\nb", "ä"] {
        let response = Response::html("secret").append_header(name, "x");
        assert_eq!(
            response.status(),
            StatusCode::INTERNAL_SERVER_ERROR,
            "{name:?}"
        );
    }
    let response = Response::html("secret").content_type("text/html\r\n");
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[test]
fn an_error_response_keeps_its_status_type_and_body() {
    let response = Response::plain("a")
        .header("x", "\n")
        .with_status(StatusCode::CREATED)
        .with_body("b")
        .content_type("text/html")
        .header("content-type", "text/html")
        .header("y", "1");
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(
        response.get("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(response.get("y"), Some("1"));
    assert_eq!(text(&response), "Internal Server Error\n");
}

#[test]
fn header_replaces_and_append_header_adds() {
    let mut response = Response::plain("")
        .header("x", "1")
        .append_header("x", "2")
        .header("y", "1")
        .header("y", "2")
        .append_header("content-type", "text/css");
    assert_eq!(response.headers_mut().get_all("x").iter().count(), 2);
    assert_eq!(response.headers_mut().get_all("y").iter().count(), 1);
    assert_eq!(
        response
            .headers_mut()
            .get_all("content-type")
            .iter()
            .count(),
        1
    );
    assert_eq!(
        response.content_type("text/csv").get("content-type"),
        Some("text/csv")
    );
}

#[test]
fn a_redirect_has_its_location() {
    let response = Response::redirect("/größe?a=%20&b=c d");
    assert_eq!(response.status(), StatusCode::FOUND);
    assert_eq!(
        response.get("location"),
        Some("/gr%C3%B6%C3%9Fe?a=%20&b=c%20d")
    );
    let response = response.with_status(StatusCode::SEE_OTHER);
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
}

#[test]
fn characters_not_allowed_in_a_location_are_escaped_once() {
    for (location, expected) in [
        ("/a b", "/a%20b"),
        ("/a%20b%2fc", "/a%20b%2fc"),
        ("/100%", "/100%25"),
        ("/%é%4%zz%41", "/%25%C3%A9%254%25zz%41"),
        ("/\\evil.example", "/%5Cevil.example"),
        ("/\tx\"<y>`{z}|^", "/%09x%22%3Cy%3E%60%7Bz%7D%7C%5E"),
        (
            "http://[::1]:80/a;b=c,d?e=(f)&g=@#h",
            "http://[::1]:80/a;b=c,d?e=(f)&g=@#h",
        ),
        ("", ""),
    ] {
        let response = Response::redirect(location);
        assert_eq!(response.get("location"), Some(expected));
    }
}

#[test]
fn a_location_that_cannot_be_sent_makes_the_response_an_error() {
    for location in ["/\r\nset-cookie: a=b", "/\n", "/\0"] {
        let response = Response::redirect(location).with_status(StatusCode::MOVED_PERMANENTLY);
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.get("location"), None);
    }
}

#[test]
fn several_cookies_are_kept() {
    let mut response = Response::plain("").cookie(("a", "1")).cookie(("b", "2"));
    let cookies: Vec<_> = response
        .headers_mut()
        .get_all("set-cookie")
        .iter()
        .collect();
    assert_eq!(cookies, ["a=1", "b=2"]);
}

#[test]
fn a_cookie_that_cannot_be_sent_makes_the_response_an_error() {
    let response = Response::plain("x").cookie(("a", "1; path=/"));
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(response.get("set-cookie"), None);
}

#[test]
fn a_new_body_removes_content_length_and_etag() {
    let response = Response::plain("a")
        .header("content-length", "1")
        .header("etag", "\"1\"");
    let response = response.with_body("bc");
    assert_eq!(
        (response.get("content-length"), response.get("etag")),
        (None, None)
    );
    assert_eq!(text(&response), "bc");
}

#[test]
fn an_error_page_contains_the_message_but_not_the_cause() {
    let error = HttpError::bad_request("no <number>").with_source("the secret");
    assert_eq!(error.report(), "400 no <number>: the secret");
    let response = Response::from(error);
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(text(&response), "no <number>\n");
    assert_eq!(
        response.get("content-type"),
        Some("text/plain; charset=utf-8")
    );
}

#[test]
fn an_error_from_the_question_mark_is_a_500_without_its_text() {
    fn handler() -> Result<&'static str, HttpError> {
        let number: u8 = "the secret".parse()?;
        Ok(if number == 0 { "zero" } else { "more" })
    }
    let response = handler().into_response();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(text(&response), "Internal Server Error\n");
    assert!(
        response
            .failure()
            .unwrap()
            .report()
            .contains("invalid digit")
    );
}

#[test]
fn the_status_of_an_error_is_an_error_status() {
    assert_eq!(
        HttpError::new(StatusCode::OK, "x").status(),
        StatusCode::INTERNAL_SERVER_ERROR
    );
    let odd = StatusCode::from_u16(799).unwrap();
    assert_eq!(
        HttpError::from_status(odd).status(),
        StatusCode::INTERNAL_SERVER_ERROR
    );
}

#[test]
fn a_status_converts_to_a_response() {
    let empty = StatusCode::NO_CONTENT.into_response();
    assert!(empty.body().is_empty() && empty.failure().is_none());
    let error = StatusCode::IM_A_TEAPOT.into_response();
    assert_eq!(text(&error), "I'm a teapot\n");
    assert!(error.failure().is_some());
}

#[test]
fn a_status_with_a_value_converts_to_a_response() {
    let response = (StatusCode::CREATED, "made").into_response();
    assert_eq!(
        (response.status(), text(&response)),
        (StatusCode::CREATED, "made")
    );
    let failed: Result<&str, HttpError> = Err(HttpError::not_found());
    let response = (StatusCode::CREATED, failed).into_response();
    assert_eq!(response.status(), StatusCode::NOT_FOUND);
}
