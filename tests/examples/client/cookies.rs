//! Cookies (RFC 6265).

use serde_json::{Value, json};

use super::driver::ClientProgram;
use super::server::{OK, ScriptedServer, response};

/// A server that sets the cookies that the header `x-set` of a request has, separated by `|`, and redirects if `x-to` has a URL.
fn server() -> ScriptedServer {
    ScriptedServer::start(|peer| {
        while let Some(request) = peer.request() {
            let mut lines = String::new();
            for cookie in request.field("x-set").unwrap_or_default().split('|') {
                if !cookie.is_empty() {
                    lines += &format!("Set-Cookie: {cookie}\r\n");
                }
            }
            match request.field("x-to") {
                Some(to) if request.target != "/target" => peer.send(response(
                    "302 Found",
                    &format!("{lines}Location: {to}\r\n"),
                    "",
                )),
                _ if request.method == "HEAD" => peer.send(OK.replace("\r\nok", "\r\n")),
                _ => peer.send(response("200 OK", &lines, "ok")),
            };
        }
    })
}

/// A client with names for one server, and a store of cookies.
struct Cookies {
    client: ClientProgram,
    server: ScriptedServer,
}

impl Cookies {
    fn new() -> Cookies {
        Cookies {
            client: ClientProgram::start(),
            server: server(),
        }
    }

    fn url(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}{path}", self.server.port())
    }

    fn request(&self, host: &str, path: &str) -> Value {
        let names = [
            "example.org",
            "a.example.org",
            "b.example.org",
            "x.a.example.org",
            "other.test",
            "example.co.uk",
        ];
        let mut resolve = json!({});
        for name in names {
            resolve[name] = json!(["127.0.0.1"]);
        }
        json!({"url": self.url(host, path), "resolve": resolve, "cookies": true})
    }

    /// Requests a page that sets cookies, separated by `|`.
    #[track_caller]
    fn set(&mut self, host: &str, path: &str, cookies: &str) {
        let mut request = self.request(host, path);
        request["headers"] = json!([["X-Set", cookies]]);
        self.client.run(request).assert_ok();
    }

    /// Requests a page, and returns the cookies that are sent.
    #[track_caller]
    fn sent(&mut self, host: &str, path: &str) -> String {
        let request = self.request(host, path);
        self.client.run(request).assert_ok();
        self.server
            .last()
            .field("cookie")
            .unwrap_or_default()
            .into()
    }
}

#[test]
fn cookies_are_sent_back_to_their_host() {
    let mut cookies = Cookies::new();
    assert_eq!(cookies.sent("example.org", "/"), "");
    cookies.set(
        "example.org",
        "/",
        "a=1|b=2; HttpOnly|c=\"3\"; SameSite=Lax|d=|e=5=6",
    );
    assert_eq!(
        cookies.sent("example.org", "/"),
        "a=1; b=2; c=\"3\"; d=; e=5=6"
    );
    assert_eq!(
        cookies.sent("example.org", "/any/path?query"),
        "a=1; b=2; c=\"3\"; d=; e=5=6"
    );
    for host in ["a.example.org", "other.test", "127.0.0.1"] {
        assert_eq!(cookies.sent(host, "/"), "", "{host}");
    }
}

#[test]
fn without_the_member_nothing_is_kept_or_sent() {
    let mut cookies = Cookies::new();
    let mut request = cookies.request("example.org", "/");
    request["cookies"] = json!(false);
    request["headers"] = json!([["X-Set", "a=1"]]);
    cookies.client.run(request.clone()).assert_ok();
    assert_eq!(cookies.sent("example.org", "/"), "");
    cookies.set("example.org", "/", "b=2");
    cookies.client.run(request).assert_ok();
    assert_eq!(cookies.server.last().field("cookie"), None);
    assert_eq!(cookies.sent("example.org", "/"), "b=2");
}

#[test]
fn a_domain_includes_its_subdomains() {
    let mut cookies = Cookies::new();
    cookies.set(
        "a.example.org",
        "/",
        "a=1; Domain=example.org|b=2; Domain=.a.example.org|c=3",
    );
    assert_eq!(cookies.sent("example.org", "/"), "a=1");
    assert_eq!(cookies.sent("b.example.org", "/"), "a=1");
    assert_eq!(cookies.sent("a.example.org", "/"), "a=1; b=2; c=3");
    assert_eq!(cookies.sent("x.a.example.org", "/"), "a=1; b=2");
    assert_eq!(cookies.sent("other.test", "/"), "");
}

#[test]
fn cookies_for_other_hosts_and_public_suffixes_are_refused() {
    let mut cookies = Cookies::new();
    let set = "a=1; Domain=other.test|b=2; Domain=b.example.org|c=3; Domain=org|d=4; Domain=xample.org|e=5; Domain=x.a.example.org";
    cookies.set("a.example.org", "/", set);
    cookies.set("example.co.uk", "/", "f=6; Domain=co.uk|g=7; Domain=uk");
    cookies.set("127.0.0.1", "/", "h=8; Domain=0.0.1|i=9; Domain=1");
    for host in [
        "a.example.org",
        "b.example.org",
        "x.a.example.org",
        "example.org",
        "other.test",
        "example.co.uk",
        "127.0.0.1",
    ] {
        assert_eq!(cookies.sent(host, "/"), "", "{host}");
    }
}

#[test]
fn a_path_includes_the_paths_below_it() {
    let mut cookies = Cookies::new();
    cookies.set("example.org", "/", "a=1; Path=/dir");
    for (path, expected) in [
        ("/dir", "a=1"),
        ("/dir/", "a=1"),
        ("/dir/x", "a=1"),
        ("/dir?x", "a=1"),
        ("/", ""),
        ("/directory", ""),
        ("/Dir", ""),
        ("/other/dir", ""),
    ] {
        assert_eq!(cookies.sent("example.org", path), expected, "{path}");
    }
}

#[test]
fn the_default_path_is_the_directory_of_the_request() {
    let mut cookies = Cookies::new();
    cookies.set("example.org", "/one/two/three?x", "a=1|b=2; Path=relative");
    assert_eq!(cookies.sent("example.org", "/one/two"), "a=1; b=2");
    assert_eq!(cookies.sent("example.org", "/one/two/four"), "a=1; b=2");
    assert_eq!(cookies.sent("example.org", "/one"), "");
    cookies.set("example.org", "/file", "c=3");
    assert_eq!(cookies.sent("example.org", "/other"), "c=3");
}

#[test]
fn longer_paths_and_older_cookies_come_first() {
    let mut cookies = Cookies::new();
    cookies.set(
        "example.org",
        "/a/b",
        "short=1; Path=/|long=2; Path=/a/b|middle=3; Path=/a",
    );
    cookies.set("example.org", "/a/b", "later=4; Path=/a");
    assert_eq!(
        cookies.sent("example.org", "/a/b"),
        "long=2; middle=3; later=4; short=1"
    );
    // A new value keeps the place.
    cookies.set("example.org", "/a/b", "middle=5; Path=/a");
    assert_eq!(
        cookies.sent("example.org", "/a/b"),
        "long=2; middle=5; later=4; short=1"
    );
}

#[test]
fn the_same_name_with_another_path_or_domain_is_another_cookie() {
    let mut cookies = Cookies::new();
    cookies.set(
        "a.example.org",
        "/x",
        "a=1; Path=/|a=2; Path=/x|a=3; Path=/; Domain=example.org",
    );
    assert_eq!(cookies.sent("example.org", "/x"), "a=3");
    let sent = cookies.sent("a.example.org", "/x");
    assert!(sent.starts_with("a=2; "), "{sent}");
    assert_eq!(sent.matches("a=").count(), 3, "{sent}");
}

#[test]
fn cookies_expire() {
    let mut cookies = Cookies::new();
    let set = "a=1; Max-Age=1|b=2; Max-Age=1000|c=3; Expires=Thu, 01 Jan 1970 00:00:00 GMT\
               |d=4; Expires=Fri, 01 Jan 2100 00:00:00 GMT|e=5; Expires=garbage|f=6; Max-Age=garbage\
               |g=7; Max-Age=0|h=8; Max-Age=-1|i=9; Max-Age=1000; Expires=Thu, 01 Jan 1970 00:00:00 GMT";
    cookies.set("example.org", "/", set);
    let sent = cookies.sent("example.org", "/");
    assert!(
        ["a=1; b=2; d=4; e=5; f=6; i=9", "b=2; d=4; e=5; f=6; i=9"].contains(&sent.as_str()),
        "{sent}"
    );
    super::secure_server::pause(1500);
    assert_eq!(cookies.sent("example.org", "/"), "b=2; d=4; e=5; f=6; i=9");
    cookies.set(
        "example.org",
        "/",
        "b=; Max-Age=0|d=x; Expires=Thu, 01-Jan-70 00:00:01 GMT",
    );
    assert_eq!(cookies.sent("example.org", "/"), "e=5; f=6; i=9");
}

#[test]
fn secure_cookies_are_not_sent_without_tls() {
    let mut cookies = Cookies::new();
    cookies.set("example.org", "/", "a=1; Secure|b=2|c=3; secure");
    assert_eq!(cookies.sent("example.org", "/"), "b=2");
}

#[test]
fn cookies_of_redirects_are_kept_and_sent_to_the_next_hop() {
    let mut cookies = Cookies::new();
    for (host, expected) in [("example.org", "session=1"), ("other.test", "")] {
        let mut request = cookies.request("example.org", "/");
        let to = cookies.url(host, "/target");
        request["headers"] = json!([["X-Set", "session=1"], ["X-To", to]]);
        cookies.client.run(request).assert_ok();
        let last = cookies.server.last();
        assert_eq!(last.target, "/target");
        let sent = last.field("cookie").unwrap_or_default();
        assert_eq!(sent, expected, "{host}");
    }
    assert_eq!(cookies.sent("example.org", "/"), "session=1");
}

#[test]
fn cookies_of_the_request_are_joined_with_those_of_the_store() {
    let mut cookies = Cookies::new();
    cookies.set("example.org", "/", "stored=1");
    let mut request = cookies.request("example.org", "/");
    request["headers"] = json!([["Cookie", "own=2"]]);
    cookies.client.run(request).assert_ok();
    let last = cookies.server.last();
    let sent = last.all("cookie").join("; ");
    let mut pairs: Vec<&str> = sent.split("; ").collect();
    pairs.sort_unstable();
    assert_eq!(pairs, ["own=2", "stored=1"], "{sent}");
}

/// A cookie of the store goes to the hosts that it is for, and that of a request not beyond its origin.
#[test]
fn cookies_of_the_request_do_not_cross_origins() {
    let mut cookies = Cookies::new();
    cookies.set("other.test", "/", "other=1");
    let mut request = cookies.request("example.org", "/");
    let to = cookies.url("other.test", "/target");
    request["headers"] = json!([["Cookie", "own=2"], ["X-To", to]]);
    cookies.client.run(request).assert_ok();
    assert_eq!(cookies.server.last().field("cookie"), Some("other=1"));
}

#[test]
fn malformed_cookies_are_ignored() {
    let mut cookies = Cookies::new();
    cookies.set(
        "example.org",
        "/",
        "=1|novalue|;|a=1|; b=2|c\u{1}=3"
            .replace('\u{1}', " ")
            .as_str(),
    );
    let sent = cookies.sent("example.org", "/");
    assert!(sent.contains("a=1"), "{sent}");
    assert!(!sent.contains("b=2"), "{sent}");
}

#[test]
fn the_store_is_bounded() {
    let mut cookies = Cookies::new();
    for round in 0..20 {
        let set: Vec<String> = (0..20)
            .map(|number| format!("c{round}-{number}={}", "x".repeat(100)))
            .collect();
        cookies.set("example.org", "/", &set.join("|"));
    }
    let sent = cookies.sent("example.org", "/");
    let count = sent.split("; ").count();
    assert!((20..=400).contains(&count), "{count}");
    assert!(sent.contains("c19-19="), "{sent}");
}
