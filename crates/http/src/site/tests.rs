use super::*;
use crate::{IntoHandler, IntoMiddleware, IntoReply, Method};

/// Returns a handler in the form stored by routes.
fn boxed<R: IntoReply<M>, M: 'static>(handler: impl FnMut(Request) -> R + 'static) -> Handler {
    handler.into_handler()
}

type Shared = Rc<Service>;

fn routes(patterns: &[(&str, &str)]) -> Shared {
    let routes = Shared::default();
    for (methods, pattern) in patterns {
        let name = (*pattern).to_owned();
        let handler = boxed(move |_: Request| name.clone());
        add(&routes, methods, pattern, handler).unwrap();
    }
    routes
}

fn add(routes: &Service, methods: &str, pattern: &str, handler: Handler) -> Result<(), RouteError> {
    routes.configure(|site| site.add(None, methods, pattern, handler))
}

fn response_to(routes: &Shared, method: Method, target: &str) -> Response {
    match routes.site().handle(Request::for_test(method, target)) {
        Reply::Ready(response) => response,
        other => panic!("{other:?}"),
    }
}

fn text(response: &Response) -> &str {
    std::str::from_utf8(response.body().as_bytes().unwrap()).unwrap()
}

/// Returns middleware that adds its name to the header `x-seen`.
fn seen(name: &'static str) -> Middleware {
    let layer = move |request: Request, next: Next| {
        next.run(request)
            .map(move |response| response.append_header("x-seen", name))
    };
    layer.into_middleware()
}

fn trail(mut response: Response) -> Vec<String> {
    let values = response.headers_mut().get_all("x-seen").iter();
    values.map(|v| v.to_str().unwrap().to_owned()).collect()
}

#[test]
fn a_route_receives_its_parameters() {
    let routes = Shared::default();
    let handler = boxed(|req: Request| req.param("id").unwrap_or("none").to_owned());
    add(&routes, "GET", "/u/{id}", handler).unwrap();
    assert_eq!(text(&response_to(&routes, Method::GET, "/u/%37?x")), "7");
}

#[test]
fn a_request_without_a_route_is_answered_with_an_error() {
    let routes = routes(&[("GET", "/a/{x}")]);
    let status = |method, target| response_to(&routes, method, target).status().as_u16();
    assert_eq!(status(Method::GET, "/"), 404);
    assert_eq!(status(Method::GET, "/a/%zz"), 400);
    assert_eq!(status(Method::from_bytes(b"ODD").unwrap(), "/a/b"), 501);
    assert_eq!(status(Method::CONNECT, "example.com:443"), 501);
    let refused = response_to(&routes, Method::POST, "/a/b");
    assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(refused.get("allow"), Some("GET, HEAD, OPTIONS"));
}

#[test]
fn options_are_answered_without_a_route() {
    let routes = routes(&[("POST", "/a")]);
    for target in ["/a", "*"] {
        let response = response_to(&routes, Method::OPTIONS, target);
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        assert_eq!(response.get("allow"), Some("POST, OPTIONS"));
    }
}

#[test]
fn an_error_does_not_show_the_path() {
    let response = response_to(&routes(&[]), Method::GET, "/<script>alert(1)</script>");
    assert_eq!(text(&response), "Not Found\n");
    assert_eq!(
        response.get("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(response.get("x-content-type-options"), Some("nosniff"));
}

#[test]
fn a_missing_or_additional_trailing_slash_is_redirected_if_enabled() {
    let routes = routes(&[("ALL", "/a"), ("ALL", "/b/")]);
    assert_eq!(
        response_to(&routes, Method::GET, "/a/").status(),
        StatusCode::NOT_FOUND
    );
    routes.configure(|site| site.redirect_trailing_slash = true);
    for (target, location) in [
        ("/a/?x=%20y", "/a?x=%20y"),
        ("/b", "/b/"),
        ("/%61/", "/a"),
        ("/%62?", "/b/?"),
    ] {
        let response = response_to(&routes, Method::POST, target);
        assert_eq!(response.status(), StatusCode::PERMANENT_REDIRECT);
        assert_eq!(response.get("location"), Some(location));
    }
    assert_eq!(
        response_to(&routes, Method::GET, "/c/").status(),
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        response_to(&routes, Method::GET, "/").status(),
        StatusCode::NOT_FOUND
    );
}

#[test]
fn a_directory_is_redirected_to_its_wildcard_route() {
    let routes = routes(&[("GET", "/files/{*path}")]);
    routes.configure(|site| site.redirect_trailing_slash = true);
    let response = response_to(&routes, Method::GET, "/files?x");
    assert_eq!(response.status(), StatusCode::PERMANENT_REDIRECT);
    assert_eq!(response.get("location"), Some("/files/?x"));
    for path in ["/files/", "/files/a", "/files/a/"] {
        let status = response_to(&routes, Method::GET, path).status();
        assert_eq!(status, StatusCode::OK, "{path}");
    }
}

#[test]
fn a_redirect_to_another_slash_stays_on_the_host() {
    let routes = routes(&[("GET", "/{*rest}")]);
    routes.configure(|site| site.redirect_trailing_slash = true);
    add(
        &routes,
        "GET",
        "//evil.example/{x}/",
        boxed(|_: Request| "x"),
    )
    .unwrap();
    let status = response_to(&routes, Method::GET, "//").status();
    assert_eq!(status, StatusCode::OK);
    let routes = self::routes(&[("GET", r"/(?:/|%5C|x/\.\./|%2F)evil\.example")]);
    routes.configure(|site| site.redirect_trailing_slash = true);
    for target in [
        "//evil.example/",
        "/\\evil.example/",
        "/%5cevil.example/",
        "/%2Fevil.example/",
        "/x/../evil.example/",
        "/x/%2e%2E/evil.example/",
    ] {
        let without = target.strip_suffix('/').unwrap();
        assert_eq!(
            response_to(&routes, Method::GET, without).status(),
            StatusCode::OK
        );
        assert_eq!(
            response_to(&routes, Method::GET, target).status(),
            StatusCode::NOT_FOUND
        );
    }
}

#[test]
fn middleware_runs_around_routes_and_errors_in_the_order_of_addition() {
    let routes = routes(&[("GET", "/a")]);
    for name in ["outer", "inner"] {
        routes.configure(|site| site.wrap(seen(name)));
    }
    for (target, status) in [("/a", StatusCode::OK), ("/b", StatusCode::NOT_FOUND)] {
        let response = response_to(&routes, Method::GET, target);
        assert_eq!(response.status(), status);
        assert_eq!(trail(response), ["inner", "outer"]);
    }
}

#[test]
fn a_middleware_may_respond_instead_of_the_handler() {
    let routes = routes(&[("GET", "/a")]);
    let refuse = |_: Request, _: Next| StatusCode::UNAUTHORIZED;
    routes.configure(|site| site.wrap(refuse.into_middleware()));
    assert_eq!(
        response_to(&routes, Method::GET, "/a").status(),
        StatusCode::UNAUTHORIZED
    );
}

#[test]
fn an_async_middleware_awaits_the_rest() {
    let routes = routes(&[("GET", "/a")]);
    let layer = |req: Request, next: Next| async move {
        let response = next.run(req).await?;
        Some(response.header("x-late", "1"))
    };
    routes.configure(|site| site.wrap(layer.into_middleware()));
    let reply = routes.site().handle(Request::for_test(Method::GET, "/a"));
    assert!(matches!(reply, Reply::Later(_)));
    let response = futures::executor::block_on(reply.into_future()).unwrap();
    assert_eq!((text(&response), response.get("x-late")), ("/a", Some("1")));
}

#[test]
fn a_response_by_the_responder_bypasses_middleware() {
    let routes = Shared::default();
    add(&routes, "GET", "/", boxed(|_: Request| ())).unwrap();
    add(&routes, "GET", "/later", boxed(|_: Request| async {})).unwrap();
    routes.configure(|site| site.wrap(seen("x")));
    let reply = |target| routes.site().handle(Request::for_test(Method::GET, target));
    assert!(matches!(reply("/"), Reply::Detached));
    assert!(futures::executor::block_on(reply("/later").into_future()).is_none());
}

#[test]
fn a_group_adds_its_prefix_and_middleware_to_its_routes() {
    let routes = routes(&[("GET", "/a")]);
    routes.configure(|site| site.wrap(seen("server")));
    routes.group("/api", |api: Group<'_>| {
        api.get("/early", |_: Request| "early");
        api.wrap(seen_by_group("api"));
        api.group("/v1", |v1| {
            v1.get("/x/{id}", |req: Request| {
                req.param("id").unwrap_or_default().to_owned()
            })
            .wrap(seen_by_group("v1"));
        });
        api.group("/v2", |v2| {
            v2.post("", |_: Request| async { "v2" });
        });
    });
    let trail_of = |target| trail(response_to(&routes, Method::GET, target));
    assert_eq!(trail_of("/a"), ["server"]);
    assert_eq!(trail_of("/api/early"), ["api", "server"]);
    assert_eq!(trail_of("/api/v1/x/7"), ["v1", "api", "server"]);
    assert_eq!(trail_of("/api/none"), ["server"]);
    assert_eq!(text(&response_to(&routes, Method::GET, "/api/v1/x/7")), "7");
    let reply = routes
        .site()
        .handle(Request::for_test(Method::POST, "/api/v2"));
    let response = futures::executor::block_on(reply.into_future()).unwrap();
    assert_eq!(trail(response), ["api", "server"]);
}

fn seen_by_group(name: &'static str) -> impl Fn(Request, Next) -> Reply {
    let layer = seen(name);
    move |request, next| layer(request, next)
}

#[test]
#[should_panic(expected = "adding the route /x{ failed: a brace is not closed")]
fn adding_a_malformed_route_panics() {
    Shared::default().group("", |group| {
        group.get("/x{", |_: Request| "x");
    });
}

#[test]
fn try_route_returns_the_error_of_a_malformed_route() {
    Shared::default().group("", |group| {
        assert!(group.try_route("GET", "/x{", |_: Request| "x").is_err());
        assert!(group.try_route("GET", "/x", |_: Request| "x").is_ok());
    });
}

#[test]
fn a_handler_may_add_routes() {
    let routes = Shared::default();
    let inside = Rc::clone(&routes);
    let handler = boxed(move |_: Request| {
        let added = add(&inside, "GET", "/new", boxed(|_: Request| "new"));
        added.map(|()| "added")
    });
    add(&routes, "GET", "/add", handler).unwrap();
    assert_eq!(text(&response_to(&routes, Method::GET, "/add")), "added");
    assert_eq!(text(&response_to(&routes, Method::GET, "/new")), "new");
}

#[test]
fn a_handler_that_calls_itself_is_an_error() {
    let routes = Shared::default();
    let inside = Rc::clone(&routes);
    let handler = boxed(move |request: Request| inside.site().handle(request));
    add(&routes, "GET", "/", handler).unwrap();
    let response = response_to(&routes, Method::GET, "/");
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[test]
fn the_error_callback_creates_the_page_and_the_error_headers_are_kept() {
    let routes = routes(&[("GET", "/a")]);
    routes.configure(|site| site.wrap(seen("cors")));
    let on_error = |error: HttpError, req: &Request| {
        Response::html(format!("{} {}", error.status().as_u16(), req.method()))
    };
    routes.configure(|site| site.on_error = Some(Rc::new(on_error)));
    let on_error = routes.site().on_error.clone();
    let request = Request::for_test(Method::POST, "/a");
    let page = error_page(
        response_to(&routes, Method::POST, "/a"),
        on_error.as_ref(),
        &request,
    );
    assert_eq!(page.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(page.get("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.get("allow"), Some("GET, HEAD, OPTIONS"));
    assert_eq!(text(&page), "405 POST");
    assert_eq!(trail(page), ["cors"]);
    let fine = error_page(
        response_to(&routes, Method::GET, "/a"),
        on_error.as_ref(),
        &request,
    );
    assert_eq!(text(&fine), "/a");
}

#[test]
fn a_site_is_copied_only_while_a_request_uses_it() {
    let service = Shared::default();
    let first = Rc::as_ptr(&service.site());
    add(&service, "GET", "/a", boxed(|_: Request| "a")).unwrap();
    assert_eq!(Rc::as_ptr(&service.site()), first);

    let held = service.site();
    add(&service, "GET", "/b", boxed(|_: Request| "b")).unwrap();
    let copy = Rc::as_ptr(&service.site());
    add(&service, "GET", "/c", boxed(|_: Request| "c")).unwrap();
    assert_eq!(Rc::as_ptr(&service.site()), copy);
    let status = |site: &Rc<Site>, target| match site.handle(Request::for_test(Method::GET, target))
    {
        Reply::Ready(response) => response.status().as_u16(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        ["/a", "/b", "/c"].map(|target| status(&held, target)),
        [200, 404, 404]
    );
    assert_eq!(
        ["/a", "/b", "/c"].map(|target| status(&service.site(), target)),
        [200, 200, 200]
    );
}
