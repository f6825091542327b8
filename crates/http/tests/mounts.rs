//! Mounted services.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use uptick_event_loop::{EventLoop, ManualClock, ScriptedPoller};
use uptick_http::test::TestResponse;
use uptick_http::{HttpServer, Mount, Next, Request};

/// A service with two routes.
struct Greeter {
    greeting: &'static str,
}

impl Mount for Greeter {
    #[track_caller]
    fn mount(&self, http: HttpServer, path: &str) {
        let greeting = self.greeting;
        http.group(path, |routes| {
            routes.get("", move |_: Request| greeting);
            routes.get("/{name}", move |req: Request| {
                format!("{greeting}, {}", req.param("name").unwrap_or("you"))
            });
        });
    }
}

fn no_sockets() {
    let clock = ManualClock::new();
    EventLoop::install(ScriptedPoller::new(&clock), clock).unwrap();
}

fn get(http: HttpServer, target: &str) -> TestResponse {
    http.test().get(target).send().unwrap()
}

#[test]
fn a_mounted_service_serves_the_routes_under_its_path() {
    no_sockets();
    let http = HttpServer::new().mount(
        "/greetings",
        &Greeter {
            greeting: "Welcome",
        },
    );
    assert_eq!(get(http, "/greetings").text(), "Welcome");
    assert_eq!(get(http, "/greetings/Ada").text(), "Welcome, Ada");
    assert_eq!(get(http, "/").status(), 404);
    assert_eq!(get(http, "/greetings/Ada/again").status(), 404);
}

#[test]
fn a_service_is_mounted_at_several_paths_and_servers() {
    no_sockets();
    let greeter = Greeter { greeting: "Hello" };
    let one = HttpServer::new()
        .mount("/a", &greeter)
        .mount("/b/", &greeter);
    let other = HttpServer::new().mount("/c", &greeter);
    assert_eq!(get(one, "/a/Ada").text(), "Hello, Ada");
    assert_eq!(get(one, "/b/Bob").text(), "Hello, Bob");
    assert_eq!(get(other, "/c/Eve").text(), "Hello, Eve");
    assert_eq!(get(other, "/a/Ada").status(), 404);
}

#[test]
fn the_middleware_of_the_server_runs_around_a_mounted_service() {
    no_sockets();
    let http = HttpServer::new()
        .mount("/hello", &Greeter { greeting: "Hello" })
        .wrap(|req: Request, next: Next| next.run(req).map(|res| res.header("x-wrapped", "yes")));
    let response = get(http, "/hello/Ada");
    assert_eq!(response.text(), "Hello, Ada");
    assert_eq!(response.header("x-wrapped"), Some("yes"));
}

#[test]
#[should_panic(expected = "/hello")]
fn mounting_over_an_existing_route_panics() {
    no_sockets();
    HttpServer::new()
        .get("/hello", |_: Request| "taken")
        .mount("/hello", &Greeter { greeting: "Hello" });
}
