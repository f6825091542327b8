//! Files in the write queue.

use std::cell::Cell;
use std::fs::File;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use uptick_emitter::Emitter;
use uptick_event_loop::{Readiness, ScriptedWait, run};
use uptick_stream::transport::{set_write_limits, write_file};
use uptick_stream::{DuplexResourceStream, FileRange};

use crate::support::{Log, arrived, fill, manual_clock, pair, run_until, text, turn};

/// Returns the common part of the names of the files in these tests.
fn name() -> String {
    let (process, thread) = (std::process::id(), std::thread::current().id());
    format!("uptick-stream-files-{process}-{thread:?}")
}

/// Returns the number of open files of these tests.
fn open_files() -> usize {
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap();
    let links = descriptors.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    let name = name();
    links
        .filter(|link| link.to_string_lossy().contains(&name))
        .count()
}

/// Returns an unlinked file of `len` bytes that count up.
fn file(len: usize) -> File {
    let path = std::env::temp_dir().join(name());
    let mut options = File::options();
    let mut file = options
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)
        .unwrap();
    std::fs::remove_file(path).unwrap();
    file.write_all(&counting(len)).unwrap();
    file
}

fn counting(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index % 251) as u8).collect()
}

/// Sends a whole file.
fn send(stream: DuplexResourceStream, file: File) -> bool {
    let len = file.metadata().unwrap().len();
    write_file(stream, FileRange::new(file, 0, len)).unwrap()
}

#[test]
fn a_file_is_sent_between_the_bytes_written_before_and_after_it() {
    let (stream, mut peer) = pair();
    stream.write("before ");
    let range = FileRange::new(file(100), 5, 3);
    assert!(write_file(stream, range).unwrap());
    assert!(stream.write(" after"));
    turn();
    assert_eq!(arrived(&mut peer).0, b"before \x05\x06\x07 after");
    assert_eq!(stream.bytes_written(), 16);
    assert_eq!(stream.buffered(), 0);
}

#[test]
fn queued_files_and_bytes_keep_their_order_with_a_slow_reader() {
    let (stream, mut peer) = pair();
    let mut expected = vec![b'.'; fill(stream)];
    for (len, text) in [(300_000, "first"), (1, "second"), (2_000_000, "")] {
        assert!(!send(stream, file(len)));
        assert!(!stream.write(text));
        expected.extend(counting(len));
        expected.extend(text.as_bytes());
    }
    stream.end_with(vec![b'x'; 200_000]);
    expected.extend([b'x'; 200_000]);
    let mut received = Vec::new();
    run_until(|| {
        let (bytes, end) = arrived(&mut peer);
        received.extend(bytes);
        end
    });
    assert!(
        received == expected,
        "{} of {}",
        received.len(),
        expected.len()
    );
}

#[test]
fn a_large_file_returns_false_and_drain_follows_once_it_is_sent() {
    let (stream, mut peer) = pair();
    let log = Log::recording(stream);
    let sent = Rc::new(Cell::new(0));
    let seen = Rc::clone(&sent);
    stream.on("drain", move |()| seen.set(stream.bytes_written()));
    assert!(!send(stream, file(5_000_000)));
    assert_eq!(stream.buffered(), 0);
    assert!(!stream.write("behind"));
    assert_eq!(stream.buffered(), 6);
    let mut count = 0;
    run_until(|| {
        count += arrived(&mut peer).0.len();
        count == 5_000_006
    });
    turn();
    assert_eq!(log.take(), "drain");
    assert_eq!(sent.get(), 5_000_006);
}

#[test]
fn other_streams_are_served_while_a_large_file_is_sent_to_a_fast_reader() {
    let (stream, mut peer) = pair();
    peer.set_nonblocking(false).unwrap();
    let reader = std::thread::spawn(move || {
        let mut received = Vec::new();
        peer.read_to_end(&mut received).unwrap();
        received
    });
    send(stream, file(8 << 20));
    let (mut before, mut most) = (stream.bytes_written(), 0);
    run_until(|| {
        let now = stream.bytes_written();
        most = most.max(now - before);
        before = now;
        now == 8 << 20
    });
    stream.end();
    run_until(|| !stream.is_open());
    assert!(reader.join().unwrap() == counting(8 << 20));
    // One budget for the scheduled event, and one because the socket has room again.
    assert!(most <= 2 << 20, "{most} bytes in one iteration");
}

#[test]
fn a_truncated_file_is_an_error_and_nothing_is_sent_after_it() {
    let (stream, mut peer) = pair();
    let log = Log::recording(stream);
    let file = file(1000);
    let len = file.metadata().unwrap().len();
    file.set_len(600).unwrap();
    assert!(!write_file(stream, FileRange::new(file, 0, len)).unwrap());
    assert!(!stream.write("not the rest of the file"));
    turn();
    let (received, ended) = arrived(&mut peer);
    assert!(ended);
    assert_eq!(received, counting(600));
    assert_eq!(log.take(), "error shorter,close");
}

#[test]
fn a_file_truncated_while_queued_fails_the_stream() {
    let (stream, mut peer) = pair();
    let log = Log::recording(stream);
    let file = file(5_000_000);
    let same = file.try_clone().unwrap();
    send(stream, file);
    let sent = stream.bytes_written();
    same.set_len(sent + 10).unwrap();
    let mut count = 0;
    run_until(|| {
        let (bytes, end) = arrived(&mut peer);
        count += bytes.len() as u64;
        end
    });
    assert_eq!(count, sent + 10);
    assert_eq!(log.take(), "error shorter,close");
}

#[test]
fn files_are_closed_when_they_are_sent_or_the_stream_closes() {
    let (stream, mut peer) = pair();
    send(stream, file(10));
    turn();
    assert_eq!(open_files(), 0);
    fill(stream);
    send(stream, file(10));
    send(stream, file(10));
    assert_eq!(open_files(), 2);
    stream.close();
    assert_eq!(open_files(), 0);
    arrived(&mut peer);
}

#[test]
fn a_seventeenth_queued_file_is_an_error() {
    let (stream, _peer) = pair();
    let log = Log::recording(stream);
    fill(stream);
    for _ in 0..16 {
        assert!(!send(stream, file(10)));
    }
    turn();
    assert_eq!(log.take(), "");
    assert!(!send(stream, file(10)));
    turn();
    assert_eq!(log.take(), "error (ENOBUFS),close");
}

#[test]
fn bytes_written_after_a_file_count_towards_the_hard_limit() {
    let (stream, _peer) = pair();
    let log = Log::recording(stream);
    set_write_limits(stream, Some(1000), Some(10_000));
    fill(stream);
    // The file does not count, whatever its length.
    send(stream, file(5_000_000));
    stream.write(vec![0; 20_000]);
    turn();
    assert_eq!(log.take(), "");
    stream.write("one more");
    turn();
    assert_eq!(log.take(), "error (ENOBUFS),close");
}

#[test]
fn a_slow_reader_of_a_file_does_not_stall_but_an_inactive_one_does() {
    let (clock, poller) = manual_clock();
    let (stream, mut peer) = pair();
    let log = Log::recording(stream);
    let descriptor = poller.watched()[0];
    send(stream, file(20_000_000));
    for _ in 0..5 {
        clock.advance(Duration::from_secs(20));
        turn();
        assert_ne!(arrived(&mut peer).0.len(), 0);
        poller.push(ScriptedWait::Ready(vec![(descriptor, Readiness::WRITABLE)]));
        turn();
        assert_eq!(log.take(), "");
    }
    let began = clock.elapsed();
    run().unwrap();
    let waited = clock.elapsed() - began;
    assert_eq!(log.take(), "error (ETIMEDOUT),close");
    assert!(waited >= Duration::from_secs(30), "{waited:?}");
}

#[test]
fn a_stream_that_ends_sends_its_files_first() {
    let (stream, mut peer) = pair();
    let log = Log::recording(stream);
    fill(stream);
    send(stream, file(700_000));
    stream.end();
    let mut received = Vec::new();
    run_until(|| {
        let (bytes, end) = arrived(&mut peer);
        received.extend(bytes);
        end
    });
    assert!(received.ends_with(&counting(700_000)));
    peer.shutdown(Shutdown::Both).unwrap();
    run().unwrap();
    assert_eq!(log.take(), "close");
}

#[test]
fn an_empty_range_of_a_file_sends_nothing() {
    let (stream, mut peer) = pair();
    assert!(write_file(stream, FileRange::new(file(10), 3, 0)).unwrap());
    stream.write("a");
    turn();
    assert_eq!(text(&mut peer), "a");
}

#[test]
fn an_ended_stream_accepts_no_file() {
    let (stream, _peer) = pair();
    stream.end();
    assert!(!send(stream, file(10)));
    assert_eq!(open_files(), 0);
    run_until(|| !stream.is_open());
    assert!(!send(stream, file(10)));
}

#[test]
fn a_stream_with_a_filter_returns_the_file() {
    use uptick_stream::filter::{Filter, FilterContext};

    struct Same;
    impl Filter for Same {
        fn received(
            &mut self,
            bytes: &mut [u8],
            context: &mut FilterContext,
        ) -> Result<(), uptick_stream::Error> {
            context.deliver_within(0..bytes.len());
            Ok(())
        }

        fn sending(
            &mut self,
            bytes: bytes::Bytes,
            context: &mut FilterContext,
        ) -> Result<(), uptick_stream::Error> {
            context.send(bytes);
            Ok(())
        }
    }

    let (stream, mut peer) = pair();
    // Queued before the filter was added.
    assert!(send(stream, file(10)));
    uptick_stream::transport::add_filter(stream, Same);
    let mut range = write_file(stream, FileRange::new(file(10), 0, 10)).unwrap_err();
    assert!(stream.write(range.read(10).unwrap()));
    turn();
    assert_eq!(arrived(&mut peer).0, [counting(10), counting(10)].concat());
}
