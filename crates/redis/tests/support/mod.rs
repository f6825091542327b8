//! A real Redis server, and a loop with a time limit.
#![allow(clippy::print_stderr, reason = "a skipped test says so")]
#![allow(dead_code, reason = "not every test program uses all of it")]

use std::cell::RefCell;
use std::fs::File;
use std::future::Future;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use uptick_emitter::Emitter;
use uptick_redis::{Error, Message, Redis, RedisOptions};

const TIME_LIMIT: Duration = Duration::from_secs(30);

/// A Redis server of the test, which is killed on drop.
pub(crate) struct RedisServer {
    child: Child,
    pub(crate) port: u16,
    pub(crate) folder: TempDir,
    arguments: Vec<String>,
}

impl RedisServer {
    /// Starts a server on a free port; `None` if there is no `redis-server` on this machine.
    pub(crate) fn start(arguments: &[&str]) -> Option<RedisServer> {
        RedisServer::start_with(|_| arguments.iter().map(|&text| text.into()).collect())
    }

    /// Starts a server with arguments that depend on its folder.
    pub(crate) fn start_with(
        arguments: impl FnOnce(&TempDir) -> Vec<String>,
    ) -> Option<RedisServer> {
        if Command::new("redis-server")
            .arg("--version")
            .output()
            .is_err()
        {
            assert!(
                std::env::var_os("UPTICK_REQUIRE_REDIS").is_none(),
                "redis-server is not installed"
            );
            eprintln!("skipped: redis-server is not installed");
            return None;
        }
        let folder = TempDir::new().unwrap();
        let port = free_port();
        let arguments = arguments(&folder);
        let child = spawn(port, &folder, &arguments);
        let mut server = RedisServer {
            child,
            port,
            folder,
            arguments,
        };
        server.wait_until_listening();
        Some(server)
    }

    fn wait_until_listening(&mut self) {
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if let Some(status) = self.child.try_wait().unwrap() {
                let log = std::fs::read_to_string(self.folder.path().join("log"));
                panic!("redis-server has exited: {status}: {log:?}");
            }
            assert!(start.elapsed() < Duration::from_secs(10));
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// Connects with the default options.
    pub(crate) fn connect(&self) -> Redis {
        self.connect_with(RedisOptions::new())
    }

    pub(crate) fn connect_with(&self, options: RedisOptions) -> Redis {
        Redis::connect_with(self.url(), options).unwrap()
    }

    /// Kills the server with SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts the server again, on the same port.
    pub(crate) fn restart(&mut self) {
        self.child = spawn(self.port, &self.folder, &self.arguments);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap();
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(port: u16, folder: &TempDir, arguments: &[String]) -> Child {
    let log = File::create(folder.path().join("log")).unwrap();
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no"])
        .arg("--unixsocket")
        .arg(folder.path().join("redis.sock"))
        .args(["--dir", folder.path().to_str().unwrap()])
        .args(arguments)
        .stdout(Stdio::from(log))
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Runs a future on the loop of this thread, for at most 30 s.
pub(crate) fn run<T: 'static>(future: impl Future<Output = Result<T, Error>> + 'static) -> T {
    let result = uptick_event_loop::block_on(async move {
        let timer = uptick_event_loop::add_timer(TIME_LIMIT, || {
            eprintln!("the test takes too long");
            std::process::abort();
        });
        let result = future.await;
        timer.cancel();
        result
    });
    result.unwrap().unwrap()
}

pub(crate) async fn sleep(milliseconds: u64) {
    uptick_event_loop::sleep(Duration::from_millis(milliseconds)).await;
}

/// Waits until a condition is met.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        sleep(5).await;
    }
}

/// The events of a client in the order in which they were emitted.
#[derive(Clone, Default)]
pub(crate) struct Recorder(Rc<RefCell<Vec<String>>>);

impl Recorder {
    pub(crate) fn of(redis: Redis) -> Recorder {
        let recorder = Recorder::default();
        let add = |recorder: &Recorder| {
            let events = Rc::clone(&recorder.0);
            move |text: String| events.borrow_mut().push(text)
        };
        let (ready, message, close) = (add(&recorder), add(&recorder), add(&recorder));
        let (disconnect, error) = (add(&recorder), add(&recorder));
        redis.on(Redis::READY, move |()| ready("ready".into()));
        redis.on(Redis::CLOSE, move |()| close("close".into()));
        redis.on(Redis::DISCONNECT, move |error| {
            disconnect(format!("disconnect {error}"))
        });
        redis.on(Redis::ERROR, move |cause| error(format!("error {cause}")));
        redis.on(Redis::MESSAGE, move |received: Message| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let pattern = received.pattern.as_deref().map(text).unwrap_or_default();
            let sharded = if received.sharded { "s" } else { "" };
            message(format!(
                "{sharded}message {}{} {}",
                text(&received.channel),
                pattern,
                text(&received.payload)
            ));
        });
        recorder
    }

    pub(crate) fn events(&self) -> Vec<String> {
        self.0.borrow().clone()
    }

    pub(crate) fn count(&self, prefix: &str) -> usize {
        let events = self.0.borrow();
        events
            .iter()
            .filter(|event| event.starts_with(prefix))
            .count()
    }

    pub(crate) fn has(&self, part: &str) -> bool {
        self.0.borrow().iter().any(|event| event.contains(part))
    }
}
