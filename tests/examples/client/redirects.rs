//! Redirects: methods, headers, origins and limits.

use serde_json::{Value, json};

use super::driver::ClientProgram;
use super::server::{OK, ReceivedRequest, ScriptedServer, response};

const MIB: usize = 1024 * 1024;

/// Returns a redirect.
fn redirect(status: &str, location: &str) -> String {
    response(
        &format!("{status} Redirect"),
        &format!("Location: {location}\r\n"),
        "moved",
    )
}

/// A server that redirects `/STATUS` to `/target`, and answers everything else.
fn server() -> ScriptedServer {
    ScriptedServer::start(|peer| {
        while let Some(request) = peer.request() {
            let is_head = request.method == "HEAD";
            match request.target[1..].parse::<u16>() {
                Ok(status) => {
                    let text = redirect(&status.to_string(), "/target");
                    let end = text.len() - if is_head { "moved".len() } else { 0 };
                    peer.send(&text[..end])
                }
                Err(_) => peer.send(&OK[..OK.len() - if is_head { 2 } else { 0 }]),
            };
        }
    })
}

#[test]
fn the_methods_of_redirected_requests_follow_the_rules() {
    let server = server();
    let mut client = ClientProgram::start();
    for (status, method, expected, keeps_body) in [
        (301, "GET", "GET", true),
        (301, "HEAD", "HEAD", true),
        (301, "POST", "GET", false),
        (301, "PUT", "PUT", true),
        (301, "DELETE", "DELETE", true),
        (302, "POST", "GET", false),
        (302, "PATCH", "PATCH", true),
        (303, "GET", "GET", false),
        (303, "HEAD", "HEAD", false),
        (303, "POST", "GET", false),
        (303, "PUT", "GET", false),
        (303, "DELETE", "GET", false),
        (307, "POST", "POST", true),
        (307, "GET", "GET", true),
        (308, "POST", "POST", true),
        (308, "PUT", "PUT", true),
    ] {
        let mut request = json!({"url": server.url(&format!("/{status}")), "method": method});
        let sends_body = !["GET", "HEAD"].contains(&method);
        if sends_body {
            request["body"] = json!("body");
            request["headers"] = json!([
                ["Content-Type", "text/plain"],
                ["Content-Encoding", "x"],
                ["Content-Language", "en"],
                ["Content-Location", "/a"],
                ["X-Kept", "kept"],
            ]);
        }
        let result = client.run(request);
        result.assert_ok().assert_attempts(1);
        assert_eq!(result.0["redirects"], 1);
        assert_eq!(result.0["url"], server.url("/target"));
        let last = server.last();
        let case = format!("{status} {method}: {last:?}");
        assert_eq!(
            (last.method.as_str(), last.target.as_str()),
            (expected, "/target"),
            "{case}"
        );
        if !sends_body {
            continue;
        }
        assert_eq!(last.field("x-kept"), Some("kept"), "{case}");
        assert_eq!(last.text(), if keeps_body { "body" } else { "" }, "{case}");
        for name in [
            "content-type",
            "content-encoding",
            "content-language",
            "content-location",
            "content-length",
        ] {
            assert_eq!(last.field(name).is_some(), keeps_body, "{name}: {case}");
        }
    }
}

#[test]
fn other_statuses_are_delivered() {
    let server = server();
    let mut client = ClientProgram::start();
    for status in [200, 201, 300, 304, 305, 306, 309, 399, 401] {
        let result =
            client.run(json!({"url": server.url(&format!("/{status}")), "method": "HEAD"}));
        assert_eq!(
            (result.status(), &result.0["redirects"]),
            (Some(status), &json!(0)),
            "{result:?}"
        );
    }
    let without = ScriptedServer::answering("HTTP/1.1 302 Found\r\nContent-Length: 2\r\n\r\nok");
    let result = client.get(&without.url("/"));
    assert_eq!((result.status(), result.text()), (Some(302), "ok".into()));
}

#[test]
fn redirects_are_delivered_if_they_are_not_followed() {
    let server = server();
    let mut client = ClientProgram::start();
    let result = client.run(json!({"url": server.url("/301"), "follow": false}));
    assert_eq!(result.status(), Some(301), "{result:?}");
    assert_eq!(
        (result.text(), result.header("location")),
        ("moved".into(), vec!["/target"])
    );
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_streaming_body_is_not_redirected() {
    let server = server();
    let mut client = ClientProgram::start();
    for (status, is_followed) in [
        (301, true),
        (302, true),
        (303, true),
        (307, false),
        (308, false),
    ] {
        let url = server.url(&format!("/{status}"));
        let result = client.run(json!({"url": url, "method": "POST", "chunks": [{"data": "abc"}]}));
        if is_followed {
            result.assert_ok();
            let last = server.last();
            assert_eq!(last.method, "GET");
            assert_eq!(last.field("transfer-encoding"), None);
        } else {
            assert_eq!(result.status(), Some(status), "{result:?}");
            assert_eq!(result.0["redirects"], 0);
        }
    }
}

#[test]
fn the_number_of_redirects_is_limited() {
    let server = ScriptedServer::start(|peer| {
        while let Some(request) = peer.request() {
            match request.target[1..].parse::<u32>() {
                Ok(0) => peer.send(OK),
                Ok(count) => peer.send(redirect("302", &format!("/{}", count - 1))),
                Err(_) => peer.send(redirect("302", &request.target)),
            };
        }
    });
    let mut client = ClientProgram::start();
    let result = client.get(&server.url("/10"));
    assert_eq!(result.assert_ok().0["redirects"], 10);
    let before = server.requests().len();
    client
        .get(&server.url("/11"))
        .assert_kind("too_many_redirects");
    assert_eq!(server.requests().len(), before + 11);
    client
        .get(&server.url("/loop"))
        .assert_kind("too_many_redirects");
    for (count, max, is_ok) in [
        (1, 0, false),
        (0, 0, true),
        (3, 3, true),
        (4, 3, false),
        (30, 30, true),
    ] {
        let url = server.url(&format!("/{count}"));
        let result = client.run(json!({"url": url, "max_redirects": max}));
        match is_ok {
            true => result.assert_ok(),
            false => result.assert_kind("too_many_redirects"),
        };
    }
}

#[test]
fn locations_are_resolved_against_the_current_url() {
    let server = ScriptedServer::start(|peer| {
        while let Some(request) = peer.request() {
            match request.field("x-location") {
                Some(location) if request.target == "/a/b/c?q" => {
                    peer.send(redirect("302", location))
                }
                _ => peer.send(OK),
            };
        }
    });
    let mut client = ClientProgram::start();
    let origin = server.url("");
    for (location, expected) in [
        ("/x", "/x"),
        ("x", "/a/b/x"),
        ("./x", "/a/b/x"),
        ("../x", "/a/x"),
        ("../../../x", "/x"),
        ("?z", "/a/b/c?z"),
        ("x/./y/../z", "/a/b/x/z"),
        ("/x?y#z", "/x?y"),
        ("/x%20y", "/x%20y"),
        (&format!("{origin}/x"), "/x"),
        (&format!("//{}/x", server.address), "/x"),
        (&origin, "/"),
    ] {
        let request =
            json!({"url": format!("{origin}/a/b/c?q#f"), "headers": [["X-Location", location]]});
        let result = client.run(request);
        assert_eq!(result.assert_ok().0["redirects"], 1, "{location}");
        assert_eq!(server.last().target, expected, "{location}");
        let fragment = if location.contains('#') { "#z" } else { "#f" };
        assert_eq!(
            result.0["url"],
            format!("{origin}{expected}{fragment}"),
            "{location}"
        );
    }
}

#[test]
fn locations_that_cannot_be_followed_are_errors() {
    let mut client = ClientProgram::start();
    for (location, kind) in [
        ("http://", "invalid_url"),
        ("http:///path", "invalid_url"),
        ("http://a.example:port/", "invalid_url"),
        ("http://[::1/", "invalid_url"),
        ("//:80/", "invalid_url"),
        ("ftp://a.example/", "unsupported_scheme"),
        ("file:///etc/passwd", "unsupported_scheme"),
        ("javascript:alert(1)", "unsupported_scheme"),
        ("mailto:a@example.org", "unsupported_scheme"),
    ] {
        let server = ScriptedServer::answering(redirect("302", location));
        let result = client.get(&server.url("/"));
        result.assert_kind(kind);
        assert_eq!(server.requests().len(), 1, "{location}");
    }
}

#[test]
fn credentials_are_dropped_at_another_origin_and_do_not_come_back() {
    let target = ScriptedServer::start(|peer| {
        while let Some(request) = peer.request() {
            let back = request.all("x-back").concat();
            match request.target.as_str() {
                "/back" => peer.send(redirect("307", &back)),
                _ => peer.send(OK),
            };
        }
    });
    let other = target.url("/back");
    let first = ScriptedServer::start(move |peer| {
        while let Some(request) = peer.request() {
            match request.target.as_str() {
                "/first" => peer.send(redirect("307", "/second")),
                "/second" => peer.send(redirect("307", &other)),
                _ => peer.send(OK),
            };
        }
    });
    let mut client = ClientProgram::start();
    let headers = json!([
        ["Authorization", "Bearer secret"],
        ["Cookie", "a=b"],
        ["Proxy-Authorization", "Basic secret"],
        ["Host", "own.example"],
        ["X-Other", "kept"],
        ["X-Back", first.url("/end")],
    ]);
    let result = client.run(
        json!({"url": first.url("/first"), "headers": headers, "method": "POST", "body": "a"}),
    );
    assert_eq!(result.assert_ok().0["redirects"], 3);
    let names = ["authorization", "cookie", "proxy-authorization"];
    let count = |request: &ReceivedRequest| {
        names
            .iter()
            .filter(|name| request.field(name).is_some())
            .count()
    };
    let requests = first.requests();
    assert_eq!(
        (requests[0].target.as_str(), count(&requests[0])),
        ("/first", 3)
    );
    assert_eq!(requests[0].field("host"), Some("own.example"));
    // The same origin keeps everything.
    assert_eq!(
        (requests[1].target.as_str(), count(&requests[1])),
        ("/second", 3)
    );
    assert_eq!(requests[1].field("host"), Some("own.example"));
    let crossed = target.last();
    assert_eq!(count(&crossed), 0, "{crossed:?}");
    assert_eq!(
        crossed.field("host"),
        Some(target.address.to_string().as_str())
    );
    assert_eq!(
        (crossed.field("x-other"), crossed.text()),
        (Some("kept"), "a")
    );
    // Back at the first origin, they do not come back.
    assert_eq!(
        (requests[2].target.as_str(), count(&requests[2])),
        ("/end", 0)
    );
    assert_eq!(
        requests[2].field("host"),
        Some(first.address.to_string().as_str())
    );
    assert_eq!(requests[2].field("x-other"), Some("kept"));
}

#[test]
fn another_name_of_the_same_server_is_another_origin() {
    let server = ScriptedServer::start(|peer| {
        while let Some(request) = peer.request() {
            match request.field("x-location") {
                Some(location) if request.target == "/" => peer.send(redirect("302", location)),
                _ => peer.send(OK),
            };
        }
    });
    let mut client = ClientProgram::start();
    let port = server.port();
    let resolve = json!({"a.example": ["127.0.0.1"], "sub.a.example": ["127.0.0.1"]});
    for (host, is_same) in [
        ("a.example", true),
        ("A.EXAMPLE", true),
        ("sub.a.example", false),
        ("127.0.0.1", false),
    ] {
        let location = format!("http://{host}:{port}/target");
        let request = json!({
            "url": format!("http://a.example:{port}/"),
            "resolve": resolve,
            "headers": [["X-Location", location], ["Authorization", "secret"]],
        });
        client.run(request).assert_ok();
        assert_eq!(
            server.last().field("authorization").is_some(),
            is_same,
            "{host}"
        );
    }
}

#[test]
fn user_information_goes_to_its_origin_only() {
    let target = ScriptedServer::answering(OK);
    let other = target.url("/other");
    let server = ScriptedServer::start(move |peer| {
        let own = format!("http://new:secret@{}/own", peer.local_address());
        while let Some(request) = peer.request() {
            match request.target.as_str() {
                "/to-own" => peer.send(redirect("302", &own)),
                "/to-other" => peer.send(redirect("302", &other.replace("//", "//new:secret@"))),
                "/relative" => peer.send(redirect("302", "/own")),
                _ => peer.send(OK),
            };
        }
    });
    let mut client = ClientProgram::start();
    let basic = "Basic dXNlcjpwYXNzd29yZA==";
    let url = |path: &str| server.url(path).replace("//", "//user:password@");
    let result = client.get(&url("/relative"));
    assert_eq!(result.assert_ok().0["url"], server.url("/own"));
    assert_eq!(server.last().field("authorization"), Some(basic));
    // The user information of a `Location` is ignored.
    let result = client.get(&url("/to-own"));
    assert_eq!(result.assert_ok().0["url"], server.url("/own"));
    assert_eq!(server.last().field("authorization"), Some(basic));
    client.get(&server.url("/to-own")).assert_ok();
    assert_eq!(server.last().field("authorization"), None);
    let result = client.get(&url("/to-other"));
    assert_eq!(result.assert_ok().0["url"], target.url("/other"));
    assert_eq!(target.last().field("authorization"), None);
}

#[test]
fn the_body_of_a_short_redirect_is_read_and_the_connection_used_again() {
    let server = ScriptedServer::start(|peer| {
        while let Some(request) = peer.request() {
            match request.target[1..].parse::<usize>() {
                Ok(size) => peer.send(response(
                    "302 Found",
                    "Location: /target\r\n",
                    &"x".repeat(size),
                )),
                Err(_) => peer.send(OK),
            };
        }
    });
    let mut client = ClientProgram::start();
    client
        .get(&server.url("/60000"))
        .assert_ok()
        .assert_reused(true);
    assert_eq!(server.connections(), 1);
    let result = client.get(&server.url("/1000000"));
    result.assert_ok().assert_reused(false);
    assert_eq!(server.connections(), 2);
}

#[test]
fn an_endless_redirect_is_followed_without_its_body() {
    let server = ScriptedServer::start(|peer| {
        let request = peer.request().unwrap();
        if request.target == "/target" {
            peer.send(OK);
            return;
        }
        peer.send("HTTP/1.1 302 Found\r\nLocation: /target\r\nTransfer-Encoding: chunked\r\n\r\n");
        while peer.send(format!("{:x}\r\n{}\r\n", 1000, "x".repeat(1000))) {}
    });
    let mut client = ClientProgram::start();
    let result = client.get(&server.url("/"));
    assert_eq!(result.assert_ok().text(), "ok");
    server.wait(|server| server.ended() == 2);
    let peak = client.peak_memory();
    assert!(peak < 64 * MIB as u64, "{peak}");
}

#[test]
fn a_body_is_sent_again_after_a_redirect() {
    let server = server();
    let mut client = ClientProgram::start();
    let bodies: [Value; 3] = [
        json!({"body": "text"}),
        json!({"body_base64": "dGV4dA=="}),
        json!({"body_zeros": 5}),
    ];
    for mut request in bodies {
        request["url"] = json!(server.url("/308"));
        request["method"] = json!("PUT");
        client.run(request).assert_ok();
        let requests = server.requests();
        let [.., first, last] = &requests[..] else {
            panic!("{requests:?}");
        };
        assert_eq!(
            (first.target.as_str(), last.target.as_str()),
            ("/308", "/target")
        );
        assert_eq!(first.body, last.body);
        assert_eq!(first.field("content-length"), last.field("content-length"));
    }
}

#[test]
fn a_failure_of_a_later_hop_names_its_url() {
    let server = ScriptedServer::start(|peer| {
        while let Some(request) = peer.request() {
            if request.target == "/dies" {
                return;
            }
            peer.send("HTTP/1.1 302 Found\r\nLocation: /dies\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let mut client = ClientProgram::start();
    let result = client.get(&server.url("/"));
    result
        .assert_kind("closed_before_response")
        .assert_attempts(1);
    assert_eq!(result.0["url"], server.url("/dies"));
    assert_eq!(result.status(), None, "{result:?}");
}
