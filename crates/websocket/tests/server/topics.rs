//! Topics: subscribing, publishing and limits.

use std::cell::RefCell;
use std::rc::Rc;

use uptick_emitter::Emitter;
use uptick_http::HttpServer;
use uptick_websocket::{
    Accept, Compression, Hub, Message, SlowPolicy, SubscriptionChange, WebSocket, WebSocketOptions,
    WebSocketRoutes,
};

use crate::support::{Client, Log, run_until, server, settle};

/// A server that subscribes all its WebSockets to `news`.
fn news(options: WebSocketOptions) -> (HttpServer, Rc<RefCell<Vec<WebSocket>>>) {
    let http = server();
    let all = Rc::new(RefCell::new(Vec::new()));
    let shared = Rc::clone(&all);
    http.websocket_with("/", options, move |_| {
        let shared = Rc::clone(&shared);
        Accept::new(move |ws: WebSocket| {
            assert!(ws.subscribe("news"));
            shared.borrow_mut().push(ws);
        })
    });
    (http, all)
}

#[test]
fn published_messages_reach_all_subscribers_in_order() {
    let (http, all) = news(WebSocketOptions::new());
    let mut clients: Vec<Client> = (0..5).map(|_| Client::open(http, "/")).collect();
    assert_eq!(http.publish("news", "first"), 5);
    assert_eq!(http.publish("other", "dropped"), 0);
    all.borrow()[0].send("between");
    assert_eq!(all.borrow()[0].publish("news", "from the first"), 4);
    assert_eq!(http.publish("news", "last"), 5);
    for (index, client) in clients.iter_mut().enumerate() {
        let own = if index == 0 {
            "between"
        } else {
            "from the first"
        };
        assert_eq!(client.message(), "first");
        assert_eq!(client.message(), own);
        assert_eq!(client.message(), "last");
    }
}

#[test]
fn publishing_on_a_websocket_requires_a_subscription() {
    let (http, all) = news(WebSocketOptions::new());
    let _clients = [Client::open(http, "/"), Client::open(http, "/")];
    let ws = all.borrow()[0];
    assert!(ws.is_subscribed("news") && ws.topics() == ["news"]);
    assert!(!ws.subscribe("news"));
    assert!(ws.unsubscribe("news"));
    assert!(!ws.unsubscribe("news"));
    assert_eq!(ws.publish("news", "x"), 0);
    assert_eq!(http.publish("news", "x"), 1);
}

#[test]
fn a_closed_websocket_is_unsubscribed() {
    let (http, _) = news(WebSocketOptions::new());
    let hub = http.hub();
    let log = Log::default();
    let seen = log.clone();
    hub.on("subscription", move |change: SubscriptionChange| {
        seen.add(format_args!(
            "{}:{}>{}",
            change.topic, change.previous_count, change.count
        ));
    });
    let clients = [Client::open(http, "/"), Client::open(http, "/")];
    assert_eq!(hub.subscribers("news"), 2);
    assert_eq!(hub.sockets("news").len(), 2);
    drop(clients);
    run_until(|| hub.subscribers("news") == 0);
    assert!(hub.topics().is_empty());
    assert_eq!(log.text(), "news:0>1 news:1>2 news:2>1 news:1>0");
}

#[test]
fn the_number_of_topics_is_limited() {
    let http = server();
    let options = WebSocketOptions::new().max_topics(3);
    http.websocket_with("/", options, |_| {
        Accept::new(|ws: WebSocket| {
            let taken = (0..5).filter(|i| ws.subscribe(&i.to_string())).count();
            let _ = ws.send(taken.to_string());
        })
    });
    assert_eq!(Client::open(http, "/").message(), "3");
}

#[test]
fn publish_where_skips_subscribers_that_are_not_eligible() {
    let (http, all) = news(WebSocketOptions::new());
    let mut clients = [Client::open(http, "/"), Client::open(http, "/")];
    let first = all.borrow()[0];
    let count = http.hub().publish_where("news", "secret", |ws| ws == first);
    assert_eq!(count, 1);
    assert_eq!(clients[0].message(), "secret");
    assert!(clients[1].settle_and_read().is_empty());
}

#[test]
fn a_slow_subscriber_does_not_delay_others() {
    let (http, all) = news(WebSocketOptions::new().max_buffered(100_000));
    let mut clients: Vec<Client> = (0..3).map(|_| Client::open(http, "/")).collect();
    let message = "x".repeat(30_000);
    for i in 0..600 {
        http.publish("news", format!("{i}:{message}"));
        for client in &mut clients[1..] {
            assert!(client.message().starts_with(&format!("{i}:")));
        }
    }
    let slow = all.borrow()[0];
    assert!(slow.dropped() > 0 && slow.buffered() <= 100_000);
    assert_eq!(all.borrow()[1].dropped(), 0);
    // The slow client receives its messages in order, with gaps.
    let mut last = -1;
    for _ in 0..3 {
        let text = clients[0].message();
        let number: i32 = text.split(':').next().unwrap().parse().unwrap();
        assert!(number > last);
        last = number;
    }
}

#[test]
fn published_messages_are_compressed_as_negotiated() {
    for compression in [Compression::Shared, Compression::Dedicated(11)] {
        let (http, _) = news(WebSocketOptions::new().compression(compression));
        let fields = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
        let mut clients = [
            Client::request(http, "/", fields),
            Client::request(http, "/", ""),
            Client::request(http, "/", fields),
        ];
        for i in 0..3 {
            let text = format!("{i}, and again and again").repeat(20);
            assert_eq!(http.publish("news", &text), 3);
            for client in &mut clients {
                assert_eq!(client.message(), text, "{compression:?}");
            }
        }
    }
}

#[test]
fn other_threads_can_publish() {
    let (http, _) = news(WebSocketOptions::new());
    let mut client = Client::open(http, "/");
    let publisher = http.hub().publisher();
    let thread = std::thread::spawn(move || {
        for i in 0..100 {
            publisher.publish("news", i.to_string()).unwrap();
        }
    });
    for i in 0..100 {
        assert_eq!(client.message(), i.to_string());
    }
    thread.join().unwrap();
}

#[test]
fn publishing_in_a_message_listener_reaches_all() {
    let http = server();
    http.websocket("/", |ws: WebSocket| {
        ws.subscribe("room");
        ws.on("message", move |message: Message| {
            ws.publish("room", &message);
            ws.unsubscribe("room");
            ws.subscribe("room");
        });
    });
    let mut clients = [Client::open(http, "/"), Client::open(http, "/")];
    clients[0].text("hi");
    assert_eq!(clients[1].message(), "hi");
    clients[1].text("ho");
    assert_eq!(clients[0].message(), "ho");
    settle();
    assert_eq!(http.hub().subscribers("room"), 2);
}

#[test]
fn a_hub_without_a_server_can_be_used() {
    let hub = Hub::new();
    assert_eq!(hub.publish("a", "b"), 0);
    assert_eq!(hub.subscribers("a"), 0);
}

#[test]
fn messages_of_each_thread_keep_their_order() {
    let (http, _) = news(WebSocketOptions::new());
    let mut client = Client::open(http, "/");
    let publisher = http.hub().publisher();
    let threads = [0, 1, 2, 3].map(|thread| {
        let publisher = publisher.clone();
        std::thread::spawn(move || {
            for i in 0..200 {
                publisher.publish("news", format!("{thread}:{i}")).unwrap();
            }
        })
    });
    let mut next = [0; 4];
    for _ in 0..800 {
        let text = client.message();
        let (thread, number) = text.split_once(':').unwrap();
        let thread: usize = thread.parse().unwrap();
        assert_eq!(number, next[thread].to_string());
        next[thread] += 1;
    }
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn the_bytes_queued_by_other_threads_are_limited() {
    let (http, _) = news(WebSocketOptions::new().max_buffered(200 << 20));
    let _client = Client::open(http, "/");
    let publisher = http.hub().publisher();
    let large = bytes::Bytes::from(vec![0; 40 << 20]);
    publisher.publish("unused", large.clone()).unwrap();
    let error = publisher.publish("unused", large.clone()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "publishing to the topic \"unused\" failed: 41943040 bytes of messages are already queued for the loop's thread"
    );
    settle();
    publisher.publish("unused", large).unwrap();
}

#[test]
fn the_messages_queued_by_other_threads_are_limited() {
    let http = server();
    let publisher = http.hub().publisher();
    for _ in 0..uptick_event_loop::POST_LIMIT {
        publisher.publish("unused", "").unwrap();
    }
    let error = publisher.publish("unused", "").unwrap_err();
    assert_eq!(
        error.to_string(),
        "publishing to the topic \"unused\" failed: 65536 messages are already queued for the loop's thread"
    );
    run_until(|| publisher.publish("unused", "").is_ok());
}

#[test]
fn publishing_to_an_ended_thread_is_an_error() {
    let (publisher, published) = std::thread::spawn(|| {
        let publisher = Hub::new().publisher();
        // The loop of this thread never runs.
        let published = publisher.publish("unused", "a");
        (publisher, published)
    })
    .join()
    .unwrap();
    published.unwrap();
    assert!(publisher.publish("unused", "b").is_err());
}

#[test]
fn the_slow_client_policy_applies_to_published_messages() {
    for (policy, end) in [
        (SlowPolicy::Drop, ""),
        (SlowPolicy::Close, "1006::unclean"),
        (SlowPolicy::Error, "error("),
    ] {
        let options = WebSocketOptions::new()
            .max_buffered(100_000)
            .slow_policy(policy);
        let (http, all) = news(options);
        let mut clients = [Client::open(http, "/"), Client::open(http, "/")];
        let slow = all.borrow()[0];
        let log = Log::default();
        log.listen(slow);
        let message = "x".repeat(50_000);
        let mut count = 2;
        for _ in 0..1000 {
            if count < 2 {
                break;
            }
            count = http.publish("news", &message);
            assert_eq!(clients[1].message().len(), message.len());
        }
        assert_eq!(count, 1, "{policy:?}");
        assert!(log.text().starts_with(end) && log.text().is_empty() == end.is_empty());
        assert_eq!(slow.is_open(), policy != SlowPolicy::Close);
        let left = if slow.is_open() { 2 } else { 1 };
        assert_eq!(http.hub().subscribers("news"), left);
    }
}

#[test]
fn published_messages_are_dropped_between_fragments() {
    let (http, all) = news(WebSocketOptions::new().slow_policy(SlowPolicy::Close));
    let mut client = Client::open(http, "/");
    let ws = all.borrow()[0];
    let drops = Log::default();
    let seen = drops.clone();
    ws.on(WebSocket::DROPPED, move |bytes| seen.add(bytes));
    ws.send_first("a");
    assert_eq!(http.publish("news", "between"), 0);
    ws.send_last("b");
    assert_eq!(http.publish("news", "after"), 1);
    assert_eq!(
        (client.message(), client.message()),
        ("ab".into(), "after".into())
    );
    assert_eq!((&*drops.text(), ws.dropped()), ("7", 1));
}
