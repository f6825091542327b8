//! Redis as a bus: a server with four subscribers and one publisher, with the minimum of work in the clients.
//!
//! The clients are a child process of the server, so that its process tree contains everything involved.

use std::env;
use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::super::{BUFFER, announce};
use super::DONE;

const SUBSCRIBERS: u64 = 4;

/// The maximum length of a request head of the benchmark.
const MAX_HEAD: usize = 1024;

/// The time in which Redis must start.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// Returns the version of Redis; `None` if it is not installed.
pub(crate) fn version() -> Option<String> {
    let output = Command::new("redis-server")
        .arg("--version")
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text
        .split_whitespace()
        .find_map(|word| word.strip_prefix("v="))?;
    Some(version.to_owned())
}

/// Starts the clients and replaces this process with Redis, without persistence.
pub(in super::super) fn serve() -> Result<()> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port();
    let port = port.to_string();
    Command::new(env::current_exe()?)
        .args(["redis-clients", &port])
        .stdin(Stdio::null())
        .spawn()
        .context("starting the Redis clients failed")?;
    let error = Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--port", &port])
        .args(["--save", "", "--appendonly", "no", "--daemonize", "no"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .exec();
    Err(error).context("starting redis-server failed")
}

/// The messages that subscribers have received, and the publisher that waits for them.
struct DeliveryProgress {
    received: AtomicU64,
    expected: AtomicU64,
    publisher: Thread,
}

/// Serves the benchmark's requests, `GET /bus/COUNT/LENGTH/WINDOW`, with messages over Redis.
pub(crate) fn clients(port: u16) -> Result<()> {
    let mut publisher = connect(port)?;
    let progress = Arc::new(DeliveryProgress {
        received: AtomicU64::new(0),
        expected: AtomicU64::new(0),
        publisher: thread::current(),
    });
    for _ in 0..SUBSCRIBERS {
        let mut subscriber = connect(port)?;
        subscriber.write_all(b"*2\r\n$9\r\nSUBSCRIBE\r\n$5\r\nbench\r\n")?;
        let mut confirmation = [0; b"*3\r\n$9\r\nsubscribe\r\n$5\r\nbench\r\n:1\r\n".len()];
        subscriber.read_exact(&mut confirmation)?;
        let progress = Arc::clone(&progress);
        thread::spawn(move || receive(subscriber, &progress));
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    announce(listener.local_addr()?)?;
    let (sender, requests) = mpsc::channel();
    thread::spawn(move || {
        for benchmark in listener.incoming().flatten() {
            let sender = sender.clone();
            thread::spawn(move || read_requests(benchmark, &sender));
        }
    });
    while let Ok((mut benchmark, [count, length, window])) = requests.recv() {
        publish(&mut publisher, &progress, count, length as usize, window)?;
        let length = DONE.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{DONE}");
        benchmark.write_all(head.as_bytes())?;
    }
    Ok(())
}

fn connect(port: u16) -> Result<TcpStream> {
    let begin = Instant::now();
    loop {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) if begin.elapsed() > START_TIMEOUT => {
                return Err(error).context("connecting to Redis failed");
            }
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Counts received bytes, which is less work than a real client has.
fn receive(mut subscriber: TcpStream, progress: &DeliveryProgress) {
    let mut buffer = vec![0; BUFFER];
    while let Ok(length @ 1..) = subscriber.read(&mut buffer) {
        let before = progress.received.fetch_add(length as u64, Ordering::AcqRel);
        if before + length as u64 >= progress.expected.load(Ordering::Acquire) {
            progress.publisher.unpark();
        }
    }
}

/// Publishes `window` messages at a time, and waits until Redis has responded and all subscribers have received
/// them.
fn publish(
    redis: &mut TcpStream,
    progress: &DeliveryProgress,
    mut count: u64,
    length: usize,
    window: u64,
) -> Result<()> {
    let payload = format!("${length}\r\n{}\r\n", "x".repeat(length));
    let command = format!("*3\r\n$7\r\nPUBLISH\r\n$5\r\nbench\r\n{payload}");
    let message = format!("*3\r\n$7\r\nmessage\r\n$5\r\nbench\r\n{payload}");
    let commands = command.repeat(window as usize);
    let response = format!(":{SUBSCRIBERS}\r\n");
    let mut responses = vec![0; response.len() * window as usize];
    let expected = response.repeat(window as usize);
    while count > 0 {
        let now = window.min(count);
        count -= now;
        let bytes = now * SUBSCRIBERS * message.len() as u64;
        let target = progress.expected.load(Ordering::Relaxed) + bytes;
        progress.expected.store(target, Ordering::Release);
        redis.write_all(&commands.as_bytes()[..now as usize * command.len()])?;
        let responses = &mut responses[..now as usize * response.len()];
        redis.read_exact(responses)?;
        ensure!(
            expected.as_bytes().starts_with(responses),
            "Redis has lost a subscriber"
        );
        while progress.received.load(Ordering::Acquire) < target {
            thread::park();
        }
        let received = progress.received.load(Ordering::Acquire);
        ensure!(
            received == target,
            "more messages were received than published"
        );
    }
    Ok(())
}

/// A request: the stream for its response, and the numbers in its path.
type BusRequest = (TcpStream, [u64; 3]);

/// Reads the requests on one of the benchmark's connections.
fn read_requests(mut benchmark: TcpStream, requests: &Sender<BusRequest>) -> Result<()> {
    benchmark.set_nodelay(true)?;
    while let Some(numbers) = read_request(&mut benchmark)? {
        requests.send((benchmark.try_clone()?, numbers))?;
    }
    Ok(())
}

/// Returns the numbers in the path of the next request; `None` at the end of the connection.
fn read_request(benchmark: &mut TcpStream) -> Result<Option<[u64; 3]>> {
    let mut head = [0; MAX_HEAD];
    let mut length = 0;
    while !head[..length].ends_with(b"\r\n\r\n") {
        match benchmark.read(&mut head[length..])? {
            0 => return Ok(None),
            more => length += more,
        }
    }
    let head = str::from_utf8(&head[..length])?;
    let path = head.split(' ').nth(1).unwrap_or_default();
    let numbers = path.split('/').skip(2).map(str::parse);
    match numbers.collect::<Result<Vec<_>, _>>()?[..] {
        [count, length, window] => Ok(Some([count, length, window])),
        _ => bail!("{path:?} does not have the form /bus/COUNT/LENGTH/WINDOW"),
    }
}
