//! Basic and Bearer authentication.

use std::net::SocketAddr;
use std::time::Duration;

use uptick_event_loop::{EventLoop, ManualClock, ScriptedPoller, sleep};
use uptick_http::test::TestResponse;
use uptick_http::{Authentication, Credentials, HttpServer, Request, constant_time_eq};
use uptick_rate_limit::Limit;

struct User(String);

fn verified(credentials: &Credentials) -> Option<User> {
    let is_right = constant_time_eq(credentials.password(), "open: sesame");
    is_right.then(|| User(credentials.name().to_owned()))
}

fn server<T: 'static>(authentication: Authentication<T>) -> HttpServer {
    let http = HttpServer::new();
    http.get("/public", |_: Request| "public");
    http.group("/private", |private| {
        private.wrap(authentication);
        private.get("/", |req: Request| match req.extension::<User>() {
            Some(user) => user.0.clone(),
            None => "anonymous".to_owned(),
        });
    });
    http
}

fn get(http: HttpServer, authorization: &str) -> TestResponse {
    let request = http.test().get("/private/");
    let request = request.peer(SocketAddr::from(([192, 0, 2, 1], 80)));
    let request = match authorization {
        "" => request,
        value => request.header("authorization", value),
    };
    request.send().unwrap()
}

/// `Ada:open: sesame`
const RIGHT: &str = "Basic QWRhOm9wZW46IHNlc2FtZQ==";

#[test]
fn a_valid_password_grants_access_to_the_group() {
    let http = server(Authentication::basic("the \"admins\"", |_, credentials| {
        verified(credentials)
    }));
    assert_eq!(get(http, RIGHT).text(), "Ada");
    assert_eq!(get(http, "basic QWRhOm9wZW46IHNlc2FtZQ").text(), "Ada");
    assert_eq!(http.test().get("/public").send().unwrap().text(), "public");
    for wrong in [
        "",
        "Basic",
        "Basic QWRh",
        "Basic !!!!",
        "Basic /////w==",
        "Basic QWRhOm9wZW4=",
        "Bearer QWRhOm9wZW46IHNlc2FtZQ==",
        "Digest username=\"Ada\"",
    ] {
        let response = get(http, wrong);
        assert_eq!(response.status(), 401, "{wrong}");
        assert_eq!(
            response.header("www-authenticate"),
            Some(r#"Basic realm="the \"admins\"", charset="UTF-8""#),
            "{wrong}"
        );
    }
}

#[test]
fn a_request_with_two_authorization_headers_has_no_credentials() {
    let http = server(Authentication::basic("a", |_, credentials| {
        verified(credentials)
    }));
    let request = http.test().get("/private/").header("authorization", RIGHT);
    let response = request.header("authorization", RIGHT).send().unwrap();
    assert_eq!(response.status(), 401);
}

#[test]
fn a_valid_token_grants_access_to_the_group() {
    let http = server(Authentication::bearer("api", |_, token| {
        constant_time_eq(token, "abc").then(|| User("Ada".to_owned()))
    }));
    assert_eq!(get(http, "Bearer abc").text(), "Ada");
    let missing = get(http, "");
    assert_eq!(
        missing.header("www-authenticate"),
        Some("Bearer realm=\"api\"")
    );
    let wrong = get(http, "Bearer abcd");
    assert_eq!(wrong.status(), 401);
    assert_eq!(
        wrong.header("www-authenticate"),
        Some("Bearer realm=\"api\", error=\"invalid_token\"")
    );
}

#[test]
fn verification_can_be_asynchronous() {
    let clock = ManualClock::new();
    let _event_loop = EventLoop::install(ScriptedPoller::new(&clock), clock.clone()).unwrap();
    let http = server(Authentication::basic_async(
        "a",
        |_, credentials| async move {
            sleep(Duration::from_secs(1)).await;
            verified(&credentials)
        },
    ));
    assert_eq!(get(http, RIGHT).text(), "Ada");
    assert_eq!(get(http, "Basic QWRhOm9wZW4=").status(), 401);
}

#[test]
fn failures_are_limited_and_requests_without_credentials_are_not() {
    let clock = ManualClock::new();
    let _event_loop = EventLoop::install(ScriptedPoller::new(&clock), clock.clone()).unwrap();
    let basic = Authentication::basic("a", |_, credentials| verified(credentials));
    let limit = Limit::fixed_window(3, Duration::from_secs(60));
    let http = server(basic.limit_failures(limit));
    for _ in 0..10 {
        assert_eq!(get(http, "").status(), 401);
        assert_eq!(get(http, RIGHT).status(), 200);
    }
    for _ in 0..3 {
        assert_eq!(get(http, "Basic QWRhOm9wZW4=").status(), 401);
    }
    let refused = get(http, RIGHT);
    assert_eq!(refused.status(), 429);
    assert_eq!(refused.header("retry-after"), Some("60"));
    clock.advance(Duration::from_secs(60));
    assert_eq!(get(http, RIGHT).status(), 200);
}

#[test]
fn the_debug_output_of_credentials_has_no_password() {
    let http = HttpServer::new();
    http.get("/", |req: Request| format!("{:?}", req.basic_credentials()));
    let response = http.test().get("/").header("authorization", RIGHT).send();
    let text = response.unwrap().text().into_owned();
    assert!(text.contains("Ada") && !text.contains("sesame"), "{text}");
}

#[test]
fn concurrent_attempts_are_limited() {
    let clock = ManualClock::new();
    let _event_loop = EventLoop::install(ScriptedPoller::new(&clock), clock.clone()).unwrap();
    let basic = Authentication::basic_async("a", |_, credentials| async move {
        sleep(Duration::from_secs(1)).await;
        verified(&credentials)
    });
    let limit = Limit::fixed_window(3, Duration::from_secs(60));
    let http = server(basic.limit_failures(limit));
    let attempts: Vec<_> = (0..5)
        .map(|_| {
            let request = http.test().get("/private/");
            let request = request.header("authorization", "Basic QWRhOm9wZW4=");
            request.start().unwrap()
        })
        .collect();
    let statuses: Vec<u16> = attempts
        .into_iter()
        .map(|attempt| attempt.wait().unwrap().status().as_u16())
        .collect();
    assert_eq!(statuses, [401, 401, 401, 429, 429]);
}
