//! The proxy-protocol server as a server: wrapping, listeners, closing.

use uptick_socket::engine::Engine;

use super::*;

#[test]
fn an_outer_limit_counts_clients() {
    let inner = behind_proxies(ProxyProtocolOptions::new());
    let server = LimitingServer::new(inner, None, false).limit_per_client(1);
    let log = logged(server);
    let connect = |source: &str| {
        let mut client = Client::connect(server);
        let header = header(Version::V2, source, "192.0.2.1:443");
        client.send(header.encode().unwrap());
        client
    };
    let first = connect("192.0.2.7:1");
    until(|| log.len() == 1);
    let _other = connect("192.0.2.8:1");
    until(|| log.len() == 2);
    let mut second = connect("192.0.2.7:2");
    second.wait_for_end();
    assert_eq!(
        log.take(),
        [
            "connection tcp://192.0.2.7:1",
            "connection tcp://192.0.2.8:1",
            "connection from tcp://192.0.2.7:2 refused: \
             1 connections are open from that client, which is the limit"
        ]
    );
    drop(first);
    until(|| server.open_connections() == 1);
    let _again = connect("192.0.2.7:3");
    until(|| server.open_connections() == 2);
}

#[test]
fn an_inner_limit_counts_proxies() {
    let limiting = LimitingServer::new(Server::bind("127.0.0.1:0").unwrap(), 2, false);
    let server = ProxyProtocolServer::new(limiting, ProxyProtocolOptions::new());
    let log = logged(server);
    let mut first = Client::connect(server);
    let _silent = Client::connect(server);
    let mut third = Client::connect(server);
    third.wait_for_end();
    assert_eq!(
        log.take(),
        [format!(
            "connection from tcp://{} refused: 2 connections are open, which is the limit",
            third.address()
        )]
    );
    first.send(V1);
    until(|| log.len() == 1);
    assert_eq!(log.take(), ["connection tcp://192.0.2.7:4711"]);
    assert_eq!(limiting.open_connections(), 2);
    server.close();
    assert_eq!(log.take(), ["close"]);
}

#[test]
fn a_paused_server_accepts_nothing() {
    let inner = Server::bind("127.0.0.1:0").unwrap();
    let server = ProxyProtocolServer::new(inner, ProxyProtocolOptions::new());
    let log = logged(server);
    server.pause();
    let mut client = Client::connect(server);
    client.send(V1);
    settle();
    assert_eq!(inner.accepted(), 0);
    server.resume();
    until(|| log.len() == 1);
    assert_eq!(log.take(), ["connection tcp://192.0.2.7:4711"]);
}

#[test]
fn no_connection_is_left_after_a_thousand_connections() {
    let inner = Server::bind("127.0.0.1:0").unwrap();
    let server = LimitingServer::new(
        ProxyProtocolServer::new(inner, ProxyProtocolOptions::new()),
        None,
        false,
    )
    .limit_per_client(1000);
    server.on("error", |_: Error| ());
    server.on("connection", |conn: Connection| {
        conn.on("data", move |chunk: Bytes| conn.end_with(chunk));
    });
    for round in 0..100 {
        let mut clients: Vec<Client> = (0..10).map(|_| Client::connect(server)).collect();
        for (n, client) in clients.iter_mut().enumerate() {
            match n % 4 {
                0 => client.send("no header"),
                1 => client.send("PROXY "),
                2 => {}
                _ => client.send(format!("{V1}x")),
            }
        }
        if round % 2 == 0 {
            assert_eq!(clients[3].wait_for_end(), "x");
        }
    }
    until(|| inner.accepted() == 1000 && inner.open_connections() == 0);
    assert_eq!(server.open_connections(), 0);
    server.close();
    run().unwrap();
}

#[test]
fn a_panic_in_a_connection_listener_closes_only_that_connection() {
    let inner = Server::bind("127.0.0.1:0").unwrap();
    let server = ProxyProtocolServer::new(inner, ProxyProtocolOptions::new());
    let log = Log::default();
    let lines = log.clone();
    let first = Cell::new(true);
    server.on("connection", move |conn: Connection| {
        let errors = lines.clone();
        conn.on("error", move |error: Error| errors.add(error));
        assert!(!first.replace(false), "the first panics");
        lines.add("connection");
    });
    let mut client = Client::connect(server);
    client.send(format!("{V1}x"));
    client.wait_for_end();
    assert_eq!(inner.open_connections(), 0);
    let mut second = Client::connect(server);
    second.send(V1);
    until(|| log.len() == 2);
    let lines = log.take();
    assert!(
        lines[0].ends_with("panicked: the first panics"),
        "{lines:?}"
    );
    assert_eq!(lines[1], "connection");
}

#[test]
fn clients_stay_in_the_backlog_until_there_is_a_connection_listener() {
    let inner = Server::bind("127.0.0.1:0").unwrap();
    let server = ProxyProtocolServer::new(inner, ProxyProtocolOptions::new());
    let mut client = Client::connect(server);
    client.send(V1);
    server.resume();
    settle();
    assert_eq!(inner.accepted(), 0);
    server.on("connection", |conn: Connection| conn.end_with("at last"));
    assert_eq!(client.wait_for_end(), "at last");
}

#[test]
fn awaiting_one_connection_after_the_other_loses_none() {
    let server = LimitingServer::new(behind_proxies(ProxyProtocolOptions::new()), None, false);
    let mut clients: Vec<Client> = (0..20).map(|_| Client::connect(server)).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.send(format!("{V1}{n}"));
    }
    drop(spawn(async move {
        while let Some(conn) = server.next(LimitingServer::CONNECTION).await {
            conn.on("data", move |chunk: Bytes| conn.end_with(chunk));
        }
    }));
    for (n, mut client) in clients.drain(..).enumerate() {
        assert_eq!(client.wait_for_end(), n.to_string());
    }
    server.close();
}

#[test]
fn connections_whose_header_is_read_without_a_listener_are_held_for_the_next_one() {
    let inner = Server::bind("127.0.0.1:0").unwrap();
    let server = ProxyProtocolServer::new(inner, ProxyProtocolOptions::new());
    let listener = server.on("connection", |_: Connection| ());
    let mut clients: Vec<Client> = (0..3).map(|_| Client::connect(server)).collect();
    until(|| server.pending_connections() == 3);
    server.off(listener);
    for (n, client) in clients.iter_mut().enumerate() {
        client.send(format!("{V1}{n}"));
        until(|| server.pending_connections() == 2 - n);
    }
    let mut late = Client::connect(server);
    late.send(format!("{V1}late"));
    settle();
    assert_eq!(inner.accepted(), 3);

    let log = Log::default();
    for (n, mut client) in clients.drain(..).enumerate() {
        let events = log.clone();
        server.once("connection", move |conn: Connection| {
            events.add(conn.remote_address().unwrap());
            conn.on("data", move |chunk: Bytes| conn.end_with(chunk));
        });
        assert_eq!(client.wait_for_end(), n.to_string());
    }
    assert_eq!(log.take(), ["tcp://192.0.2.7:4711"; 3]);
    server.once("connection", |conn: Connection| conn.close());
    late.wait_for_end();
}

#[test]
fn closing_the_server_closes_the_held_connections() {
    let inner = Server::bind("127.0.0.1:0").unwrap();
    let server = ProxyProtocolServer::new(inner, ProxyProtocolOptions::new());
    let listener = server.on("connection", |_: Connection| ());
    let mut client = Client::connect(server);
    until(|| server.pending_connections() == 1);
    server.off(listener);
    client.send(V1);
    until(|| server.pending_connections() == 0);
    assert_eq!(inner.open_connections(), 1);
    server.close();
    assert_eq!(client.wait_for_end(), "");
}

#[test]
fn closing_the_server_in_a_connection_listener_closes_pending_connections() {
    let server = behind_proxies(ProxyProtocolOptions::new());
    let log = Log::default();
    let lines = log.clone();
    server.on("close", move |()| lines.add("close"));
    let lines = log.clone();
    server.on("connection", move |conn: Connection| {
        lines.add("connection");
        server.close();
        conn.on("data", move |chunk: Bytes| conn.end_with(chunk));
    });
    let mut waiting = Client::connect(server);
    waiting.send("PROXY ");
    until(|| server.pending_connections() == 1);
    let mut client = Client::connect(server);
    client.send(format!("{V1}still there"));
    assert_eq!(client.wait_for_end(), "still there");
    assert_eq!(waiting.wait_for_end(), "");
    assert_eq!(log.take(), ["connection", "close"]);
    assert_eq!(server.address(), None);
    drop(client);
    run().unwrap();
}

#[test]
fn pending_connections_are_still_announced_during_a_shutdown() {
    let server = behind_proxies(ProxyProtocolOptions::new());
    let log = Log::default();
    let lines = log.clone();
    server.on("connection", move |conn: Connection| {
        lines.add("connection");
        conn.end_with("bye");
    });
    let mut client = Client::connect(server);
    until(|| server.pending_connections() == 1);
    let shutdown = server.shutdown(Duration::from_secs(10));
    let lines = log.clone();
    drop(spawn(async move { lines.add(shutdown.await) }));
    client.send(V1);
    assert_eq!(client.wait_for_end(), "bye");
    drop(client);
    until(|| log.len() == 2);
    assert_eq!(log.take(), ["connection", "0"]);
}

#[test]
fn errors_and_the_close_of_the_wrapped_server_are_passed_on() {
    let inner = Server::bind("127.0.0.1:0").unwrap();
    let server = ProxyProtocolServer::new(inner, ProxyProtocolOptions::new());
    let log = logged(server);
    let error = Server::bind("localhost").unwrap_err();
    emit(&inner, Server::ERROR, error.clone());
    inner.close();
    assert_eq!(log.take(), [error.to_string().as_str(), "close"]);
}

/// A filter that converts received data to upper case.
struct Uppercase;

impl Filter for Uppercase {
    fn received(
        &mut self,
        bytes: &mut [u8],
        context: &mut FilterContext,
    ) -> Result<(), StreamError> {
        let bytes = Bytes::copy_from_slice(bytes);
        context.deliver(bytes.to_ascii_uppercase().into());
        Ok(())
    }

    fn sending(&mut self, bytes: Bytes, context: &mut FilterContext) -> Result<(), StreamError> {
        context.send(bytes);
        Ok(())
    }
}

#[test]
fn data_after_the_header_passes_through_a_filter_added_by_the_connection_listener() {
    let server = behind_proxies(ProxyProtocolOptions::new());
    let log = Log::default();
    let lines = log.clone();
    server.on("connection", move |conn: Connection| {
        conn.add_filter(Uppercase);
        let data = lines.clone();
        conn.on("data", move |chunk: Bytes| {
            data.add(String::from_utf8_lossy(&chunk))
        });
        let end = lines.clone();
        conn.on("end", move |()| end.add("end"));
    });
    let mut client = Client::connect(server);
    client.send(format!("{V1}hello"));
    until(|| log.len() == 1);
    client.send("more");
    until(|| log.len() == 2);
    client.stream.shutdown(Shutdown::Write).unwrap();
    until(|| log.len() == 3);
    assert_eq!(log.take(), ["HELLO", "MORE", "end"]);
}
