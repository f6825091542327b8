//! Lost servers, stopped servers and servers that send nonsense.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::{Recorder, RedisServer, free_port, run, sleep, until};
use uptick_emitter::Emitter;
use uptick_redis::{Error, Protocol, Redis, RedisOptions};

#[test]
fn the_client_reconnects_after_the_server_was_killed() {
    let Some(mut server) = RedisServer::start(&[]) else {
        return;
    };
    let redis = server.connect();
    let recorder = Recorder::of(redis);
    let delays = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&delays);
    redis.on(Redis::RECONNECT, move |next| {
        seen.borrow_mut().push(next.delay)
    });
    run(async move {
        redis.ping().await?;
        server.signal(Signal::STOP);
        let in_flight = redis.incr("n");
        sleep(20).await;
        server.kill();
        let error = in_flight.await.unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("; the command may have been executed"),
            "{error}"
        );
        assert!(matches!(error, Error::Disconnected { .. }));
        assert!(!redis.is_ready());
        let queued = redis.incr("n");
        sleep(700).await;
        server.restart();
        assert_eq!(queued.await?, 1);
        let events = recorder.events();
        assert_eq!(
            (&*events[0], &*events[events.len() - 1]),
            ("ready", "ready")
        );
        assert!(events[1].starts_with("disconnect"), "{events:?}");
        assert!(
            recorder.has("error connecting to tcp://127.0.0.1") && recorder.count("error") == 1,
            "{events:?}"
        );
        redis.close();
        Ok(())
    });
    let delays = delays.borrow();
    assert!(delays.len() >= 3, "{delays:?}");
    for (n, delay) in delays.iter().enumerate() {
        let longest = Duration::from_millis(100 << n).min(Duration::from_secs(5));
        assert!(*delay >= longest / 2 && *delay <= longest, "{delays:?}");
    }
}

#[test]
fn commands_fail_after_the_timeout_without_a_connection() {
    let url = format!("redis://127.0.0.1:{}", free_port());
    run(async move {
        let options = RedisOptions::new().command_timeout(Duration::from_millis(200));
        let redis = Redis::connect_with(&url, options)?;
        let started = Instant::now();
        let error = redis.ping().await.unwrap_err();
        assert!(started.elapsed() >= Duration::from_millis(200));
        let text = error.to_string();
        assert!(
            text.starts_with(&format!(
                "sending a command to {url} failed: not connected within 200ms; connecting to"
            )),
            "{text}"
        );
        assert!(
            text.contains("(ECONNREFUSED)") && text.ends_with("(ETIMEDOUT)"),
            "{text}"
        );
        redis.close();
        until(|| !redis.is_open()).await;
        Ok(())
    });
}

#[test]
fn the_queue_is_bounded_while_the_server_is_stopped_and_the_health_check_replaces_the_connection() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let options = RedisOptions::new()
        .max_pending(1_000)
        .health_interval(Duration::from_millis(200))
        .health_timeout(Duration::from_millis(300))
        .connect_timeout(Duration::from_millis(300));
    let redis = server.connect_with(options);
    let recorder = Recorder::of(redis);
    run(async move {
        redis.ping().await?;
        server.signal(Signal::STOP);
        for n in 0..1_000 {
            redis.publish("ch", n);
        }
        let error = redis.publish("ch", "one more").await.unwrap_err();
        assert!(error.to_string().contains("1000 commands and"), "{error}");
        assert!(error.to_string().ends_with("queued (ENOBUFS)"), "{error}");
        drop(redis.publish("ch", "again"));
        sleep(0).await;
        sleep(1).await;
        assert_eq!(recorder.count("error queueing a command"), 1);
        until(|| recorder.count("disconnect") == 1).await;
        assert!(
            recorder.has("the health check at redis://127.0.0.1"),
            "{:?}",
            recorder.events()
        );
        sleep(500).await;
        let queued = redis.incr("n");
        server.signal(Signal::CONT);
        assert_eq!(queued.await?, 1);
        redis.close();
        Ok(())
    });
}

#[test]
fn the_queue_is_bounded_in_bytes() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let redis = server.connect_with(RedisOptions::new().max_queued_bytes(1_000_000));
    let recorder = Recorder::of(redis);
    run(async move {
        let payload = vec![b'x'; 100_000];
        // Before the connection is ready.
        for _ in 0..10 {
            redis.set("k", &payload);
        }
        let error = redis.set("k", &payload).await.unwrap_err();
        assert!(
            matches!(error, Error::QueueFull { commands: 10, .. }),
            "{error}"
        );
        until(|| redis.is_ready() && redis.pending() == 0).await;
        server.signal(Signal::STOP);
        let mut accepted = 0;
        let error = loop {
            let reply = redis.set("k", &payload);
            if redis.pending() == accepted {
                break reply.await.unwrap_err();
            }
            accepted += 1;
        };
        assert!(
            matches!(error, Error::QueueFull { bytes, .. } if bytes < 1_200_000),
            "{error}"
        );
        server.signal(Signal::CONT);
        until(|| redis.pending() == 0).await;
        redis.ping().await?;
        assert_eq!(recorder.count("error queueing"), 2);
        redis.close();
        Ok(())
    });
}

#[test]
fn a_quiet_connection_stays_open() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let options = RedisOptions::new()
        .health_interval(Duration::from_millis(20))
        .health_timeout(Duration::from_millis(500));
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        let redis = server.connect_with(options.clone().protocol(protocol));
        let recorder = Recorder::of(redis);
        run(async move {
            redis.subscribe("ch").await?;
            sleep(300).await;
            assert_eq!(recorder.events(), ["ready"]);
            redis.publish("ch", "x").await?;
            until(|| recorder.has("message ch x")).await;
            redis.close();
            Ok(())
        });
    }
}

/// A server that responds to each connection with fixed bytes after the first command, and then waits for the end.
fn fake_server(responses: &'static [&'static [u8]]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for response in responses {
            let (mut conn, _) = listener.accept().unwrap();
            let mut buffer = [0; 4096];
            let _ = conn.read(&mut buffer);
            let _ = conn.write_all(response);
            while conn.read(&mut buffer).is_ok_and(|count| count > 0) {}
        }
    });
    url
}

#[test]
fn malformed_replies_close_the_connection_and_the_client_tries_again() {
    let url = fake_server(&[
        b"HTTP/1.1 400 Bad Request\r\n",
        b"$99999999999\r\n",
        b"%1\r\n+server\r\n+redis\r\n+unexpected\r\n",
        b"-ERR max number of clients reached\r\n",
        b"%1\r\n+server\r\n+redis\r\n",
    ]);
    run(async move {
        let redis = Redis::connect(&url)?;
        let recorder = Recorder::of(redis);
        until(|| recorder.count("ready") == 1).await;
        let events = recorder.events();
        assert_eq!(
            events[0],
            format!("error reading from {url} failed: 0x48 is not a type of RESP (EPROTO)")
        );
        assert!(
            events[1].contains("exceeds the limit of 67108864 bytes (EPROTO)"),
            "{events:?}"
        );
        let unexpected =
            format!("reading from {url} failed: a reply does not belong to a command (EPROTO)");
        assert!(recorder.has(&unexpected), "{events:?}");
        assert!(recorder.has("HELLO at redis://127.0.0.1"), "{events:?}");
        redis.disconnect();
        Ok(())
    });
}

#[test]
fn a_server_without_hello_is_used_with_resp2() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let (mut conn, _) = listener.accept().unwrap();
        let responses = ["-ERR unknown command `HELLO`", "+OK", "+OK", "+OK", "+PONG"];
        responses.map(|response| {
            let mut buffer = [0; 4096];
            let count = conn.read(&mut buffer).unwrap();
            conn.write_all(format!("{response}\r\n").as_bytes())
                .unwrap();
            let command = String::from_utf8_lossy(&buffer[..count]).into_owned();
            let words = command
                .split("\r\n")
                .filter(|word| !word.starts_with(['*', '$']));
            words.collect::<Vec<_>>().join(" ").trim().to_owned()
        })
    });
    run(async move {
        let options = RedisOptions::new().client_name("test");
        let redis = Redis::connect_with(format!("redis://ann:pass@{address}/3"), options)?;
        redis.ping().await?;
        redis.disconnect();
        Ok(())
    });
    let expected = [
        "HELLO 3 AUTH ann pass SETNAME test",
        "AUTH ann pass",
        "CLIENT SETNAME test",
        "SELECT 3",
        "PING",
    ];
    assert_eq!(server.join().unwrap(), expected);
}

#[test]
fn a_server_without_resp3_is_refused_if_resp3_is_required() {
    let url = fake_server(&[b"-NOPROTO unsupported protocol version\r\n"]);
    run(async move {
        let options = RedisOptions::new().protocol(Protocol::Resp3);
        let redis = Redis::connect_with(&url, options)?;
        let error = redis.ping().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("HELLO at {url} failed: NOPROTO unsupported protocol version (EACCES)")
        );
        redis.disconnect();
        Ok(())
    });
}

#[test]
fn a_server_that_does_not_respond_to_the_handshake_is_a_timeout() {
    let url = fake_server(&[b""]);
    run(async move {
        let options = RedisOptions::new().connect_timeout(Duration::from_millis(100));
        let redis = Redis::connect_with(&url, options)?;
        let recorder = Recorder::of(redis);
        until(|| recorder.count("error") == 1).await;
        let expected =
            format!("error connecting at {url} failed: no response within 100ms (ETIMEDOUT)");
        assert_eq!(recorder.events()[0], expected);
        redis.disconnect();
        Ok(())
    });
}
