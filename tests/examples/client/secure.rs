//! TLS: certificates, names, protocols, and connections that end.

use std::fs;

use serde_json::json;
use uptick::tls::TlsVersion;

use super::driver::{ClientProgram, Stopwatch};
use super::http2_server::Http2Peer;
use super::secure_server::{CuttingRelay, TestCertificate, TlsRelay, pause};
use super::server::{OK, ScriptedServer};
use crate::program::Program;
use crate::tls::Directory;

#[test]
fn a_certificate_is_trusted_with_its_authority() {
    let certificate = TestCertificate::new("trusted", "localhost");
    let target = ScriptedServer::answering(OK);
    let relay = TlsRelay::start(&certificate, target.address, &[]);
    let mut client = ClientProgram::start();
    for host in ["localhost", "127.0.0.1"] {
        let request = json!({"url": relay.url(host, "/path"), "ca": certificate.cert});
        let result = client.run(request.clone());
        assert_eq!(result.assert_ok().assert_reused(false).0["version"], "1.1");
        client.run(request).assert_ok().assert_reused(true);
        assert_eq!(
            target.last().field("host"),
            Some(format!("{host}:{}", relay.address.port()).as_str())
        );
    }
    // The name is that of the host, and absent for addresses.
    let names: Vec<_> = relay
        .handshakes()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, [Some("localhost".to_string()), None]);
}

#[test]
fn an_unknown_authority_is_refused() {
    let certificate = TestCertificate::new("unknown", "localhost");
    let other = TestCertificate::new("unknown-other", "localhost");
    let target = ScriptedServer::answering(OK);
    let relay = TlsRelay::start(&certificate, target.address, &[]);
    let mut client = ClientProgram::start();
    let url = relay.url("localhost", "/");
    for request in [json!({"url": url}), json!({"url": url, "ca": other.cert})] {
        let result = client.run(request);
        result
            .assert_kind("tls")
            .assert_attempts(0)
            .assert_message(&["certificate", "not trusted"]);
    }
    assert_eq!(target.requests().len(), 0);
    client.wait_for_stats(|stats| stats.open == 0);
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let certificate = TestCertificate::new("name", "other.example");
    let target = ScriptedServer::answering(OK);
    let relay = TlsRelay::start(&certificate, target.address, &[]);
    let mut client = ClientProgram::start();
    let result = client.run(json!({"url": relay.url("localhost", "/"), "ca": certificate.cert}));
    result
        .assert_kind("tls")
        .assert_message(&["localhost", "not valid for"]);
    let resolve = json!({"other.example": ["127.0.0.1"]});
    let url = relay.url("other.example", "/");
    client
        .run(json!({"url": url, "ca": certificate.cert, "resolve": resolve}))
        .assert_ok();
    assert_eq!(target.requests().len(), 1);
}

#[test]
fn any_certificate_is_accepted_if_the_request_says_so() {
    let certificate = TestCertificate::new("insecure", "other.example");
    let target = ScriptedServer::answering(OK);
    let relay = TlsRelay::start(&certificate, target.address, &[]);
    let mut client = ClientProgram::start();
    let url = relay.url("localhost", "/");
    client
        .run(json!({"url": url, "insecure": true}))
        .assert_ok();
    // The accepted connection is not used for requests that require a valid certificate.
    client.run(json!({"url": url})).assert_kind("tls");
    client
        .run(json!({"url": url, "insecure": true}))
        .assert_ok()
        .assert_reused(true);
}

/// Writes an authority, and a certificate for localhost that it has signed and that is valid until the given year, with `openssl`. Returns
/// the paths of both and of the key; `None` without `openssl`.
fn signed_certificate(directory: &Directory, until: i32) -> Option<[String; 3]> {
    let path = |name: &str| directory.path().join(name).display().to_string();
    let config = format!(
        "[ca]\ndefault_ca = authority\n[authority]\ndatabase = {}\nserial = {}\nnew_certs_dir = {}\ndefault_md = sha256\n\
         policy = names\nx509_extensions = names_of_host\n[names]\ncommonName = supplied\n[names_of_host]\nsubjectAltName = DNS:localhost\n\
         [req]\ndistinguished_name = names\n",
        path("index"),
        path("serial"),
        directory.path().display(),
    );
    for (name, text) in [
        ("config", config.as_str()),
        ("index", ""),
        ("serial", "01\n"),
    ] {
        fs::write(path(name), text).unwrap();
    }
    let end = format!("{until}0101000000Z");
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    for command in [
        format!(
            "req -x509 {key} -keyout {} -out {} -subj /CN=Authority",
            path("ca.key"),
            path("ca.pem")
        ),
        format!(
            "req {key} -keyout {} -out {} -subj /CN=localhost",
            path("key.pem"),
            path("request")
        ),
        format!(
            "ca -batch -config {} -startdate 20190101000000Z -enddate {end} -in {} -out {} -keyfile {} -cert {} -notext",
            path("config"),
            path("request"),
            path("cert.pem"),
            path("ca.key"),
            path("ca.pem"),
        ),
    ] {
        let arguments: Vec<&str> = command.split(' ').collect();
        let ended = Program::installed("openssl", &arguments)?.wait();
        assert!(ended.status.success(), "{command}: {ended:?}");
    }
    Some(["ca.pem", "cert.pem", "key.pem"].map(path))
}

/// The server is `openssl`, because a server of this project does not load an expired certificate.
#[test]
fn an_expired_certificate_is_reported_as_expired() {
    let mut client = ClientProgram::start();
    for (year, is_valid) in [(2020, false), (2099, true)] {
        let directory = Directory::new(&format!("client-expired-{year}"));
        let Some([ca, cert, key]) = signed_certificate(&directory, year) else {
            return;
        };
        let arguments = [
            "s_server",
            "-accept",
            "127.0.0.1:0",
            "-www",
            "-cert",
            &cert,
            "-key",
            &key,
        ];
        let Some(server) = Program::installed("openssl", &arguments) else {
            return;
        };
        let address = loop {
            if let Some(address) = server.line().strip_prefix("ACCEPT ") {
                break address.to_string();
            }
        };
        let (_, port) = address.rsplit_once(':').unwrap();
        let url = format!("https://localhost:{port}/");
        let result =
            client.run(json!({"url": url, "ca": ca, "resolve": {"localhost": ["127.0.0.1"]}}));
        match is_valid {
            true => _ = result.assert_ok(),
            false => _ = result.assert_kind("tls").assert_message(&["expired"]),
        }
    }
}

#[test]
fn a_server_with_the_newest_version_only_is_supported() {
    let certificate = TestCertificate::new("tls13", "localhost");
    let target = ScriptedServer::answering(OK);
    let context = certificate.context().min_version(TlsVersion::V1_3);
    let relay = TlsRelay::with_context(context, target.address);
    let mut client = ClientProgram::start();
    client
        .run(json!({"url": relay.url("localhost", "/"), "ca": certificate.cert}))
        .assert_ok();
}

#[test]
fn a_server_without_tls_is_a_tls_error() {
    let mut client = ClientProgram::start();
    for bytes in [
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "",
        "220 mail.example\r\n",
        "\u{15}\u{3}\u{3}\0\u{2}\u{2}(",
    ] {
        let server = ScriptedServer::start(move |peer| {
            peer.exactly(100);
            peer.send(bytes);
            peer.sleep(50);
        });
        let watch = Stopwatch::start();
        let result = client
            .run(json!({"url": format!("https://{}/", server.address), "tls_timeout_ms": 5000}));
        result.assert_kind("tls").assert_attempts(0);
        watch.assert_below(4000);
    }
}

#[test]
fn a_server_that_requires_a_client_certificate_refuses() {
    let certificate = TestCertificate::new("mutual", "localhost");
    let target = ScriptedServer::answering(OK);
    let context = certificate
        .context()
        .verify_peer(true)
        .cafile(&certificate.cert);
    let relay = TlsRelay::with_context(context, target.address);
    let mut client = ClientProgram::start();
    let result = client.run(json!({"url": relay.url("localhost", "/"), "ca": certificate.cert}));
    result.assert_kinds(&["tls", "closed_before_response"]);
    assert_eq!(target.requests().len(), 0);
}

#[test]
fn a_missing_file_of_authorities_is_reported() {
    let mut client = ClientProgram::start();
    let server = ScriptedServer::answering(OK);
    let url = format!("https://{}/", server.address);
    let result = client.run(json!({"url": url, "ca": "/nothing/ca.pem"}));
    result
        .assert_kinds(&["tls", "invalid_request", "other"])
        .assert_message(&["/nothing/ca.pem"]);
}

#[test]
fn a_redirect_to_another_scheme_is_another_origin() {
    let certificate = TestCertificate::new("redirect", "localhost");
    let target = ScriptedServer::answering(OK);
    let relay = TlsRelay::start(&certificate, target.address, &[]);
    let location = relay.url("localhost", "/secure");
    let first = ScriptedServer::answering(super::server::response(
        "302 Found",
        &format!("Location: {location}\r\n"),
        "",
    ));
    let mut client = ClientProgram::start();
    let url = format!("http://localhost:{}/", first.port());
    let request = json!({
        "url": url, "ca": certificate.cert, "headers": [["Authorization", "secret"]], "resolve": {"localhost": ["127.0.0.1"]},
    });
    let result = client.run(request);
    assert_eq!(result.assert_ok().0["url"], location);
    assert_eq!(target.last().field("authorization"), None);
}

#[test]
fn protocols_are_offered_as_the_request_says() {
    let certificate = TestCertificate::new("alpn", "localhost");
    let target = ScriptedServer::start(|peer| {
        if peer.starts_with(b"PRI") {
            Http2Peer::accept(peer, &[]).unwrap().serve("ok");
        } else {
            peer.serve(OK);
        }
    });
    let mut client = ClientProgram::start();
    for (offered, mode, expected) in [
        (&["h2", "http/1.1"][..], "auto", Some("2")),
        (&["http/1.1"], "auto", Some("1.1")),
        (&[], "auto", Some("1.1")),
        (&["h2", "http/1.1"], "never", Some("1.1")),
        (&["h2", "http/1.1"], "only", Some("2")),
        (&["http/1.1"], "only", None),
        (&[], "only", None),
        (&["h2"], "never", None),
    ] {
        let relay = TlsRelay::start(&certificate, target.address, offered);
        let result = client.run(
            json!({"url": relay.url("localhost", "/"), "ca": certificate.cert, "http2": mode}),
        );
        match expected {
            Some(version) => assert_eq!(
                result.assert_ok().0["version"],
                version,
                "{offered:?} {mode}"
            ),
            None => _ = result.assert_kind("tls"),
        }
    }
}

/// Without the close_notify of TLS, an attacker could have cut the body.
#[test]
fn a_body_until_the_end_needs_the_end_of_tls() {
    let certificate = TestCertificate::new("truncated", "localhost");
    let target = ScriptedServer::start(|peer| {
        let request = peer.request().unwrap();
        match request.target.as_str() {
            "/until-end" => peer.send("HTTP/1.1 200 OK\r\n\r\npartial"),
            "/length" => peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\npartial"),
            "/complete" => peer.send(OK),
            "/head" => peer.send("HTTP/1.1 200 OK\r\n"),
            _ => false,
        };
        peer.rest();
    });
    let mut client = ClientProgram::start();
    for (path, kind) in [
        ("/until-end", Some("closed_in_body")),
        ("/length", Some("closed_in_body")),
        ("/complete", None),
        ("/head", Some("closed_in_head")),
        ("/before", Some("closed_before_response")),
    ] {
        let relay = TlsRelay::start(&certificate, target.address, &[]);
        let cutting = CuttingRelay::start(relay.address);
        let before = target.requests().len();
        let url = format!("https://localhost:{}{path}", cutting.address.port());
        let id = client.send(json!({"url": url, "ca": certificate.cert}));
        target.wait_for_requests(before + 1);
        pause(200);
        cutting.cut();
        let result = client.result_of(&id);
        match kind {
            Some(kind) => _ = result.assert_kind(kind),
            None => _ = result.assert_ok(),
        }
    }
}

#[test]
fn a_body_until_the_end_is_complete_with_the_end_of_tls() {
    let certificate = TestCertificate::new("end", "localhost");
    let target = ScriptedServer::closing("HTTP/1.1 200 OK\r\n\r\ncomplete");
    let relay = TlsRelay::start(&certificate, target.address, &[]);
    let mut client = ClientProgram::start();
    let result = client.run(json!({"url": relay.url("localhost", "/"), "ca": certificate.cert}));
    assert_eq!(result.assert_ok().text(), "complete");
}

#[test]
fn bodies_are_large_over_tls() {
    let certificate = TestCertificate::new("large", "localhost");
    let target = ScriptedServer::start(|peer| {
        while let Some(request) = peer.request() {
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                request.body.len()
            );
            peer.send(head);
            peer.send(&request.body);
        }
    });
    let relay = TlsRelay::start(&certificate, target.address, &[]);
    let mut client = ClientProgram::start();
    let request = json!({"url": relay.url("localhost", "/"), "ca": certificate.cert, "method": "PUT", "body_zeros": 10_000_000});
    for reused in [false, true] {
        let result = client.run(request.clone());
        assert_eq!(
            result.assert_ok().assert_reused(reused).body().len(),
            10_000_000
        );
    }
}

#[test]
fn an_idle_connection_over_tls_is_checked_before_its_reuse() {
    let certificate = TestCertificate::new("idle", "localhost");
    let target = ScriptedServer::start(|peer| {
        peer.request();
        peer.send(OK);
        peer.sleep(30);
        if peer.number.is_multiple_of(2) {
            peer.send(OK);
            peer.rest();
        }
    });
    let relay = TlsRelay::start(&certificate, target.address, &[]);
    let mut client = ClientProgram::start();
    for _ in 0..6 {
        let request =
            json!({"url": relay.url("localhost", "/"), "ca": certificate.cert, "method": "POST"});
        client
            .run(request)
            .assert_ok()
            .assert_reused(false)
            .assert_attempts(1);
        client.wait_for_stats(|stats| stats.open == 0);
    }
}

#[test]
fn many_handshakes_run_at_once() {
    let certificate = TestCertificate::new("many", "localhost");
    let target = ScriptedServer::answering(OK);
    let relay = TlsRelay::start(&certificate, target.address, &[]);
    let mut client = ClientProgram::start();
    let request = json!({"url": relay.url("localhost", "/"), "ca": certificate.cert});
    let ids: Vec<_> = (0..40).map(|_| client.send(request.clone())).collect();
    for id in &ids {
        client.result_of(id).assert_ok();
    }
    assert!(relay.handshakes().len() <= 16);
}
