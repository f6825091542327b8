//! Cross-origin resource sharing.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may panic and say why"
)]

mod support;

use std::time::Duration;

use support::{Client, ClientResponse, Log, manual_clock, server, settle};
use uptick_event_loop::add_timer;
use uptick_http::{
    Compression, Cors, HttpError, HttpServer, Next, Reply, Request, Responder, Response, StatusCode,
};

const APP: &str = "https://app.example";
const OTHER: &str = "https://other.example";

const ALLOW_ORIGIN: &str = "access-control-allow-origin";
const ALLOW_CREDENTIALS: &str = "access-control-allow-credentials";
const ALLOW_METHODS: &str = "access-control-allow-methods";
const ALLOW_HEADERS: &str = "access-control-allow-headers";
const EXPOSE_HEADERS: &str = "access-control-expose-headers";
const MAX_AGE: &str = "access-control-max-age";
const ALLOW_NETWORK: &str = "access-control-allow-private-network";

/// Sends a request with additional headers, and returns the response.
#[track_caller]
fn fetch(http: HttpServer, method: &str, path: &str, headers: &[(&str, &str)]) -> ClientResponse {
    let mut client = Client::new(http);
    let lines = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"));
    let lines: String = lines.collect();
    client.send(format!(
        "{method} {path} HTTP/1.1\r\nHost: test\r\n{lines}\r\n"
    ));
    client.response()
}

#[track_caller]
fn get_from(http: HttpServer, path: &str, origin: &str) -> ClientResponse {
    fetch(http, "GET", path, &[("Origin", origin)])
}

#[track_caller]
fn preflight(http: HttpServer, path: &str, origin: &str) -> ClientResponse {
    let headers = [("Origin", origin), ("Access-Control-Request-Method", "PUT")];
    fetch(http, "OPTIONS", path, &headers)
}

/// Returns `Vary` and all `Access-Control` headers, as lines.
fn cors_headers(response: &ClientResponse) -> Vec<&str> {
    let lines = response.head.lines();
    lines
        .filter(|line| line.starts_with("access-control-") || line.starts_with("vary"))
        .collect()
}

fn vary(response: &ClientResponse) -> Vec<&str> {
    let lines = response.head.lines();
    lines
        .filter_map(|line| line.strip_prefix("vary: "))
        .collect()
}

fn app() -> Cors {
    Cors::new().allow_origin(APP)
}

#[test]
fn pages_of_an_allowed_origin_may_read_responses_and_others_may_not() {
    let http = server().wrap(app()).get("/", |_: Request| "hello");
    let response = get_from(http, "/", APP);
    assert_eq!((response.status(), response.body.as_str()), (200, "hello"));
    assert_eq!(
        cors_headers(&response),
        [
            "vary: origin",
            "access-control-allow-origin: https://app.example"
        ]
    );
    for origin in [
        OTHER,
        "null",
        "https://app.example.evil.test",
        "http://app.example",
    ] {
        let response = get_from(http, "/", origin);
        assert_eq!((response.status(), response.body.as_str()), (200, "hello"));
        assert_eq!(cors_headers(&response), ["vary: origin"], "{origin}");
    }
    // A cache must not send this response to the page.
    let response = fetch(http, "GET", "/", &[]);
    assert_eq!(cors_headers(&response), ["vary: origin"]);
    let response = fetch(http, "GET", "/", &[("Origin", APP), ("Origin", OTHER)]);
    assert_eq!(cors_headers(&response), ["vary: origin"]);
}

#[test]
fn no_origin_is_allowed_by_default() {
    let http = server().wrap(Cors::new()).get("/", |_: Request| "hello");
    assert_eq!(cors_headers(&get_from(http, "/", APP)), ["vary: origin"]);
    assert_eq!(preflight(http, "/", APP).field(ALLOW_ORIGIN), None);
}

#[test]
fn a_preflight_is_answered_before_middleware_and_routes() {
    let log = Log::default();
    let (called, guarded) = (log.clone(), log.clone());
    let http = server().wrap(app());
    http.wrap(move |_: Request, _: Next| -> Reply {
        guarded.add("guard");
        Response::from(HttpError::from_status(StatusCode::UNAUTHORIZED)).into()
    });
    http.put("/", |_: Request| "hello");
    http.options("/options", move |_: Request| called.add("options"));
    for path in ["/", "/options", "/nowhere"] {
        let response = preflight(http, path, APP);
        assert_eq!(
            (response.status(), response.body.as_str()),
            (204, ""),
            "{path}"
        );
        assert_eq!(response.field("content-length"), None);
        assert_eq!(
            cors_headers(&response),
            [
                "vary: origin, access-control-request-method, access-control-request-headers",
                "access-control-allow-origin: https://app.example",
                "access-control-allow-methods: GET, HEAD, PUT, PATCH, POST, DELETE",
            ]
        );
    }
    assert_eq!(log.text(), "");
    // The actual request is refused by the guard.
    let response = fetch(
        http,
        "PUT",
        "/",
        &[("Origin", APP), ("Content-Length", "0")],
    );
    assert_eq!(
        (response.status(), response.field(ALLOW_ORIGIN)),
        (401, Some(APP))
    );
    assert_eq!(log.text(), "guard");
}

#[test]
fn a_preflight_of_another_origin_allows_nothing() {
    let cors = app()
        .allow_credentials(true)
        .max_age(Duration::from_secs(60));
    let http = server().wrap(cors.allow_private_network(true));
    let headers = [
        ("Origin", OTHER),
        ("Access-Control-Request-Method", "GET"),
        ("Access-Control-Request-Headers", "x-a"),
        ("Access-Control-Request-Private-Network", "true"),
    ];
    let response = fetch(http, "OPTIONS", "/", &headers);
    assert_eq!(response.status(), 204);
    assert_eq!(
        cors_headers(&response),
        [
            "vary: origin, access-control-request-method, access-control-request-headers, \
             access-control-request-private-network"
        ]
    );
}

#[test]
fn options_requests_without_a_preflight_are_handled() {
    let http = server().wrap(app());
    http.get("/", |_: Request| "hello");
    http.options("/own", |_: Request| "own");
    let allow = |headers: &[(&str, &str)]| {
        let response = fetch(http, "OPTIONS", "/", headers);
        let allow = response.field("allow").map(str::to_owned);
        (allow, response.field(ALLOW_ORIGIN).map(str::to_owned))
    };
    let routes = || Some("GET, HEAD, OPTIONS".to_owned());
    assert_eq!(allow(&[]), (routes(), None));
    assert_eq!(allow(&[("Origin", APP)]), (routes(), Some(APP.to_owned())));
    assert_eq!(
        allow(&[("Access-Control-Request-Method", "GET")]),
        (routes(), None)
    );
    assert_eq!(
        fetch(http, "OPTIONS", "/own", &[("Origin", APP)]).body,
        "own"
    );
}

#[test]
fn the_headers_that_a_preflight_lists_are_allowed() {
    let http = server().wrap(app());
    let allowed = |names: &[&str]| {
        let mut headers = vec![("Origin", APP), ("Access-Control-Request-Method", "GET")];
        headers.extend(
            names
                .iter()
                .map(|names| ("Access-Control-Request-Headers", *names)),
        );
        let response = fetch(http, "OPTIONS", "/", &headers);
        assert_eq!(response.field(ALLOW_ORIGIN), Some(APP));
        response.field(ALLOW_HEADERS).map(str::to_owned)
    };
    assert_eq!(allowed(&[]), None);
    assert_eq!(
        allowed(&["authorization,x-a"]).as_deref(),
        Some("authorization,x-a")
    );
    assert_eq!(allowed(&["x-a", "x-b"]).as_deref(), Some("x-a,x-b"));
    for malformed in ["x a", "x-a,,x-b", "<script>", "x-ä", ""] {
        assert_eq!(allowed(&[malformed]), None, "{malformed}");
    }
}

#[test]
fn methods_headers_and_max_age_can_be_set() {
    let cors = app()
        .allow_methods(["GET", "PURGE"])
        .allow_headers(["Authorization", "X-Request-Id"])
        .expose_headers(["ETag", "X-Total"])
        .max_age(Duration::from_millis(600_900));
    let http = server().wrap(cors).get("/", |_: Request| "hello");
    let headers = [
        ("Origin", APP),
        ("Access-Control-Request-Method", "GET"),
        ("Access-Control-Request-Headers", "x-other"),
    ];
    let response = fetch(http, "OPTIONS", "/", &headers);
    assert_eq!(response.field(ALLOW_METHODS), Some("GET, PURGE"));
    assert_eq!(
        response.field(ALLOW_HEADERS),
        Some("Authorization, X-Request-Id")
    );
    assert_eq!(response.field(MAX_AGE), Some("600"));
    assert_eq!(response.field(EXPOSE_HEADERS), None);
    assert_eq!(vary(&response), ["origin, access-control-request-method"]);
    let response = get_from(http, "/", APP);
    assert_eq!(response.field(EXPOSE_HEADERS), Some("ETag, X-Total"));
    assert_eq!(
        (response.field(ALLOW_METHODS), response.field(MAX_AGE)),
        (None, None)
    );

    let http = server().wrap(app().allow_headers([""; 0]));
    let response = fetch(http, "OPTIONS", "/", &headers);
    assert_eq!(
        (response.status(), response.field(ALLOW_HEADERS)),
        (204, None)
    );
}

#[test]
fn any_origin_is_a_wildcard_on_every_response() {
    let http = server().wrap(Cors::new().allow_any_origin());
    http.get("/", |_: Request| "hello");
    for headers in [&[("Origin", APP)][..], &[("Origin", "null")], &[]] {
        let response = fetch(http, "GET", "/", headers);
        assert_eq!(cors_headers(&response), ["access-control-allow-origin: *"]);
    }
    let response = preflight(http, "/", OTHER);
    assert_eq!(response.field(ALLOW_ORIGIN), Some("*"));
    assert_eq!(
        vary(&response),
        ["access-control-request-method, access-control-request-headers"]
    );
}

#[test]
fn any_origin_with_credentials_returns_the_origin_of_the_request() {
    let http = server().wrap(Cors::new().allow_any_origin().allow_credentials(true));
    http.get("/", |_: Request| "hello");
    for origin in [APP, OTHER, "null"] {
        for response in [get_from(http, "/", origin), preflight(http, "/", origin)] {
            assert_eq!(response.field(ALLOW_ORIGIN), Some(origin));
            assert_eq!(response.field(ALLOW_CREDENTIALS), Some("true"));
        }
    }
    assert_eq!(
        cors_headers(&fetch(http, "GET", "/", &[])),
        ["vary: origin"]
    );
}

#[test]
fn credentials_are_allowed_only_for_allowed_origins() {
    let http = server()
        .wrap(app().allow_credentials(true))
        .get("/", |_: Request| "hello");
    assert_eq!(
        get_from(http, "/", APP).field(ALLOW_CREDENTIALS),
        Some("true")
    );
    assert_eq!(get_from(http, "/", OTHER).field(ALLOW_CREDENTIALS), None);
    let without = server().wrap(app()).get("/", |_: Request| "hello");
    assert_eq!(get_from(without, "/", APP).field(ALLOW_CREDENTIALS), None);
}

#[test]
fn origins_are_allowed_by_lists_patterns_expressions_and_callbacks() {
    let cors = Cors::new()
        .allow_origins([APP, "https://*.preview.example", "http://localhost:*"])
        .allow_origin_regex(r"https://pr-[0-9]+\.example")
        .allow_origin_if(|origin, req| origin == "null" && req.path() == "/local");
    let http = server().wrap(cors);
    http.get("/", |_: Request| "hello")
        .get("/local", |_: Request| "hello");
    for (path, origin, allowed) in [
        ("/", APP, true),
        ("/", "https://a.preview.example", true),
        ("/", "https://preview.example", false),
        ("/", "http://localhost:5173", true),
        ("/", "https://pr-12.example", true),
        ("/", "https://pr-12.example.evil.test", false),
        ("/", "null", false),
        ("/local", "null", true),
        ("/local", OTHER, false),
        ("/", "", false),
    ] {
        let response = get_from(http, path, origin);
        let wanted = allowed.then_some(origin);
        assert_eq!(response.field(ALLOW_ORIGIN), wanted, "{path} from {origin}");
        assert_eq!(preflight(http, path, origin).field(ALLOW_ORIGIN), wanted);
    }
}

#[test]
fn null_is_allowed_if_it_is_listed() {
    let http = server()
        .wrap(Cors::new().allow_origin("null"))
        .get("/", |_: Request| "hello");
    assert_eq!(
        get_from(http, "/", "null").field(ALLOW_ORIGIN),
        Some("null")
    );
    assert_eq!(get_from(http, "/", APP).field(ALLOW_ORIGIN), None);
}

#[test]
fn errors_and_responses_of_the_responder_have_the_headers() {
    let clock = manual_clock();
    let http = server().wrap(app()).body_limit(4);
    http.get("/error", |_: Request| {
        Err::<String, _>(HttpError::bad_request("no"))
    });
    http.get("/panic", |_: Request| -> Response { panic!("on purpose") });
    http.post("/body", |req: Request| async move {
        req.text().await.map_err(HttpError::from)
    });
    http.get("/sent", |_: Request, res: Responder| {
        res.send("hello");
    });
    http.get("/later", |_: Request, res: Responder| {
        add_timer(Duration::ZERO, move || res.send("hello"));
    });
    http.get("/started", |_: Request, res: Responder| {
        res.start(Response::plain("one"));
        res.end();
    });
    http.error(|error, _| Response::plain("a page").with_status(error.status()));
    for (path, status) in [
        ("/error", 400),
        ("/panic", 500),
        ("/nowhere", 404),
        ("/body", 405),
        ("/sent", 200),
        ("/later", 200),
        ("/started", 200),
    ] {
        let response = get_from(http, path, APP);
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(response.field(ALLOW_ORIGIN), Some(APP), "{path}");
        assert_eq!(vary(&response), ["origin"], "{path}");
    }
    let headers = [("Origin", APP), ("Content-Length", "5")];
    let response = fetch(http, "POST", "/body", &headers);
    assert_eq!(
        (response.status(), response.field(ALLOW_ORIGIN)),
        (413, Some(APP))
    );

    http.get("/silent", |_: Request, _: Responder| ());
    let mut client = Client::new(http);
    client.send(format!(
        "GET /silent HTTP/1.1\r\nHost: test\r\nOrigin: {APP}\r\n\r\n"
    ));
    for _ in 0..14 {
        settle();
        clock.advance(Duration::from_secs(5));
    }
    let response = client.response();
    assert_eq!(
        (response.status(), response.field(ALLOW_ORIGIN)),
        (500, Some(APP))
    );
}

#[test]
fn vary_is_appended_once() {
    let http = server().wrap(app()).wrap(Compression::new());
    http.get("/long", |_: Request| "long ".repeat(1000));
    http.get("/own", |_: Request| {
        Response::plain("x").header("vary", "Cookie, ORIGIN")
    });
    http.get("/all", |_: Request| {
        Response::plain("x").header("vary", "*")
    });
    assert_eq!(
        vary(&get_from(http, "/long", APP)),
        ["accept-encoding", "origin"]
    );
    assert_eq!(vary(&get_from(http, "/own", APP)), ["Cookie, ORIGIN"]);
    assert_eq!(vary(&get_from(http, "/all", OTHER)), ["*"]);
}

#[test]
fn a_response_keeps_its_own_allowed_origin() {
    let http = server().wrap(app().allow_credentials(true).expose_headers(["etag"]));
    http.get("/", |_: Request| {
        Response::plain("x").header(ALLOW_ORIGIN, "*")
    });
    let response = get_from(http, "/", APP);
    assert_eq!(
        cors_headers(&response),
        ["access-control-allow-origin: *", "vary: origin"]
    );
}

#[test]
fn private_networks_are_allowed_for_browsers_that_request_it() {
    let http = server().wrap(app().allow_private_network(true));
    let requested = |value: Option<&'static str>| {
        let mut headers = vec![("Origin", APP), ("Access-Control-Request-Method", "GET")];
        headers.extend(value.map(|value| ("Access-Control-Request-Private-Network", value)));
        let response = fetch(http, "OPTIONS", "/", &headers);
        response.field(ALLOW_NETWORK).map(str::to_owned)
    };
    assert_eq!(requested(Some("true")).as_deref(), Some("true"));
    assert_eq!(requested(Some("false")), None);
    assert_eq!(requested(None), None);
    let without = server().wrap(app());
    let headers = [
        ("Origin", APP),
        ("Access-Control-Request-Method", "GET"),
        ("Access-Control-Request-Private-Network", "true"),
    ];
    assert_eq!(
        fetch(without, "OPTIONS", "/", &headers).field(ALLOW_NETWORK),
        None
    );
}

#[test]
fn a_group_answers_the_preflights_of_its_routes() {
    let http = server();
    http.group("/api", |api| {
        api.wrap(app());
        api.wrap(|_: Request, _: Next| -> Reply {
            Response::from(HttpError::from_status(StatusCode::UNAUTHORIZED)).into()
        });
        api.put("/users/{id}", |_: Request| "changed");
        api.group("/inner", |inner| {
            inner.get("", |_: Request| "inner");
        });
    });
    http.group("/plain", |plain| {
        plain.wrap(|_: Request, _: Next| -> Reply {
            panic!("the middleware is not called for OPTIONS")
        });
        plain.put("/", |_: Request| "changed");
    });
    http.get("/api/users/{id}", |_: Request| "of the server");
    for path in ["/api/users/7", "/api/inner"] {
        let response = preflight(http, path, APP);
        assert_eq!(
            (response.status(), response.field(ALLOW_ORIGIN)),
            (204, Some(APP)),
            "{path}"
        );
    }
    let refused = fetch(
        http,
        "PUT",
        "/api/users/7",
        &[("Origin", APP), ("Content-Length", "0")],
    );
    assert_eq!(
        (refused.status(), refused.field(ALLOW_ORIGIN)),
        (401, Some(APP))
    );
    // The group has no effect on other paths and routes.
    assert_eq!(
        get_from(http, "/api/users/7", APP).field(ALLOW_ORIGIN),
        None
    );
    assert_eq!(
        get_from(http, "/api/nowhere", APP).field(ALLOW_ORIGIN),
        None
    );
    let response = preflight(http, "/plain/", APP);
    assert_eq!(response.field("allow"), Some("PUT, OPTIONS"));
    assert_eq!(response.field(ALLOW_ORIGIN), None);
    // OPTIONS without a preflight is answered as usual.
    let response = fetch(http, "OPTIONS", "/api/users/7", &[("Origin", APP)]);
    assert_eq!(
        (response.status(), response.field(ALLOW_ORIGIN)),
        (204, None)
    );
}

#[test]
fn an_inner_group_determines_its_responses() {
    let http = server().wrap(app());
    http.group("/public", |public| {
        public.wrap(Cors::new().allow_any_origin());
        public.get("/", |_: Request| "public");
    });
    let response = get_from(http, "/public/", OTHER);
    assert_eq!(response.field(ALLOW_ORIGIN), Some("*"));
    assert_eq!(get_from(http, "/", OTHER).field(ALLOW_ORIGIN), None);
}

#[test]
fn a_callback_that_panics_makes_the_response_an_error() {
    let cors = Cors::new().allow_origin_if(|_, _| panic!("on purpose"));
    let http = server().wrap(cors).get("/", |_: Request| "hello");
    assert_eq!(get_from(http, "/", APP).status(), 500);
    assert_eq!(fetch(http, "GET", "/", &[]).status(), 200);
}

#[test]
#[should_panic(
    expected = "allowing the origin \"https://app.example/\" for CORS failed: it has a path"
)]
fn a_malformed_origin_is_refused() {
    let _ = Cors::new().allow_origin("https://app.example/");
}

#[test]
#[should_panic(expected = "allowing the origin \"(\" for CORS failed: regex parse error")]
fn a_malformed_expression_is_refused() {
    let _ = Cors::new().allow_origin_regex("(");
}

#[test]
#[should_panic(
    expected = "allowing the method \"GET, PUT\" for CORS failed: it is not the name of a method"
)]
fn a_malformed_method_is_refused() {
    let _ = Cors::new().allow_methods(["GET, PUT"]);
}

#[test]
#[should_panic(
    expected = "allowing the header \"x\\r\\ny\" for CORS failed: it is not the name of a header"
)]
fn a_malformed_header_is_refused() {
    let _ = Cors::new().allow_headers(["x\r\ny"]);
}

#[test]
#[should_panic(expected = "allowing the header \"*\" for CORS failed: it is a wildcard")]
fn a_header_wildcard_is_refused() {
    let _ = Cors::new().expose_headers(["*"]);
}

#[test]
fn try_allow_origin_returns_an_error_for_a_malformed_origin() {
    let error = Cors::new().try_allow_origin("app.example").unwrap_err();
    assert_eq!(
        error.to_string(),
        "allowing the origin \"app.example\" for CORS failed: it has no scheme, unlike \"https://example.com\""
    );
    assert!(Cors::new().try_allow_origin(APP).is_ok());
}
