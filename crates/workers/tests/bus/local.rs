//! A bus within one thread, with and without a transport.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use uptick_workers::bus::{
    Bus, BusSink, BusTransport, MESSAGE_LIMIT, SubscriptionId, TOPIC_LIMIT, TransportStats,
};

use crate::support::{Log, settle};

/// A transport that records the calls of the bus.
#[derive(Clone, Default)]
struct Recorder {
    log: Log,
    sink: Rc<RefCell<Option<BusSink>>>,
    dropped: Rc<Cell<u64>>,
}

impl Recorder {
    fn deliver(&self, topic: &str, payload: &'static str) {
        let sink = self.sink.borrow().clone().unwrap();
        sink.deliver(topic, payload.into());
    }
}

impl BusTransport for Recorder {
    fn attach(&self, sink: BusSink) {
        self.sink.replace(Some(sink));
        self.log.add("attach");
    }

    fn publish(&self, topic: &str, payload: &Bytes) {
        self.log
            .add(format!("{topic}={}", String::from_utf8_lossy(payload)));
    }

    fn subscribe(&self, topic: &str) {
        self.log.add(format!("+{topic}"));
    }

    fn unsubscribe(&self, topic: &str) {
        self.log.add(format!("-{topic}"));
    }

    fn stats(&self) -> TransportStats {
        TransportStats {
            dropped: self.dropped.get(),
            queued_bytes: 7,
        }
    }

    fn close(&self) {
        self.log.add("close");
    }
}

#[test]
fn a_bus_without_other_workers_delivers_to_its_own_subscribers_in_order() {
    let bus = Bus::of_thread();
    let log = Log::default();
    log.subscribe("a");
    log.subscribe("b");
    bus.publish("a", "1");
    bus.publish("b", "2");
    bus.publish("c", "unheard");
    bus.publish("a", String::from("3"));
    assert_eq!(log.take(), "", "publish itself never delivers");
    assert!(bus.stats().queued_bytes > 0);
    settle();
    assert_eq!(log.take(), "1 2 3");
    let stats = bus.stats();
    assert_eq!((stats.published, stats.received), (4, 0));
    assert_eq!((stats.dropped, stats.queued_bytes), (0, 0));
}

#[test]
fn a_subscriber_may_publish_subscribe_and_unsubscribe() {
    let bus = Bus::of_thread();
    let log = Log::default();
    let own = Rc::new(Cell::new(None::<SubscriptionId>));
    let (seen, id) = (log.clone(), Rc::clone(&own));
    let mut count = 0;
    own.set(Some(bus.subscribe("a", move |payload| {
        count += 1;
        seen.add(format!("{count}:{}", String::from_utf8_lossy(&payload)));
        bus.publish("a", "again");
        let later = seen.clone();
        bus.subscribe("a", move |payload: Bytes| {
            later.add(format!("later:{}", String::from_utf8_lossy(&payload)));
        });
        assert!(bus.unsubscribe(id.get().unwrap()));
        assert!(!bus.unsubscribe(id.get().unwrap()));
    })));
    bus.publish("a", "first");
    settle();
    assert_eq!(log.take(), "1:first later:again");
}

#[test]
fn a_panicking_subscriber_does_not_prevent_delivery_to_others() {
    let bus = Bus::of_thread();
    let log = Log::default();
    bus.subscribe("a", |_| panic!("on purpose"));
    log.subscribe("a");
    bus.publish("a", "1");
    bus.publish("a", "2");
    settle();
    assert_eq!(log.take(), "1 2");
}

#[test]
fn a_transport_is_notified_of_the_first_and_the_last_subscriber_of_a_topic() {
    let bus = Bus::of_thread();
    let transport = Recorder::default();
    let log = transport.log.clone();
    let early = bus.subscribe("early", |_| ());
    bus.attach(transport.clone());
    assert_eq!(log.take(), "attach +early");
    let ids = [bus.subscribe("a", |_| ()), bus.subscribe("a", |_| ())];
    bus.publish("a", "x");
    bus.publish_to_others("b", "y");
    for id in ids {
        assert!(bus.unsubscribe(id));
    }
    bus.unsubscribe(early);
    assert_eq!(log.take(), "+a a=x b=y -a -early");
    assert!(bus.detach());
    assert!(!bus.detach());
    bus.publish("a", "alone");
    assert_eq!(log.take(), "close");
}

#[test]
fn messages_of_a_transport_are_delivered_until_it_is_detached() {
    let bus = Bus::of_thread();
    let transport = Recorder::default();
    let log = Log::default();
    log.subscribe("a");
    let nested = transport.clone();
    bus.subscribe("a", move |payload| {
        if payload == "outer" {
            nested.deliver("a", "inner");
        }
    });
    bus.attach(transport.clone());
    transport.deliver("a", "outer");
    assert_eq!(log.take(), "outer");
    settle();
    assert_eq!(log.take(), "inner");
    transport.dropped.set(3);
    let stats = bus.stats();
    assert_eq!((stats.received, stats.dropped), (2, 3));
    assert_eq!(stats.queued_bytes, 7);

    bus.attach(Recorder::default());
    transport.deliver("a", "late");
    assert_eq!(log.take(), "");
    assert_eq!((bus.stats().received, bus.stats().dropped), (2, 3));
}

#[test]
fn messages_topics_and_the_local_queue_have_limits() {
    let bus = Bus::of_thread();
    let transport = Recorder::default();
    let log = transport.log.clone();
    bus.attach(transport);
    let long = "t".repeat(TOPIC_LIMIT + 1);
    bus.subscribe(&long, |_| ());
    bus.publish(&long, "x");
    bus.publish("a", vec![0; MESSAGE_LIMIT + 1]);
    assert_eq!(log.take(), "attach");
    assert_eq!(bus.stats().dropped, 2);

    let received = Log::default();
    received.subscribe("a");
    bus.set_queue_limit(1000);
    for _ in 0..20 {
        bus.publish("a", "0123456789012345678901234567890123");
    }
    settle();
    assert_eq!(received.len(), 10);
    assert_eq!(bus.stats().dropped, 12);
}
