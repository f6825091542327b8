//! Subscriptions, against a real server.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use support::{Recorder, RedisServer, run, sleep, until};
use uptick_redis::{Protocol, RedisOptions};

const PROTOCOLS: [Protocol; 2] = [Protocol::Resp2, Protocol::Resp3];

#[test]
fn messages_are_received_with_both_protocols() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    for protocol in PROTOCOLS {
        let redis = server.connect_with(RedisOptions::new().protocol(protocol));
        let recorder = Recorder::of(redis);
        run(async move {
            // Before the connection is ready, and after.
            let early = redis.subscribe("news");
            early.await?;
            redis.psubscribe("n*").await?;
            redis.ssubscribe("shard").await?;
            assert_eq!(redis.pubsub_numsub("news").await?, 1);
            assert_eq!(redis.pubsub_numsub("other").await?, 0);
            assert_eq!(redis.pubsub_shardnumsub("shard").await?, 1);
            assert_eq!(redis.publish("news", "1").await?, 2);
            assert_eq!(redis.spublish("shard", "2").await?, 1);
            until(|| recorder.events().len() == 4).await;
            let expected = [
                "ready",
                "message news 1",
                "message newsn* 1",
                "smessage shard 2",
            ];
            assert_eq!(recorder.events(), expected);
            redis.unsubscribe("news").await?;
            redis.punsubscribe("n*").await?;
            redis.sunsubscribe("shard").await?;
            assert_eq!(redis.publish("news", "3").await?, 0);
            // Subscribing again, and ending what does not exist.
            redis.unsubscribe("never").await?;
            drop(redis.subscribe("news"));
            redis.subscribe("news").await?;
            assert_eq!(redis.publish("news", "4").await?, 1);
            until(|| recorder.has("message news 4")).await;
            let (first, ended, last) = (
                redis.subscribe("x"),
                redis.unsubscribe("x"),
                redis.subscribe("x"),
            );
            assert_eq!(
                first.await.unwrap_err().to_string(),
                "subscribing failed: the subscription was ended before it was confirmed (ECANCELED)"
            );
            ended.await?;
            last.await?;
            assert_eq!(redis.pubsub_numsub("x").await?, 1);
            let clients: String = redis.command(("CLIENT", "LIST")).await?;
            let connections = if protocol == Protocol::Resp2 { 2 } else { 1 };
            assert_eq!(clients.lines().count(), connections, "{clients}");
            redis.close();
            until(|| !redis.is_open()).await;
            assert_eq!(recorder.count("error") + recorder.count("disconnect"), 0);
            Ok(())
        });
    }
}

#[test]
fn subscriptions_are_restored_after_the_server_was_killed() {
    for protocol in PROTOCOLS {
        let Some(mut server) = RedisServer::start(&[]) else {
            return;
        };
        let redis = server.connect_with(RedisOptions::new().protocol(protocol));
        let recorder = Recorder::of(redis);
        run(async move {
            redis.subscribe("a").await?;
            redis.psubscribe("p*").await?;
            redis.subscribe("ended").await?;
            server.kill();
            until(|| recorder.count("disconnect") >= 1 && !redis.is_ready()).await;
            // Changes while the client is not connected.
            redis.unsubscribe("ended").await?;
            let late = redis.subscribe("b");
            sleep(200).await;
            server.restart();
            late.await?;
            while redis.pubsub_numsub("a").await? == 0 {
                sleep(5).await;
            }
            for channel in ["a", "b", "p1"] {
                assert_eq!(redis.publish(channel, "x").await?, 1, "{channel}");
            }
            assert_eq!(redis.publish("ended", "x").await?, 0);
            until(|| recorder.count("message") == 3).await;
            assert_eq!(recorder.count("ready"), 2);
            redis.close();
            Ok(())
        });
    }
}

#[test]
fn a_refused_subscription_is_an_error_and_is_not_restored() {
    let acl = "--user ann on >pass ~* +@all resetchannels &allowed*";
    let Some(server) = RedisServer::start_with(|_| acl.split(' ').map(str::to_owned).collect())
    else {
        return;
    };
    for protocol in PROTOCOLS {
        let options = RedisOptions::new()
            .protocol(protocol)
            .user("ann")
            .password("pass");
        let redis = server.connect_with(options);
        let recorder = Recorder::of(redis);
        run(async move {
            let (refused, allowed) = (redis.subscribe("secret"), redis.subscribe("allowed"));
            assert_eq!(refused.await.unwrap_err().code(), Some("NOPERM"));
            allowed.await?;
            assert_eq!(recorder.events(), ["ready"]);
            drop(redis.subscribe("secret"));
            until(|| recorder.count("error") == 1).await;
            assert!(recorder.has("NOPERM"));
            redis.close();
            Ok(())
        });
    }
}

#[test]
fn ten_thousand_channels_are_subscribed() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let options = RedisOptions::new().max_subscriptions(10_000);
    let redis = server.connect_with(options);
    let recorder = Recorder::of(redis);
    run(async move {
        for n in 0..9_999 {
            drop(redis.subscribe(format!("room:{n}")));
        }
        redis.subscribe("last").await?;
        let error = redis.subscribe("one more").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "subscribing failed: the limit of 10000 is reached (ENOBUFS)"
        );
        for n in 0..9_999 {
            redis.publish(format!("room:{n}"), n);
        }
        until(|| recorder.count("message") == 9_999).await;
        assert_eq!(recorder.events()[1], "message room:0 0");
        assert_eq!(recorder.events()[9_999], "message room:9998 9998");
        redis.close();
        Ok(())
    });
}

#[test]
fn more_subscriptions_than_pending_commands_are_restored() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let redis = server.connect_with(RedisOptions::new().max_pending(10));
    let other = server.connect();
    run(async move {
        for n in 0..200 {
            redis.subscribe(format!("room:{n}")).await?;
        }
        let killed: i64 = other.command(("CLIENT", "KILL", "TYPE", "pubsub")).await?;
        assert_eq!(killed, 1);
        until(|| !redis.is_ready()).await;
        let channels = || other.command::<Vec<String>>(("PUBSUB", "CHANNELS"));
        while channels().await?.len() < 200 {
            sleep(5).await;
        }
        redis.close();
        other.close();
        Ok(())
    });
}
