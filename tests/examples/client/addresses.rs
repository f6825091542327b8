//! Addresses of names: `resolve`, several addresses, and failures.

use std::net::{SocketAddr, TcpListener};

use serde_json::json;

use super::driver::{ClientProgram, Stopwatch};
use super::server::{OK, ScriptedServer};
use super::timeouts::BlockedAddress;

/// Starts a server on another loopback address with a given port; port 0 for any.
fn server_on(ip: &str, port: u16) -> ScriptedServer {
    let address = SocketAddr::new(ip.parse().unwrap(), port);
    let listener = TcpListener::bind(address).unwrap();
    ScriptedServer::on(listener, |peer| peer.serve(OK))
}

#[test]
fn names_in_the_request_win_over_dns() {
    let server = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    let port = server.port();
    for name in ["localhost", "a.example", "no-such-name.invalid"] {
        let url = format!("http://{name}:{port}/");
        let mut resolve = json!({"other.example": ["127.0.0.9"]});
        resolve[name] = json!(["127.0.0.1"]);
        client
            .run(json!({"url": url, "resolve": resolve}))
            .assert_ok();
    }
    let elsewhere = server_on("127.0.0.7", 0);
    let url = format!("http://localhost:{}/", elsewhere.port());
    client
        .run(json!({"url": url, "resolve": {"localhost": ["127.0.0.7"]}}))
        .assert_ok();
}

#[test]
fn a_name_without_an_address_is_a_dns_error() {
    let mut client = ClientProgram::start();
    let request = json!({"url": "http://a.example:81/", "resolve": {"a.example": []}});
    let result = client.run(request);
    result
        .assert_kind("dns")
        .assert_attempts(0)
        .assert_message(&["a.example"]);
    let result = client.get("http://no-such-name.invalid/");
    result
        .assert_kind("dns")
        .assert_message(&["no-such-name.invalid"]);
    assert_eq!(client.stats().open, 0);
}

#[test]
fn a_refused_connection_names_its_address_and_reason() {
    let (_socket, refusing) = crate::clients::refusing_address();
    let mut client = ClientProgram::start();
    let result = client.get(&format!("http://{refusing}/"));
    result.assert_kind("connect").assert_attempts(0);
    result.assert_message(&[&refusing, "connection refused", "ECONNREFUSED"]);
    assert_eq!(result.0["reused"], false);
    assert_eq!(result.0["url"], format!("http://{refusing}/"));
}

#[test]
fn the_next_address_is_tried_at_once_after_a_failure() {
    let server = server_on("127.0.0.5", 0);
    let mut client = ClientProgram::start();
    let url = format!("http://a.example:{}/", server.port());
    let watch = Stopwatch::start();
    let resolve = json!({"a.example": ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"]});
    client
        .run(json!({"url": url, "resolve": resolve}))
        .assert_ok();
    watch.assert_below(740);
    assert_eq!(client.stats().created, 1);
}

#[test]
fn the_next_address_is_tried_while_the_first_does_not_answer() {
    let blocked = BlockedAddress::new();
    let server = server_on("127.0.0.2", blocked.address.port());
    let mut client = ClientProgram::start();
    let url = format!("http://a.example:{}/", server.port());
    let watch = Stopwatch::start();
    let resolve = json!({"a.example": ["127.0.0.1", "127.0.0.2"]});
    client
        .run(json!({"url": url, "resolve": resolve}))
        .assert_ok();
    watch.assert_about(250);
    watch.assert_below(2000);
    let stats = client.stats();
    assert_eq!((stats.open, stats.created), (1, 1), "{stats:?}");
}

#[test]
fn addresses_are_tried_in_the_order_given() {
    let first = server_on("127.0.0.6", 0);
    let second = server_on("127.0.0.5", first.port());
    let mut client = ClientProgram::start();
    let url = format!("http://a.example:{}/", first.port());
    let resolve = json!({"a.example": ["127.0.0.6", "127.0.0.5"]});
    client
        .run(json!({"url": url, "resolve": resolve}))
        .assert_ok();
    assert_eq!((first.connections(), second.connections()), (1, 0));
}

#[test]
fn a_name_whose_addresses_all_refuse_is_a_connect_error() {
    let (_socket, refusing) = crate::clients::refusing_address();
    let (_, port) = refusing.rsplit_once(':').unwrap();
    let mut client = ClientProgram::start();
    let url = format!("http://a.example:{port}/");
    let resolve = json!({"a.example": ["127.0.0.2", "127.0.0.1", "127.0.0.3"]});
    let watch = Stopwatch::start();
    let result = client.run(json!({"url": url, "resolve": resolve}));
    result
        .assert_kind("connect")
        .assert_message(&["ECONNREFUSED"]);
    watch.assert_below(2000);
}

#[test]
fn both_families_are_tried() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        return;
    };
    let server = ScriptedServer::on(listener, |peer| peer.serve(OK));
    let mut client = ClientProgram::start();
    client
        .get(&format!("http://[::1]:{}/", server.port()))
        .assert_ok();
    let url = format!("http://a.example:{}/", server.port());
    for addresses in [["127.0.0.1", "::1"], ["::1", "127.0.0.1"]] {
        client.close_idle();
        let resolve = json!({"a.example": addresses});
        client
            .run(json!({"url": url, "resolve": resolve}))
            .assert_ok();
    }
    assert_eq!(
        server.last().field("host"),
        url.strip_prefix("http://").unwrap().strip_suffix('/')
    );
}

/// The same server under another name is another destination.
#[test]
fn a_name_and_its_address_are_two_destinations() {
    let server = ScriptedServer::answering(OK);
    let mut client = ClientProgram::start();
    let resolve = json!({"localhost": ["127.0.0.1"]});
    let url = format!("http://localhost:{}/", server.port());
    let request = json!({"url": url, "resolve": resolve});
    client.run(request.clone()).assert_ok().assert_reused(false);
    client.run(request).assert_ok().assert_reused(true);
    // The same server under its address is another destination.
    client
        .get(&server.url("/"))
        .assert_ok()
        .assert_reused(false);
}
