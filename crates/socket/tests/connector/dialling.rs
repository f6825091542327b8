//! Connecting to addresses of all kinds, and the resulting connections.

use super::*;

#[test]
fn every_kind_of_address_is_supported() {
    alone(|| {
        exchange(TcpConnector::new(), "127.0.0.1:0");
        exchange(TcpConnector::new(), "[::1]:0");
        exchange(Connector::new(), "127.0.0.1:0");
        exchange(Connector::new().timeout(None), "[::1]:0");
        let path = socket_path("kinds");
        let uri = format!("unix:{}", path.display());
        exchange(UnixConnector::new(), &uri);
        exchange(Connector::new(), &uri);
        exchange(
            UnixConnector::new(),
            &format!("unix:@uptick-{}", std::process::id()),
        );
    });
}

#[cfg(target_os = "linux")]
#[test]
fn servers_and_connectors_accept_the_name_of_an_interface() {
    alone(|| {
        let server = Server::bind("[::1%lo]:0").unwrap();
        server.on("connection", |conn: Connection| conn.close());
        let port = server.address().unwrap();
        let port = port.rsplit(':').next().unwrap();
        for uri in [
            format!("[::1%lo]:{port}"),
            format!("tcp://[::1%25lo]:{port}"),
        ] {
            block_on(Connector::new().connect(uri)).unwrap().unwrap();
        }
        let lo = SocketAddr::V6(std::net::SocketAddrV6::new(Ipv6Addr::LOCALHOST, 0, 0, 1));
        let resolver = Resolver::with_scopes(move |_| ready(Ok(vec![lo])));
        let connector = Connector::new().resolver(resolver);
        block_on(connector.connect(format!("app.test:{port}")))
            .unwrap()
            .unwrap();
        server.close();
        run().unwrap();
    });
}

#[test]
fn a_port_a_socket_address_and_a_parsed_uri_are_addresses_too() {
    alone(|| {
        let server = Server::bind(0).unwrap();
        server.on("connection", |conn: Connection| conn.close());
        let text = server.address().unwrap();
        let address: SocketAddr = text["tcp://".len()..].parse().unwrap();
        let uri = ConnectUri::from(address);
        let connector = Connector::new();
        for connecting in [
            connector.connect(address.port()),
            connector.connect(address),
            connector.connect(uri.clone()),
            connector.connect(ConnectTarget::from(uri)),
            connector.connect(&text),
        ] {
            block_on(connecting).unwrap().unwrap();
        }
        server.close();
        run().unwrap();
    });
}

#[test]
fn data_received_before_there_is_a_listener_is_not_lost() {
    alone(|| {
        let server = Server::bind(0).unwrap();
        server.on("connection", move |conn: Connection| {
            conn.end_with("hello");
            server.close();
        });
        let record = Rc::new(RefCell::new(Vec::new()));
        let noted = Rc::clone(&record);
        let connecting = Connector::new().connect(server.address().unwrap());
        block_on(async move {
            let conn = connecting.await.unwrap();
            // On one machine, all data arrives within this time.
            for _ in 0..20 {
                sleep(Duration::ZERO).await;
            }
            let data = Rc::clone(&noted);
            conn.on("data", move |chunk: Bytes| {
                data.borrow_mut()
                    .push(String::from_utf8(chunk.to_vec()).unwrap());
            });
            let end = Rc::clone(&noted);
            conn.on("end", move |()| end.borrow_mut().push("(end)".into()));
            conn.on("close", move |()| noted.borrow_mut().push("(close)".into()));
        })
        .unwrap();
        run().unwrap();
        assert_eq!(record.borrow().join(" "), "hello (end) (close)");
    });
}

#[test]
fn the_source_address_can_be_chosen() {
    alone(|| {
        let source = SocketAddr::from(([127, 0, 0, 2], 0));
        let server = Server::bind(0).unwrap();
        server.on("connection", move |conn: Connection| {
            conn.end_with(conn.remote_ip().unwrap().to_string());
            server.close();
        });
        let connecting = Connector::new()
            .bind_to(source)
            .connect(server.address().unwrap());
        let seen = block_on(async { connecting.await.unwrap().next(Connection::DATA).await });
        assert_eq!(seen.unwrap().as_deref(), Some(&b"127.0.0.2"[..]));
        run().unwrap();

        let connector = TcpConnector::new().bind_to(source);
        assert_eq!(
            error_of(connector.connect("[::1]:9")).to_string(),
            "connecting to tcp://[::1]:9 failed: it cannot be reached from 127.0.0.2 (EAFNOSUPPORT)"
        );
        let elsewhere = TcpConnector::new().bind_to(([192, 0, 2, 1], 0).into());
        assert_eq!(
            error_of(elsewhere.connect("127.0.0.1:9")).to_string(),
            "connecting to tcp://127.0.0.1:9 failed: \
             it cannot be bound to 192.0.2.1:0 (EADDRNOTAVAIL)"
        );
    });
}

#[test]
fn connecting_to_a_unix_server_with_a_full_backlog_is_retried() {
    alone(|| {
        let clock = manual_clock();
        let path = socket_path("full");
        let (listener, waiting) = full_unix_server(&path);
        let uri = format!("unix:{}", path.display());

        let mut connecting = UnixConnector::new().connect(&uri);
        stays_pending(&mut connecting);
        drop(listener.accept().unwrap());
        clock.advance(Duration::from_millis(1));
        settle();
        connecting.now_or_never().unwrap().unwrap().close();
        // The closed connection is still in the backlog, so the backlog is full again.

        let before = descriptors();
        let mut connecting = UnixConnector::new().connect(&uri);
        stays_pending(&mut connecting);
        assert_eq!(descriptors(), before + 1);
        cancel(connecting, before);

        let mut connecting = UnixConnector::new().connect(&uri);
        let mut tries = 0;
        let error = loop {
            if let Some(result) = (&mut connecting).now_or_never() {
                break result.unwrap_err();
            }
            tries += 1;
            clock.advance(Duration::from_millis(128));
            settle();
        };
        assert_eq!(tries, 24);
        assert_eq!(error.errno_name(), Some("EAGAIN"));
        drop(waiting);
        std::fs::remove_file(path).unwrap();
    });
}

/// Returns a listening Unix socket with a full backlog.
fn full_unix_server(path: &PathBuf) -> (Socket, Vec<Socket>) {
    let address = SockAddr::unix(path).unwrap();
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    listener.bind(&address).unwrap();
    listener.listen(0).unwrap();
    let mut waiting = Vec::new();
    loop {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        if socket.connect(&address).is_err() {
            return (listener, waiting);
        }
        waiting.push(socket);
        assert!(waiting.len() < 100, "the backlog has no end");
    }
}

/// The future can be polled by any executor, not only by a task of the loop.
#[test]
fn the_future_also_resolves_outside_a_task_of_the_loop() {
    alone(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut connecting = TcpConnector::new().connect(listener.local_addr().unwrap());
        let conn = loop {
            if let Some(result) = (&mut connecting).now_or_never() {
                break result.unwrap();
            }
            EventLoop::current()
                .run_once(Some(Duration::from_millis(5)))
                .unwrap();
        };
        let (_peer, _) = listener.accept().unwrap();
        assert!(conn.is_open());
        conn.close();
    });
}
