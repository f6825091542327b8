//! Path guards: routes, groups and middleware cannot be bypassed with another spelling of the path.

use std::fs;

use uptick_http::{HttpError, HttpServer, Next, Reply, Request, StaticFiles, StatusCode};

use crate::support::{Client, server};

/// Returns a directory with `private/x.txt` and `public.txt`, and with names that must or may be escaped.
fn site() -> tempfile::TempDir {
    let site = tempfile::tempdir().unwrap();
    for name in ["private", "@private", "a \"b|c"] {
        fs::create_dir(site.path().join(name)).unwrap();
        fs::write(site.path().join(name).join("x.txt"), "secret").unwrap();
        fs::write(site.path().join(name).join("index.html"), "secret").unwrap();
    }
    fs::write(site.path().join("public.txt"), "public").unwrap();
    site
}

/// Spellings that a file system, a browser or a careless program could resolve to `/a/private/x.txt`.
const SPELLINGS: [&str; 26] = [
    "/a/private/x.txt",
    "/a/private%2Fx.txt",
    "/a/private%2fx.txt",
    "/a//private/x.txt",
    "/a///private/x.txt",
    "/a/%2Fprivate/x.txt",
    "/a/%2Fprivate%2Fx.txt",
    "/a/private//x.txt",
    "/a/private/%2Fx.txt",
    "/a/%70rivate/x.txt",
    "/%61/privat%65/x.txt",
    "/a/%70%72%69%76%61%74%65%2F%78%2E%74%78%74",
    "/a/./private/x.txt",
    "/a/%2e/private/x.txt",
    "/a/.%2Fprivate/x.txt",
    "/a/public/../private/x.txt",
    "/a/public/%2e%2e/private/x.txt",
    "/a/public%2F..%2Fprivate/x.txt",
    "/a/private/./x.txt",
    "/a/private\\x.txt",
    "/a/private%5Cx.txt",
    "/a/%5Cprivate/x.txt",
    "//a/private/x.txt",
    "/%2Fa/private/x.txt",
    "/a/private%252Fx.txt",
    "/a/private%00/x.txt",
];

/// Requests each path with GET and HEAD, also in the absolute form. No response may contain the file.
fn check(http: HttpServer, paths: &[&str]) {
    let mut client = Client::new(http);
    for path in paths {
        for target in [path.to_string(), format!("http://a{path}")] {
            client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
            let response = client.response();
            let refused = matches!(response.status(), 400 | 403 | 404);
            assert!(
                refused && !response.body.contains("secret"),
                "{target}: {response:?}"
            );
        }
    }
}

fn status(http: HttpServer, path: &str) -> u16 {
    let mut client = Client::new(http);
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    client.response().status()
}

#[test]
fn the_route_that_guards_a_file_cannot_be_bypassed() {
    let site = site();
    let http = server();
    http.get("/a/private/{*path}", |_: Request| StatusCode::FORBIDDEN);
    http.get("/a/{*path}", StaticFiles::new(site.path()).handler());
    http.get("/{*path}", StaticFiles::new(site.path()).handler());
    check(http, &SPELLINGS);
    assert_eq!(status(http, "/a/private/x.txt"), 403);
    assert_eq!(status(http, "/%61/%70rivate/x.txt"), 403);
    assert_eq!(status(http, "/a/public.txt"), 200);
    assert_eq!(status(http, "/a/p%75blic%2Etxt"), 200);
}

#[test]
fn the_guard_of_a_directory_cannot_be_bypassed_for_its_index() {
    let site = site();
    let http = server();
    http.get("/{*path}", StaticFiles::new(site.path()).handler());
    http.group("/private", |private| {
        private.wrap(|_: Request, _: Next| StatusCode::FORBIDDEN);
        private.get("/{*path}", StaticFiles::new(site.path()).handler());
    });
    check(
        http,
        &[
            "/private/",
            "/%70rivate/",
            "//private/",
            "/private//",
            "/private/.",
            "/private/./",
            "/private%2F",
            "/private/index.html",
            "/a/../private/",
        ],
    );
    assert_eq!(status(http, "/private/"), 403);
    assert_eq!(status(http, "/%70rivate/"), 403);
    // This path redirects to the guarded one.
    assert_eq!(status(http, "/private"), 301);
}

#[test]
fn the_middleware_of_a_group_cannot_be_bypassed() {
    let site = site();
    for (outer, inner) in [
        ("/a", "/private"),
        ("/a/", "/private/"),
        ("/a", "/private/"),
    ] {
        let http = server();
        http.group(outer, |group| {
            group.get("/{*path}", StaticFiles::new(site.path()).handler());
            group.group(inner, |private| {
                private.wrap(|_: Request, _: Next| StatusCode::FORBIDDEN);
                private.get(
                    "/{*path}",
                    StaticFiles::new(site.path().join("private")).handler(),
                );
            });
        });
        check(http, &SPELLINGS);
        assert_eq!(status(http, "/a/private/x.txt"), 403, "{outer} {inner}");
        assert_eq!(status(http, "/a/public.txt"), 200);
    }
}

#[test]
fn a_middleware_that_compares_paths_cannot_be_bypassed() {
    let site = site();
    let http = server();
    http.wrap(|request: Request, next: Next| {
        let guarded = ["/a/private/", "/private/"];
        match guarded
            .iter()
            .any(|guarded| request.path().starts_with(guarded))
        {
            true => Reply::Ready(HttpError::from_status(StatusCode::FORBIDDEN).into()),
            false => next.run(request),
        }
    });
    http.get("/a/{*path}", StaticFiles::new(site.path()).handler());
    http.get("/{*path}", StaticFiles::new(site.path()).handler());
    check(http, &SPELLINGS);
    let at_the_top = SPELLINGS.map(|path| match path.strip_prefix("/a") {
        Some(rest) => rest,
        None => path,
    });
    check(http, &at_the_top);
    assert_eq!(status(http, "/a/%70rivate/x.txt"), 403);
    assert_eq!(status(http, "/%70rivate/x.txt"), 403);
    assert_eq!(status(http, "/public.txt"), 200);
}

#[test]
fn a_guard_of_a_name_with_special_characters_covers_each_spelling() {
    let site = site();
    let http = server();
    http.get("/@private/{*path}", |_: Request| StatusCode::FORBIDDEN);
    http.get("/a \"b%7cc/{*path}", |_: Request| StatusCode::FORBIDDEN);
    http.get("/{*path}", StaticFiles::new(site.path()).handler());
    let spellings = [
        "/@private/x.txt",
        "/%40private/x.txt",
        "/a%20\"b|c/x.txt",
        "/a%20%22b%7Cc/x.txt",
        "/%61%20%22b|c/x.txt",
    ];
    check(http, &spellings);
    for path in spellings {
        assert_eq!(status(http, path), 403, "{path}");
    }
}

#[test]
fn guards_compare_the_path_that_was_matched() {
    let http = server();
    http.get("/f/{*rest}", |req: Request| {
        format!(
            "{} {} {}",
            req.path(),
            req.target(),
            req.param("rest").unwrap_or("?")
        )
    });
    let mut client = Client::new(http);
    for (target, expected) in [
        ("/f/a?x=%61", "/f/a /f/a?x=%61 a"),
        (
            "/%66/%61%2fb/%c3%bc",
            "/f/a%2Fb/%C3%BC /%66/%61%2fb/%c3%bc a/b/ü",
        ),
        ("/f/%3A%20", "/f/:%20 /f/%3A%20 : "),
    ] {
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(client.response().body, expected);
    }
}
