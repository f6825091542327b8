//! Tests of `90-conformance` and `91-benchmark` over TLS, with `curl` and with raw bytes through `openssl`.

use crate::program::{ProcessOutput, Program};
use crate::tls::Directory;

/// Runs `curl` until it exits; `None` if it is not installed.
fn curl(certificate: &str, arguments: &[&str]) -> Option<ProcessOutput> {
    let mut all = vec![
        "--silent",
        "--show-error",
        "--max-time",
        "20",
        "--cacert",
        certificate,
    ];
    all.extend(arguments);
    let mut program = Program::installed("curl", &all)?;
    program.end_input();
    let ended = program.wait();
    assert!(ended.status.success(), "{ended:?}");
    Some(ended)
}

/// Starts the conformance program with both listeners. Returns the program and the two URIs.
fn conformance(certificate: &str, key: &str) -> (Program, String, String) {
    let arguments = [
        "--http",
        "127.0.0.1:0",
        "--https",
        "127.0.0.1:0",
        "--cert",
        certificate,
        "--key",
        key,
    ];
    let server = Program::start("90-conformance", &arguments);
    let (plain, secure) = (server.listening_on(), server.listening_on());
    assert!(plain.starts_with("http://127.0.0.1:"), "{plain}");
    assert!(secure.starts_with("https://127.0.0.1:"), "{secure}");
    (server, plain, secure)
}

#[test]
fn the_conformance_program_serves_the_same_pages_over_tls() {
    let directory = Directory::new("conformance");
    let (cert, key) = directory.certificate("localhost");
    let (_server, plain, secure) = conformance(&cert, &key);
    for path in ["/hello", "/stream", "/slow", "/host", "/header"] {
        let address = |uri: &str| format!("{uri}{path}");
        let fields = ["-H", "X-Probe: probe", "-H", "Host: a.example"];
        let Some(over_tls) = curl(&cert, &[&fields[..], &[&address(&secure)]].concat()) else {
            return;
        };
        let in_plain = curl(&cert, &[&fields[..], &[&address(&plain)]].concat()).unwrap();
        assert!(!over_tls.stdout.is_empty(), "{path}");
        assert_eq!(over_tls.stdout, in_plain.stdout, "{path}");
    }
    let root = format!("{secure}/");
    let echoed = curl(&cert, &["-d", "over TLS", &root]).unwrap();
    assert_eq!(echoed.stdout, ["over TLS"]);
    // The negotiated version, the status and the size.
    let format = "%{http_version} %{response_code} %{size_download}";
    for (path, expected) in [
        ("big", "2 200 1048576"),
        ("empty", "2 204 0"),
        ("notmodified", "2 304 0"),
    ] {
        let page = format!("{secure}/{path}");
        let printed = curl(&cert, &["-o", "/dev/null", "-w", format, &page]).unwrap();
        assert_eq!(printed.stdout, [expected]);
    }
    let nothing = format!("{secure}/nothing");
    let printed = curl(
        &cert,
        &["-o", "/dev/null", "-w", "%{response_code}", &nothing],
    )
    .unwrap();
    assert_eq!(printed.stdout, ["404"]);
}

#[test]
fn an_ambiguous_request_over_tls_is_refused_and_closes_the_connection() {
    let directory = Directory::new("refused");
    let (cert, key) = directory.certificate("localhost");
    let (_server, _, secure) = conformance(&cert, &key);
    let address = secure.strip_prefix("https://").unwrap();
    let arguments = [
        "s_client",
        "-quiet",
        "-verify_quiet",
        "-CAfile",
        &cert,
        "-connect",
        address,
    ];
    let Some(mut client) = Program::installed("openssl", &arguments) else {
        return;
    };
    client.input(
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n\
         0\r\n\r\nGET /hello HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    let status = client.line();
    assert!(status.starts_with("HTTP/1.1 400 "), "{status}");
    let rest = client.wait().stdout;
    assert!(
        !rest.iter().any(|line| line.contains("hello world")),
        "{rest:?}"
    );
    assert!(
        rest.iter().any(|line| line == "connection: close"),
        "{rest:?}"
    );
}

#[test]
fn a_final_response_is_followed_by_a_close_notify() {
    let directory = Directory::new("close-notify");
    let (cert, key) = directory.certificate("localhost");
    let (_server, _, secure) = conformance(&cert, &key);
    let address = secure.strip_prefix("https://").unwrap();
    for request in [
        "GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "GET /stream HTTP/1.0\r\nHost: a\r\n\r\n",
        "GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    ] {
        let arguments = ["s_client", "-quiet", "-CAfile", &cert, "-connect", address];
        let Some(mut client) = Program::installed("openssl", &arguments) else {
            return;
        };
        client.input(request);
        let ended = client.wait();
        // Without a close_notify, openssl fails with `unexpected eof while reading`.
        assert!(ended.status.success(), "{request}: {ended:?}");
    }
}

#[test]
fn plain_text_on_the_tls_port_and_tls_on_the_plain_port_are_refused() {
    let directory = Directory::new("mixed");
    let (cert, key) = directory.certificate("localhost");
    let (_server, plain, secure) = conformance(&cert, &key);
    let mut confused = crate::http::Client::connect(&secure.replace("https://", "http://"));
    confused.request("GET /hello", &[]);
    let rest = confused.read_to_end();
    assert!(!rest.starts_with(b"HTTP/1.1 200"), "{rest:?}");
    // The start of a ClientHello is not a request line.
    let mut confused = crate::http::Client::connect(&plain);
    confused.send(b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n");
    assert_eq!(confused.response().status, 400);
    confused.expect_end();
    assert_eq!(crate::http::get(&plain, "/hello").text(), "hello world\n");
}

#[test]
fn the_benchmark_serves_its_pages_over_tls_and_counts_them() {
    let directory = Directory::new("benchmark");
    let (cert, key) = directory.certificate("localhost");
    let arguments = ["--listen", "127.0.0.1:0", "--cert", &cert, "--key", &key];
    let server = Program::start("91-benchmark", &arguments);
    let uri = server.listening_on();
    let [hello, user, stats] = ["hello", "user/42", "stats"].map(|path| format!("{uri}/{path}"));
    let Some(ended) = curl(&cert, &[&hello, "-w", "\n%{http_version}\n", &user, &stats]) else {
        return;
    };
    let printed = ended.stdout.join(" ");
    let counts = "Hello, World! 2 42 2 {\"open_connections\":1,";
    assert!(printed.starts_with(counts), "{printed}");
    assert!(
        printed.contains("\"requests\":3,\"responses_2xx\":2,"),
        "{printed}"
    );
    assert!(printed.ends_with("\"http2_requests\":3} 2"), "{printed}");
}
