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

/// A child process, whose standard input, output and error are streams.
///
/// A `Copy` handle: the thread's event loop owns the process, and runs until it has exited. After `close` the handle is stale:
/// its streams are closed, [`kill`](Process::kill) fails with `ESRCH`.
///
/// # Events
/// | event | payload | when |
/// |---|---|---|
/// | `exit` | [`Exit`] | the process has ended; its output may still come |
/// | `close` | `()` | the process has ended and all its streams have closed: the last event |
/// | `error` | [`Error`] | the exit could not be collected, or a callback panicked |
///
/// The order is `exit close`, or `error close` when the exit could not be collected.
///
/// - A grandchild that has inherited the output keeps it open: `exit` comes at once, `close` when the grandchild has ended or
///   closed it.
/// - At the exit, the standard input is closed, as nobody reads it, and output that nobody listens to when the `exit` listeners
///   have run is discarded.
/// - The output is read while there is a `data` listener. One that is paused holds the process back, once the pipe of the kernel
///   is full (64 KiB on Linux). An output that nobody ever reads does that too: use [`Stdio::Null`](crate::Stdio::Null).
/// - Dropping the handle does nothing. A process outlives this one, or its thread, unless it is killed; its pipes are closed then.
/// - An exited process is collected at once, so that none stays a zombie. Descriptors of this process are not inherited.
///
/// # Limits
/// Standard input: write queue of 64 KiB soft, 16 MiB hard. The number of processes is limited by the system only: each
/// needs up to four descriptors, and [`spawn`](Process::spawn) fails with `EMFILE` or `EAGAIN`.
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
            /// The process has ended.
            EXIT = "exit";
        }
        () => {
            /// The process has ended and all its streams have closed.
            CLOSE = "close";
        }
        Error => {
            /// The exit could not be collected, or a callback panicked.
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
    /// `None` once the process is collected.
    watch: Option<Watch>,
    exit: Option<Exit>,
    open_streams: usize,
    /// The `exit` or the `error` was emitted: `close` may follow.
    reported: bool,
    /// Kills the process if it takes too long to terminate.
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
    /// Starts a process with pipes as its standard input, output and error, whatever `command` says of them.
    ///
    /// # Errors
    /// [`Error::Spawn`] when there is no such program (`ENOENT`), it may not be run (`EACCES`), or the system has no
    /// process or descriptor left (`EAGAIN`, `EMFILE`).
    pub fn spawn(command: impl BorrowMut<Command>) -> Result<Process, Error> {
        Self::spawn_with(command, ProcessOptions::new())
    }

    /// Starts a process, with options.
    ///
    /// # Errors
    /// As [`spawn`](Process::spawn).
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

    /// Puts a child that runs already on the loop; `watch` may fail, and then a signal takes its place.
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
                // It may have exited before the signal was listened to.
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

    /// The number of the process; `None` once it has exited, as another may have the number then.
    pub fn pid(self) -> Option<u32> {
        self.entry(|entry| entry.exit.is_none().then(|| entry.child.id()))
            .flatten()
    }

    /// Whether the process has not exited, as far as is known.
    pub fn is_running(self) -> bool {
        self.entry(|entry| entry.watch.is_some()) == Some(true)
    }

    /// How the process ended; `None` before the `exit` event and after `close`.
    pub fn exit(self) -> Option<Exit> {
        self.entry(|entry| entry.exit).flatten()
    }

    /// The standard input of the process, to be written; a closed stream where it is no pipe.
    ///
    /// A process that has closed it gives the stream an `error` (`EPIPE`) with the next write.
    pub fn stdin(self) -> WritableResourceStream {
        self.entry(|entry| entry.stdin)
            .unwrap_or_else(WritableResourceStream::closed)
    }

    /// The standard output of the process, to be read; a closed stream where it is no pipe.
    pub fn stdout(self) -> ReadableResourceStream {
        self.entry(|entry| entry.stdout)
            .unwrap_or_else(ReadableResourceStream::closed)
    }

    /// The standard error of the process, to be read; a closed stream where it is no pipe.
    pub fn stderr(self) -> ReadableResourceStream {
        self.entry(|entry| entry.stderr)
            .unwrap_or_else(ReadableResourceStream::closed)
    }

    /// Sends a signal to the process, such as [`SIGKILL`](crate::SIGKILL). Its own children do not get it.
    ///
    /// # Errors
    /// [`Error::Kill`] when the process has exited (`ESRCH`), there is no such signal (`EINVAL`), or the process belongs to
    /// another user now (`EPERM`).
    pub fn kill(self, signal: i32) -> Result<(), Error> {
        let sent = self.entry(|entry| {
            let number = Signal::from_named_raw(signal).ok_or(Errno::INVAL)?;
            match &entry.watch {
                #[cfg(any(target_os = "linux", target_os = "android"))]
                Some(Watch::Descriptor(fd)) => rustix::process::pidfd_send_signal(fd, number),
                // It is not collected, so that its number is its own.
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

    /// Asks the process to end (`SIGTERM`), and kills it (`SIGKILL`) if it has not done so within `grace`.
    ///
    /// Nothing happens when it has exited. A second call sets the time anew.
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

    /// Collects the process if it has exited.
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
        let told = catch(|| match result {
            Ok(exit) => emit(&self, Self::EXIT, exit),
            Err(error) => emit(&self, Self::ERROR, error),
        });
        driver::release();
        if let Err(message) = told {
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
            tracing::error!("a callback panicked as its process closed: {message}");
        }
        let entry = self.remove();
        if let Err(message) = catch(|| drop(entry)) {
            tracing::error!("a callback panicked as its process closed: {message}");
        }
    }

    fn panicked(self, message: &str) {
        let error = Error::Panic {
            message: message.into(),
        };
        if let Err(message) = catch(|| emit(&self, Self::ERROR, error)) {
            tracing::error!("a callback panicked as its process failed: {message}");
        }
    }
}

/// Counts the close of a stream; returns whether it will come.
fn count<S: uptick_stream::BaseStream>(stream: S, process: Process) -> bool {
    stream.on(S::CLOSE, move |()| process.stream_closed());
    true
}

/// Collects the processes whose exit a signal may have announced.
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

/// A child that nothing waits for yet: it is killed and collected if it comes to nothing.
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
            // A killed process ends soon.
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
