//! Servers with several listeners, and the address of the client.

use std::os::unix::net::UnixStream;

use uptick_http::{Request, TrustedProxies};
use uptick_socket::{AnyServer, Connection, LimitingServer, Server};

use crate::support::{Client, Log, get, run_until, server};

#[test]
fn one_server_serves_several_listeners() {
    let http = server();
    http.listen(Server::bind("127.0.0.1:0").unwrap());
    http.get("/", |_: Request| "both");
    let addresses = http.addresses();
    assert_eq!(addresses.len(), 2);
    for address in addresses {
        let mut client = Client::of(&address);
        client.send(get("/"));
        assert_eq!(client.response().body, "both");
    }
}

#[test]
fn a_connection_from_another_server_is_served() {
    use std::io::{Read, Write};

    let http = uptick_http::HttpServer::new();
    http.get("/", |_: Request| "adopted");
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    theirs.write_all(get("/").as_bytes()).unwrap();
    http.serve(Connection::adopt(ours).unwrap());
    let mut text = String::new();
    run_until(|| {
        // Bytes that are not received yet are read by a later call.
        let _ = theirs.read_to_string(&mut text);
        text.ends_with("adopted")
    });
    assert_eq!(http.open_connections(), 1);
}

#[test]
fn the_client_is_the_peer_unless_a_trusted_proxy_names_another_client() {
    let (http, log) = (server(), Log::default());
    let notes = log.clone();
    http.get("/", move |req: Request| {
        notes.add(req.client().unwrap());
        assert!(req.peer().is_some() && !req.is_secure());
        "x"
    });
    let request = "GET / HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n";
    let mut client = Client::new(http);
    client.send(request);
    client.response();
    http.trusted_proxies(TrustedProxies::parse("127.0.0.1").unwrap());
    client.send(request);
    client.response();
    assert_eq!(log.text(), "127.0.0.1 192.0.2.7");
}

#[test]
fn the_client_address_can_be_ipv6() {
    let http = uptick_http::HttpServer::bind("[::1]:0").unwrap();
    http.get("/", |req: Request| req.client().unwrap().to_string());
    let mut client = Client::new(http);
    client.send(get("/"));
    assert_eq!(client.response().body, "::1");
}

#[test]
fn a_server_selected_at_run_time_is_served() {
    for limited in [false, true] {
        let listener = Server::bind("127.0.0.1:0").unwrap();
        let listener: AnyServer = match limited {
            true => LimitingServer::new(listener, 1, false).into(),
            false => listener.into(),
        };
        let http = uptick_http::HttpServer::new().listen(listener);
        http.get("/", |_: Request| "any");
        let mut client = Client::new(http);
        client.send(get("/"));
        assert_eq!(client.response().body, "any");
        let remote = http.remote();
        std::thread::spawn(move || remote.post(|http| http.close()))
            .join()
            .unwrap()
            .unwrap();
        run_until(|| listener.address().is_none());
    }
}
