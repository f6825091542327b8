use super::*;

fn router(routes: &[(&str, &str)]) -> Router<usize> {
    let mut router = Router::new();
    for (index, (methods, pattern)) in routes.iter().enumerate() {
        router.add(methods, pattern, index).unwrap();
    }
    router
}

/// Returns the result of a lookup as text: the index of the route and its parameters, or the response.
fn found(router: &Router<usize>, method: &str, path: &str) -> String {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    match router.find(&method, path) {
        RouteMatch::Route { value, params } => {
            let params: Vec<_> = params
                .iter(path)
                .map(|(n, v)| format!(" {n}={v}"))
                .collect();
            format!("{value}{}", params.concat())
        }
        RouteMatch::Options { allow } => format!("options {allow}"),
        RouteMatch::MethodNotAllowed { allow } => format!("405 {allow}"),
        RouteMatch::NotFound => "404".into(),
        RouteMatch::BadPath => "400".into(),
        RouteMatch::UnknownMethod => "501".into(),
    }
}

#[test]
fn the_most_specific_pattern_wins_in_any_order() {
    let patterns = ["/u/new", "/u/{id}", "/u/{*rest}", "/u(?:/.*)?"];
    let mut orders = vec![patterns.to_vec(), patterns.to_vec()];
    orders[1].reverse();
    for order in orders {
        let mut router = Router::new();
        for pattern in order {
            let index = patterns.iter().position(|p| *p == pattern).unwrap();
            router.add("GET", pattern, index).unwrap();
        }
        assert_eq!(found(&router, "GET", "/u/new"), "0");
        assert_eq!(found(&router, "GET", "/u/newer"), "1 id=newer");
        assert_eq!(found(&router, "GET", "/u/new/er"), "2 rest=new/er");
        assert_eq!(found(&router, "GET", "/u"), "3");
        assert_eq!(found(&router, "GET", "/v"), "404");
    }
}

#[test]
fn a_lookup_backtracks_from_a_more_specific_prefix_without_a_match() {
    let router = router(&[("GET", "/a/b/c"), ("GET", "/a/{x}/d"), ("GET", "/{*rest}")]);
    assert_eq!(found(&router, "GET", "/a/b/c"), "0");
    assert_eq!(found(&router, "GET", "/a/b/d"), "1 x=b");
    assert_eq!(found(&router, "GET", "/a/b/e"), "2 rest=a/b/e");
}

#[test]
fn text_before_the_rest_of_a_path_takes_precedence_over_parameters() {
    let router = router(&[("GET", "/{user}/{repo}"), ("GET", "/static/{*path}")]);
    assert_eq!(found(&router, "GET", "/static/app.js"), "1 path=app.js");
    assert_eq!(
        found(&router, "GET", "/statics/app.js"),
        "0 user=statics repo=app.js"
    );
    assert_eq!(found(&router, "GET", "/static/"), "1 path=");
}

#[test]
fn a_parameter_is_one_segment_and_not_empty() {
    let router = router(&[("GET", "/foo/{segment}")]);
    assert_eq!(found(&router, "GET", "/foo/bar"), "0 segment=bar");
    assert_eq!(found(&router, "GET", "/foo/bar/baz"), "404");
    assert_eq!(found(&router, "GET", "/foo/"), "404");
}

#[test]
fn a_parameter_may_have_text_around_it() {
    let router = router(&[
        ("GET", "/img/{id}.png"),
        ("GET", "/img/{id}"),
        ("GET", "/u{id}"),
        ("GET", "/{x}"),
    ]);
    assert_eq!(found(&router, "GET", "/img/7.png"), "0 id=7");
    assert_eq!(found(&router, "GET", "/img/7.jpg"), "1 id=7.jpg");
    assert_eq!(found(&router, "GET", "/u7"), "2 id=7");
    assert_eq!(found(&router, "GET", "/7"), "3 x=7");
}

#[test]
fn the_rest_of_a_path_may_be_empty() {
    let router = router(&[
        ("GET", "/files/{*path}"),
        ("GET", "/u/{id}/{*rest}"),
        ("GET", "/r(?:x|y)/{*rest}"),
    ]);
    assert_eq!(found(&router, "GET", "/files/a/b/"), "0 path=a/b/");
    assert_eq!(found(&router, "GET", "/files/"), "0 path=");
    assert_eq!(found(&router, "GET", "/files"), "404");
    assert_eq!(found(&router, "GET", "/%66iles/"), "0 path=");
    assert_eq!(found(&router, "GET", "/u/7/"), "1 id=7 rest=");
    assert_eq!(found(&router, "GET", "/u//"), "404");
    assert_eq!(found(&router, "GET", "/rx/"), "2 rest=");
    assert_eq!(found(&router, "POST", "/files/"), "405 GET, HEAD, OPTIONS");
    assert!(router.has_path("/files/") && !router.has_path("/files"));
}

#[test]
fn an_empty_rest_is_as_specific_as_any_other() {
    let patterns = [
        "/{*all}",
        "/private/{*path}",
        "/{a}/",
        "/exact/{*path}",
        "/exact/",
        "/s{*rest}",
    ];
    let mut orders = vec![patterns.to_vec(), patterns.to_vec()];
    orders[1].reverse();
    for order in orders {
        let mut router = Router::new();
        for pattern in order {
            let index = patterns.iter().position(|p| *p == pattern).unwrap();
            router.add("GET", pattern, index).unwrap();
        }
        assert_eq!(found(&router, "GET", "/"), "0 all=");
        assert_eq!(found(&router, "GET", "/private"), "0 all=private");
        assert_eq!(found(&router, "GET", "/private/"), "1 path=");
        assert_eq!(found(&router, "GET", "/private/x"), "1 path=x");
        assert_eq!(found(&router, "GET", "/other/"), "2 a=other");
        assert_eq!(found(&router, "GET", "/other/x"), "0 all=other/x");
        assert_eq!(found(&router, "GET", "/exact/"), "4");
        assert_eq!(found(&router, "GET", "/exact/x"), "3 path=x");
        assert_eq!(found(&router, "GET", "/s"), "5 rest=");
        assert_eq!(found(&router, "GET", "/s/"), "5 rest=/");
    }
}

#[test]
fn a_path_with_a_trailing_slash_is_a_different_path() {
    let router = router(&[("GET", "/a"), ("GET", "/b/")]);
    assert_eq!(found(&router, "GET", "/a/"), "404");
    assert_eq!(found(&router, "GET", "/b"), "404");
    assert!(router.has_path("/a"));
    assert!(!router.has_path("/a/"));
}

#[test]
fn each_method_has_its_own_parameter_names() {
    let router = router(&[("GET", "/u/{id}"), ("DELETE", "/u/{name}")]);
    assert_eq!(found(&router, "GET", "/u/7"), "0 id=7");
    assert_eq!(found(&router, "DELETE", "/u/7"), "1 name=7");
}

#[test]
fn parameters_are_decoded_after_matching() {
    let router = router(&[("GET", "/f/{a}/{b}/{c}")]);
    assert_eq!(
        found(&router, "GET", "/f/x%2Fy/%7Ejo/J%C3%BCrgen%20"),
        "0 a=x/y b=~jo c=Jürgen "
    );
    assert_eq!(found(&router, "GET", "/f/%25/%2541/+"), "0 a=% b=%41 c=+");
}

#[test]
fn escaped_text_matches_the_text() {
    let router = router(&[("GET", "/über uns"), ("GET", "/a~b"), ("GET", r"/r\d~")]);
    assert_eq!(found(&router, "GET", "/%c3%bcber%20uns"), "0");
    assert_eq!(found(&router, "GET", "/%61%7Eb"), "1");
    assert_eq!(found(&router, "GET", "/r%31%7e"), "2");
}

#[test]
fn an_escaped_slash_is_not_a_separator() {
    let router = router(&[("GET", "/admin/users")]);
    assert_eq!(found(&router, "GET", "/admin%2Fusers"), "404");
}

#[test]
fn a_path_with_a_malformed_escape_is_a_bad_request() {
    let router = router(&[("GET", "/{x}")]);
    for path in ["/%", "/%2", "/%zz", "/%FF", "/%C3%28"] {
        assert_eq!(found(&router, "GET", path), "400", "{path}");
    }
}

#[test]
fn get_handles_head_unless_head_has_a_route() {
    let router = router(&[("GET", "/a"), ("GET", "/b"), ("HEAD", "/b"), ("POST", "/c")]);
    assert_eq!(found(&router, "HEAD", "/a"), "0");
    assert_eq!(found(&router, "HEAD", "/b"), "2");
    assert_eq!(found(&router, "HEAD", "/c"), "405 POST, OPTIONS");
}

#[test]
fn options_and_405_list_the_allowed_methods() {
    let router = router(&[("GET|POST", "/a"), ("OPTIONS", "/b")]);
    assert_eq!(
        found(&router, "OPTIONS", "/a"),
        "options GET, HEAD, POST, OPTIONS"
    );
    assert_eq!(found(&router, "PUT", "/a"), "405 GET, HEAD, POST, OPTIONS");
    assert_eq!(found(&router, "OPTIONS", "/b"), "1");
    assert_eq!(found(&router, "GET", "/b"), "405 OPTIONS");
    assert_eq!(found(&router, "OPTIONS", "/c"), "404");
}

#[test]
fn options_for_the_server_list_all_methods() {
    let router = router(&[("GET", "/a"), ("PURGE", "/b"), ("POST", "/c+")]);
    assert_eq!(
        found(&router, "OPTIONS", "*"),
        "options GET, HEAD, PURGE, POST, OPTIONS"
    );
    assert_eq!(found(&router, "GET", "*"), "404");
}

#[test]
fn a_route_for_one_method_takes_precedence_over_a_route_for_all() {
    let router = router(&[("ALL", "/a"), ("GET", "/a"), ("CONNECT", "/b")]);
    assert_eq!(found(&router, "GET", "/a"), "1");
    assert_eq!(found(&router, "HEAD", "/a"), "1");
    assert_eq!(found(&router, "POST", "/a"), "0");
    assert_eq!(found(&router, "OPTIONS", "/a"), "0");
    assert_eq!(found(&router, "ODD", "/a"), "0");
    assert_eq!(found(&router, "CONNECT", "/a"), "405 GET, HEAD, OPTIONS");
    assert_eq!(found(&router, "CONNECT", "/b"), "2");
}

#[test]
fn methods_without_any_route_are_unknown() {
    let router = router(&[("GET", "/a"), ("PURGE", "/b"), ("GET", "/c+")]);
    for path in ["/a", "/b", "/c", "/none"] {
        assert_eq!(found(&router, "ODD", path), "501", "{path}");
        assert_eq!(found(&router, "get", path), "501", "{path}");
    }
    assert_eq!(found(&router, "PURGE", "/a"), "405 GET, HEAD, OPTIONS");
    assert_eq!(found(&router, "CONNECT", "example.com:443"), "501");
}

#[test]
fn the_first_regular_expression_with_the_method_wins() {
    let router = router(&[
        ("GET", r"/\w+"),
        ("POST", "/a+"),
        ("POST", "/[ab]+"),
        ("PUT", "/b+"),
    ]);
    assert_eq!(found(&router, "GET", "/a"), "0");
    assert_eq!(found(&router, "POST", "/a"), "1");
    assert_eq!(found(&router, "PUT", "/b"), "3");
    assert_eq!(
        found(&router, "DELETE", "/a"),
        "405 GET, HEAD, POST, OPTIONS"
    );
    assert_eq!(found(&router, "GET", "/a/"), "404");
}

#[test]
fn a_regular_expression_has_parameters() {
    let router = router(&[("GET", r"/{user}/(?P<year>\d{4})(?:/(?P<month>\d\d))?")]);
    assert_eq!(
        found(&router, "GET", "/jo%2F/2026/11"),
        "0 user=jo/ year=2026 month=11"
    );
    assert_eq!(found(&router, "GET", "/jo/2026"), "0 user=jo year=2026");
    assert_eq!(found(&router, "GET", "/%FF/2026"), "400");
}

#[test]
fn an_optional_rest_matches_with_and_without_a_rest() {
    let router = router(&[("ALL", "/ws(?:/.*)?")]);
    for path in ["/ws", "/ws/", "/ws/a/b"] {
        assert_eq!(found(&router, "GET", path), "0", "{path}");
    }
    assert_eq!(found(&router, "GET", "/wss"), "404");
}

#[test]
fn a_route_can_be_added_only_once() {
    let mut router = router(&[("GET|POST", "/u/{id}"), ("ALL", "/u/{id}"), ("GET", "/r+")]);
    let refused = |result: Result<(), RouteError>| result.unwrap_err().to_string();
    assert_eq!(
        refused(router.add("PUT|POST", "/u/{name}", 9)),
        "adding the route /u/{name} failed: there is already a route for POST"
    );
    assert_eq!(found(&router, "PUT", "/u/7"), "1 id=7");
    assert!(refused(router.add("any", "/u/{x}", 9)).contains("already a route for ALL"));
    assert!(refused(router.add("GET", "/r+", 9)).contains("already a route for GET"));
    assert!(router.add("GET", "/r*", 9).is_ok());
}

#[test]
fn conflicting_patterns_are_refused() {
    let mut router = router(&[("GET", "/{a}-x")]);
    let error = router.add("GET", "/{a}-{b}", 1).unwrap_err().to_string();
    assert!(error.contains("one parameter"), "{error}");
    let mut router = self::router(&[("GET", "/img-{id}.png")]);
    let error = router.add("GET", "/u{id}", 1).unwrap_err().to_string();
    assert!(
        error.contains("it conflicts with the route /img-{id}.png"),
        "{error}"
    );
    assert!(router.add("GET", "/u({id})", 1).is_ok());
}

#[test]
fn a_single_parameter_without_an_escape_is_not_copied() {
    let router = router(&[("GET", "/u/{id}")]);
    let path = "/u/7";
    let RouteMatch::Route { params, .. } = router.find(&Method::GET, path) else {
        panic!("no route");
    };
    assert_eq!(params.get(path, "id").unwrap().as_ptr(), path[3..].as_ptr());
}

proptest::proptest! {
    #[test]
    fn any_path_and_any_pattern_is_handled_without_a_panic(
        patterns in proptest::collection::vec("/[a-c{}*/%.1-3()|]{0,12}", 0..8),
        path in "[ -~é]{0,20}|(/[a-c%123]{0,3}){0,5}",
    ) {
        let mut router = Router::new();
        for (index, pattern) in patterns.iter().enumerate() {
            // Most of them are malformed.
            let _ = router.add("GET", pattern, index);
        }
        if let RouteMatch::Route { value, params } = router.find(&Method::GET, &path) {
            proptest::prop_assert!(*value < patterns.len());
            proptest::prop_assert!(router.has_path(&path));
            params.iter(&path).for_each(drop);
        }
    }

    #[test]
    fn parameters_are_the_texts_that_the_client_escaped(
        segment in "\\PC{1,8}",
        rest in proptest::collection::vec("\\PC{1,8}", 1..4),
    ) {
        let escape = |text: &str| {
            let set = percent_encoding::NON_ALPHANUMERIC;
            percent_encoding::utf8_percent_encode(text, set).to_string()
        };
        let tail: Vec<_> = rest.iter().map(|text| escape(text)).collect();
        let path = format!("/{}/{}", escape(&segment), tail.join("/"));
        let router = router(&[("GET", "/{segment}/{*rest}")]);
        let RouteMatch::Route { params, .. } = router.find(&Method::GET, &path) else {
            panic!("{path} has no route");
        };
        proptest::prop_assert_eq!(params.get(&path, "segment"), Some(&*segment));
        let rest = rest.join("/");
        proptest::prop_assert_eq!(params.get(&path, "rest"), Some(&*rest));
    }
}

#[test]
fn text_is_found_regardless_of_the_order_of_registration() {
    let mut router = Router::new();
    for pattern in ["/m", "/a", "/{any}", "/z", "/a/b", "/{*rest}", "/"] {
        router.add("GET", pattern, pattern).unwrap();
    }
    for (path, expected) in [
        ("/", "/"),
        ("/a", "/a"),
        ("/%61", "/a"),
        ("/a/b", "/a/b"),
        ("/m", "/m"),
        ("/z", "/z"),
        ("/b", "/{any}"),
        ("/{any}", "/{any}"),
        ("/m/", "/{*rest}"),
    ] {
        let RouteMatch::Route { value, .. } = router.find(&Method::GET, path) else {
            panic!("{path}")
        };
        assert_eq!(*value, expected, "{path}");
    }
}
