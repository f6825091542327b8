//! Commands, pipelining and errors, against a real server.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use support::{Recorder, RedisServer, run, sleep, until};
use uptick_emitter::Emitter;
use uptick_redis::{
    Error, Protocol, Redis, RedisOptions, SetOptions, StreamEntry, Value, XAddOptions, XRead,
};

const PROTOCOLS: [Protocol; 2] = [Protocol::Resp2, Protocol::Resp3];

#[test]
fn the_usual_commands_work_with_both_protocols() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    for protocol in PROTOCOLS {
        let redis = server.connect_with(RedisOptions::new().protocol(protocol));
        run(async move {
            redis.command::<()>("FLUSHALL").await?;
            redis.ping().await?;
            redis.set("k", "v\r\n\0").await?;
            assert_eq!(
                redis.get::<Option<Bytes>>("k").await?.as_deref(),
                Some(&b"v\r\n\0"[..])
            );
            assert_eq!(redis.get::<Option<String>>("none").await?, None);
            assert!(
                !redis
                    .set_with("k", "x", SetOptions::new().if_absent())
                    .await?
            );
            let brief = SetOptions::new()
                .expire(Duration::from_secs(100))
                .if_present();
            assert!(redis.set_with("k", 5, brief).await?);
            let ttl: i64 = redis.command(("PTTL", "k")).await?;
            assert!((1..=100_000).contains(&ttl), "{ttl}");
            assert_eq!(redis.incr("k").await?, 6);
            assert_eq!(redis.incr_by("k", -10).await?, -4);
            assert!(redis.expire("k", Duration::from_secs(1)).await?);
            assert!(!redis.expire("none", Duration::from_secs(1)).await?);
            assert_eq!(redis.exists(["k", "none"]).await?, 1);
            assert_eq!(redis.getdel::<i64>("k").await?, -4);
            assert_eq!(redis.hset("h", [("a", "1"), ("b", "2")]).await?, 2);
            assert_eq!(redis.hget::<i64>("h", "b").await?, 2);
            let all: HashMap<String, i64> = redis.hgetall("h").await?;
            assert_eq!(all, HashMap::from([("a".into(), 1), ("b".into(), 2)]));
            assert_eq!(redis.del(("h", "k")).await?, 1);
            let sum: i64 = redis.eval("return KEYS[1] + ARGV[1]", "1", 2).await?;
            assert_eq!(sum, 3);
            let list: (String, i64) = redis.eval("return {'a', 1}", (), ()).await?;
            assert_eq!(list, ("a".into(), 1));
            redis.close();
            Ok(())
        });
    }
}

#[test]
fn streams_work_with_both_protocols() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    for protocol in PROTOCOLS {
        let redis = server.connect_with(RedisOptions::new().protocol(protocol));
        run(async move {
            redis.command::<()>("FLUSHALL").await?;
            let id = redis.xadd("s", [("a", "1"), ("b", "2")]).await?;
            assert!(id.ends_with("-0"), "{id}");
            let options = XAddOptions::new().id("9999999999999-1").exact_max_len(1);
            let second = redis.xadd_with("s", options, ("c", 3)).await?.unwrap();
            assert_eq!(second, "9999999999999-1");
            let entry = |id: &str, fields: &[(&str, &'static str)]| StreamEntry {
                id: id.into(),
                fields: fields
                    .iter()
                    .map(|&(name, value)| (name.into(), value.into()))
                    .collect(),
            };
            let only = vec![entry(&second, &[("c", "3")])];
            assert_eq!(redis.xrange("s", "-", "+").await?, only);
            assert_eq!(redis.xrange_count("s", "-", "+", 5).await?, only);
            assert!(redis.xrange("s", "-", id.as_str()).await?.is_empty());
            let read = redis.xread(XRead::new().stream("s", "0").count(1)).await?;
            assert_eq!(read, [("s".into(), only)]);
            assert!(redis.xread(XRead::new().stream("s", "$")).await?.is_empty());
            redis
                .xadd_with("s", XAddOptions::new().max_len(10), ("d", ""))
                .await?;
            assert_eq!(redis.command::<u64>(("XLEN", "s")).await?, 2);
            let absent = XAddOptions::new().no_make_stream();
            assert_eq!(redis.xadd_with("none", absent, ("d", "")).await?, None);
            redis.close();
            Ok(())
        });
    }
}

#[test]
fn a_blocking_read_does_not_block_other_commands() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let redis = server.connect();
    run(async move {
        redis.ping().await?;
        let started = Instant::now();
        let block = Duration::from_secs(10);
        let read = redis.xread(XRead::new().stream("s", "$").block(block));
        let empty = redis.xread(
            XRead::new()
                .stream("t", "$")
                .block(Duration::from_millis(50)),
        );
        redis.ping().await?;
        assert!(empty.await?.is_empty());
        let id = redis.xadd("s", ("a", "1")).await?;
        let entries = read.await?;
        assert_eq!(entries[0].1[0].id, id);
        assert!(started.elapsed() < Duration::from_secs(5));
        // The connections are used again.
        let connections: String = redis.command(("CLIENT", "LIST")).await?;
        assert_eq!(connections.lines().count(), 3, "{connections}");
        redis
            .blocking_command::<Value>(("BLPOP", "l", "0.01"), Duration::from_millis(10))
            .await?;
        let connections: String = redis.command(("CLIENT", "LIST")).await?;
        assert_eq!(connections.lines().count(), 3, "{connections}");
        redis.close();
        Ok(())
    });
}

#[test]
fn dropping_a_blocking_reply_closes_its_connection() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let redis = server.connect_with(RedisOptions::new().max_blocking(1));
    run(async move {
        let read = XRead::new().stream("s", "$").block(Duration::from_secs(20));
        let reply = redis.xread(read.clone());
        let clients = || redis.command::<String>(("CLIENT", "LIST"));
        while !clients().await?.contains("cmd=xread") {
            sleep(5).await;
        }
        let error = redis.xread(read).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "sending a blocking command failed: the limit of 1 is reached (ENOBUFS)"
        );
        drop(reply);
        while clients().await?.lines().count() > 1 {
            sleep(5).await;
        }
        redis.close();
        Ok(())
    });
}

#[test]
fn replies_are_matched_in_the_order_of_the_commands() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let redis = server.connect();
    run(async move {
        let order = Rc::new(RefCell::new(Vec::new()));
        for n in 0..10_000_i64 {
            let order = Rc::clone(&order);
            redis
                .command(("ECHO", n))
                .then(move |echo: Result<i64, Error>| order.borrow_mut().push(echo.unwrap()));
        }
        assert_eq!(redis.pending(), 10_000);
        // A large value, in several reads, between the others.
        let large = "x".repeat(1_000_000);
        redis.set("large", &large).await?;
        assert!(redis.get::<String>("large").await? == large);
        assert_eq!(*order.borrow(), (0..10_000).collect::<Vec<_>>());
        redis.close();
        Ok(())
    });
}

#[test]
fn an_error_reply_has_a_code_and_does_not_affect_other_commands() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let redis = server.connect();
    let recorder = Recorder::of(redis);
    run(async move {
        redis.set("k", "text").await?;
        let (wrong, right) = (redis.hget::<Value>("k", "f"), redis.get::<String>("k"));
        let error = wrong.await.unwrap_err();
        assert_eq!(error.code(), Some("WRONGTYPE"));
        assert!(
            error
                .to_string()
                .starts_with("the command failed: WRONGTYPE Operation against"),
            "{error}"
        );
        assert_eq!(right.await?, "text");
        let error = redis.get::<i64>("k").await.unwrap_err();
        assert!(matches!(error, Error::Conversion { .. }), "{error}");
        assert_eq!(recorder.events(), ["ready"]);
        // A dropped reply is not silent.
        drop(redis.incr("k"));
        redis.ping().await?;
        assert!(recorder.has("error the command failed: ERR value is not an integer"));
        redis.close();
        Ok(())
    });
}

#[test]
fn a_panic_in_a_callback_does_not_affect_the_client() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let redis = server.connect();
    run(async move {
        redis.ping().then(|_| panic!("in a callback"));
        redis.on("message", |_: uptick_redis::Message| {
            panic!("in a listener")
        });
        redis.subscribe("ch").await?;
        redis.publish("ch", "x").await?;
        redis.ping().await?;
        assert!(redis.is_ready());
        redis.close();
        Ok(())
    });
}

#[test]
fn accounts_databases_and_names_are_set_by_the_handshake() {
    let user = "user ann on >pa@ss ~* +@all -flushall";
    let Some(server) = RedisServer::start_with(|_| {
        let mut arguments = vec![
            "--requirepass".to_owned(),
            "secret".to_owned(),
            "--user".to_owned(),
        ];
        arguments.extend(user.split(' ').skip(1).map(str::to_owned));
        arguments
    }) else {
        return;
    };
    let port = server.port;
    for protocol in PROTOCOLS {
        let options = RedisOptions::new().protocol(protocol).client_name("test");
        run(async move {
            let connect = |account: &str, database: &str| {
                let url = format!("redis://{account}127.0.0.1:{port}{database}");
                Redis::connect_with(url, options.clone()).unwrap()
            };
            let redis = connect("ann:pa%40ss@", "/2");
            assert_eq!(redis.command::<String>(("ACL", "WHOAMI")).await?, "ann");
            assert_eq!(
                redis.command::<String>(("CLIENT", "GETNAME")).await?,
                "test"
            );
            let info: String = redis.command(("CLIENT", "INFO")).await?;
            assert!(info.contains(" db=2 "), "{info}");
            let error = redis.command::<()>("FLUSHALL").await.unwrap_err();
            assert_eq!(error.code(), Some("NOPERM"));
            redis.close();
            let redis = connect(":secret@", "");
            assert_eq!(redis.command::<String>(("ACL", "WHOAMI")).await?, "default");
            redis.close();

            // A refused account fails waiting commands at once.
            let redis = connect("ann:wrong@", "");
            let error = redis.ping().await.unwrap_err().to_string();
            assert!(
                error.contains(&format!("at redis://127.0.0.1:{port} failed: WRONGPASS")),
                "{error}"
            );
            assert!(!error.contains("wrong@"));
            redis.disconnect();
            let redis = connect("ann:pa%40ss@", "/99");
            let error = redis.ping().await.unwrap_err().to_string();
            assert!(
                error.starts_with("SELECT at") && error.contains("out of range"),
                "{error}"
            );
            redis.disconnect();
            Ok(())
        });
    }
}

#[test]
fn a_unix_socket_is_used_with_a_database() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let path = server.socket();
    run(async move {
        let redis = Redis::connect(format!("redis+unix://{}?db=3", path.display()))?;
        let info: String = redis.command(("CLIENT", "INFO")).await?;
        assert!(
            info.contains("db=3") && info.contains("redis.sock"),
            "{info}"
        );
        redis.close();
        Ok(())
    });
}

#[test]
fn close_completes_pending_commands_and_disconnect_does_not() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let redis = server.connect();
    let recorder = Recorder::of(redis);
    run(async move {
        let reply = redis.set("k", "v");
        redis.close();
        let error = redis.get::<Value>("k").await.unwrap_err();
        assert_eq!(error.to_string(), "the Redis client is closed (ENOTCONN)");
        reply.await?;
        until(|| !redis.is_open()).await;
        assert_eq!(recorder.events(), ["ready", "close"]);

        let redis = server.connect();
        let recorder = Recorder::of(redis);
        redis.ping().await?;
        let reply = redis.get::<Value>("k");
        redis.disconnect();
        let error = reply.await.unwrap_err();
        assert!(matches!(error, Error::Disconnected { .. }), "{error}");
        until(|| !redis.is_open()).await;
        assert_eq!(recorder.events(), ["ready", "close"]);
        assert!(matches!(redis.ping().await, Err(Error::Closed)));
        Ok(())
    });
}
