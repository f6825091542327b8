//! Streams over pipes, terminals, files and devices.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::cell::RefCell;
use std::fs;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::rc::Rc;

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl};
use support::{Log, run_until, turn};
use uptick_emitter::Emitter;
use uptick_event_loop::{EventLoop, run};
use uptick_stream::{DuplexResourceStream, Error, ReadableResourceStream, WritableResourceStream};

/// The path of a temporary file, which is removed on drop.
struct TempFile(PathBuf);

impl TempFile {
    fn new(name: &str) -> TempFile {
        let name = format!("uptick-stream-{}-{name}", std::process::id());
        TempFile(std::env::temp_dir().join(name))
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn collect(stream: ReadableResourceStream) -> (Rc<RefCell<Vec<u8>>>, Log) {
    let (bytes, log) = (Rc::<RefCell<Vec<u8>>>::default(), Log::default());
    let all = Rc::clone(&bytes);
    stream.on("data", move |chunk: Bytes| {
        all.borrow_mut().extend_from_slice(&chunk)
    });
    for event in ["end", "close"] {
        let log = log.clone();
        stream.on(event, move |()| log.note(event));
    }
    let error = log.clone();
    stream.on("error", move |failure: Error| {
        error.note(failure.to_string())
    });
    (bytes, log)
}

fn listen(stream: WritableResourceStream) -> Log {
    let log = Log::default();
    for event in ["drain", "close"] {
        let log = log.clone();
        stream.on(event, move |()| log.note(event));
    }
    let error = log.clone();
    stream.on("error", move |failure: Error| {
        error.note(failure.to_string())
    });
    log
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n / 5 % 251) as u8).collect()
}

#[test]
fn a_file_is_read_to_its_end_in_order() {
    let file_path = TempFile::new("read");
    let content = pattern(1_000_003);
    fs::write(&file_path.0, &content).unwrap();
    let (bytes, log) = collect(ReadableResourceStream::open(&file_path.0).unwrap());
    run().unwrap();
    assert!(*bytes.borrow() == content);
    assert_eq!(log.take(), "end,close");
}

#[test]
fn a_paused_file_is_not_read_ahead_without_bound() {
    let file_path = TempFile::new("paused");
    fs::write(&file_path.0, pattern(2_000_000)).unwrap();
    let file = ReadableResourceStream::open(&file_path.0).unwrap();
    let (bytes, log) = collect(file);
    file.on("data", move |_: Bytes| file.pause());
    run_until(|| !bytes.borrow().is_empty());
    for _ in 0..20 {
        turn();
        std::thread::yield_now();
    }
    assert!(bytes.borrow().len() <= 64 * 1024);
    assert!(file.bytes_read() <= 64 * 1024);
    file.remove_listeners("data");
    let all = Rc::clone(&bytes);
    file.on("data", move |chunk: Bytes| {
        all.borrow_mut().extend_from_slice(&chunk)
    });
    file.resume();
    run().unwrap();
    assert!(*bytes.borrow() == pattern(2_000_000));
    assert_eq!(log.take(), "end,close");
}

#[test]
fn a_file_is_written_completely_and_drains() {
    let file_path = TempFile::new("write");
    let content = pattern(3_000_000);
    let file = WritableResourceStream::create(&file_path.0).unwrap();
    let log = listen(file);
    let (mut at, rest) = (0, content.clone());
    let mut more = move || {
        while at < rest.len() {
            let end = (at + 30_000).min(rest.len());
            let room = file.write(&rest[at..end]);
            at = end;
            if !room {
                return;
            }
        }
        file.end();
    };
    more();
    assert!(file.buffered() >= 64 * 1024);
    file.on("drain", move |()| more());
    run().unwrap();
    let events = log.take();
    assert!(
        events.starts_with("drain,") && events.ends_with(",close"),
        "{events}"
    );
    assert!(fs::read(&file_path.0).unwrap() == content);
}

#[test]
fn append_keeps_the_content_and_create_truncates_the_file() {
    let file_path = TempFile::new("append");
    WritableResourceStream::create(&file_path.0)
        .unwrap()
        .end_with("one ");
    run().unwrap();
    WritableResourceStream::append(&file_path.0)
        .unwrap()
        .end_with("two");
    run().unwrap();
    assert_eq!(fs::read_to_string(&file_path.0).unwrap(), "one two");
    WritableResourceStream::create(&file_path.0).unwrap().end();
    run().unwrap();
    assert_eq!(fs::read_to_string(&file_path.0).unwrap(), "");
}

#[test]
fn a_file_piped_into_a_file_is_a_copy() {
    let (from, to) = (TempFile::new("from"), TempFile::new("to"));
    fs::write(&from.0, pattern(1_500_000)).unwrap();
    let source = ReadableResourceStream::open(&from.0).unwrap();
    source.pipe(WritableResourceStream::create(&to.0).unwrap());
    run().unwrap();
    assert!(fs::read(&to.0).unwrap() == pattern(1_500_000));
}

#[test]
fn errors_name_the_file() {
    let missing = ReadableResourceStream::open("/no/such/file").unwrap_err();
    assert_eq!(
        missing.to_string(),
        "opening /no/such/file failed: No such file or directory (ENOENT)"
    );
    let directory = ReadableResourceStream::open("/").unwrap_err();
    assert_eq!(
        directory.to_string(),
        "opening / failed: Is a directory (EISDIR)"
    );
    // A write-only file fails with the first read, not when it is opened.
    let file_path = TempFile::new("wrong-way");
    let file = fs::File::create(&file_path.0).unwrap();
    let stream = ReadableResourceStream::new(file).unwrap();
    let (_, log) = collect(stream);
    run().unwrap();
    let events = log.take();
    assert!(events.starts_with("file descriptor "), "{events}");
    assert!(
        events.ends_with(": reading failed: Bad file descriptor (EBADF),close"),
        "{events}"
    );
    // A device without free space.
    let full = WritableResourceStream::append("/dev/full").unwrap();
    let log = listen(full);
    full.write("x");
    run().unwrap();
    assert_eq!(
        log.take(),
        "/dev/full: writing failed: No space left on device (ENOSPC),close"
    );
}

#[test]
fn a_datagram_socket_is_rejected() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let error = DuplexResourceStream::new(socket).unwrap_err();
    assert!(error.to_string().ends_with("(EPROTOTYPE)"), "{error}");
}

#[test]
fn devices_without_readiness_are_read_and_written() {
    let (bytes, log) = collect(ReadableResourceStream::open("/dev/null").unwrap());
    run().unwrap();
    assert_eq!(
        (bytes.borrow().len(), log.take().as_str()),
        (0, "end,close")
    );
    let null = WritableResourceStream::append("/dev/null").unwrap();
    let log = listen(null);
    null.end_with(vec![0; 1_000_000]);
    run().unwrap();
    assert!(log.take().ends_with("close"));
    let zero = ReadableResourceStream::open("/dev/zero").unwrap();
    let (bytes, log) = collect(zero);
    let seen = Rc::clone(&bytes);
    zero.on("data", move |_: Bytes| {
        if seen.borrow().len() > 300_000 {
            zero.close();
        }
    });
    run().unwrap();
    assert!(bytes.borrow().len() > 300_000 && bytes.borrow().len() < 600_000);
    assert_eq!(log.take(), "close");
}

#[test]
fn the_pipes_of_a_child_process_work_in_both_directions_and_end() {
    let mut child = Command::new("cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdin = WritableResourceStream::new(child.stdin.take().unwrap()).unwrap();
    let (bytes, log) = collect(ReadableResourceStream::new(child.stdout.take().unwrap()).unwrap());
    stdin.end_with(pattern(2_000_000));
    run().unwrap();
    assert!(*bytes.borrow() == pattern(2_000_000));
    assert_eq!(log.take(), "end,close");
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_pipe_without_a_reader_is_an_error() {
    let (reader, writer) = std::io::pipe().unwrap();
    let stream = WritableResourceStream::new(writer).unwrap();
    let log = listen(stream);
    turn();
    drop(reader);
    stream.write("x");
    run().unwrap();
    let events = log.take();
    assert!(
        events.ends_with("writing failed: Broken pipe (EPIPE),close"),
        "{events}"
    );
}

#[test]
fn a_full_pipe_does_not_block_the_loop_and_resumes_when_it_is_read() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let stream = WritableResourceStream::new(writer).unwrap();
    let log = listen(stream);
    stream.write(pattern(500_000));
    stream.end();
    turn();
    assert!(stream.buffered() > 0);
    let thread = std::thread::spawn(move || {
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        all
    });
    run().unwrap();
    assert!(thread.join().unwrap() == pattern(500_000));
    assert_eq!(log.take(), "close");
}

#[test]
fn lines_of_a_terminal_are_read_and_a_hang_up_is_the_end() {
    let Ok((mut controller, terminal)) = open_terminal() else {
        // No terminals are available, as in some containers.
        return;
    };
    let stream = ReadableResourceStream::new(terminal).unwrap();
    let log = Log::default();
    let data = log.clone();
    stream.on("data", move |chunk: Bytes| {
        data.note(String::from_utf8_lossy(&chunk).trim().to_owned());
    });
    for event in ["end", "close"] {
        let log = log.clone();
        stream.on(event, move |()| log.note(event));
    }
    controller.write_all(b"one\ntwo\nthree\n").unwrap();
    run_until(|| log.count() >= 3);
    drop(controller);
    run().unwrap();
    assert_eq!(log.take(), "one,two,three,end,close");
}

fn open_terminal() -> rustix::io::Result<(fs::File, OwnedFd)> {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    grantpt(&controller)?;
    unlockpt(&controller)?;
    let name = ptsname(&controller, Vec::new())?;
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let terminal = rustix::fs::open(name, flags, rustix::fs::Mode::empty())?;
    Ok((controller.into(), terminal))
}

#[test]
fn new_makes_the_descriptor_non_blocking() {
    let (reader, writer) = std::io::pipe().unwrap();
    let duplicate = reader.as_fd().try_clone_to_owned().unwrap();
    let _stream = ReadableResourceStream::new(reader).unwrap();
    assert!(fcntl_getfl(&duplicate).unwrap().contains(OFlags::NONBLOCK));
    drop(writer);
}

#[test]
fn a_closed_stream_does_not_keep_its_duplicates_watched() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let stream = ReadableResourceStream::new(reader.try_clone().unwrap()).unwrap();
    stream.on("data", |_: Bytes| ());
    turn();
    stream.close();
    turn();
    writer.write_all(b"for the duplicate").unwrap();
    let event_loop = EventLoop::current();
    let descriptor = event_loop.descriptor().unwrap();
    let mut descriptors = [PollFd::new(&descriptor, PollFlags::IN)];
    assert_eq!(poll(&mut descriptors, Some(&Timespec::default())), Ok(0));
}

#[test]
fn a_handle_without_a_stream_is_closed() {
    let input = ReadableResourceStream::closed();
    assert!(!input.is_open() && !input.is_readable());
    assert_eq!(
        input.on("data", |_: Bytes| ()),
        uptick_emitter::ListenerId::NONE
    );
    input.resume();
    input.close();
    let output = WritableResourceStream::closed();
    assert!(!output.is_open() && !output.write("x"));
    output.end();
    input.pipe(output);
}
