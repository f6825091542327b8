//! A thread that writes lines, so that the loop does not wait for a disk or a pipe.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use uptick_event_loop::{SIGUSR1, add_signal};

/// A writer of lines with a thread of its own, so that the event loop does not wait for a disk or a pipe. A clone is the same writer; it can be
/// used on any thread.
///
/// When the last clone is dropped, the lines that wait are written, for 1 s at most.
///
/// # Limits
/// [1 MiB](LogWriter::max_buffer) of lines wait to be written, while as many are being written. Lines beyond that, and lines that cannot be
/// written, as when the disk is full, are lost: [`lost`](LogWriter::lost) counts them, and an error is logged at most once a minute.
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
    max_buffer: usize,
    lost: u64,
    reopens: bool,
    /// Whether the thread is writing lines that it has taken from the buffer.
    is_writing: bool,
    is_over: bool,
    /// The time of the last error that was logged about lost lines.
    reported: Option<Instant>,
}

enum Target {
    Stdout,
    File {
        path: PathBuf,
        file: Option<File>,
        /// Whether the last line was written in part.
        is_broken: bool,
    },
}

/// The time between two log lines about lost lines.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

impl LogWriter {
    /// Creates a writer that appends to a file; the file is created if there is none.
    ///
    /// The file is opened again when the process receives `SIGUSR1` while the loop of this thread runs, and by [`reopen`](LogWriter::reopen),
    /// for programs such as logrotate that rename it.
    ///
    /// # Errors
    /// If the file cannot be opened, or the thread cannot be started.
    pub fn file(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref().to_owned();
        let file = Some(open(&path)?);
        let writer = LogWriter::start(Target::File {
            path,
            file,
            is_broken: false,
        })?;
        writer.reopen_on_signal();
        Ok(writer)
    }

    /// Creates a writer to standard output. If its thread cannot be started, an error is logged, and all lines are lost.
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

    /// Sets the maximum number of bytes of lines that wait to be written. Default: 1 MiB.
    pub fn max_buffer(self, bytes: usize) -> Self {
        self.0.0.lock().max_buffer = bytes;
        self
    }

    /// Opens the file again before the next line is written. If that fails, the file before is used, and an error is logged.
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
        let is_full = state.buffer.len() > state.max_buffer;
        if is_full {
            state.buffer.truncate(start);
            state.lost += 1;
        }
        let is_due = is_full && state.is_report_due();
        drop(state);
        self.0.0.changed.notify_all();
        if is_due {
            tracing::error!("the access log is written too slowly, and lines are lost");
        }
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
            tracing::warn!("the access log is not opened again on SIGUSR1: {error}");
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

impl State {
    /// Returns whether lost lines are to be logged now, and notes that they are.
    fn is_report_due(&mut self) -> bool {
        let is_due = self
            .reported
            .is_none_or(|at| at.elapsed() > REPORT_INTERVAL);
        if is_due {
            self.reported = Some(Instant::now());
        }
        is_due
    }
}

impl Shared {
    /// Locks the state, also if a thread has panicked with the lock: the state is valid at any time.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes lines until the last writer is dropped.
fn run(shared: &Shared, mut target: Target) {
    let mut buffer = Vec::new();
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
        std::mem::swap(&mut buffer, &mut state.buffer);
        state.is_writing = true;
        drop(state);
        let result = write(&mut target, reopens, &buffer);
        if let Err(Unwritten { error, written }) = result {
            let rest = buffer.get(written..).unwrap_or_default();
            let lines = memchr::memchr_iter(b'\n', rest).count();
            let mut state = shared.lock();
            state.lost += u64::try_from(lines).unwrap_or(u64::MAX);
            let is_due = state.is_report_due();
            drop(state);
            if is_due {
                tracing::error!("writing the access log failed, and lines are lost: {error}");
            }
        }
        buffer.clear();
    }
}

/// The error for lines of which only the first bytes were written.
struct Unwritten {
    error: io::Error,
    written: usize,
}

impl From<io::Error> for Unwritten {
    fn from(error: io::Error) -> Self {
        Unwritten { error, written: 0 }
    }
}

fn write(target: &mut Target, reopens: bool, lines: &[u8]) -> Result<(), Unwritten> {
    match target {
        Target::Stdout => {
            let mut stdout = io::stdout().lock();
            stdout.write_all(lines)?;
            Ok(stdout.flush()?)
        }
        Target::File {
            path,
            file,
            is_broken,
        } => {
            if reopens || file.is_none() {
                // If the new file cannot be opened, the one before is used.
                match open(path) {
                    Ok(opened) => {
                        *file = Some(opened);
                        *is_broken = false;
                    }
                    Err(error) if file.is_none() => return Err(error.into()),
                    Err(error) => {
                        let path = path.display();
                        tracing::error!("opening the access log {path} again failed: {error}");
                    }
                }
            }
            match file {
                Some(file) => append(file, is_broken, lines),
                None => Ok(()),
            }
        }
    }
}

/// Appends lines, after the end of the line before if that was written in part.
fn append(out: &mut impl Write, is_broken: &mut bool, lines: &[u8]) -> Result<(), Unwritten> {
    if *is_broken {
        out.write_all(b"\n")?;
        *is_broken = false;
    }
    let mut rest = lines;
    while !rest.is_empty() {
        let result = match out.write(rest) {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            result => result,
        };
        match result {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                let written = lines.len() - rest.len();
                *is_broken = lines[..written].last().is_some_and(|byte| *byte != b'\n');
                return Err(Unwritten { error, written });
            }
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with room for some bytes.
    struct Disk {
        bytes: Vec<u8>,
        room: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.room);
            if count == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.room -= count;
            self.bytes.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_that_was_written_in_part_is_ended_before_the_next() {
        let mut disk = Disk {
            bytes: Vec::new(),
            room: 6,
        };
        let mut is_broken = false;
        let result = append(&mut disk, &mut is_broken, b"one\ntwo\n");
        assert!(matches!(result, Err(Unwritten { written: 6, .. })));
        let result = append(&mut disk, &mut is_broken, b"three\n");
        assert!(matches!(result, Err(Unwritten { written: 0, .. })));
        disk.room = 100;
        assert!(append(&mut disk, &mut is_broken, b"four\nfive\n").is_ok());
        assert!(append(&mut disk, &mut is_broken, b"six\n").is_ok());
        assert_eq!(disk.bytes, b"one\ntw\nfour\nfive\nsix\n");
    }
}
