//! Access logs.

use std::cell::RefCell;
use std::fs;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use uptick_event_loop::{SIGUSR1, add_timer, run, stop};
use uptick_http::{
    AccessLog, Authentication, HttpServer, LogFormat, LogWriter, Method, Next, Request, RequestIds,
    Responder, Response, StatusCode,
};

/// Returns the log lines without their times.
fn lines(format: LogFormat, requests: impl Fn(HttpServer)) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let writer = LogWriter::file(&path).unwrap();
    let http = HttpServer::new();
    http.wrap(AccessLog::new(format, writer.clone()));
    http.get("/", |_: Request| "hello");
    http.get("/empty", |_: Request| StatusCode::NO_CONTENT);
    http.get("/pieces", |_: Request, res: Responder| {
        res.start(Response::plain("one"));
        res.write("two");
        res.end();
    });
    http.group("/user", |user| {
        user.wrap(Authentication::basic("a", |_, _| Some(())));
        user.get("/", |_: Request| "secret");
    });
    requests(http);
    // The server holds the writer, so dropping it does not wait for the thread.
    for _ in 0..1_000 {
        if fs::read(&path).unwrap().ends_with(b"\n") {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(writer.lost(), 0);
    let text = fs::read_to_string(&path).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn without_time(line: &str) -> String {
    let (before, rest) = line.split_once('[').unwrap();
    let (_, after) = rest.split_once(']').unwrap();
    format!("{before}[]{after}")
}

fn get(http: HttpServer, target: &str, headers: &[(&str, &str)]) {
    let request = http.test().get(target);
    let request = request.peer(SocketAddr::from(([192, 0, 2, 1], 80)));
    let request = headers.iter().fold(request, |request, (name, value)| {
        request.header(*name, *value)
    });
    request.send().unwrap();
}

#[test]
fn lines_are_in_the_common_format() {
    let cases = [
        ("/", r#"192.0.2.1 - - [] "GET / HTTP/1.1" 200 5"#),
        ("/?a=b", r#"192.0.2.1 - - [] "GET /?a=b HTTP/1.1" 200 5"#),
        ("/empty", r#"192.0.2.1 - - [] "GET /empty HTTP/1.1" 204 -"#),
        (
            "/pieces",
            r#"192.0.2.1 - - [] "GET /pieces HTTP/1.1" 200 6"#,
        ),
        ("/none", r#"192.0.2.1 - - [] "GET /none HTTP/1.1" 404 10"#),
    ];
    for (target, expected) in cases {
        let lines = lines(LogFormat::Common, |http| get(http, target, &[]));
        let lines: Vec<String> = lines.iter().map(|line| without_time(line)).collect();
        assert_eq!(lines, [expected]);
    }
}

#[test]
fn a_head_request_has_no_bytes() {
    let lines = lines(LogFormat::Common, |http| {
        http.test().head("/").send().unwrap();
    });
    assert!(lines[0].ends_with("\"HEAD / HTTP/1.1\" 200 -"), "{lines:?}");
}

#[test]
fn the_combined_format_escapes_headers() {
    let lines = lines(LogFormat::Combined, |http| {
        let headers = [
            ("user-agent", "a\"b\\c\u{e4}"),
            ("referer", "https://example.com/"),
        ];
        get(http, "/", &headers);
    });
    let expected =
        r#"192.0.2.1 - - [] "GET / HTTP/1.1" 200 5 "https://example.com/" "a\"b\\c\xc3\xa4""#;
    assert_eq!(without_time(&lines[0]), expected);
}

#[test]
fn the_user_of_basic_authentication_is_logged() {
    let lines = lines(LogFormat::Common, |http| {
        // `A [a]:x`
        get(http, "/user/", &[("authorization", "Basic QSBbYV06eA==")]);
    });
    assert!(
        lines[0].starts_with(r"192.0.2.1 - A\x20\x5ba\x5d ["),
        "{lines:?}"
    );
}

#[test]
fn json_lines_are_objects() {
    let lines = lines(LogFormat::Json, |http| {
        http.wrap(RequestIds::new());
        get(http, "/none", &[("user-agent", "a\"b")]);
    });
    let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(line["status"], 404);
    assert_eq!(line["client"], "192.0.2.1");
    assert_eq!(line["complete"], true);
    assert_eq!(line["bytes"], 10);
    assert!(line["time"].as_str().unwrap().ends_with('Z'), "{line}");
    assert!(
        line["id"].is_string() && line["total_ms"].is_number(),
        "{line}"
    );
    assert!(
        line["first_byte_ms"].as_f64() <= line["total_ms"].as_f64(),
        "{line}"
    );
    assert!(line.get("user").is_none(), "{line}");
}

#[test]
fn json_lines_have_no_control_characters_and_are_truncated() {
    let lines = lines(LogFormat::Json, |http| {
        let name = "\u{e9}".repeat(5_000);
        let long = format!("/none?{}", "x".repeat(10_000));
        http.wrap(move |req: Request, next: Next| {
            req.set_user(name.as_str());
            next.run(req)
        });
        // U+009B starts a terminal escape sequence.
        get(http, &long, &[("user-agent", "a\u{9b}31mb\u{85}c")]);
    });
    let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(line["user_agent"], "a\u{fffd}31mb\u{fffd}c");
    for name in ["user", "target"] {
        let length = line[name].as_str().unwrap().len();
        assert!(length == 2048, "{name}: {length}");
    }
}

#[test]
fn a_long_method_is_truncated() {
    let lines = lines(LogFormat::Common, |http| {
        let method = Method::from_bytes("M".repeat(5_000).as_bytes()).unwrap();
        let request = http.test().request(method, "/");
        assert_eq!(request.send().unwrap().status(), 501);
    });
    assert!(lines[0].len() < 2_200, "{}", lines[0].len());
}

#[test]
fn a_client_that_disconnects_has_status_499() {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let sink = Rc::clone(&seen);
    let http = HttpServer::new().wrap(AccessLog::with(move |record| {
        let status = record.status_number();
        sink.borrow_mut()
            .push((status, record.is_complete, record.bytes));
    }));
    http.get("/never", async |_: Request| {
        std::future::pending::<&str>().await
    });
    http.get("/half", |_: Request, res: Responder| {
        res.start(Response::plain("half"));
    });
    for path in ["/never", "/half"] {
        let exchange = http.test().get(path).start().unwrap();
        exchange.disconnect();
        drop(exchange);
    }
    assert_eq!(*seen.borrow(), [(499, false, 0), (200, false, 4)]);
}

#[test]
fn a_renamed_file_is_reopened() {
    let folder = tempfile::tempdir().unwrap();
    let (path, old) = (
        folder.path().join("access.log"),
        folder.path().join("old.log"),
    );
    let http = HttpServer::new();
    http.wrap(AccessLog::new(
        LogFormat::Common,
        LogWriter::file(&path).unwrap(),
    ));
    let wait_for = |path: &std::path::Path, needle: &str| {
        for _ in 0..2_000 {
            if fs::read_to_string(path).is_ok_and(|text| text.contains(needle)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("{} has no {needle}", path.display());
    };
    get(http, "/first", &[]);
    wait_for(&path, "/first");
    fs::rename(&path, &old).unwrap();
    get(http, "/second", &[]);
    wait_for(&old, "/second");
    add_timer(Duration::from_millis(1), || {
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::USR1)
            .unwrap();
        add_timer(Duration::from_millis(200), stop);
    });
    let _ = SIGUSR1;
    run().unwrap();
    get(http, "/third", &[]);
    wait_for(&path, "/third");
}

#[test]
fn lines_that_cannot_be_written_are_counted_and_requests_continue() {
    let full = LogWriter::file("/dev/full").unwrap();
    let small = LogWriter::file("/dev/null").unwrap().max_buffer(10);
    let http = HttpServer::new();
    http.wrap(AccessLog::new(LogFormat::Common, full.clone()));
    http.wrap(AccessLog::new(LogFormat::Common, small.clone()));
    for _ in 0..10 {
        get(http, "/", &[]);
    }
    assert_eq!(small.lost(), 10);
    for _ in 0..2_000 {
        if full.lost() == 10 {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("{} lines were lost", full.lost());
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error() {
    assert!(LogWriter::file("/none/access.log").is_err());
}
