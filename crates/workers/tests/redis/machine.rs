//! A thread with a loop and a bus, which is controlled from the test.

use std::cell::RefCell;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use uptick_emitter::Emitter;
use uptick_event_loop::LoopHandle;
use uptick_workers::bus::{Bus, RedisBusOptions, RedisTransport};

/// The time after which a test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

thread_local! {
    /// The events and messages of the bus of this thread, in order.
    static LOG: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static TRANSPORT: RefCell<Option<RedisTransport>> = const { RefCell::new(None) };
}

pub(crate) struct Machine {
    handle: LoopHandle,
    thread: Option<thread::JoinHandle<()>>,
}

/// Returns options with short times.
pub(crate) fn options() -> RedisBusOptions {
    let client = uptick_redis::RedisOptions::new()
        .first_delay(Duration::from_millis(20))
        .max_delay(Duration::from_millis(100));
    RedisBusOptions::new()
        .heartbeat(Duration::from_millis(100))
        .peer_timeout(Duration::from_millis(500))
        .client(client)
}

/// Attaches a transport to the bus of this thread, beside the one that it has.
pub(crate) fn attach(url: &str, options: RedisBusOptions) {
    let transport = RedisTransport::connect(url, options).unwrap();
    Bus::of_thread().attach_remote(transport.clone());
    TRANSPORT.set(Some(transport));
}

pub(crate) fn log(entry: String) {
    LOG.with_borrow_mut(|log| log.push(entry));
}

/// Records the messages of a topic on this thread.
pub(crate) fn record(topic: &str) {
    Bus::of_thread().subscribe(topic, move |payload: Bytes| {
        log(String::from_utf8_lossy(&payload).into_owned());
    });
}

impl Machine {
    /// Starts a thread that runs `setup`, and then its loop.
    pub(crate) fn start(setup: impl FnOnce() + Send + 'static) -> Machine {
        let (send, receive) = mpsc::channel();
        let thread = thread::spawn(move || {
            let bus = Bus::of_thread();
            bus.on(Bus::PEER, |_| log("+".into()));
            bus.on(Bus::PEER_GONE, |_| log("-".into()));
            setup();
            // Keeps the loop running without a connection.
            uptick_event_loop::add_periodic_timer(Duration::from_secs(60), |_| ());
            send.send(uptick_event_loop::handle()).unwrap();
            uptick_event_loop::run().unwrap();
        });
        Machine {
            handle: receive.recv().unwrap(),
            thread: Some(thread),
        }
    }

    /// Starts a machine that is connected to Redis with changed options, and records some topics.
    pub(crate) fn connected(
        url: &str,
        change: impl FnOnce(RedisBusOptions) -> RedisBusOptions + Send + 'static,
        topics: &'static [&'static str],
    ) -> Machine {
        let url = url.to_owned();
        Machine::start(move || {
            for topic in topics {
                record(topic);
            }
            attach(&url, change(options()));
        })
    }

    /// Runs `f` on the loop of the machine.
    #[track_caller]
    pub(crate) fn run<R: Send + 'static>(&self, f: impl FnOnce() -> R + Send + 'static) -> R {
        let (send, receive) = mpsc::channel();
        self.handle.post(move || send.send(f()).unwrap()).unwrap();
        receive.recv_timeout(PATIENCE).unwrap()
    }

    /// Starts `f` on the loop of the machine without waiting for it.
    pub(crate) fn post(&self, f: impl FnOnce() + Send + 'static) {
        self.handle.post(f).unwrap();
    }

    #[track_caller]
    pub(crate) fn publish(&self, topic: &str, payload: &str) {
        let (topic, payload) = (topic.to_owned(), payload.to_owned());
        self.run(move || Bus::of_thread().publish(&topic, payload));
    }

    /// Calls `f` with the transport.
    #[track_caller]
    pub(crate) fn transport<R: Send + 'static>(
        &self,
        f: impl FnOnce(&RedisTransport) -> R + Send + 'static,
    ) -> R {
        self.run(move || TRANSPORT.with_borrow(|transport| f(transport.as_ref().unwrap())))
    }

    /// Returns the log so far, separated by spaces, and clears it.
    #[track_caller]
    pub(crate) fn take(&self) -> String {
        self.run(|| LOG.take().join(" "))
    }

    /// Waits until the log has this text, and clears it.
    #[track_caller]
    pub(crate) fn expect(&self, expected: &str) {
        let start = Instant::now();
        loop {
            let log = self.run(|| LOG.with_borrow(|log| log.join(" ")));
            if log == expected {
                self.take();
                return;
            }
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "expected {expected}, but the log is {log}"
            );
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until `condition` holds on the loop of the machine.
    #[track_caller]
    pub(crate) fn until(&self, condition: impl Fn() -> bool + Clone + Send + 'static) {
        let start = Instant::now();
        while !self.run(condition.clone()) {
            assert!(start.elapsed() < PATIENCE, "timed out: {}", self.take());
            thread::sleep(Duration::from_millis(2));
        }
    }

    #[track_caller]
    pub(crate) fn until_peers(&self, count: usize) {
        self.until(move || {
            TRANSPORT.with_borrow(|transport| transport.as_ref().unwrap().peers().len()) == count
        });
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.handle.stop();
        let ended = self.thread.take().unwrap().join();
        if !thread::panicking() {
            ended.unwrap();
        }
    }
}
