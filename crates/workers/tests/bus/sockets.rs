//! The transport over sockets.

use std::cell::Cell;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use uptick_event_loop::EventLoop;
use uptick_workers::bus::frame::{Frame, FrameDecoder, append};
use uptick_workers::bus::{Bus, SocketTransport};

use crate::support::{Log, run_until, settle};

/// A peer that reads and writes frames directly on its socket.
struct Remote {
    stream: UnixStream,
    decoder: FrameDecoder,
}

impl Remote {
    /// Connects a transport to a remote peer.
    fn new(transport: &SocketTransport, id: u64) -> Self {
        let (ours, stream) = UnixStream::pair().unwrap();
        stream.set_nonblocking(true).unwrap();
        transport.add_peer(id, ours.into()).unwrap();
        Remote {
            stream,
            decoder: FrameDecoder::new(),
        }
    }

    fn send<'a>(&mut self, frames: impl IntoIterator<Item = Frame<'a>>) {
        let mut out = Vec::new();
        for frame in frames {
            append(&mut out, &frame);
        }
        self.stream.write_all(&out).unwrap();
        settle();
    }

    /// Returns the frames that can be read now, without running the loop.
    fn frames(&mut self) -> Vec<String> {
        let mut frames = Vec::new();
        let mut buffer = vec![0; 65_536];
        while let Ok(count @ 1..) = self.stream.read(&mut buffer) {
            self.decoder.push(&mut buffer[..count].into());
            while let Some(frame) = self.decoder.next().unwrap() {
                frames.push(match frame {
                    Frame::Message { topic, payload } => format!("{topic}={}", payload.len()),
                    Frame::Subscribe(topic) => format!("+{topic}"),
                    Frame::Unsubscribe(topic) => format!("-{topic}"),
                    frame => format!("{frame:?}"),
                });
            }
        }
        frames
    }

    /// Returns whether the transport has disconnected this peer.
    fn is_cut_off(&mut self) -> bool {
        settle();
        let _ = self.frames();
        matches!(self.stream.read(&mut [0]), Ok(0))
    }
}

/// Returns a transport that is attached to the bus.
fn attached() -> SocketTransport {
    let transport = SocketTransport::new();
    Bus::of_thread().attach(transport.clone());
    transport
}

#[test]
fn a_new_peer_receives_all_topics_and_then_each_change_at_once() {
    let transport = attached();
    let bus = Bus::of_thread();
    bus.subscribe("early", |_| ());
    let mut remote = Remote::new(&transport, 1);
    assert_eq!(remote.frames(), ["Hello(1)", "+early", "Ready"]);
    let ids = [bus.subscribe("a", |_| ()), bus.subscribe("a", |_| ())];
    assert_eq!(remote.frames(), ["+a"]);
    for id in ids {
        bus.unsubscribe(id);
    }
    assert_eq!(remote.frames(), ["-a"]);
}

#[test]
fn messages_go_to_peers_that_have_announced_their_topic() {
    let transport = attached();
    let bus = Bus::of_thread();
    let mut remotes = [Remote::new(&transport, 1), Remote::new(&transport, 2)];
    remotes[0].send([Frame::Hello(1), Frame::Subscribe("a"), Frame::Ready]);
    remotes[1].send([Frame::Hello(1), Frame::Subscribe("b"), Frame::Ready]);
    let mut publish = |text: &str| {
        for topic in ["a", "b", "c"] {
            bus.publish(topic, text);
        }
        settle();
        [0, 1].map(|index| remotes[index].frames().join(" "))
    };
    let mut sent = publish("1");
    assert_eq!(sent, ["Hello(1) Ready a=1", "Hello(1) Ready b=1"]);
    sent = publish(&"long".repeat(5000));
    assert_eq!(sent, ["a=20000", "b=20000"]);
    remotes[0].send([Frame::Unsubscribe("a"), Frame::Subscribe("c")]);
    remotes[1].send([Frame::Reset, Frame::Subscribe("a")]);
    for topic in ["a", "b", "c"] {
        bus.publish(topic, topic);
    }
    settle();
    assert_eq!(remotes[0].frames(), ["c=1"]);
    assert_eq!(remotes[1].frames(), ["a=1"]);
}

#[test]
fn messages_of_peers_reach_the_subscribers_and_are_not_relayed() {
    let transport = attached();
    let bus = Bus::of_thread();
    let log = Log::default();
    log.subscribe("a");
    let mut remotes = [Remote::new(&transport, 1), Remote::new(&transport, 2)];
    for remote in &mut remotes {
        remote.send([Frame::Hello(1), Frame::Subscribe("a"), Frame::Ready]);
        remote.frames();
    }
    let message = |text: &'static str| Frame::Message {
        topic: "a",
        payload: text.into(),
    };
    remotes[0].send([message("1"), message("2")]);
    remotes[1].send([message("3")]);
    assert_eq!(log.take(), "1 2 3");
    assert_eq!(bus.stats().received, 3);
    assert!(remotes.iter_mut().all(|remote| remote.frames().is_empty()));
}

#[test]
fn the_transport_is_ready_when_all_peers_have_announced_their_topics() {
    let transport = attached();
    let ready = Rc::new(Cell::new(0));
    let count = || {
        let ready = Rc::clone(&ready);
        move || ready.set(ready.get() + 1)
    };
    transport.when_ready(count());
    assert_eq!(ready.get(), 0);
    settle();
    assert_eq!(ready.get(), 1, "there are no peers");

    let mut first = Remote::new(&transport, 1);
    let second = Remote::new(&transport, 2);
    transport.when_ready(count());
    first.send([Frame::Hello(1), Frame::Subscribe("a")]);
    assert!(!transport.is_ready());
    first.send([Frame::Ready]);
    assert!(!transport.is_ready());
    assert_eq!(ready.get(), 1);
    // A removed peer no longer counts.
    drop(second);
    run_until(|| transport.is_ready());
    assert_eq!(ready.get(), 2);
    assert_eq!(transport.peers(), [1]);
}

#[test]
fn a_peer_that_sends_malformed_frames_is_disconnected() {
    let transport = attached();
    let message = Frame::Message {
        topic: "a",
        payload: "x".into(),
    };
    let wrong: [&[Frame<'_>]; 5] = [
        &[Frame::Ready],
        &[message],
        &[Frame::Hello(2)],
        &[Frame::Hello(1), Frame::Hello(1)],
        &[Frame::Hello(1), Frame::Ready, Frame::Ready],
    ];
    for frames in wrong {
        let mut remote = Remote::new(&transport, 1);
        remote.send(frames.iter().cloned());
        assert!(remote.is_cut_off(), "{frames:?}");
        assert_eq!(transport.peers(), [0; 0]);
    }
    let mut remote = Remote::new(&transport, 1);
    remote.stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    assert!(remote.is_cut_off());
}

#[test]
fn messages_to_a_peer_that_does_not_read_are_dropped_beyond_the_limit_until_it_reads() {
    let transport = SocketTransport::with_queue_limit(1_000_000);
    let bus = Bus::of_thread();
    bus.attach(transport.clone());
    let mut slow = Remote::new(&transport, 1);
    let mut quick = Remote::new(&transport, 2);
    for remote in [&mut slow, &mut quick] {
        remote.send([Frame::Hello(1), Frame::Subscribe("a"), Frame::Ready]);
    }
    let mut sent = 0;
    for _ in 0..200 {
        bus.publish("a", vec![0; 20_000]);
        settle();
        sent += quick
            .frames()
            .iter()
            .filter(|frame| *frame == "a=20000")
            .count();
        assert!(bus.stats().queued_bytes <= 1_000_000);
    }
    assert_eq!(sent, 200);
    let dropped = bus.stats().dropped;
    assert!((100..160).contains(&dropped), "{dropped}");

    // It receives whole messages, and further ones from then on.
    let mut received = slow.frames();
    run_until(|| {
        received.extend(slow.frames());
        bus.stats().queued_bytes == 0
    });
    received.extend(slow.frames());
    let messages = received.iter().filter(|frame| *frame == "a=20000").count();
    assert_eq!(messages as u64, 200 - dropped);
    bus.publish("a", "again");
    settle();
    assert_eq!(slow.frames(), ["a=5"]);
    assert_eq!(bus.stats().dropped, dropped);
}

#[test]
fn announcements_withheld_from_a_peer_that_does_not_read_are_summarized_when_it_does() {
    let transport = SocketTransport::with_queue_limit(100_000);
    let bus = Bus::of_thread();
    bus.attach(transport.clone());
    let mut slow = Remote::new(&transport, 1);
    slow.send([Frame::Hello(1), Frame::Subscribe("a"), Frame::Ready]);
    let name = "n".repeat(10_000);
    for number in 0..500 {
        let id = bus.subscribe(&format!("{number}{name}"), |_| ());
        bus.unsubscribe(id);
        bus.publish("a", vec![0; 10_000]);
        let queued = bus.stats().queued_bytes;
        assert!(queued < 100_000 + 1024 * 1024 + 20_000, "{queued}");
    }
    bus.subscribe("last", |_| ());
    let mut received = Vec::new();
    run_until(|| {
        received.extend(slow.frames());
        received.iter().any(|frame| frame == "+last")
    });
    assert_eq!(&received[received.len() - 2..], ["Reset", "+last"]);
    bus.subscribe("further", |_| ());
    assert_eq!(slow.frames(), ["+further"]);
}

#[test]
fn a_peer_with_too_many_topics_receives_all_messages() {
    let transport = attached();
    let bus = Bus::of_thread();
    let mut remote = Remote::new(&transport, 1);
    remote.send([Frame::Hello(1)]);
    remote.stream.set_nonblocking(false).unwrap();
    let (mut stream, run) = (remote.stream.try_clone().unwrap(), mpsc::channel());
    let writer = thread::spawn(move || {
        let mut out = Vec::new();
        for topic in 0..=262_144 {
            append(&mut out, &Frame::Subscribe(&topic.to_string()));
        }
        append(&mut out, &Frame::Ready);
        stream.write_all(&out).unwrap();
        run.0.send(()).unwrap();
    });
    run_until(|| transport.is_ready());
    run.1.recv().unwrap();
    writer.join().unwrap();
    remote.stream.set_nonblocking(true).unwrap();
    remote.frames();
    bus.publish("1", "x");
    bus.publish("any other", "x");
    settle();
    assert_eq!(remote.frames(), ["1=1", "any other=1"]);
}

#[test]
fn peers_are_removed_and_replaced() {
    let transport = attached();
    let bus = Bus::of_thread();
    let mut first = Remote::new(&transport, 1);
    let mut second = Remote::new(&transport, 1);
    assert!(first.is_cut_off());
    assert!(!second.is_cut_off());
    assert_eq!(transport.peers(), [1]);
    assert!(transport.remove_peer(1));
    assert!(!transport.remove_peer(1));
    assert!(second.is_cut_off());
    bus.publish("a", "unheard");

    let mut third = Remote::new(&transport, 3);
    third.send([Frame::Hello(1), Frame::Subscribe("a"), Frame::Ready]);
    third.frames();
    bus.publish("a", "last");
    bus.detach();
    settle();
    assert_eq!(third.frames(), ["a=4"]);
    assert!(third.is_cut_off());
}

#[test]
fn peers_do_not_keep_the_loop_running() {
    let transport = attached();
    let event_loop = EventLoop::current();
    let mut remotes = [1, 2, 3].map(|id| Remote::new(&transport, id));
    settle();
    assert!(!event_loop.is_alive());
    transport.remove_peer(1);
    settle();
    assert!(!event_loop.is_alive());
    assert!(remotes[0].is_cut_off());
    // A detached transport keeps the loop running until its queue is sent.
    Bus::of_thread().detach();
    assert!(event_loop.is_alive());
    drop(remotes);
    run_until(|| !event_loop.is_alive());
    event_loop.run_once(Some(Duration::ZERO)).unwrap();
}

#[test]
fn a_detached_transport_does_not_wait_for_a_peer_that_does_not_read() {
    let transport = attached();
    let bus = Bus::of_thread();
    let mut remote = Remote::new(&transport, 1);
    remote.send([Frame::Hello(1), Frame::Subscribe("a"), Frame::Ready]);
    for _ in 0..30 {
        bus.publish("a", vec![0; 100_000]);
    }
    settle();
    assert!(bus.stats().queued_bytes > 1_000_000);
    bus.detach();
    let event_loop = EventLoop::current();
    assert!(event_loop.is_alive());
    run_until(|| !event_loop.is_alive());
    assert_eq!(transport.peers(), [0; 0]);
}

#[test]
fn remote_subscribers_are_the_peers_whose_topics_are_known() {
    let transport = attached();
    let bus = Bus::of_thread();
    let mut remote = Remote::new(&transport, 9);
    remote.send([Frame::Hello(1), Frame::Subscribe("news")]);
    assert!(!bus.has_remote_subscribers("news"));
    remote.send([Frame::Ready]);
    assert_eq!(bus.remote_subscribers("news"), [9]);
    assert!(!bus.has_remote_subscribers("other"));
    bus.publish("news", "hello");
    assert_eq!(bus.queues().len(), 1);
    remote.send([Frame::Unsubscribe("news")]);
    assert!(!bus.has_remote_subscribers("news"));
}
