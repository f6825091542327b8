//! HTTP/2 servers that refuse streams, go away, or violate the protocol.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::driver::{ClientProgram, Stopwatch};
use super::http2_server::{
    CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Http2Peer,
    INTERNAL_ERROR, NO_ERROR, NO_FRAME, PROTOCOL_ERROR, PUSH_PROMISE, REFUSED_STREAM, RST_STREAM,
    SETTINGS, WINDOW_UPDATE,
};
use super::secure_server::pause;
use super::server::ScriptedServer;

/// Starts a server that runs a script for each HTTP/2 connection.
fn scripted(script: impl Fn(&mut Http2Peer<'_>) + Send + Sync + 'static) -> ScriptedServer {
    ScriptedServer::start(move |peer| {
        if let Some(mut h2) = Http2Peer::accept(peer, &[]) {
            script(&mut h2);
        }
    })
}

fn request(server: &ScriptedServer, members: Value) -> Value {
    let mut request = members;
    request["url"] = json!(server.url("/"));
    request["http2"] = json!("only");
    request
}

#[test]
fn a_refused_stream_is_sent_once_more_with_any_method() {
    let count = AtomicUsize::new(0);
    let server = scripted(move |h2| {
        while let Some(stream) = h2.request() {
            match count.fetch_add(1, Ordering::Relaxed) % 2 {
                0 => h2.reset(stream, REFUSED_STREAM),
                _ => h2.respond(stream, "200", b"ok"),
            }
        }
    });
    let mut client = ClientProgram::start();
    for method in ["GET", "POST", "PATCH", "PUT"] {
        let sends = json!({"method": method, "body": "body"});
        client
            .run(request(&server, sends))
            .assert_ok()
            .assert_attempts(2);
        let requests = server.requests();
        let [.., first, second] = &requests[..] else {
            panic!("{requests:?}");
        };
        assert_eq!((&first.method, &first.body), (&second.method, &second.body));
    }
}

#[test]
fn a_stream_that_is_refused_again_is_an_error() {
    let server = scripted(|h2| {
        while let Some(stream) = h2.request() {
            h2.reset(stream, REFUSED_STREAM);
        }
    });
    let mut client = ClientProgram::start();
    let result = client.run(request(&server, json!({})));
    result.assert_kind("http2").assert_attempts(2);
    assert_eq!(server.requests().len(), 2);
    let result = client.run(request(&server, json!({"retry": false})));
    result.assert_kind("http2").assert_attempts(1);
    assert_eq!(server.requests().len(), 3);
}

#[test]
fn a_reset_stream_is_an_error_and_not_sent_again() {
    let mut client = ClientProgram::start();
    for code in [INTERNAL_ERROR, CANCEL, PROTOCOL_ERROR, NO_ERROR, 99] {
        let server = scripted(move |h2| {
            let stream = h2.request().unwrap();
            h2.reset(stream, code);
            h2.serve("ok");
        });
        let result = client.run(request(&server, json!({})));
        result.assert_kind("http2").assert_attempts(1);
        assert_eq!(server.requests().len(), 1);
        // The connection is fine.
        client
            .run(request(&server, json!({})))
            .assert_ok()
            .assert_reused(true);
    }
}

#[test]
fn a_stream_that_is_reset_within_its_body_is_an_error() {
    let server = scripted(|h2| {
        let stream = h2.request().unwrap();
        h2.fields(
            stream,
            &[(":status", "200"), ("content-length", "100")],
            false,
        );
        h2.data(stream, b"partial", false);
        h2.reset(stream, INTERNAL_ERROR);
        h2.serve("ok");
    });
    let mut client = ClientProgram::start();
    let result = client.run(request(&server, json!({})));
    result.assert_kind("http2");
    assert_eq!(result.status(), Some(200), "{result:?}");
}

#[test]
fn unprocessed_requests_are_sent_again_after_the_server_goes_away() {
    let server = scripted(|h2| {
        if h2.peer.number == 0 {
            let stream = h2.request().unwrap();
            // Nothing was processed.
            h2.go_away(0, NO_ERROR);
            let _ = stream;
            h2.wait_for(NO_FRAME);
        } else {
            h2.serve("ok");
        }
    });
    let mut client = ClientProgram::start();
    let sends = json!({"method": "POST", "body": "body"});
    let result = client.run(request(&server, sends));
    result.assert_ok().assert_attempts(2).assert_reused(false);
    assert_eq!(server.connections(), 2);
}

#[test]
fn processed_requests_finish_after_the_server_goes_away() {
    let server = scripted(|h2| {
        while let Some((stream, _)) = h2.head() {
            h2.go_away(stream, NO_ERROR);
            h2.peer.sleep(300);
            h2.respond(stream, "200", b"ok");
        }
    });
    let mut client = ClientProgram::start();
    let first = client.send(request(&server, json!({})));
    server.wait_for_requests(1);
    pause(100);
    // New requests use a new connection.
    let second = client.run(request(&server, json!({})));
    second.assert_ok().assert_reused(false).assert_attempts(1);
    client.result_of(&first).assert_ok();
    assert_eq!(server.connections(), 2);
    server.wait(|server| server.ended() == 2);
    client.wait_for_stats(|stats| stats.open == 0);
}

#[test]
fn a_connection_that_ends_is_an_error_or_sent_again() {
    let server = scripted(|h2| {
        let mut count = 0;
        while h2.request().is_some_and(|stream| {
            count += 1;
            if count == 1 && h2.peer.number == 0 {
                h2.respond(stream, "200", b"ok");
                return true;
            }
            false
        }) {}
    });
    let mut client = ClientProgram::start();
    client.run(request(&server, json!({}))).assert_ok();
    let before = server.requests().len();
    let result = client.run(request(&server, json!({"method": "POST", "body": "a"})));
    result.assert_kinds(&["closed_before_response", "http2"]);
    result.assert_attempts(1).assert_reused(true);
    assert_eq!(server.requests().len(), before + 1);
}

#[test]
fn a_connection_that_ends_within_a_response_is_an_error() {
    for complete_head in [false, true] {
        let server = scripted(move |h2| {
            let stream = h2.request().unwrap();
            if complete_head {
                h2.fields(stream, &[(":status", "200")], false);
                h2.data(stream, b"partial", false);
            } else {
                h2.send(HEADERS, 0, stream, b"\x88");
            }
            h2.peer.sleep(50);
        });
        let mut client = ClientProgram::start();
        let result = client.run(request(&server, json!({})));
        result.assert_kinds(&[
            "closed_in_body",
            "closed_in_head",
            "closed_before_response",
            "http2",
        ]);
        assert_eq!(result.status(), complete_head.then_some(200), "{result:?}");
        result.assert_attempts(1);
    }
}

/// Each violation ends the request, and either its stream or the connection. No request is answered by it.
#[test]
fn violations_of_the_protocol_are_errors() {
    type Violation = fn(&mut Http2Peer<'_>, u32);
    let violations: &[(&str, Violation)] = &[
        ("data before the head", |h2, stream| {
            _ = h2.data(stream, b"data", true)
        }),
        ("data on stream 0", |h2, _| _ = h2.send(DATA, 0, 0, b"data")),
        ("head on stream 0", |h2, _| {
            _ = h2.send(HEADERS, END_HEADERS, 0, b"\x88")
        }),
        ("head on an unopened stream", |h2, stream| {
            _ = h2.send(HEADERS, END_HEADERS, stream + 100, b"\x88")
        }),
        ("head on a stream of the server", |h2, _| {
            _ = h2.send(HEADERS, END_HEADERS, 2, b"\x88")
        }),
        ("no status", |h2, stream| {
            h2.fields(stream, &[("x-a", "b")], true)
        }),
        ("a status that is no number", |h2, stream| {
            h2.fields(stream, &[(":status", "abc")], true)
        }),
        ("a status below 100", |h2, stream| {
            h2.fields(stream, &[(":status", "099")], true)
        }),
        ("two statuses", |h2, stream| {
            h2.fields(stream, &[(":status", "200"), (":status", "200")], true)
        }),
        ("an unknown pseudo-field", |h2, stream| {
            h2.fields(stream, &[(":status", "200"), (":path", "/")], true)
        }),
        ("a pseudo-field after another", |h2, stream| {
            h2.fields(stream, &[("a", "b"), (":status", "200")], true)
        }),
        ("an upper-case name", |h2, stream| {
            h2.fields(stream, &[(":status", "200"), ("X-A", "b")], true)
        }),
        ("a name with a space", |h2, stream| {
            h2.fields(stream, &[(":status", "200"), ("x a", "b")], true)
        }),
        ("a value with a line feed", |h2, stream| {
            h2.fields(stream, &[(":status", "200"), ("x-a", "b\nc")], true)
        }),
        ("a field of the connection", |h2, stream| {
            h2.fields(stream, &[(":status", "200"), ("connection", "close")], true)
        }),
        ("a transfer encoding", |h2, stream| {
            h2.fields(
                stream,
                &[(":status", "200"), ("transfer-encoding", "chunked")],
                true,
            );
        }),
        ("status 101", |h2, stream| {
            h2.fields(stream, &[(":status", "101")], true)
        }),
        ("an interim response that ends the stream", |h2, stream| {
            h2.fields(stream, &[(":status", "103")], true)
        }),
        ("two different lengths", |h2, stream| {
            h2.fields(
                stream,
                &[
                    (":status", "200"),
                    ("content-length", "1"),
                    ("content-length", "2"),
                ],
                true,
            );
        }),
        ("a body longer than its length", |h2, stream| {
            h2.fields(
                stream,
                &[(":status", "200"), ("content-length", "2")],
                false,
            );
            h2.data(stream, b"data", true);
        }),
        ("a body shorter than its length", |h2, stream| {
            h2.fields(
                stream,
                &[(":status", "200"), ("content-length", "9")],
                false,
            );
            h2.data(stream, b"data", true);
        }),
        ("no body where a length is announced", |h2, stream| {
            h2.fields(stream, &[(":status", "200"), ("content-length", "9")], true);
        }),
        ("trailers that do not end the stream", |h2, stream| {
            h2.fields(stream, &[(":status", "200")], false);
            h2.data(stream, b"data", false);
            h2.fields(stream, &[("x-a", "b")], false);
        }),
        ("trailers with a pseudo-field", |h2, stream| {
            h2.fields(stream, &[(":status", "200")], false);
            h2.data(stream, b"data", false);
            h2.fields(stream, &[(":status", "200")], true);
        }),
        ("a broken header block", |h2, stream| {
            h2.send(
                HEADERS,
                END_HEADERS | END_STREAM,
                stream,
                b"\xff\xff\xff\xff\xff\xff",
            );
        }),
        ("a continuation without a head", |h2, stream| {
            _ = h2.send(CONTINUATION, END_HEADERS, stream, b"\x88")
        }),
        ("a frame within a header block", |h2, stream| {
            h2.send(HEADERS, 0, stream, b"\x88");
            h2.send(DATA, END_STREAM, stream, b"data");
        }),
        ("a frame that is too large", |h2, stream| {
            h2.fields(stream, &[(":status", "200")], false);
            h2.send(DATA, END_STREAM, stream, &vec![0; 17_000_000 - 1_000_000]);
        }),
        ("a promised request", |h2, stream| {
            h2.send(
                PUSH_PROMISE,
                END_HEADERS,
                stream,
                b"\0\0\0\x02\x82\x86\x84\x41\x01a",
            );
        }),
        ("a reset of an unopened stream", |h2, stream| {
            _ = h2.send(RST_STREAM, 0, stream + 100, &[0; 4])
        }),
        ("settings of a wrong length", |h2, _| {
            _ = h2.send(SETTINGS, 0, 0, &[0; 5])
        }),
        ("settings on a stream", |h2, stream| {
            _ = h2.send(SETTINGS, 0, stream, b"")
        }),
        ("an initial window that is too large", |h2, _| {
            _ = h2.send(SETTINGS, 0, 0, b"\0\x04\xff\xff\xff\xff")
        }),
        ("a window that overflows", |h2, _| {
            h2.send(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes());
            h2.send(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes());
        }),
        ("an empty window update", |h2, _| {
            _ = h2.send(WINDOW_UPDATE, 0, 0, &[0; 4])
        }),
        ("a short GOAWAY", |h2, _| _ = h2.send(GOAWAY, 0, 0, &[0; 4])),
    ];
    for (name, violation) in violations {
        let server = scripted(move |h2| {
            let stream = h2.request().unwrap();
            violation(h2, stream);
            h2.wait_for(NO_FRAME);
        });
        let mut client = ClientProgram::start();
        let watch = Stopwatch::start();
        let result = client.run(request(
            &server,
            json!({"first_byte_timeout_ms": 8000, "read_timeout_ms": 8000}),
        ));
        assert_eq!(result.0["ok"], false, "{name}: {result:?}");
        let kind = result.0["error"]["kind"].as_str().unwrap();
        assert!(["http2", "malformed"].contains(&kind), "{name}: {result:?}");
        watch.assert_below(6000);
        assert_eq!(server.requests().len(), 1, "{name}");
    }
}

#[test]
fn a_server_without_http2_is_an_error() {
    let server = ScriptedServer::start(|peer| {
        peer.exactly(24);
        peer.send("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    });
    let mut client = ClientProgram::start();
    let result = client.run(request(&server, json!({})));
    result.assert_kinds(&["http2", "malformed"]);
}

#[test]
fn floods_end() {
    type Flood = fn(&mut Http2Peer<'_>, u32) -> bool;
    let floods: &[(&str, Flood)] = &[
        ("interim responses", |h2, stream| {
            h2.fields(stream, &[(":status", "103"), ("link", "</a>")], false);
            h2.send(SETTINGS, 1, 0, b"")
        }),
        ("continuations", |h2, stream| {
            h2.send(CONTINUATION, 0, stream, b"\x00\x03x-a\x05value")
        }),
        ("pings", |h2, _| h2.send(6, 0, 0, b"12345678")),
        ("settings", |h2, _| h2.send(SETTINGS, 0, 0, b"")),
        ("empty data", |h2, stream| h2.send(DATA, 0, stream, b"")),
    ];
    for (name, flood) in floods {
        let server = scripted(move |h2| {
            let stream = h2.request().unwrap();
            match *name {
                "continuations" => _ = h2.send(HEADERS, 0, stream, b"\x88"),
                "empty data" => h2.fields(stream, &[(":status", "200")], false),
                _ => (),
            }
            while flood(h2, stream) {}
        });
        let mut client = ClientProgram::start();
        let limits = json!({"first_byte_timeout_ms": 1500, "read_timeout_ms": 1500, "total_timeout_ms": 4000});
        let result = client.run(request(&server, limits));
        assert_eq!(result.0["ok"], false, "{name}: {result:?}");
        let peak = client.peak_memory();
        assert!(peak < 128 * 1024 * 1024, "{name}: {peak}");
    }
}

#[test]
fn a_silent_idle_session_is_closed_at_the_end_of_the_input() {
    let server = scripted(|h2| h2.serve("ok"));
    let mut client = ClientProgram::start();
    client.run(request(&server, json!({}))).assert_ok();
    let ended = client.finish();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    server.wait(|server| server.ended() == 1);
}
