//! Valid and invalid headers, and their effects.

use super::*;

#[test]
fn the_addresses_are_those_of_the_client_and_the_rest_is_data() {
    let cases = [
        (Version::V1, "192.0.2.7:4711", "192.0.2.1:443"),
        (Version::V2, "192.0.2.7:4711", "192.0.2.1:443"),
        (Version::V1, "[2001:db8::7]:4711", "[2001:db8::1]:443"),
        (Version::V2, "[2001:db8::7]:4711", "[2001:db8::1]:443"),
    ];
    let server = behind_proxies(ProxyProtocolOptions::new());
    let log = Log::default();
    let lines = log.clone();
    server.on("connection", move |conn: Connection| {
        lines.add(conn.remote_address().unwrap());
        lines.add(conn.local_address().unwrap());
        lines.add(conn.remote_ip().unwrap());
        lines.add(conn.peer().unwrap());
        let data = lines.clone();
        conn.on("data", move |chunk: Bytes| {
            data.add(String::from_utf8_lossy(&chunk))
        });
        conn.write("welcome");
    });
    for (version, source, destination) in cases {
        let mut client = Client::connect(server);
        let mut bytes = header(version, source, destination).encode().unwrap();
        bytes.extend_from_slice(b"hello");
        client.send(&bytes);
        client.wait_for("welcome");
        until(|| log.len() == 5);
        assert_eq!(
            log.take(),
            [
                format!("tcp://{source}"),
                format!("tcp://{destination}"),
                address(source).ip().to_string(),
                format!("tcp://{}", client.address()),
                "hello".to_owned(),
            ]
        );
    }
}

#[test]
fn a_header_may_arrive_in_two_parts_split_at_any_byte() {
    let server = behind_proxies(ProxyProtocolOptions::new());
    let log = logged(server);
    for whole in [V1.as_bytes().to_vec(), v2()] {
        let whole = [&whole[..], b"hello"].concat();
        for cut in 1..whole.len() {
            let mut client = Client::connect(server);
            client.send(&whole[..cut]);
            settle();
            client.send(&whole[cut..]);
            client.stream.shutdown(Shutdown::Write).unwrap();
            client.wait_for_end();
            let lines = log.take();
            assert_eq!(lines[0], "connection tcp://192.0.2.7:4711", "cut at {cut}");
            assert_eq!(lines[1..lines.len() - 1].concat(), "hello", "cut at {cut}");
            assert_eq!(lines[lines.len() - 1], "end", "cut at {cut}");
        }
    }
    assert_eq!(server.pending_connections(), 0);
}

#[test]
fn a_header_may_arrive_byte_by_byte() {
    let server = behind_proxies(ProxyProtocolOptions::new());
    let log = logged(server);
    for whole in [V1.as_bytes().to_vec(), v2()] {
        let mut client = Client::connect(server);
        for byte in whole {
            client.send([byte]);
            turn();
        }
        client.send("x");
        client.stream.shutdown(Shutdown::Write).unwrap();
        client.wait_for_end();
        assert_eq!(log.take(), ["connection tcp://192.0.2.7:4711", "x", "end"]);
    }
}

#[test]
fn data_after_the_header_is_held_until_there_is_a_data_listener() {
    let server = behind_proxies(ProxyProtocolOptions::new());
    let log = Log::default();
    let lines = log.clone();
    server.on("connection", move |conn: Connection| {
        let lines = lines.clone();
        future_tick(move || {
            conn.on("data", move |chunk: Bytes| {
                lines.add(String::from_utf8_lossy(&chunk))
            });
        });
    });
    let mut client = Client::connect(server);
    client.send(format!("{V1}early"));
    until(|| log.len() == 1);
    client.send("late");
    until(|| log.len() == 2);
    assert_eq!(log.take(), ["early", "late"]);
}

#[test]
fn further_fields_of_the_header_are_available() {
    let server = behind_proxies(ProxyProtocolOptions::new());
    let name: Rc<Cell<Vec<u8>>> = Rc::default();
    let seen = Rc::clone(&name);
    server.on("connection", move |conn: Connection| {
        let proxied = conn.proxied().unwrap();
        seen.set(proxied.tlvs.get(Tlvs::AUTHORITY).unwrap().to_vec());
    });
    let mut header = header(Version::V2, "192.0.2.7:4711", "192.0.2.1:443");
    header.tlvs.push(Tlvs::AUTHORITY, b"example.org").unwrap();
    let mut client = Client::connect(server);
    client.send(header.encode().unwrap());
    let name = move || {
        let value = name.take();
        name.set(value.clone());
        value
    };
    until(|| !name().is_empty());
    assert_eq!(name(), b"example.org");
}

#[test]
fn the_addresses_are_those_of_the_socket_if_the_header_has_none() {
    let server = behind_proxies(ProxyProtocolOptions::new());
    let log = logged(server);
    let headers = [
        Header::local(),
        Header::unknown(Version::V1),
        Header::unknown(Version::V2),
    ];
    for header in headers {
        let mut client = Client::connect(server);
        client.send(header.encode().unwrap());
        client.stream.shutdown(Shutdown::Write).unwrap();
        client.wait_for_end();
        assert_eq!(
            log.take(),
            [&format!("connection tcp://{}", client.address()), "end"]
        );
    }
}

#[test]
fn data_that_is_not_a_header_is_refused() {
    let cases: [(&[u8], &str); 5] = [
        (
            b"GET / HTTP/1.1\r\n",
            "it does not begin with a PROXY header (EPROTO)",
        ),
        (b"\0", "it does not begin with a PROXY header (EPROTO)"),
        (
            b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 66666\r\n",
            "the PROXY line has an invalid port (EPROTO)",
        ),
        (
            b"PROXY \n",
            "the PROXY line does not end with CR LF (EPROTO)",
        ),
        (
            b"\r\n\r\n\0\r\nQUIT\n\x31",
            "the PROXY header has the unknown version 3 (EPROTO)",
        ),
    ];
    let server = behind_proxies(ProxyProtocolOptions::new());
    let log = logged(server);
    for (bytes, reason) in cases {
        let mut client = Client::connect(server);
        client.send(bytes);
        assert_eq!(client.wait_for_end(), "");
        assert_eq!(refusal(&log, &client), reason);
    }
    assert_eq!(server.pending_connections(), 0);
}

#[test]
fn a_line_or_a_payload_that_is_too_long_is_refused() {
    let server = behind_proxies(ProxyProtocolOptions::new().max_payload(11));
    let log = logged(server);
    let mut client = Client::connect(server);
    client.send(v2());
    client.wait_for_end();
    assert_eq!(
        refusal(&log, &client),
        "the PROXY header has a payload of 12 bytes, and at most 11 are accepted (EPROTO)"
    );
    let mut client = Client::connect(server);
    client.send(format!("PROXY {}", "x".repeat(200)));
    client.wait_for_end();
    assert_eq!(
        refusal(&log, &client),
        "the PROXY line is longer than 107 bytes (EPROTO)"
    );
}

#[test]
fn only_the_configured_versions_are_accepted() {
    let server = behind_proxies(ProxyProtocolOptions::new().versions([Version::V2]));
    let log = logged(server);
    let mut client = Client::connect(server);
    client.send(V1);
    client.wait_for_end();
    assert_eq!(
        refusal(&log, &client),
        "version 1 of the PROXY protocol is not accepted (EPROTO)"
    );
    let mut client = Client::connect(server);
    client.send(v2());
    until(|| log.len() == 1);
    assert_eq!(log.take(), ["connection tcp://192.0.2.7:4711"]);
}

#[test]
fn end_of_stream_within_the_header_is_an_error() {
    let server = behind_proxies(ProxyProtocolOptions::new());
    let log = logged(server);
    let mut client = Client::connect(server);
    client.send(&V1[..20]);
    client.stream.shutdown(Shutdown::Write).unwrap();
    client.wait_for_end();
    assert_eq!(
        refusal(&log, &client),
        "it ended within its PROXY header (EPROTO)"
    );
}

#[test]
fn an_optional_header_may_be_present_or_absent() {
    let server = behind_proxies(ProxyProtocolOptions::new().optional(true));
    let log = logged(server);
    let mut client = Client::connect(server);
    client.send(format!("{V1}hello"));
    until(|| log.len() == 2);
    assert_eq!(log.take(), ["connection tcp://192.0.2.7:4711", "hello"]);

    let mut client = Client::connect(server);
    client.send("PRO");
    settle();
    assert_eq!(log.len(), 0);
    client.send("GRAM");
    until(|| log.len() == 2);
    assert_eq!(
        log.take(),
        [
            format!("connection tcp://{}", client.address()),
            "PROGRAM".into()
        ]
    );
}

#[test]
fn end_of_stream_is_passed_on_unless_an_optional_header_has_begun() {
    let server = behind_proxies(ProxyProtocolOptions::new().optional(true));
    let log = logged(server);
    for text in ["", "PRO", "\r\n\r\n"] {
        let mut client = Client::connect(server);
        client.send(text);
        client.stream.shutdown(Shutdown::Write).unwrap();
        client.wait_for_end();
        let connection = format!("connection tcp://{}", client.address());
        let lines = log.take();
        assert_eq!(lines.first(), Some(&connection), "{text:?}");
        assert_eq!(lines.last().unwrap(), "end", "{text:?}");
        assert_eq!(lines[1..lines.len() - 1].concat(), text);
    }
    for text in ["PROXY ", "\r\n\r\n\0\r\nQUIT\n"] {
        let mut client = Client::connect(server);
        client.send(text);
        client.stream.shutdown(Shutdown::Write).unwrap();
        client.wait_for_end();
        assert_eq!(
            refusal(&log, &client),
            "it ended within its PROXY header (EPROTO)"
        );
    }
}

#[test]
fn connections_from_other_peers_than_the_proxies_are_refused() {
    let proxies: IpNetwork = "10.0.0.0/8".parse().unwrap();
    let server = behind_proxies(ProxyProtocolOptions::new().proxies([proxies]));
    let log = logged(server);
    let mut client = Client::connect(server);
    client.send(V1);
    client.wait_for_end();
    assert_eq!(
        refusal(&log, &client),
        "its peer is not one of the proxies (EPROTO)"
    );
}

#[test]
fn connections_from_other_peers_than_the_proxies_can_be_passed_through() {
    let proxies: IpNetwork = "10.0.0.0/8".parse().unwrap();
    let options = ProxyProtocolOptions::new()
        .proxies([proxies])
        .untrusted_peers(UntrustedPeers::PassThrough);
    let server = behind_proxies(options);
    let log = logged(server);
    let mut client = Client::connect(server);
    client.send(V1);
    until(|| log.len() == 2);
    assert_eq!(
        log.take(),
        [&format!("connection tcp://{}", client.address()), V1]
    );
}

#[test]
fn proxies_may_connect_to_a_unix_socket() {
    let path = std::env::temp_dir().join(format!("uptick-proxy-{}.sock", std::process::id()));
    let inner = Server::bind(format!("unix://{}", path.display()).as_str()).unwrap();
    let no_proxies: [IpNetwork; 0] = [];
    let options = ProxyProtocolOptions::new().proxies(no_proxies);
    let server = ProxyProtocolServer::new(inner, options);
    let log = logged(server);
    let mut client = UnixStream::connect(&path).unwrap();
    std::io::Write::write_all(&mut client, V1.as_bytes()).unwrap();
    until(|| log.len() == 1);
    assert_eq!(log.take(), ["connection tcp://192.0.2.7:4711"]);
    server.close();
}
