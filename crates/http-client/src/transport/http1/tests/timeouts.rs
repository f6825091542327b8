//! Timeouts: which one expires, and when.

use std::time::Instant;

use super::*;

/// Returns the outcome of a request, and checks that it took from 20 ms less to 500 ms more than `expected` milliseconds.
async fn timed(exchange: &Exchange, expected: u64) -> String {
    let start = Instant::now();
    let outcome = outcome(exchange).await;
    let elapsed = start.elapsed();
    let earliest = Duration::from_millis(expected.saturating_sub(20));
    let latest = Duration::from_millis(expected + 500);
    assert!(
        (earliest..latest).contains(&elapsed),
        "{outcome} after {elapsed:?}"
    );
    outcome
}

#[test]
fn the_first_byte_timeout_ends_with_the_final_response_only() {
    run(async {
        for (response, expected) in [
            ("", "first_byte_timeout"),
            ("HTTP/1.1 100 Go\r\n\r\n", "100 first_byte_timeout"),
            ("HTTP/1.1 103 Hints\r\nA: b\r\n", "first_byte_timeout"),
            (
                "HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 1",
                "100 first_byte_timeout",
            ),
        ] {
            let script = Script::new(move |mut stream| {
                read_head(&mut stream);
                thread::sleep(Duration::from_millis(50));
                // The first bytes do not show yet that the response is an interim one.
                let (first, rest) = response.split_at(response.len().min(9));
                stream.write_all(first.as_bytes()).unwrap();
                thread::sleep(Duration::from_millis(50));
                stream.write_all(rest.as_bytes()).unwrap();
                await_close(&mut stream);
            });
            let (session, owner) = script.session().await;
            let mut request = get();
            request.settings.first_byte_timeout = Some(Duration::from_millis(300));
            let exchange = session.begin(request).unwrap();
            assert_eq!(timed(&exchange, 300).await, expected);
            assert_eq!(owner.text(), "closed");
            script.join();
        }
    });
}

#[test]
fn the_first_byte_timeout_starts_when_the_request_is_sent() {
    run(async {
        let script = Script::new(|mut stream| await_close(&mut stream));
        let (session, _) = script.session().await;
        let mut request = get();
        request.body = OutgoingBody::Stream;
        request.settings.first_byte_timeout = Some(Duration::from_millis(200));
        let exchange = session.begin(request).unwrap();
        sleep(Duration::from_millis(500)).await;
        exchange.write("x".into());
        sleep(Duration::from_millis(500)).await;
        assert!(!exchange.is_done());
        exchange.end(None);
        assert_eq!(timed(&exchange, 200).await, "first_byte_timeout");
        script.join();
    });
}

#[test]
fn the_read_timeout_starts_with_the_first_byte_and_with_each_reception() {
    run(async {
        for (start, expected) in [
            ("HTTP/1.1 200", "read_timeout"),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
                "200 read_timeout",
            ),
        ] {
            let script = Script::new(move |mut stream| {
                read_head(&mut stream);
                stream.write_all(start.as_bytes()).unwrap();
                for _ in 0..4 {
                    thread::sleep(Duration::from_millis(100));
                    stream.write_all(b" ").unwrap();
                }
                await_close(&mut stream);
            });
            let (session, _) = script.session().await;
            let mut request = get();
            request.settings.read_timeout = Some(Duration::from_millis(200));
            let exchange = session.begin(request).unwrap();
            assert_eq!(timed(&exchange, 600).await, expected);
            script.join();
        }
    });
}

#[test]
fn the_write_timeout_ends_a_request_to_a_server_that_reads_nothing() {
    run(async {
        for body in [
            OutgoingBody::Bytes(vec![b'x'; 20_000_000].into()),
            OutgoingBody::Stream,
        ] {
            let is_streamed = matches!(body, OutgoingBody::Stream);
            let (sender, receiver) = std::sync::mpsc::channel::<()>();
            let script = Script::new(move |stream| {
                let _ = receiver.recv();
                drop(stream);
            });
            let (session, owner) = script.session().await;
            let mut request = get();
            request.body = body;
            request.settings.write_timeout = Some(Duration::from_millis(300));
            let exchange = session.begin(request).unwrap();
            if is_streamed {
                let filling = Rc::clone(&exchange);
                uptick_event_loop::spawn(async move {
                    loop {
                        poll_fn(|context| filling.poll_writable(context)).await;
                        filling.write(vec![b'x'; 100_000].into());
                    }
                });
            }
            // The kernels exchange some bytes first.
            let start = Instant::now();
            let outcome = outcome(&exchange).await;
            let elapsed = start.elapsed();
            assert!((280..2000).contains(&elapsed.as_millis()), "{elapsed:?}");
            assert_eq!((&*outcome, &*owner.text()), ("write_timeout", "closed"));
            drop(sender);
            script.join();
        }
    });
}

#[test]
fn the_write_timeout_does_not_end_a_request_to_a_slow_server() {
    run(async {
        let script = Script::new(|mut stream| {
            read_head(&mut stream);
            let mut left = 8_000_000;
            while left > 0 {
                let length = left.min(400_000);
                stream.read_exact(&mut vec![0; length]).unwrap();
                left -= length;
                thread::sleep(Duration::from_millis(60));
            }
            stream.write_all(b"HTTP/1.1 204 \r\n\r\n").unwrap();
            await_close(&mut stream);
        });
        let (session, owner) = script.session().await;
        let mut request = get();
        request.body = OutgoingBody::Bytes(vec![b'x'; 8_000_000].into());
        request.settings.write_timeout = Some(Duration::from_millis(400));
        let exchange = session.begin(request).unwrap();
        assert_eq!(outcome(&exchange).await, "204 \"\"");
        assert_eq!(owner.text(), "available");
        session.close();
        script.join();
    });
}
