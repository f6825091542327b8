//! Standard input and output as streams, of every type.
//!
//! Each test starts this program again as a child that copies its input to its output. There is no test harness, so that
//! nothing else is printed.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "this is a test without the test harness"
)]

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitCode, Stdio};

use rustix::fs::{OFlags, fcntl_getfl};
use uptick_emitter::Emitter;
use uptick_stream::{stderr, stdin, stdout};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const CHILD: &str = "UPTICK_STREAM_STDIO_CHILD";

fn main() -> ExitCode {
    if std::env::var_os(CHILD).is_some() {
        return match child() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    let tests: [(&str, fn()); 6] = [
        ("a_shared_pipe_stays_blocking_for_other_processes", pipes),
        ("a_file_is_read_from_its_position_and_appended_to", files),
        ("dev_null_is_at_end_of_file", dev_null),
        ("a_socket_is_blocking_again_after_the_stream_closes", socket),
        ("a_closed_input_is_at_end_of_file", closed),
        ("a_large_input_is_copied_completely", large),
    ];
    for (name, test) in tests {
        test();
        println!("test {name} ... ok");
    }
    ExitCode::SUCCESS
}

fn child() -> Result {
    let input = stdin()?;
    let output = stdout()?;
    stderr()?.end_with("started\n");
    input.pipe(output);
    output.on("close", |()| ());
    uptick_event_loop::run()?;
    // Descriptor 1 is still open, and blocking.
    assert!(!fcntl_getfl(std::io::stdout())?.contains(OFlags::NONBLOCK));
    println!(".");
    Ok(())
}

fn start(input: impl Into<Stdio>, output: impl Into<Stdio>) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .env(CHILD, "1")
        .stdin(input)
        .stdout(output)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn wait(mut child: Child) {
    let status = child.wait().unwrap();
    let mut errors = String::new();
    child.stderr.unwrap().read_to_string(&mut errors).unwrap();
    assert!(status.success(), "{errors}");
    assert_eq!(errors, "started\n");
}

fn is_blocking(descriptor: impl AsFd) -> bool {
    !fcntl_getfl(descriptor).unwrap().contains(OFlags::NONBLOCK)
}

fn pipes() {
    let (theirs, mut ours) = std::io::pipe().unwrap();
    let (mut back, output) = std::io::pipe().unwrap();
    let (shared_in, shared_out) = (theirs.try_clone().unwrap(), output.try_clone().unwrap());
    let child = start(theirs, output);
    ours.write_all(b"hello").unwrap();
    let mut reply = [0; 5];
    back.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"hello");
    assert!(is_blocking(&shared_in) && is_blocking(&shared_out));
    drop((ours, shared_in, shared_out));
    let mut rest = String::new();
    back.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, ".\n");
    wait(child);
}

fn files() {
    let directory = std::env::temp_dir();
    let id = std::process::id();
    let input = directory.join(format!("uptick-stdio-{id}-in"));
    let output = directory.join(format!("uptick-stdio-{id}-out"));
    fs::write(&input, "head\ntail\n").unwrap();
    fs::write(&output, "before ").unwrap();
    let mut from = fs::File::open(&input).unwrap();
    from.seek(SeekFrom::Start(5)).unwrap();
    let to = fs::File::options().append(true).open(&output).unwrap();
    wait(start(from, to));
    assert_eq!(fs::read_to_string(&output).unwrap(), "before tail\n.\n");
    fs::remove_file(input).unwrap();
    fs::remove_file(output).unwrap();
}

fn dev_null() {
    let child = start(Stdio::null(), Stdio::null());
    wait(child);
}

fn socket() {
    let (theirs, mut ours) = UnixStream::pair().unwrap();
    let shared = theirs.try_clone().unwrap();
    let child = start(
        OwnedFd::from(theirs.try_clone().unwrap()),
        OwnedFd::from(theirs),
    );
    ours.write_all(b"over a socket").unwrap();
    ours.shutdown(Shutdown::Write).unwrap();
    wait(child);
    assert!(is_blocking(&shared));
    drop(shared);
    let mut reply = String::new();
    ours.read_to_string(&mut reply).unwrap();
    assert_eq!(reply, "over a socket.\n");
}

fn closed() {
    let status = Command::new("sh")
        .arg("-c")
        .arg("exec \"$0\" <&-")
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, "1")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    // Rust opens /dev/null in place of a closed descriptor before `main`.
    assert!(status.success());
}

fn large() {
    let child = start(Stdio::piped(), Stdio::piped());
    let (mut child, text) = (child, vec![b'x'; 3_000_000]);
    let mut input = child.stdin.take().unwrap();
    let sent = text.clone();
    let writer = std::thread::spawn(move || input.write_all(&sent).unwrap());
    let mut reply = Vec::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_end(&mut reply)
        .unwrap();
    writer.join().unwrap();
    assert!(reply.starts_with(&text) && reply.ends_with(b"x.\n"));
    wait(child);
}
