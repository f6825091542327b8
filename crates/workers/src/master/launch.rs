//! Starting workers: as a new process of the program, or as a thread.

use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use uptick_event_loop::handle;

use super::systemd;
use crate::accept::ThreadRegistry;
use crate::bus::ThreadBus;
use crate::control::{ControlChannel, ControlMessage, ThreadInbox};
use crate::error::Error;
use crate::event::WorkerId;
use crate::worker::{self, SetUp, ThreadContext, ThreadStart};

/// The environment variable that marks a program as the successor of an older one.
pub(super) const SUCCESSOR_VARIABLE: &str = "UPTICK_UPGRADE";

/// A running worker.
#[derive(Debug)]
pub(crate) struct RunningWorker {
    pub(crate) id: WorkerId,
    pub(crate) kind: WorkerKind,
}

#[derive(Debug)]
pub(crate) enum WorkerKind {
    Process {
        child: Child,
        channel: Rc<RefCell<ControlChannel>>,
    },
    Thread {
        thread: Option<JoinHandle<()>>,
        inbox: Arc<ThreadInbox>,
    },
}

impl RunningWorker {
    /// Sends a message to the worker.
    pub(crate) fn send(&self, message: ControlMessage) {
        match &self.kind {
            WorkerKind::Process { channel, .. } => {
                // If the worker has died, its exit is handled soon.
                let sent = channel.borrow_mut().send(message);
                if let Err(error) = sent {
                    tracing::debug!("{}: {error}", self.id);
                }
            }
            WorkerKind::Thread { inbox, .. } => inbox.send(message),
        }
    }

    /// Kills the worker.
    pub(crate) fn kill(&mut self) {
        match &mut self.kind {
            WorkerKind::Process { child, .. } => {
                if let Err(error) = child.kill() {
                    tracing::warn!("killing {} failed: {error}", self.id);
                }
            }
            WorkerKind::Thread { inbox, .. } => inbox.stop(),
        }
    }

    /// Returns the state of the worker, as reported by the system.
    pub(crate) fn describe_state(&self) -> String {
        let pid = match &self.kind {
            WorkerKind::Process { child, .. } => child.id(),
            WorkerKind::Thread { .. } => return "its loop does not run".into(),
        };
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
        let status = status.unwrap_or_default();
        let state = status.lines().find_map(|line| line.strip_prefix("State:"));
        let place = std::fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
        let state = state.map_or("unknown", str::trim);
        match place.as_str() {
            "" | "0" => format!("state {state}"),
            place => format!("state {state}, in {place}"),
        }
    }
}

/// The program and its arguments, as it was started.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// The path of the executable, determined at the start. An upgrade executes the file that is there by then.
    pub(crate) path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    pub(crate) fn current() -> Result<Program, Error> {
        let file = std::env::current_exe()
            .map_err(|error| Error::io("finding the file of the program", error))?;
        let arguments: Vec<OsString> = std::env::args_os().collect();
        let path = arguments
            .first()
            .and_then(|name| named_path(name, &file))
            .unwrap_or(file);
        Ok(Program { path, arguments })
    }

    fn command(&self, file: &Path, stdin: std::os::fd::OwnedFd) -> Command {
        let mut command = Command::new(file);
        let mut arguments = self.arguments.iter();
        if let Some(name) = arguments.next() {
            command.arg0(name);
        }
        command.args(arguments).stdin(Stdio::from(stdin));
        command
    }

    /// Starts a worker process from the running executable, even if its file has changed since.
    pub(crate) fn worker(
        &self,
        place: usize,
        user: Option<(u32, u32)>,
        stdin: std::os::fd::OwnedFd,
    ) -> std::io::Result<Child> {
        let running = PathBuf::from("/proc/self/exe");
        let file = match running.exists() {
            true => &running,
            false => &self.path,
        };
        let mut command = self.command(file, stdin);
        command.env(worker::VARIABLE, (place + 1).to_string());
        command.env_remove(SUCCESSOR_VARIABLE);
        for name in systemd::VARIABLES {
            command.env_remove(name);
        }
        // The signals of a terminal are for the master.
        command.process_group(0);
        if let Some((user, group)) = user {
            command.uid(user).gid(group);
        }
        command.spawn()
    }

    /// Starts a new process of the program from its file.
    pub(crate) fn successor(&self, stdin: std::os::fd::OwnedFd) -> std::io::Result<Child> {
        let mut command = self.command(&self.path, stdin);
        command.env(SUCCESSOR_VARIABLE, "1");
        for name in [
            "LISTEN_FDS",
            "LISTEN_PID",
            "LISTEN_FDNAMES",
            "LISTEN_PIDFDID",
            "WATCHDOG_PID",
        ] {
            command.env_remove(name);
        }
        command.spawn()
    }
}

/// Returns the absolute path by which the program was started, if it leads to `file`. The path may contain symbolic links, such
/// as one to the current release, which may lead elsewhere at an upgrade.
fn named_path(name: &OsStr, file: &Path) -> Option<PathBuf> {
    let identity = |path: &Path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.dev(), metadata.ino()))
    };
    let running = identity(file)?;
    let name = Path::new(name);
    let candidates = match name.components().count() {
        1 if name.is_relative() && !name.starts_with(".") => {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path)
                .map(|directory| directory.join(name))
                .collect()
        }
        _ => vec![name.to_path_buf()],
    };
    let found = candidates
        .iter()
        .find(|path| identity(path) == Some(running))?;
    std::path::absolute(found).ok()
}

/// The state that worker threads share.
#[derive(Clone)]
pub(crate) struct Threads {
    setup: SetUp,
    registry: Arc<ThreadRegistry>,
    bus: ThreadBus,
}

impl Threads {
    pub(crate) fn new(setup: SetUp) -> Self {
        Threads {
            setup,
            registry: Arc::default(),
            bus: ThreadBus::with_unique_ids(),
        }
    }

    /// Starts a worker thread. The master's loop calls `receive` with its messages, and `ended` with its exit code.
    pub(crate) fn start(
        &self,
        id: WorkerId,
        start: ThreadStart,
        receive: fn(usize, ControlMessage),
        ended: fn(usize, i32),
    ) -> Result<WorkerKind, Error> {
        let inbox = Arc::new(ThreadInbox::default());
        let master = handle();
        let unit = start.slot;
        let context = ThreadContext {
            setup: Arc::clone(&self.setup),
            registry: Arc::clone(&self.registry),
            bus: self.bus.clone(),
            inbox: Arc::clone(&inbox),
            master: master.clone(),
            receive,
        };
        let body = move || {
            let code = worker::run_thread(start, &context);
            // The master joins the thread in `ended`.
            let _ = master.post(move || ended(unit, code));
        };
        let thread = thread::Builder::new()
            .name(format!("worker {}", id.number))
            .spawn(body)
            .map_err(|error| Error::io("starting a thread", error))?;
        Ok(WorkerKind::Thread {
            thread: Some(thread),
            inbox,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_by_the_name_it_was_started_with() {
        let directory = std::env::temp_dir().join(format!("uptick-name-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let file = std::env::current_exe().unwrap();
        let link = directory.join("current release");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let found = named_path(link.as_os_str(), &file);
        let other = named_path(directory.as_os_str(), &file);
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!(found, Some(link));
        assert_eq!(other, None, "it is a different file");
        assert_eq!(named_path(OsStr::new("no such program"), &file), None);
        assert_eq!(named_path(OsStr::new(""), &file), None);
    }
}
