//! Tests with `curl`, `nghttp` and `h2load`.

use std::fs;

use super::{Conformance, run};
use crate::program::ProcessOutput;
use crate::tls::Directory;

/// Environment variables. If they are set, the tests fail when the programs are not installed.
const CURL_REQUIRED: &str = "UPTICK_REQUIRE_CURL";
const NGHTTP2_REQUIRED: &str = "UPTICK_REQUIRE_NGHTTP2";

const MIB: usize = 1024 * 1024;

fn curl(arguments: &[&str]) -> Option<ProcessOutput> {
    let common = ["--silent", "--show-error", "--insecure", "--max-time", "20"];
    run("curl", &[&common, arguments].concat(), CURL_REQUIRED)
}

#[test]
fn curl_receives_all_routes_in_both_versions() {
    let server = Conformance::start("curl", &[]);
    let format = "%{http_version} %{response_code} %{size_download} %header{content-length} ";
    let pages: &[(&str, &[&str], &str)] = &[
        ("/", &[], "200 0 0"),
        ("/", &["-d", "body"], "200 4 4"),
        ("/echo", &["-d", "body"], "200 4 4"),
        ("/hello", &[], "200 12 12"),
        ("/hello", &["-I"], "200 0 12"),
        ("/slow", &["-d", "body"], "200 12 12"),
        ("/stream", &[], "200 80 "),
        ("/stream", &["-I"], "200 0 "),
        ("/big", &[], "200 1048576 1048576"),
        ("/big", &["-I"], "200 0 1048576"),
        ("/empty", &[], "204 0 "),
        ("/notmodified", &[], "304 0 "),
        ("/header", &["-H", "X-Probe: probe"], "200 5 5"),
        ("/host", &["-H", "Host: a.example"], "200 9 9"),
        ("/cookie", &["-b", "a=b; c=d"], "200 8 8"),
        ("/trailers", &["-H", "TE: trailers"], "200 9 "),
        ("/set-header?v=a", &[], "200 0 0"),
        ("/redirect?v=a", &[], "302 0 0"),
    ];
    for (uri, version, option) in [
        (&server.plain, "2", "--http2-prior-knowledge"),
        (&server.secure, "2", "--http2"),
        (&server.plain, "1.1", "--http1.1"),
        (&server.secure, "1.1", "--http1.1"),
        // An upgrade from HTTP/1.1 is not offered.
        (&server.plain, "1.1", "--http2"),
    ] {
        for (path, more, expected) in pages {
            let uri = format!("{uri}{path}");
            let arguments = [option, "-o", "/dev/null", "-w", format, &uri];
            let Some(ended) = curl(&[&arguments, *more].concat()) else {
                return;
            };
            let expected = format!("{version} {expected} ");
            assert_eq!(ended.stdout.concat(), expected, "{option} {uri} {more:?}");
        }
    }
}

#[test]
fn curl_uploads_files_up_to_the_limit() {
    let server = Conformance::start("curl-upload", &[]);
    let directory = Directory::new("http2-curl-files");
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (small, large, echoed) = (path("small"), path("large"), path("echoed"));
    let body: Vec<u8> = (0..=250).cycle().take(MIB).collect();
    fs::write(&small, &body).unwrap();
    fs::write(&large, body.repeat(4)).unwrap();
    for (uri, option) in [
        (&server.plain, "--http2-prior-knowledge"),
        (&server.secure, "--http2"),
    ] {
        let uri = format!("{uri}/echo");
        let upload = |file: &str, more: &[&str]| {
            let format = "%{http_version} %{response_code} %{errormsg}";
            let file = format!("@{file}");
            let arguments = [option, "--data-binary", &file, "-o", &echoed, "-w", format];
            curl(&[&arguments, more, &[&uri]].concat())
        };
        let Some(ended) = upload(&small, &[]) else {
            return;
        };
        assert_eq!(ended.stdout, ["2 200 "]);
        assert!(fs::read(&echoed).unwrap() == body);
        let ended = upload(&small, &["-H", "Expect: 100-continue"]).unwrap();
        assert_eq!(ended.stdout, ["2 200 "]);
        assert!(fs::read(&echoed).unwrap() == body);
        // The response arrives while curl is sending.
        for more in [
            &[][..],
            &["-H", "Content-Length:"],
            &["-H", "Expect: 100-continue"],
        ] {
            let ended = upload(&large, more).unwrap();
            assert_eq!(ended.stdout, ["2 413 "], "{more:?}");
        }
    }
}

#[test]
fn curl_uses_one_connection_for_parallel_requests() {
    let server = Conformance::start("curl-parallel", &[]);
    // Without TLS, some versions of curl fail when they use a connection for several requests.
    let uri = format!("{}/slow?[1-100]", server.secure);
    let format = "%{response_code} %{num_connects}\n";
    let parallel = ["--parallel", "--parallel-max", "100", "--http2"];
    let output = ["-o", "/dev/null", "-w", format, &uri];
    let Some(ended) = curl(&[&parallel[..], &output].concat()) else {
        return;
    };
    assert_eq!(ended.stdout.len(), 100);
    let count = |line| ended.stdout.iter().filter(|other| *other == line).count();
    assert_eq!((count("200 1"), count("200 0")), (1, 99));
}

#[test]
fn nghttp_receives_trailers_and_interim_responses() {
    let server = Conformance::start("nghttp", &[]);
    let directory = Directory::new("http2-nghttp-files");
    let file = directory.path().join("body").display().to_string();
    fs::write(&file, "x".repeat(500_000)).unwrap();
    for uri in [&server.plain, &server.secure] {
        let nghttp = |arguments: &[&str], path: &str| {
            let uri = format!("{uri}{path}");
            let arguments = [&["--timeout=20"], arguments, &[&uri]].concat();
            let ended = run("nghttp", &arguments, NGHTTP2_REQUIRED)?;
            Some(ended.stdout.join("\n"))
        };
        let Some(body) = nghttp(&[], "/hello") else {
            return;
        };
        assert_eq!(body, "hello world");
        let log = nghttp(&["-v"], "/trailers").unwrap();
        assert!(log.contains("x-trailer: done"), "{log}");
        let data = format!("--data={file}");
        let log = nghttp(&["-nv", &data, "--expect-continue"], "/echo").unwrap();
        let interim = log.find(":status: 100").unwrap();
        assert!(interim < log.find(":status: 200").unwrap(), "{log}");
        assert_eq!(nghttp(&[&data], "/echo").unwrap().len(), 500_000);
        // Small windows: 1,023 bytes for each stream and the connection.
        let small = ["--window-bits=10", "--connection-window-bits=16"];
        assert_eq!(nghttp(&small, "/big").unwrap().len(), MIB);
        // All frames and headers are padded.
        assert_eq!(
            nghttp(&["--padding=200", &data], "/echo").unwrap().len(),
            500_000
        );
        // The table of headers of the server is reduced.
        let log = nghttp(&["-nv", "--header-table-size=0", "--multiply=20"], "/hello").unwrap();
        assert_eq!(log.matches(":status: 200").count(), 20, "{log}");
        assert!(!log.contains("error_code=PROTOCOL_ERROR"), "{log}");
    }
}

#[test]
fn h2load_completes_all_requests() {
    let server = Conformance::start("h2load", &[]);
    let directory = Directory::new("http2-h2load-files");
    let file = directory.path().join("body").display().to_string();
    fs::write(&file, "x".repeat(10_000)).unwrap();
    for uri in [&server.plain, &server.secure] {
        for (path, more) in [
            ("/hello", &["-n2000", "-c4", "-m100"][..]),
            ("/stream", &["-n400", "-c2", "-m20"]),
            ("/big", &["-n40", "-c2", "-m10", "-w15", "-W16"]),
            ("/echo", &["-n500", "-c2", "-m50", "-d", &file]),
            ("/hello", &["-n400", "-c4", "-m10", "--h1"]),
        ] {
            let uri = format!("{uri}{path}");
            let Some(ended) = run("h2load", &[more, &[&uri]].concat(), NGHTTP2_REQUIRED) else {
                return;
            };
            let count = more[0].trim_start_matches("-n");
            let text = ended.stdout.join("\n");
            let all = format!("status codes: {count} 2xx, 0 3xx, 0 4xx, 0 5xx");
            assert!(text.contains(&all), "{uri}: {text}");
            let all = format!("{count} done, {count} succeeded, 0 failed, 0 errored, 0 timeout");
            assert!(text.contains(&all), "{uri}: {text}");
            let is_http1 = more.contains(&"--h1");
            let protocol = if is_http1 { "http/1.1" } else { "h2" };
            let found = text
                .lines()
                .find(|line| line.starts_with("Application protocol: "));
            assert!(found.is_some_and(|line| line.contains(protocol)), "{text}");
        }
    }
}
