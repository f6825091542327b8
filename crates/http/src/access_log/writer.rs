//! A thread that writes lines, so that the loop does not wait for a disk or a pipe.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use uptick_event_loop::{SIGUSR1, add_signal};

/// Writes lines by a thread of its own; a clone is the same writer. It may be used on any thread.
///
/// When the last one is dropped, what waits is written, for a second at most.
///
/// # Limits
/// [1 MiB](LogWriter::max_buffer) of lines wait to be written. Lines beyond that, and those that cannot be written because the disk is full,
/// are lost; [`lost`](LogWriter::lost) counts them, and an error is logged once a minute.
#[derive(Clone)]
pub struct LogWriter(Arc<Handle>);

/// Ends the thread when the last writer is dropped.
struct Handle(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    buffer: Vec<u8>,
    /// The number of lines in the buffer.
    lines: u64,
    max_buffer: usize,
    lost: u64,
    reopens: bool,
    /// Whether the thread is writing what it has taken.
    is_writing: bool,
    is_over: bool,
}

enum Target {
    Stdout,
    File { path: PathBuf, file: Option<File> },
}

/// The time between two log lines about lost lines.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

impl LogWriter {
    /// Appends to a file, which is created if there is none.
    ///
    /// It is opened anew when the process receives `SIGUSR1` while the loop of this thread runs, or by [`reopen`](LogWriter::reopen): after
    /// a program such as logrotate has renamed it.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn file(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref().to_owned();
        let file = Some(open(&path)?);
        let writer = LogWriter::start(Target::File { path, file })?;
        writer.reopen_on_signal();
        Ok(writer)
    }

    /// Writes to standard output.
    pub fn stdout() -> Self {
        // Without a thread, all lines are lost, and counted.
        LogWriter::start(Target::Stdout).unwrap_or_else(|error| {
            tracing::error!("starting the thread of a log failed: {error}");
            LogWriter(Arc::new(Handle(Arc::default())))
        })
    }

    fn start(target: Target) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                max_buffer: 1024 * 1024,
                ..State::default()
            }),
            changed: Condvar::new(),
        });
        let thread = Arc::clone(&shared);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || run(&thread, target))?;
        Ok(LogWriter(Arc::new(Handle(shared))))
    }

    /// Sets how many bytes of lines may wait to be written. Default: 1 MiB.
    pub fn max_buffer(self, bytes: usize) -> Self {
        self.0.0.lock().max_buffer = bytes;
        self
    }

    /// Opens the file anew before the next line.
    pub fn reopen(&self) {
        self.0.0.lock().reopens = true;
        self.0.0.changed.notify_all();
    }

    /// Returns the number of lines that were lost.
    pub fn lost(&self) -> u64 {
        self.0.0.lock().lost
    }

    /// Appends a line, which `write` writes without its end.
    pub(super) fn write_line(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.0.0.lock();
        let start = state.buffer.len();
        write(&mut state.buffer);
        state.buffer.push(b'\n');
        if state.buffer.len() > state.max_buffer {
            state.buffer.truncate(start);
            state.lost += 1;
        } else {
            state.lines += 1;
        }
        drop(state);
        self.0.0.changed.notify_all();
    }

    fn reopen_on_signal(&self) {
        let shared = Arc::downgrade(&self.0.0);
        let added = add_signal(SIGUSR1, move |_| {
            if let Some(shared) = Weak::upgrade(&shared) {
                shared.lock().reopens = true;
                shared.changed.notify_all();
            }
        });
        if let Err(error) = added {
            tracing::warn!("a log file is not opened anew on SIGUSR1: {error}");
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.is_over = true;
        self.0.changed.notify_all();
        let deadline = Instant::now() + Duration::from_secs(1);
        while !state.buffer.is_empty() || state.is_writing {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let waited = self.0.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Shared {
    /// Locks the state, also if a thread panicked while it had it: all of it is valid at any time.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what comes until the last writer is dropped.
fn run(shared: &Shared, mut target: Target) {
    let mut buffer = Vec::new();
    let mut reported: Option<Instant> = None;
    loop {
        let mut state = shared.lock();
        state.is_writing = false;
        shared.changed.notify_all();
        while state.buffer.is_empty() && !state.reopens && !state.is_over {
            let waited = shared.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        if state.buffer.is_empty() && state.is_over {
            return;
        }
        let reopens = std::mem::take(&mut state.reopens);
        let lines = std::mem::take(&mut state.lines);
        std::mem::swap(&mut buffer, &mut state.buffer);
        state.is_writing = true;
        drop(state);
        let result = write(&mut target, reopens, &buffer);
        buffer.clear();
        if let Err(error) = result {
            shared.lock().lost += lines;
            if reported.is_none_or(|at| at.elapsed() > REPORT_INTERVAL) {
                reported = Some(Instant::now());
                tracing::error!("writing the access log failed, and lines are lost: {error}");
            }
        }
    }
}

fn write(target: &mut Target, reopens: bool, lines: &[u8]) -> io::Result<()> {
    match target {
        Target::Stdout => {
            let mut stdout = io::stdout().lock();
            stdout.write_all(lines)?;
            stdout.flush()
        }
        Target::File { path, file } => {
            if reopens || file.is_none() {
                // The file before stays where the new one cannot be opened.
                match open(path) {
                    Ok(opened) => *file = Some(opened),
                    Err(error) if file.is_none() => return Err(error),
                    Err(error) => {
                        let path = path.display();
                        tracing::error!("opening the access log {path} anew failed: {error}");
                    }
                }
            }
            match file {
                Some(file) => file.write_all(lines),
                None => Ok(()),
            }
        }
    }
}

/// Opens a file so that writes of several processes do not replace each other.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

impl fmt::Debug for LogWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogWriter")
            .field("lost", &self.lost())
            .finish_non_exhaustive()
    }
}
