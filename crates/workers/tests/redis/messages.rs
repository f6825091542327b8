//! Messages and membership.

use std::time::Duration;

use bytes::Bytes;
use uptick_workers::bus::{Bus, MESSAGE_LIMIT, RedisBusOptions};

use crate::machine::{Machine, log};
use crate::server::{RedisServer, run};

#[test]
fn messages_arrive_in_order_and_once() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    for sharded in [false, true] {
        let prefix = format!("sharded {sharded}");
        let change = move |options: RedisBusOptions| options.sharded(sharded).prefix(prefix);
        let [a, b, c] = [&["a", "b"][..], &["a", "b"], &["b"]]
            .map(|topics| Machine::connected(&server.url(), change.clone(), topics));
        for machine in [&a, &b, &c] {
            machine.expect("+ +");
        }
        a.run(|| {
            for number in 0..2000 {
                let topic = if number % 2 == 0 { "a" } else { "b" };
                Bus::of_thread().publish_to_others(topic, number.to_string());
            }
        });
        let numbers = |step: usize| {
            let numbers = (0..2000).skip(step - 1).step_by(step);
            let numbers = numbers.map(|number| number.to_string());
            numbers.collect::<Vec<_>>().join(" ")
        };
        b.expect(&numbers(1));
        c.expect(&numbers(2));
        // `publish` reaches the own subscribers once.
        b.publish("b", "all");
        for machine in [&a, &b, &c] {
            machine.expect("all");
        }
        let stats = a.run(|| Bus::of_thread().stats());
        assert_eq!((stats.published, stats.dropped), (2000, 0));
        assert_eq!(stats.received, 1);
    }
}

#[test]
fn payloads_are_binary_and_may_have_the_maximum_size() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let a = Machine::connected(&server.url(), |options| options, &[]);
    let b = Machine::connected(&server.url(), |options| options, &[]);
    let payload: Vec<u8> = (0..MESSAGE_LIMIT).map(|at| at as u8).collect();
    let expected = payload.clone();
    b.run(|| {
        Bus::of_thread().subscribe("\r\n ä/*", move |payload: Bytes| {
            log((payload == expected || payload.is_empty()).to_string());
        });
    });
    a.until(|| Bus::of_thread().has_remote_subscribers("\r\n ä/*"));
    a.run(move || {
        Bus::of_thread().publish("\r\n ä/*", payload);
        Bus::of_thread().publish("\r\n ä/*", "");
    });
    b.expect("+ true true");
}

#[test]
fn workers_and_their_topics_are_known_and_a_leaving_one_is_gone_at_once() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    // Without a heartbeat or a timeout during the test.
    let long = Duration::from_secs(600);
    let change = move |options: RedisBusOptions| options.heartbeat(long).peer_timeout(long);
    let a = Machine::connected(&server.url(), change, &["early"]);
    let b = Machine::connected(&server.url(), change, &[]);
    b.expect("+");
    a.expect("+");
    let id = a.run(|| Bus::of_thread().id());
    let known = b.run(|| Bus::of_thread().remote_subscribers("early"));
    assert_eq!(known, [id]);
    let subscription = a.run(|| Bus::of_thread().subscribe("late", |_| ()));
    b.until(|| Bus::of_thread().has_remote_subscribers("late"));
    a.run(move || Bus::of_thread().unsubscribe(subscription));
    b.until(|| !Bus::of_thread().has_remote_subscribers("late"));
    a.run(|| Bus::of_thread().detach());
    b.expect("-");
    assert!(!b.run(|| Bus::of_thread().has_remote_subscribers("early")));
    a.expect("");
}

#[test]
fn a_reply_reaches_the_topic_that_was_subscribed_before_the_question() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let a = Machine::connected(&server.url(), |options| options, &[]);
    let b = Machine::connected(&server.url(), |options| options, &[]);
    b.run(|| {
        Bus::of_thread().subscribe("questions", |topic: Bytes| {
            let topic = String::from_utf8(topic.to_vec()).unwrap();
            Bus::of_thread().publish(&topic, topic.clone());
        });
    });
    a.until(|| Bus::of_thread().has_remote_subscribers("questions"));
    a.take();
    a.run(|| {
        for number in 0..100 {
            let topic = format!("reply {number}");
            Bus::of_thread().subscribe(&topic, |_| log("reply".into()));
            Bus::of_thread().publish("questions", topic);
        }
    });
    a.expect(&vec!["reply"; 100].join(" "));
}

#[test]
fn ten_thousand_topics_are_subscribed_and_restored() {
    let Some(mut server) = RedisServer::start(&[]) else {
        return;
    };
    let a = Machine::connected(&server.url(), |options| options, &[]);
    let b = Machine::connected(&server.url(), |options| options, &[]);
    b.run(|| {
        for number in 0..10_000 {
            let topic = format!("topic {number}");
            Bus::of_thread().subscribe(&topic, |payload: Bytes| {
                log(String::from_utf8_lossy(&payload).into_owned());
            });
        }
    });
    for round in 0..2 {
        a.until(|| {
            let all = (0..10_000).map(|number| format!("topic {number}"));
            all.into_iter()
                .all(|topic| Bus::of_thread().has_remote_subscribers(&topic))
        });
        b.take();
        a.run(|| {
            for number in 0..10_000 {
                Bus::of_thread().publish(&format!("topic {number}"), number.to_string());
            }
        });
        let numbers = (0..10_000).map(|number| number.to_string());
        b.expect(&numbers.collect::<Vec<_>>().join(" "));
        if round == 0 {
            server.kill();
            a.until_peers(0);
            server.restart();
        }
    }
}

#[test]
fn malformed_messages_are_counted_and_ignored() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let a = Machine::connected(&server.url(), |options| options, &["a"]);
    let b = Machine::connected(&server.url(), |options| options, &[]);
    a.expect("+");
    let id = a.run(|| Bus::of_thread().id());
    let redis = server.connect();
    run(async move {
        for channel in ["uptick:control", &format!("uptick:worker:{id}")] {
            for kind in 0..=9 {
                for length in [0, 1, 2, 3, 30] {
                    let message = [&[1_u8, kind][..], &[0xff; 30]].concat();
                    redis.publish(channel, &message[..length]).await?;
                }
            }
        }
        redis.publish("uptick:topic:a", "x").await?;
        redis.disconnect();
        Ok(())
    });
    b.publish("a", "still here");
    a.expect("still here");
    assert!(a.transport(|transport| transport.malformed()) > 80);
    assert_eq!(a.transport(|transport| transport.peers().len()), 1);
}
