//! The proxies of the environment.

use serde_json::json;

use super::driver::ClientProgram;
use super::server::{ScriptedServer, response};

/// Variables that are set for all tests, so that those of this process have no effect.
const NAMES: [&str; 8] = [
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
];

/// A proxy and a program with environment variables in which `PROXY` stands for its URL.
struct Environment {
    proxy: ScriptedServer,
    client: ClientProgram,
}

impl Environment {
    fn new(variables: &[(&str, &str)]) -> Environment {
        let proxy = ScriptedServer::start(|peer| {
            while let Some(request) = peer.request() {
                match request.method.as_str() {
                    "CONNECT" => peer.send(response("403 Forbidden", "", "")),
                    _ => peer.send(response("200 OK", "", "proxy")),
                };
            }
        });
        let url = proxy.url("");
        let values: Vec<(&str, String)> = NAMES
            .iter()
            .map(|name| {
                let found = variables.iter().find(|(variable, _)| variable == name);
                let value = found.map_or("", |(_, value)| value);
                (*name, value.replace("PROXY", &url))
            })
            .collect();
        let values: Vec<(&str, &str)> = values
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let client = ClientProgram::start_with(&[], &values);
        Environment { proxy, client }
    }

    /// Returns `true` if the request for a URL is sent to the proxy. Names have an address that refuses connections.
    #[track_caller]
    fn is_proxied(&mut self, url: &str) -> bool {
        let resolve = json!({
            "a.example": ["127.0.0.1"], "sub.a.example": ["127.0.0.1"], "xa.example": ["127.0.0.1"], "b.example": ["127.0.0.1"],
            "example": ["127.0.0.1"], "localhost": ["127.0.0.1"],
        });
        let before = self.proxy.requests().len();
        let request =
            json!({"url": url, "proxy": "env", "resolve": resolve, "connect_timeout_ms": 3000});
        let result = self.client.run(request);
        let is_proxied = self.proxy.requests().len() > before;
        if url.starts_with("http:") && is_proxied {
            assert_eq!(result.assert_ok().text(), "proxy");
        } else if is_proxied {
            result.assert_kind("proxy").assert_message(&["403"]);
        } else {
            result.assert_kinds(&["connect", "connect_timeout"]);
        }
        is_proxied
    }
}

// Ports of this machine that nothing listens on.
const HTTP: &str = "http://a.example:9/";
const HTTPS: &str = "https://a.example:9/";

#[test]
fn each_scheme_has_its_variable() {
    for (variables, http, https) in [
        (&[][..], false, false),
        (&[("http_proxy", "PROXY")], true, false),
        (&[("https_proxy", "PROXY")], false, true),
        (&[("HTTPS_PROXY", "PROXY")], false, true),
        (&[("all_proxy", "PROXY")], true, true),
        (&[("ALL_PROXY", "PROXY")], true, true),
        // A server may pass a header `Proxy` of its client as this variable.
        (&[("HTTP_PROXY", "PROXY")], false, false),
    ] {
        let mut environment = Environment::new(variables);
        assert_eq!(environment.is_proxied(HTTP), http, "{variables:?}");
        assert_eq!(environment.is_proxied(HTTPS), https, "{variables:?}");
    }
}

#[test]
fn the_variable_of_the_scheme_wins_over_that_for_all() {
    let other = "http://127.0.0.1:9";
    let variables = [
        ("http_proxy", "PROXY"),
        ("all_proxy", other),
        ("https_proxy", "PROXY"),
    ];
    let mut environment = Environment::new(&variables);
    assert!(environment.is_proxied(HTTP));
    assert!(environment.is_proxied(HTTPS));
}

#[test]
fn hosts_without_a_proxy_are_listed() {
    for (list, url, is_proxied) in [
        ("a.example", HTTP, false),
        ("A.Example", HTTP, false),
        (".a.example", HTTP, false),
        ("a.example", "http://sub.a.example:9/", false),
        (".a.example", "http://sub.a.example:9/", false),
        ("a.example", "http://xa.example:9/", true),
        ("sub.a.example", HTTP, true),
        ("b.example, a.example", HTTP, false),
        (" b.example ,, a.example ,", HTTP, false),
        ("b.example", HTTP, true),
        ("example", HTTP, false),
        ("a.example:9", HTTP, false),
        ("a.example:10", HTTP, true),
        (".a.example:9", "http://sub.a.example:9/", false),
        ("*", HTTP, false),
        ("*", "http://127.0.0.1:9/", false),
        ("127.0.0.1", "http://127.0.0.1:9/", false),
        ("127.0.0.1:9", "http://127.0.0.1:9/", false),
        ("127.0.0.1:10", "http://127.0.0.1:9/", true),
        ("127.0.0.2", "http://127.0.0.1:9/", true),
        ("127.0.0.0/8", "http://127.0.0.1:9/", false),
        ("127.0.0.0/8:9", "http://127.0.0.1:9/", false),
        ("128.0.0.0/8", "http://127.0.0.1:9/", true),
        ("127.0.0.0/31", "http://127.0.0.1:9/", false),
        ("::1", "http://[::1]:9/", false),
        ("[::1]:9", "http://[::1]:9/", false),
        ("::/64", "http://[::1]:9/", false),
        ("::2", "http://[::1]:9/", true),
        ("0.0.1", "http://127.0.0.1:9/", true),
        ("localhost", "http://localhost:9/", false),
        ("", HTTP, true),
    ] {
        for name in ["no_proxy", "NO_PROXY"] {
            let mut environment = Environment::new(&[("http_proxy", "PROXY"), (name, list)]);
            assert_eq!(
                environment.is_proxied(url),
                is_proxied,
                "{name}={list} {url}"
            );
        }
    }
}

/// The address of a name is not looked up for the list.
#[test]
fn networks_do_not_include_names() {
    let mut environment = Environment::new(&[("http_proxy", "PROXY"), ("no_proxy", "127.0.0.0/8")]);
    assert!(environment.is_proxied(HTTP));
}
