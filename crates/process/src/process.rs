//! The handle of a child process.

#[cfg(test)]
mod tests;

use std::borrow::BorrowMut;
use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use uptick_emitter::{Emitter, Listeners, emit, events};
use uptick_event_loop::driver::{self, Driver};
use uptick_event_loop::{
    DriverId, Id, Readiness, SIGTERM, Table, Timer, Token, add_timer, catch, future_tick,
};
use uptick_stream::{ReadableResourceStream, WritableResourceStream};

use crate::error::Error;
use crate::exit::Exit;
use crate::options::ProcessOptions;
use crate::watch::{ChildSignal, Watch};

/// A child process with its standard input, output and error as streams.
///
/// A `Copy` handle: the event loop of the thread owns the process, and runs until it has exited. After `close` the handle is stale:
/// its streams are closed, and [`kill`](Process::kill) fails with `ESRCH`.
///
/// # Events
/// | event | payload | when |
/// |---|---|---|
/// | `exit` | [`Exit`] | the process has exited; its output may still arrive |
/// | `close` | `()` | the process has exited and all its streams have closed; the last event |
/// | `error` | [`Error`] | the exit status could not be collected, or a callback panicked |
///
/// The order is `exit close`, or `error close` if the exit status could not be collected.
///
/// - A grandchild that inherited the output keeps it open: `exit` is emitted when the process exits, `close` after the grandchild has
///   exited or closed the output.
/// - At the exit, the standard input is closed, and output that has no `data` listener after the `exit` listeners have run is
///   discarded.
/// - The output is read while there is a `data` listener. A paused stream blocks the process once the kernel's pipe buffer
///   is full (64 KiB on Linux). So does output that is never read: use [`Stdio::Null`](crate::Stdio::Null) for it.
/// - Dropping the handle has no effect. A process outlives this program and its thread unless it is killed; only its pipes are closed.
/// - An exited process is reaped immediately, so it does not stay a zombie. File descriptors of this program are not inherited.
///
/// # Limits
/// Standard input: write queue of 64 KiB soft, 16 MiB hard. Only the system limits the number of processes: each
/// needs up to four file descriptors, and [`spawn`](Process::spawn) fails with `EMFILE` or `EAGAIN`.
///
/// # Examples
/// ```
/// use uptick_process::prelude::*;
///
/// let child = Process::spawn(Command::new("tr").args(["a-z", "A-Z"]))?;
/// child.stdin().end_with("hello\n");
/// LineStream::new(child.stdout()).on("data", |line: Bytes| assert_eq!(line, "HELLO"));
/// child.on("exit", |exit: Exit| assert!(exit.success()));
/// run()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Process {
    id: Id,
    local: PhantomData<*const ()>,
}

events! {
    impl Process {
        Exit => {
            /// The process has exited.
            EXIT = "exit";
        }
        () => {
            /// The process has exited and all its streams have closed.
            CLOSE = "close";
        }
        Error => {
            /// The exit status could not be collected, or a callback panicked.
            ERROR = "error", warn;
        }
    }
}

struct Entry {
    listeners: Listeners,
    child: Child,
    stdin: WritableResourceStream,
    stdout: ReadableResourceStream,
    stderr: ReadableResourceStream,
    /// `None` once the process has been reaped.
    watch: Option<Watch>,
    exit: Option<Exit>,
    open_streams: usize,
    /// `true` once `exit` or `error` has been emitted; `close` may follow.
    reported: bool,
    /// The pending `SIGKILL` of [`Process::terminate`].
    killer: Option<Timer>,
}

#[derive(Default)]
struct Processes {
    table: Table<Entry>,
    driver: Option<DriverId>,
}

thread_local! {
    static PROCESSES: RefCell<Processes> = RefCell::default();
}

impl Process {
    /// Starts a process with pipes as its standard input, output and error, regardless of those set on `command`.
    ///
    /// # Errors
    /// [`Error::Spawn`] if there is no such program (`ENOENT`), it is not executable (`EACCES`), or the system has no
    /// process or file descriptor left (`EAGAIN`, `EMFILE`).
    pub fn spawn(command: impl BorrowMut<Command>) -> Result<Process, Error> {
        Self::spawn_with(command, ProcessOptions::new())
    }

    /// Starts a process with options.
    ///
    /// # Errors
    /// The same as [`spawn`](Process::spawn).
    pub fn spawn_with(
        mut command: impl BorrowMut<Command>,
        options: ProcessOptions,
    ) -> Result<Process, Error> {
        let command = command.borrow_mut();
        let program: Arc<str> = command.get_program().to_string_lossy().into();
        options.apply(command);
        let child = command.spawn().map_err(|source| Error::Spawn {
            program: Arc::clone(&program),
            source: Arc::new(source),
        })?;
        let mut unwatched = Unwatched(Some(child));
        let stream_error = |source| Error::Stream {
            program: Arc::clone(&program),
            source,
        };
        let (stdin, stdout, stderr) = unwatched.streams().map_err(stream_error)?;
        let signal = |source| Error::Signal {
            program: Arc::clone(&program),
            source,
        };
        Self::adopt(unwatched, (stdin, stdout, stderr), Watch::descriptor).map_err(signal)
    }

    /// Registers a running child with the loop. If `watch` returns `None`, `SIGCHLD` is used instead.
    fn adopt(
        mut unwatched: Unwatched,
        (stdin, stdout, stderr): Streams,
        watch: impl FnOnce(u32, Token) -> Option<Watch>,
    ) -> Result<Process, uptick_event_loop::Error> {
        let gone = uptick_event_loop::Error::LoopGone;
        let Some(pid) = unwatched.0.as_ref().map(Child::id) else {
            return Err(gone);
        };
        let close_streams = || {
            stdin.close();
            stdout.close();
            stderr.close();
        };
        let entry = |child| Entry {
            listeners: Listeners::new(),
            child,
            stdin,
            stdout,
            stderr,
            watch: None,
            exit: None,
            open_streams: 0,
            reported: false,
            killer: None,
        };
        let added = PROCESSES.try_with(|processes| {
            let mut processes = processes.borrow_mut();
            let driver = *processes
                .driver
                .get_or_insert_with(|| driver::register(&ProcessDriver));
            let id = processes.table.insert(entry(unwatched.0.take()?))?;
            Some((id, id.token(driver)))
        });
        let Ok(Some((id, token))) = added else {
            close_streams();
            return Err(gone);
        };
        let process = Process {
            id,
            local: PhantomData,
        };
        let watch = match watch(pid, token) {
            Some(watch) => Ok(watch),
            None => ChildSignal::listen().map(Watch::Signal),
        };
        match watch {
            Ok(watch) => {
                // The process may have exited before the signal listener was added.
                if watch.is_signal() {
                    future_tick(move || process.check());
                }
                process.entry(|entry| entry.watch = Some(watch));
            }
            Err(error) => {
                close_streams();
                let entry = process.remove();
                drop(entry.map(|entry| Unwatched(Some(entry.child))));
                return Err(error);
            }
        }
        driver::hold();
        let open = [
            stdin.is_open() && count(stdin, process),
            stdout.is_open() && count(stdout, process),
            stderr.is_open() && count(stderr, process),
        ];
        let open_streams = open.into_iter().filter(|open| *open).count();
        process.entry(|entry| entry.open_streams = open_streams);
        Ok(process)
    }

    /// Returns the process ID; `None` once the process has exited, because the system may reuse the ID.
    pub fn pid(self) -> Option<u32> {
        self.entry(|entry| entry.exit.is_none().then(|| entry.child.id()))
            .flatten()
    }

    /// Returns `true` until the exit of the process has been detected.
    pub fn is_running(self) -> bool {
        self.entry(|entry| entry.watch.is_some()) == Some(true)
    }

    /// Returns the exit status; `None` before the `exit` event and after `close`.
    pub fn exit(self) -> Option<Exit> {
        self.entry(|entry| entry.exit).flatten()
    }

    /// Returns the standard input of the process, to write to; a closed stream if it is not a pipe.
    ///
    /// If the process has closed it, the next write emits `error` (`EPIPE`).
    pub fn stdin(self) -> WritableResourceStream {
        self.entry(|entry| entry.stdin)
            .unwrap_or_else(WritableResourceStream::closed)
    }

    /// Returns the standard output of the process, to read from; a closed stream if it is not a pipe.
    pub fn stdout(self) -> ReadableResourceStream {
        self.entry(|entry| entry.stdout)
            .unwrap_or_else(ReadableResourceStream::closed)
    }

    /// Returns the standard error of the process, to read from; a closed stream if it is not a pipe.
    pub fn stderr(self) -> ReadableResourceStream {
        self.entry(|entry| entry.stderr)
            .unwrap_or_else(ReadableResourceStream::closed)
    }

    /// Sends a signal to the process, such as [`SIGKILL`](crate::SIGKILL), but not to its children.
    ///
    /// # Errors
    /// [`Error::Kill`] if the process has exited (`ESRCH`), there is no such signal (`EINVAL`), or the process now belongs to
    /// another user (`EPERM`).
    pub fn kill(self, signal: i32) -> Result<(), Error> {
        let sent = self.entry(|entry| {
            let number = Signal::from_named_raw(signal).ok_or(Errno::INVAL)?;
            match &entry.watch {
                #[cfg(any(target_os = "linux", target_os = "android"))]
                Some(Watch::Descriptor(fd)) => rustix::process::pidfd_send_signal(fd, number),
                // The process has not been reaped, so the system has not reused its ID.
                Some(Watch::Signal(_)) => {
                    let pid = i32::try_from(entry.child.id()).ok();
                    kill_process(pid.and_then(Pid::from_raw).ok_or(Errno::SRCH)?, number)
                }
                None => Err(Errno::SRCH),
            }
        });
        sent.unwrap_or(Err(Errno::SRCH))
            .map_err(|errno| Error::Kill {
                signal,
                source: Arc::new(errno.into()),
            })
    }

    /// Sends `SIGTERM` to the process, and `SIGKILL` if it has not exited within `grace`.
    ///
    /// Does nothing if the process has exited. A second call restarts the grace period.
    pub fn terminate(self, grace: Duration) {
        if self.kill(SIGTERM).is_err() {
            return;
        }
        let timer = add_timer(grace, move || {
            if let Err(error) = self.kill(crate::SIGKILL) {
                tracing::debug!("{error}");
            }
        });
        if let Some(Some(earlier)) = self.entry(|entry| entry.killer.replace(timer)) {
            earlier.cancel();
        }
    }

    fn entry<R>(self, f: impl FnOnce(&mut Entry) -> R) -> Option<R> {
        PROCESSES
            .try_with(|processes| processes.borrow_mut().table.get_mut(self.id).map(f))
            .ok()?
    }

    fn remove(self) -> Option<Entry> {
        let removed = PROCESSES.try_with(|processes| processes.borrow_mut().table.remove(self.id));
        removed.ok()?
    }

    /// Reaps the process and emits `exit` if it has exited.
    fn check(self) {
        let ended = self.entry(|entry| {
            entry.watch.as_ref()?;
            let result = match entry.child.try_wait() {
                Ok(None) => return None,
                Ok(Some(status)) => Ok(Exit::from(status)),
                Err(source) => Err(Error::Wait {
                    pid: entry.child.id(),
                    source: Arc::new(source),
                }),
            };
            entry.exit = result.as_ref().ok().copied();
            Some((result, entry.watch.take(), entry.killer.take()))
        });
        let Some(Some((result, watch, killer))) = ended else {
            return;
        };
        drop(watch);
        if let Some(killer) = killer {
            killer.cancel();
        }
        let emitted = catch(|| match result {
            Ok(exit) => emit(&self, Self::EXIT, exit),
            Err(error) => emit(&self, Self::ERROR, error),
        });
        driver::release();
        if let Err(message) = emitted {
            self.panicked(&message);
        }
        self.stdin().close();
        for output in [self.stdout(), self.stderr()] {
            if output.listeners("data").is_empty() {
                output.resume();
            }
        }
        self.entry(|entry| entry.reported = true);
        self.close_if_over();
    }

    fn stream_closed(self) {
        self.entry(|entry| entry.open_streams = entry.open_streams.saturating_sub(1));
        self.close_if_over();
    }

    fn close_if_over(self) {
        if self.entry(|entry| entry.reported && entry.open_streams == 0) != Some(true) {
            return;
        }
        if let Err(message) = catch(|| emit(&self, Self::CLOSE, ())) {
            tracing::error!("a callback panicked in a `close` listener of a process: {message}");
        }
        let entry = self.remove();
        if let Err(message) = catch(|| drop(entry)) {
            tracing::error!("dropping a listener of a process panicked: {message}");
        }
    }

    fn panicked(self, message: &str) {
        let error = Error::Panic {
            message: message.into(),
        };
        if let Err(message) = catch(|| emit(&self, Self::ERROR, error)) {
            tracing::error!("a callback panicked in an `error` listener of a process: {message}");
        }
    }
}

/// Registers a listener that counts the close of the stream. Always returns `true`.
fn count<S: uptick_stream::BaseStream>(stream: S, process: Process) -> bool {
    stream.on(S::CLOSE, move |()| process.stream_closed());
    true
}

/// Reaps the exited processes that are watched with `SIGCHLD`.
pub(crate) fn check_signalled() {
    let signalled = PROCESSES.try_with(|processes| {
        let processes = processes.borrow();
        let waits = |entry: &Entry| entry.watch.as_ref().is_some_and(Watch::is_signal);
        let entries = processes.table.iter().filter(|(_, entry)| waits(entry));
        entries.map(|(id, _)| id).collect::<Vec<_>>()
    });
    for id in signalled.unwrap_or_default() {
        let local = PhantomData;
        Process { id, local }.check();
    }
}

type Streams = (
    WritableResourceStream,
    ReadableResourceStream,
    ReadableResourceStream,
);

/// A child that is not watched yet; it is killed and reaped on drop unless it was taken.
struct Unwatched(Option<Child>);

impl Unwatched {
    fn streams(&mut self) -> Result<Streams, uptick_stream::Error> {
        let Some(child) = &mut self.0 else {
            return Err(uptick_stream::Error::Closed);
        };
        let stdin = match child.stdin.take() {
            Some(pipe) => WritableResourceStream::new(pipe)?,
            None => WritableResourceStream::closed(),
        };
        let read = |pipe| match pipe {
            Some(pipe) => ReadableResourceStream::new(pipe),
            None => Ok(ReadableResourceStream::closed()),
        };
        let outputs =
            read(child.stdout.take().map(std::os::fd::OwnedFd::from)).and_then(|stdout| {
                let stderr = read(child.stderr.take().map(std::os::fd::OwnedFd::from));
                stderr
                    .map(|stderr| (stdout, stderr))
                    .inspect_err(|_| stdout.close())
            });
        let (stdout, stderr) = outputs.inspect_err(|_| stdin.close())?;
        Ok((stdin, stdout, stderr))
    }
}

impl Drop for Unwatched {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // `SIGKILL` cannot be caught, so this does not block for long.
            if child.kill().is_ok() {
                let _ = child.wait();
            }
        }
    }
}

struct ProcessDriver;

impl ProcessDriver {
    fn find(token: Token) -> Option<Process> {
        let found = PROCESSES.try_with(|processes| processes.borrow().table.find(token));
        let local = PhantomData;
        found.ok()?.map(|id| Process { id, local })
    }
}

impl Driver for ProcessDriver {
    fn ready(&self, token: Token, _: Readiness) {
        if let Some(process) = Self::find(token) {
            process.check();
        }
    }

    fn panicked(&self, token: Token, message: &str) {
        if let Some(process) = Self::find(token) {
            process.panicked(message);
        }
    }
}

impl Emitter for Process {
    type Events = Process;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        self.entry(|entry| f(&mut entry.listeners))
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Process")
            .field("id", &self.id)
            .field("pid", &self.pid())
            .finish()
    }
}
