//! Requests to other servers, and their responses.

use std::time::Duration;

use uptick_socketio::adapter::redis::broker::Channel;
use uptick_socketio::adapter::redis::{RedisAdapter, RedisAdapterStats};
use uptick_socketio::{Ack, Namespace, SocketIoOptions, Value};
use uptick_websocket::{Message, WebSocket};

use uptick_emitter::Emitter;

use crate::broker::FakeRedis;
use crate::client::{Client, Fixture, run, until};
use crate::cluster::{KINDS, Kind, Server, pair};

/// Makes a client acknowledge each event with a value.
pub(crate) fn acknowledge(client: &Client, value: &'static str) {
    let ws = client.ws;
    ws.on(WebSocket::MESSAGE, move |message: Message| {
        let text = String::from_utf8_lossy(message.as_bytes()).into_owned();
        let digits = text.chars().skip(2).take_while(char::is_ascii_digit);
        let id: String = digits.collect();
        if text.starts_with("42") && !id.is_empty() {
            ws.send(format!("43{id}[{value:?}]"));
        }
    });
}

fn sorted<T: Ord>(mut values: Vec<T>) -> Vec<T> {
    values.sort();
    values
}

fn listen(io: Namespace, name: &'static str) {
    io.on_server_side("ping", move |number: i64, ack: Ack| {
        ack.send(&format!("{name} {number}"))
    });
}

#[test]
fn sockets_of_all_servers_are_fetched() {
    for kind in KINDS {
        run(async move {
            let redis = FakeRedis::default();
            let [one, two] = pair(kind, &redis);
            let (_a, a_id) = one.client(&["r"]).await;
            let (_b, b_id) = two.client(&["r", "s"]).await;
            let socket = two.main().socket(&b_id).unwrap();
            socket.set_data(&("stashed", 1)).unwrap();
            let io = one.main();
            let fetched = io.fetch_sockets().await.unwrap();
            let ids = fetched.iter().map(|socket| socket.id.clone()).collect();
            assert_eq!(sorted(ids), sorted(vec![a_id, b_id.clone()]));
            let remote = fetched.iter().find(|socket| socket.id == b_id).unwrap();
            assert_eq!(
                sorted(remote.rooms.clone()),
                sorted(vec!["r".to_owned(), "s".to_owned(), b_id])
            );
            assert_eq!(remote.data, Value::of(&("stashed", 1)).unwrap());
            assert!(remote.handshake.get("headers").is_some());
            assert_eq!(
                io.to("r").except("s").fetch_sockets().await.unwrap().len(),
                1
            );
            assert_eq!(io.to("r").local().fetch_sockets().await.unwrap().len(), 1);
        });
    }
}

#[test]
fn a_request_right_after_the_start_reaches_all_servers() {
    for kind in KINDS {
        run(async move {
            let redis = FakeRedis::default();
            let one = Server::new(kind, redis.connect());
            let _client = one.client(&[]).await;
            // Its subscriptions are not confirmed yet.
            let two = Server::new(kind, redis.connect());
            assert_eq!(two.main().fetch_sockets().await.unwrap().len(), 1);
        });
    }
}

#[test]
fn servers_acknowledge_events_of_other_servers() {
    for kind in KINDS {
        run(async move {
            let redis = FakeRedis::default();
            let [one, two, three] = [(); 3].map(|()| Server::new(kind, redis.connect()));
            listen(one.main(), "one");
            listen(two.main(), "two");
            listen(three.main(), "three");
            let replies = one
                .main()
                .server_side_emit_with_ack::<String, _>("ping", &7);
            let replies = sorted(replies.await.unwrap());
            assert_eq!(replies, ["three 7", "two 7"]);
            let log = crate::client::Log::default();
            let kept = log.clone();
            two.main()
                .on_server_side("hello", move |text: String, _: Ack| kept.add(text));
            one.main().server_side_emit("hello", "there");
            until(|| log.len() == 1).await;
            assert_eq!(log.take(), ["there"]);
        });
    }
}

#[test]
fn acknowledgements_of_clients_of_all_servers_are_collected() {
    for kind in KINDS {
        run(async move {
            let redis = FakeRedis::default();
            let [one, two] = pair(kind, &redis);
            let (a, _) = one.client(&["r"]).await;
            let (b, _) = two.client(&["r"]).await;
            let (c, _) = two.client(&[]).await;
            acknowledge(&a, "a");
            acknowledge(&b, "b");
            acknowledge(&c, "c");
            let io = one.main();
            let all = io
                .broadcast()
                .emit_with_ack::<String, _>("q", "x")
                .await
                .unwrap();
            assert_eq!(sorted(all), ["a", "b", "c"]);
            let some = io
                .to("r")
                .emit_with_ack::<String, _>("q", "x")
                .await
                .unwrap();
            assert_eq!(sorted(some), ["a", "b"]);
        });
    }
}

#[test]
fn without_a_response_the_request_ends_with_the_received_ones() {
    for kind in KINDS {
        run(async move {
            let redis = FakeRedis::default();
            let timeout = Duration::from_millis(100);
            let options = || SocketIoOptions::new().request_timeout(timeout);
            let one = Server::with(kind, redis.connect(), options());
            let two = Server::with(kind, redis.connect(), options());
            listen(two.main(), "two");
            let (a, _) = one.client(&[]).await;
            let (_silent, _) = two.client(&[]).await;
            acknowledge(&a, "a");
            // A subscriber that never responds.
            let channel = match kind {
                Kind::Classic => Channel::Plain("socket.io-request#/#"),
                _ => Channel::Sharded("socket.io#/#"),
            };
            let dead = redis.connect();
            let topic = match channel {
                Channel::Plain(name) => {
                    uptick_socketio::adapter::redis::broker::Topic::Channel(name.to_owned())
                }
                Channel::Sharded(name) => {
                    uptick_socketio::adapter::redis::broker::Topic::Sharded(name.to_owned())
                }
            };
            let _ = uptick_socketio::adapter::redis::broker::Broker::subscribe(
                &dead,
                topic,
                std::rc::Rc::new(|_, _| ()),
            );
            let io = one.main();
            assert_eq!(io.fetch_sockets().await.unwrap_err().received.len(), 2);
            let replies = io.server_side_emit_with_ack::<String, _>("ping", &1).await;
            assert_eq!(replies.unwrap_err().received, ["two 1"]);
            let acks = io
                .broadcast()
                .timeout(timeout)
                .emit_with_ack::<String, _>("q", &())
                .await;
            assert_eq!(acks.unwrap_err().received, ["a"]);
        });
    }
}

#[test]
fn responses_are_published_on_the_configured_channel() {
    run(async {
        for specific in [false, true] {
            let redis = FakeRedis::default();
            let adapter = |specific| {
                RedisAdapter::with_broker(redis.connect())
                    .key("app")
                    .publish_on_specific_response_channel(specific)
            };
            let (one, two) = (adapter(false), adapter(specific));
            let first = Fixture::with(SocketIoOptions::new().adapter(one.factory()));
            let _second = Fixture::with(SocketIoOptions::new().adapter(two.factory()));
            first.io.of("/").fetch_sockets().await.unwrap();
            let published = redis.published();
            let channels: Vec<&str> = published.iter().map(|(channel, _)| &**channel).collect();
            assert_eq!(channels[0], "app-request#/#");
            let response = channels[1].strip_prefix("app-response#/#").unwrap();
            assert_eq!(response.len(), if specific { 7 } else { 0 }, "{response}");
            let stats: RedisAdapterStats = one.stats();
            assert_eq!((stats.sent, stats.received), (1, 1));
        }
    });
}

#[test]
fn old_requests_are_answered() {
    run(async {
        let redis = FakeRedis::default();
        let server = Server::new(Kind::Classic, redis.connect());
        let (_client, id) = server.client(&["r"]).await;
        let requests = Channel::Plain("socket.io-request#/#");
        let socket = server.main().socket(&id).unwrap();
        redis.published();
        redis.inject(
            requests,
            r#"{"uid":"x","requestId":"1","type":0,"rooms":["r"]}"#,
        );
        redis.inject(requests, r#"{"uid":"x","requestId":"2","type":1}"#);
        redis.inject(
            requests,
            format!(r#"{{"uid":"x","requestId":"3","type":2,"sid":"{id}","room":"new"}}"#),
        );
        redis.inject(
            requests,
            format!(r#"{{"uid":"x","requestId":"4","type":3,"sid":"{id}","room":"r"}}"#),
        );
        redis.inject(
            requests,
            r#"{"uid":"x","requestId":"5","type":2,"sid":"unknown","room":"new"}"#,
        );
        redis.inject(
            requests,
            format!(r#"{{"uid":"x","requestId":"6","type":4,"sid":"{id}","close":true}}"#),
        );
        let observed = redis.clone();
        let responses = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        let kept = std::rc::Rc::clone(&responses);
        until(move || {
            let new = observed.published().into_iter();
            let new = new.filter(|(channel, _)| channel == "socket.io-response#/#");
            kept.borrow_mut()
                .extend(new.map(|(_, text)| String::from_utf8(text.to_vec()).unwrap()));
            kept.borrow().len() == 5
        })
        .await;
        let expected = [
            format!(r#"{{"requestId":"1","sockets":["{id}"]}}"#),
            format!(r#"{{"requestId":"2","rooms":["r","{id}"]}}"#),
            r#"{"requestId":"3"}"#.to_owned(),
            r#"{"requestId":"4"}"#.to_owned(),
            r#"{"requestId":"6"}"#.to_owned(),
        ];
        assert_eq!(*responses.borrow(), expected);
        until(move || !socket.is_connected()).await;
    });
}
