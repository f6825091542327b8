//! Shared state.

use std::cell::Cell;
use std::rc::Rc;

use uptick_http::{HttpError, HttpServer, Next, Request};

struct Name(&'static str);
struct Count(Cell<u32>);

fn name(req: Request) -> Result<&'static str, HttpError> {
    Ok(req.state::<Name>()?.0)
}

fn text(http: HttpServer, target: &str) -> String {
    let response = http.test().get(target).send().unwrap();
    response.text().into_owned()
}

#[test]
fn handlers_and_middleware_share_the_state_of_the_server() {
    let http = HttpServer::new();
    http.set_state(Count(Cell::new(0)));
    http.wrap(|req: Request, next: Next| {
        if let Ok(count) = req.state::<Count>() {
            count.0.set(count.0.get() + 1);
        }
        next.run(req)
    });
    http.get("/", |req: Request| {
        Ok::<_, HttpError>(req.state::<Count>()?.0.get().to_string())
    });
    assert_eq!(text(http, "/"), "1");
    assert_eq!(text(http, "/"), "2");
}

#[test]
fn the_state_of_a_group_overrides_outer_state() {
    let http = HttpServer::new();
    http.set_state(Name("server"));
    http.get("/", name);
    http.group("/a", |a| {
        a.get("/", name);
        a.group("/b", |b| {
            b.get("/", name);
            b.set_state(Name("b"));
        });
        a.group("/c", |c| {
            c.get("/{id}", name);
        });
        a.set_state(Name("a"));
    });
    let names = ["/", "/a/", "/a/b/", "/a/c/1"].map(|target| text(http, target));
    assert_eq!(names, ["server", "a", "b", "a"]);
}

#[test]
fn the_middleware_of_a_group_has_the_state_of_the_group() {
    let http = HttpServer::new();
    http.group("/a", |a| {
        a.set_state(Name("a"));
        a.wrap(|req: Request, _: Next| name(req));
        a.get("/", |_: Request| "handler");
    });
    assert_eq!(text(http, "/a/"), "a");
}

#[test]
fn a_new_value_replaces_and_drops_the_old_value_of_its_type() {
    let http = HttpServer::new();
    let dropped = Rc::new(());
    http.set_state(Rc::clone(&dropped));
    http.set_state(Rc::new(()));
    assert_eq!(Rc::strong_count(&dropped), 1);
}

#[test]
fn missing_state_is_an_error_with_the_types_that_were_set() {
    let http = HttpServer::new().debug(true);
    http.set_state(Count(Cell::new(0)));
    http.get("/", name);
    http.group("/a", |a| {
        a.set_state(7_u8);
        a.get("/", name);
    });
    let response = http.test().get("/a/").send().unwrap();
    assert_eq!(response.status(), 500);
    let text = response.text();
    let expected = "no state of the type `services::state::Name` was set; the available types are `u8`, `services::state::Count`";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn a_request_in_progress_has_state_that_is_set_later() {
    let http = HttpServer::new();
    http.get("/", move |req: Request| {
        http.set_state(Name("late"));
        name(req)
    });
    assert_eq!(text(http, "/"), "late");
}

#[test]
fn a_missing_extension_is_an_error_with_the_types_that_were_set() {
    let http = HttpServer::new().debug(true);
    http.get("/", |req: Request| {
        req.set_extension(7_u8);
        let name = req.try_extension::<Name>()?;
        Ok::<_, HttpError>(name.0)
    });
    let response = http.test().get("/").send().unwrap();
    assert_eq!(response.status(), 500);
    let text = response.text();
    let expected =
        "no extension of the type `services::state::Name` was set; the available types are `u8`";
    assert!(text.contains(expected), "{text}");
}
