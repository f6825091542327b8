//! Writing: order, backpressure, limits and errors.

use std::cell::Cell;
use std::io::Read;
use std::rc::Rc;

use bytes::Bytes;
use uptick_emitter::Emitter;
use uptick_event_loop::run;

use crate::support::{Log, arrived, fill, pair, run_until, text, turn};

#[test]
fn writes_of_one_iteration_are_sent_together_in_order() {
    let (stream, mut peer) = pair();
    assert!(stream.write("a"));
    assert!(stream.write("b".to_owned()));
    assert!(stream.write(vec![b'c'; 5000]));
    assert!(stream.write(Bytes::from_static(b"d")));
    assert_eq!(arrived(&mut peer).0, b"");
    turn();
    assert_eq!(text(&mut peer), format!("ab{}d", "c".repeat(5000)));
    assert_eq!(stream.bytes_written(), 5003);
}

#[test]
fn a_queue_that_is_exactly_full_counts_as_full() {
    let (stream, _peer) = pair();
    fill(stream);
    let waiting = stream.buffered();
    stream.set_write_limits(waiting + 10, 1 << 20);
    assert!(stream.write("123456789"));
    assert!(!stream.write("0"));
    assert!(!stream.write("a later chunk is also accepted"));
    assert_eq!(stream.buffered(), waiting + 40);
}

#[test]
fn drain_is_emitted_once_when_the_queue_falls_below_the_limit() {
    let (stream, mut peer) = pair();
    let log = Log::recording(stream);
    let mut expected = fill(stream);
    for _ in 0..4 {
        stream.write(vec![b'.'; 50_000]);
        expected += 50_000;
    }
    assert!(!stream.write(""));
    let mut received = 0;
    run_until(|| {
        received += arrived(&mut peer).0.len();
        received == expected
    });
    turn();
    assert_eq!(log.take(), "drain");
    assert!(stream.write("again"));
}

#[test]
fn an_empty_write_returns_true_and_sends_nothing() {
    let (stream, mut peer) = pair();
    assert!(stream.write(""));
    turn();
    assert_eq!(arrived(&mut peer), (vec![], false));
}

#[test]
fn a_write_after_end_or_close_is_rejected_without_an_event() {
    let (stream, _peer) = pair();
    let log = Log::recording(stream);
    stream.end();
    assert!(!stream.write("late"));
    assert!(!stream.is_writable());
    stream.close();
    assert!(!stream.write("later"));
    turn();
    assert_eq!(log.take(), "close");
}

#[test]
fn the_drain_listener_may_write_end_and_close() {
    let (stream, mut peer) = pair();
    let log = Log::recording(stream);
    stream.on("drain", move |()| {
        stream.write("last");
        stream.end();
        stream.close();
        stream.close();
    });
    fill(stream);
    stream.write(vec![0; 100_000]);
    run_until(|| {
        arrived(&mut peer);
        !stream.is_open()
    });
    assert_eq!(log.take(), "drain,close");
}

#[test]
fn a_hundred_mebibytes_in_one_write_reach_a_slow_reader_intact() {
    const LENGTH: usize = 100 << 20;
    let (stream, mut peer) = pair();
    let log = Log::recording(stream);
    let bytes: Vec<u8> = (0..LENGTH).map(|n| (n / 7 % 251) as u8).collect();
    assert!(!stream.write(bytes));
    stream.end();
    peer.set_nonblocking(false).unwrap();
    let reader = std::thread::spawn(move || {
        let mut buffer = vec![0; 300_000];
        let (mut at, mut reads) = (0, 0);
        loop {
            let count = peer.read(&mut buffer).unwrap();
            if count == 0 {
                return at;
            }
            for (n, byte) in buffer[..count].iter().enumerate() {
                assert_eq!(*byte, ((at + n) / 7 % 251) as u8);
            }
            at += count;
            reads += 1;
            if reads % 100 == 0 {
                std::thread::yield_now();
            }
        }
    });
    run().unwrap();
    assert_eq!(reader.join().unwrap(), LENGTH);
    assert_eq!(log.take(), "close");
}

#[test]
fn a_write_over_the_hard_limit_fails_the_stream_and_queues_no_more() {
    let (stream, _peer) = pair();
    let log = Log::recording(stream);
    fill(stream);
    stream.set_write_limits(10_000, 100_000);
    let mut refused = 0;
    for _ in 0..100 {
        stream.write(vec![0; 10_000]);
        refused = stream.buffered();
    }
    assert!(refused < 110_000, "{refused} bytes are queued");
    turn();
    assert_eq!(log.take(), "error (ENOBUFS),close");
}

#[test]
fn a_reset_during_a_write_emits_one_error_and_close() {
    let (stream, peer) = pair();
    let log = Log::recording(stream);
    fill(stream);
    stream.write(vec![0; 1_000_000]);
    drop(peer);
    turn();
    let events = log.take();
    assert!(
        events == "error (EPIPE),close" || events == "error (ECONNRESET),close",
        "{events}"
    );
}

#[test]
fn no_bytes_are_lost_with_random_sizes_and_a_random_reader() {
    use proptest::prelude::*;
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(24));
    let sizes = prop::collection::vec((0_usize..40_000, any::<bool>()), 1..40);
    runner
        .run(&sizes, |sizes| {
            let (stream, mut peer) = pair();
            let (mut expected, mut received) = (Vec::new(), Vec::new());
            let full = Rc::new(Cell::new(false));
            let drained = Rc::clone(&full);
            stream.on("drain", move |()| {
                assert!(drained.replace(false), "`drain` without a full queue");
            });
            for (n, (size, read)) in sizes.into_iter().enumerate() {
                let chunk: Vec<u8> = (0..size).map(|at| (at + n) as u8).collect();
                expected.extend_from_slice(&chunk);
                if !stream.write(chunk) && size > 0 {
                    full.set(true);
                }
                turn();
                if read {
                    received.extend(arrived(&mut peer).0);
                }
            }
            stream.end();
            run_until(|| {
                received.extend(arrived(&mut peer).0);
                received.len() == expected.len()
            });
            prop_assert!(received == expected, "the bytes differ");
            stream.close();
            Ok(())
        })
        .unwrap();
}

#[test]
fn an_echo_under_load_returns_every_byte() {
    let (stream, mut peer) = pair();
    stream.pipe(stream);
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 253) as u8).collect();
    let (mut at, mut received) = (0, Vec::new());
    run_until(|| {
        while at < sent.len() {
            match std::io::Write::write(&mut peer, &sent[at..]) {
                Ok(count) => at += count,
                Err(_) => break,
            }
        }
        received.extend(arrived(&mut peer).0);
        received.len() == sent.len()
    });
    assert!(received == sent);
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    run_until(|| !stream.is_open());
    assert!(arrived(&mut peer).1);
}
