//! Servers that close or reset the connection, early responses, pauses, and upgrades.

use std::net::Shutdown;

use uptick_emitter::Emitter;

use super::*;

/// Makes the system reset the connection.
fn reset(stream: TcpStream) {
    rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
}

#[test]
fn a_close_fails_the_request_by_its_phase() {
    run(async {
        for (response, expected) in [
            ("", "closed_before_response"),
            ("H", "closed_in_head"),
            ("HTTP/1.1 100 Go\r\n\r\n", "100 closed_in_head"),
            ("HTTP/1.1 200 OK\r\nA: b\r\n", "closed_in_head"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
                "200 closed_in_body",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n",
                "200 closed_in_body",
            ),
        ] {
            let (result, calls) = respond(get(), response, usize::MAX, true).await;
            assert_eq!((&*result, &*calls), (expected, "closed"), "{response:?}");
            let script = Script::new(move |mut stream| {
                read_head(&mut stream);
                stream.write_all(response.as_bytes()).unwrap();
                // The bytes are read before the reset.
                thread::sleep(Duration::from_millis(30));
                reset(stream);
            });
            let (session, owner) = script.session().await;
            let exchange = session.begin(get()).unwrap();
            assert_eq!(outcome(&exchange).await, expected, "{response:?}");
            assert_eq!(owner.text(), "closed");
            script.join();
        }
    });
}

#[test]
fn a_body_that_ends_with_the_connection_is_cut_by_a_reset() {
    run(async {
        let script = Script::new(|mut stream| {
            read_head(&mut stream);
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nHi").unwrap();
            thread::sleep(Duration::from_millis(30));
            reset(stream);
        });
        let (session, owner) = script.session().await;
        let exchange = session.begin(get()).unwrap();
        let failure = failure(&exchange).await;
        assert_eq!(failure.kind, ErrorKind::ClosedInBody);
        assert!(failure.reason.contains("ECONNRESET"), "{}", failure.reason);
        assert_eq!(owner.text(), "retired closed");
        script.join();
    });
}

#[test]
fn an_early_response_ends_the_body_and_is_delivered_despite_a_reset() {
    run(async {
        for (body, closes) in [
            (OutgoingBody::Bytes(vec![b'x'; 20_000_000].into()), true),
            (OutgoingBody::Stream, true),
            (OutgoingBody::Stream, false),
        ] {
            let is_streamed = matches!(body, OutgoingBody::Stream);
            let script = Script::new(move |mut stream| {
                read_head(&mut stream);
                let response = "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno";
                stream.write_all(response.as_bytes()).unwrap();
                if closes {
                    // The system resets the connection, as there is unread data.
                    drop(stream);
                } else {
                    await_close(&mut stream);
                }
            });
            let (session, owner) = script.session().await;
            let exchange = session
                .begin(OutgoingRequest {
                    method: &Method::POST,
                    body,
                    ..get()
                })
                .unwrap();
            if is_streamed {
                while !exchange.is_answered() {
                    exchange.write(vec![b'x'; 100_000].into());
                    sleep(Duration::ZERO).await;
                }
                assert!(!crate::transport::ExchangeTransport::write(
                    &*session,
                    "x".into()
                ));
            }
            assert_eq!(outcome(&exchange).await, "413 \"no\"");
            assert!(owner.text().ends_with("closed"), "{}", owner.text());
            assert!(!owner.text().contains("available"), "{}", owner.text());
            script.join();
        }
    });
}

#[test]
fn an_early_response_with_a_slow_body_is_not_cut_by_the_write_timeout() {
    run(async {
        let script = Script::new(|mut stream| {
            read_head(&mut stream);
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n";
            stream.write_all(head.as_bytes()).unwrap();
            for _ in 0..10 {
                thread::sleep(Duration::from_millis(100));
                stream.write_all(b"x").unwrap();
            }
            await_close(&mut stream);
        });
        let (session, owner) = script.session().await;
        let mut request = get();
        request.body = OutgoingBody::Bytes(vec![b'x'; 20_000_000].into());
        request.settings.write_timeout = Some(Duration::from_millis(300));
        let exchange = session.begin(request).unwrap();
        assert_eq!(outcome(&exchange).await, "200 \"xxxxxxxxxx\"");
        assert_eq!(owner.text(), "closed");
        script.join();
    });
}

#[test]
fn a_slow_reader_pauses_the_server() {
    run(async {
        let script = Script::new(|mut stream| {
            read_head(&mut stream);
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n";
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&vec![b'x'; 50_000_000]).unwrap();
            await_close(&mut stream);
        });
        let (session, owner) = script.session().await;
        let mut request = get();
        request.settings.max_body = None;
        request.settings.read_timeout = Some(Duration::from_millis(200));
        let exchange = session.begin(request).unwrap();
        poll_fn(|context| exchange.poll_head(context))
            .await
            .unwrap();
        // The read timeout does not apply while the reader pauses.
        sleep(Duration::from_millis(600)).await;
        let read = session.conn.bytes_read();
        assert!(read < 1_000_000, "{read} bytes");
        let mut received = 0;
        while let Some(piece) = poll_fn(|context| exchange.poll_body(context)).await {
            received += piece.unwrap().len();
        }
        assert_eq!((received, &*owner.text()), (50_000_000, "available"));
        session.close();
        script.join();
    });
}

#[test]
fn data_received_before_a_reset_can_be_read_after_it() {
    run(async {
        let script = Script::new(|mut stream| {
            read_head(&mut stream);
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n";
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(&vec![b'x'; 200_000]).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        });
        let (session, _) = script.session().await;
        let mut request = get();
        request.settings.read_ahead = 1000;
        let exchange = session.begin(request).unwrap();
        sleep(Duration::from_millis(50)).await;
        let mut received = 0;
        while let Some(piece) = poll_fn(|context| exchange.poll_body(context)).await {
            received += piece.unwrap().len();
        }
        assert_eq!(received, 200_000);
        script.join();
    });
}

#[test]
fn a_cancelled_request_closes_the_connection_without_a_failure() {
    run(async {
        let script = Script::new(|mut stream| await_close(&mut stream));
        let (session, owner) = script.session().await;
        let exchange = session.begin(get()).unwrap();
        sleep(Duration::from_millis(10)).await;
        exchange.cancel();
        assert_eq!(owner.text(), "closed");
        assert!(!exchange.is_done());
        script.join();
    });
}

#[test]
fn a_connection_can_be_taken_after_a_response_that_switched_protocols() {
    run(async {
        let script = Script::new(|mut stream| {
            let head = read_head(&mut stream);
            assert!(
                head.contains("connection: Upgrade\r\nupgrade: x\r\n"),
                "{head}"
            );
            let response = "HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\nfirst";
            stream.write_all(response.as_bytes()).unwrap();
            assert_eq!(read_until(&mut stream, "ping"), "ping");
            stream.write_all(b"pong").unwrap();
            await_close(&mut stream);
        });
        let (session, owner) = script.session().await;
        let list = fields([("upgrade", "x")]);
        let exchange = session
            .begin(OutgoingRequest {
                fields: &list,
                upgrade: true,
                ..get()
            })
            .unwrap();
        assert_eq!(outcome(&exchange).await, "101 \"\"");
        assert_eq!(owner.text(), "retired");
        assert!(!session.is_reusable());
        let (conn, rest) = session.take_upgraded().unwrap();
        assert_eq!((&*rest, &*owner.text()), (&b"first"[..], "retired closed"));
        assert!(session.take_upgraded().is_none());
        conn.write("ping");
        let chunk = conn.next(Connection::DATA).await.unwrap();
        assert_eq!(chunk, "pong");
        conn.close();
        assert_eq!(owner.text(), "retired closed");
        script.join();
    });
}
