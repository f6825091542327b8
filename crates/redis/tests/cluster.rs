//! Sharded channels in a cluster of two real servers.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use support::{Recorder, RedisServer, free_port, run, sleep, until};
use uptick_redis::protocol::key_slot;
use uptick_redis::{Error, Redis, RedisOptions};

struct Node {
    server: RedisServer,
    bus: u16,
}

fn start() -> Option<Node> {
    let bus = free_port();
    let server = RedisServer::start_with(|_| {
        let options =
            format!("--cluster-enabled yes --cluster-node-timeout 1000 --cluster-port {bus}");
        let allow_down =
            "--cluster-allow-pubsubshard-when-down yes --cluster-require-full-coverage no";
        let all = options.split(' ').chain(allow_down.split(' '));
        all.map(str::to_owned).collect()
    })?;
    Some(Node { server, bus })
}

/// Makes a cluster of two nodes: the first has the lower half of the slots.
async fn join(first: &Node, second: &Node) -> Result<[Redis; 2], Error> {
    let (a, b) = (first.server.connect(), second.server.connect());
    a.command::<()>(("CLUSTER", "ADDSLOTSRANGE", 0, 8191))
        .await?;
    b.command::<()>(("CLUSTER", "ADDSLOTSRANGE", 8192, 16_383))
        .await?;
    b.command::<()>(("CLUSTER", "SET-CONFIG-EPOCH", 2)).await?;
    a.command::<()>((
        "CLUSTER",
        "MEET",
        "127.0.0.1",
        second.server.port,
        second.bus,
    ))
    .await?;
    for node in [a, b] {
        loop {
            let info: String = node.command(("CLUSTER", "INFO")).await?;
            let slots = node
                .command::<Vec<uptick_redis::Value>>(("CLUSTER", "SLOTS"))
                .await?;
            if info.contains("cluster_state:ok") && slots.len() == 2 {
                break;
            }
            sleep(20).await;
        }
    }
    Ok([a, b])
}

#[test]
fn sharded_channels_use_the_node_of_their_slot() {
    let (Some(first), Some(second)) = (start(), start()) else {
        return;
    };
    // `bar` is in slot 5061, `foo` in slot 12182.
    assert!(key_slot(b"bar") < 8192 && key_slot(b"foo") >= 8192);
    run(async move {
        let direct = join(&first, &second).await?;
        let error = direct[0].spublish("foo", "x").await.unwrap_err();
        assert_eq!(error.code(), Some("MOVED"));

        let redis = first.server.connect_with(RedisOptions::new().cluster(true));
        let recorder = Recorder::of(redis);
        redis.ssubscribe("bar").await?;
        assert!(redis.nodes().is_empty());
        redis.ssubscribe("foo").await?;
        assert_eq!(redis.nodes(), [second.server.url()]);
        for channel in ["foo", "bar"] {
            assert_eq!(redis.spublish(channel, "1").await?, 1, "{channel}");
            assert_eq!(redis.pubsub_shardnumsub(channel).await?, 1, "{channel}");
        }
        assert_eq!(direct[1].spublish("foo", "2").await?, 1);
        until(|| recorder.count("smessage") == 3).await;
        assert!(recorder.has("smessage foo 2"));

        // A slot moves to the other node: the server ends the subscription, and it is restored there.
        let id: String = direct[0].command(("CLUSTER", "MYID")).await?;
        let slot = key_slot(b"foo");
        for node in direct {
            node.command::<()>(("CLUSTER", "SETSLOT", slot, "NODE", &id))
                .await?;
        }
        while direct[0].pubsub_shardnumsub("foo").await? == 0 {
            sleep(5).await;
        }
        assert_eq!(redis.spublish("foo", "3").await?, 1);
        until(|| recorder.has("smessage foo 3")).await;
        redis.sunsubscribe("foo").await?;
        assert_eq!(redis.spublish("foo", "4").await?, 0);

        // A node is lost, and its slot is taken over by the other one.
        redis.ssubscribe("qux").await?;
        assert_eq!(redis.nodes(), [second.server.url()]);
        drop(second);
        let slot = key_slot(b"qux");
        direct[0]
            .command::<()>(("CLUSTER", "SETSLOT", slot, "NODE", &id))
            .await?;
        while direct[0].pubsub_shardnumsub("qux").await? == 0 {
            sleep(5).await;
        }
        assert!(redis.nodes().is_empty());
        assert_eq!(redis.spublish("qux", "5").await?, 1);
        until(|| recorder.has("smessage qux 5")).await;
        for client in [redis, direct[0], direct[1]] {
            client.close();
        }
        Ok(())
    });
}
