//! The settings of a master and its workers.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use uptick_event_loop::catch;
use uptick_socket::{ListenUri, SocketOptions};

use crate::event::WorkerEvent;
use crate::status::Status;

/// The settings that the workers use as well. Each process creates them itself, from the same program.
#[derive(Clone, Debug)]
pub(crate) struct WorkerSettings {
    pub(crate) drain: Duration,
    pub(crate) window: Duration,
    pub(crate) hang: Duration,
    pub(crate) max_requests: u64,
    pub(crate) max_memory: u64,
    pub(crate) max_age: Option<Duration>,
}

pub(crate) type EventObserver = Rc<dyn Fn(&WorkerEvent)>;
pub(crate) type StatusObserver = Rc<dyn Fn(&Status)>;

/// All settings.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) mode: Mode,
    pub(crate) listeners: Vec<(ListenUri, SocketOptions)>,
    pub(crate) reuse_port: bool,
    pub(crate) inherit: bool,
    pub(crate) worker: WorkerSettings,
    pub(crate) start_timeout: Duration,
    pub(crate) backoff_min: Duration,
    pub(crate) backoff_max: Duration,
    pub(crate) start_failures: u32,
    pub(crate) user: Option<(u32, u32)>,
    pub(crate) pid_file: Option<PathBuf>,
    pub(crate) lock_file: Option<PathBuf>,
    pub(crate) store_descriptors: bool,
    pub(crate) status_socket: Option<ListenUri>,
    pub(crate) observer: Option<EventObserver>,
    pub(crate) status: Option<(Duration, StatusObserver)>,
}

/// The kind and the number of the workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Processes(usize),
    Threads(usize),
}

impl Mode {
    pub(crate) fn count(self) -> usize {
        match self {
            Mode::Processes(count) | Mode::Threads(count) => count,
        }
    }
}

impl Settings {
    pub(crate) fn new(mode: Mode) -> Self {
        Settings {
            mode,
            listeners: Vec::new(),
            reuse_port: false,
            inherit: true,
            worker: WorkerSettings {
                drain: Duration::from_secs(10),
                window: Duration::from_secs(3),
                hang: Duration::from_secs(5),
                max_requests: 0,
                max_memory: 0,
                max_age: None,
            },
            start_timeout: Duration::from_secs(60),
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(30),
            start_failures: 10,
            user: None,
            pid_file: None,
            lock_file: None,
            store_descriptors: false,
            status_socket: None,
            observer: None,
            status: None,
        }
    }

    pub(crate) fn emit(&self, event: &WorkerEvent) {
        match &self.observer {
            // The master continues after a panic: writing to a closed standard error panics, for example.
            Some(observer) => {
                if let Err(message) = catch(|| observer(event)) {
                    tracing::error!("the callback of `on_event` panicked: {message}");
                }
            }
            None => event.log(),
        }
    }
}
