//! The writer thread of access logs.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use uptick_event_loop::{SIGUSR1, add_signal};

/// A line writer with its own thread, so that the event loop does not block on a disk or a pipe. A clone refers to the same writer and can be
/// used on any thread.
///
/// When the last clone is dropped, the buffered lines are written, for at most 1 s.
///
/// # Limits
/// [1 MiB](LogWriter::max_buffer) of lines is buffered, while up to the same amount is being written. Lines beyond that, and lines that cannot
/// be written, for example because the disk is full, are lost: [`lost`](LogWriter::lost) counts them, and an error is logged at most once a
/// minute.
#[derive(Clone)]
pub struct LogWriter(Arc<WriterHandle>);

/// A handle that stops the thread when the last writer is dropped.
struct WriterHandle(Arc<SharedBuffer>);

#[derive(Default)]
struct SharedBuffer {
    state: Mutex<BufferState>,
    changed: Condvar,
}

#[derive(Default)]
struct BufferState {
    buffer: Vec<u8>,
    max_buffer: usize,
    lost: u64,
    reopens: bool,
    /// Set while the thread writes lines that it has taken from the buffer.
    is_writing: bool,
    is_over: bool,
    /// Time of the last log message about lost lines.
    reported: Option<Instant>,
}

enum LogTarget {
    Stdout,
    File {
        path: PathBuf,
        file: Option<File>,
        /// Set if only a part of the last line was written.
        is_broken: bool,
    },
}

/// Minimum time between two log messages about lost lines.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

impl LogWriter {
    /// Creates a writer that appends to a file. The file is created if it does not exist.
    ///
    /// The file is reopened when the process receives `SIGUSR1` while the loop of this thread runs, and by [`reopen`](LogWriter::reopen), for
    /// programs such as logrotate that rename it.
    ///
    /// # Errors
    /// If the file cannot be opened, or the thread cannot be started.
    pub fn file(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref().to_owned();
        let file = Some(open(&path)?);
        let writer = LogWriter::start(LogTarget::File {
            path,
            file,
            is_broken: false,
        })?;
        writer.reopen_on_signal();
        Ok(writer)
    }

    /// Creates a writer to standard output. If its thread cannot be started, an error is logged and all lines are lost.
    pub fn stdout() -> Self {
        LogWriter::start(LogTarget::Stdout).unwrap_or_else(|error| {
            tracing::error!("starting the thread of a log failed: {error}");
            LogWriter(Arc::new(WriterHandle(Arc::default())))
        })
    }

    fn start(target: LogTarget) -> io::Result<Self> {
        let shared = Arc::new(SharedBuffer {
            state: Mutex::new(BufferState {
                max_buffer: 1024 * 1024,
                ..BufferState::default()
            }),
            changed: Condvar::new(),
        });
        let thread = Arc::clone(&shared);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || run(&thread, target))?;
        Ok(LogWriter(Arc::new(WriterHandle(shared))))
    }

    /// Sets the maximum size of the buffered lines, in bytes. Default: 1 MiB.
    pub fn max_buffer(self, bytes: usize) -> Self {
        self.0.0.lock().max_buffer = bytes;
        self
    }

    /// Reopens the file before the next line is written. If that fails, an error is logged and the previous file stays in use.
    pub fn reopen(&self) {
        self.0.0.lock().reopens = true;
        self.0.0.changed.notify_all();
    }

    /// Returns the number of lines that were lost.
    pub fn lost(&self) -> u64 {
        self.0.0.lock().lost
    }

    /// Appends a line, which `write` writes without the line break.
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
            tracing::error!("the access log is written too slowly: lines are lost");
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
            tracing::warn!("the access log is not reopened on SIGUSR1: {error}");
        }
    }
}

impl Drop for WriterHandle {
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

impl BufferState {
    /// Returns `true` if a message about lost lines is due, and records that it is logged now.
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

impl SharedBuffer {
    /// Locks the state, even if a thread panicked while it held the lock: the state is valid at any time.
    fn lock(&self) -> MutexGuard<'_, BufferState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes lines until the last writer is dropped.
fn run(shared: &SharedBuffer, mut target: LogTarget) {
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
        if let Err(PartialWrite { error, written }) = result {
            let rest = buffer.get(written..).unwrap_or_default();
            let lines = memchr::memchr_iter(b'\n', rest).count();
            let mut state = shared.lock();
            state.lost += u64::try_from(lines).unwrap_or(u64::MAX);
            let is_due = state.is_report_due();
            drop(state);
            if is_due {
                tracing::error!("writing the access log failed: {error}; lines are lost");
            }
        }
        buffer.clear();
    }
}

/// The error for lines of which only the first bytes were written.
struct PartialWrite {
    error: io::Error,
    written: usize,
}

impl From<io::Error> for PartialWrite {
    fn from(error: io::Error) -> Self {
        PartialWrite { error, written: 0 }
    }
}

fn write(target: &mut LogTarget, reopens: bool, lines: &[u8]) -> Result<(), PartialWrite> {
    match target {
        LogTarget::Stdout => {
            let mut stdout = io::stdout().lock();
            stdout.write_all(lines)?;
            Ok(stdout.flush()?)
        }
        LogTarget::File {
            path,
            file,
            is_broken,
        } => {
            if reopens || file.is_none() {
                // If the new file cannot be opened, the previous one stays in use.
                match open(path) {
                    Ok(opened) => {
                        *file = Some(opened);
                        *is_broken = false;
                    }
                    Err(error) if file.is_none() => return Err(error.into()),
                    Err(error) => {
                        let path = path.display();
                        tracing::error!("reopening the access log {path} failed: {error}");
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

/// Appends lines, after a line break if only a part of the previous line was written.
fn append(out: &mut impl Write, is_broken: &mut bool, lines: &[u8]) -> Result<(), PartialWrite> {
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
                return Err(PartialWrite { error, written });
            }
        }
    }
    Ok(())
}

/// Opens a file in append mode, so that several processes do not overwrite each other's lines.
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

    /// A disk with a limited number of free bytes.
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
    fn a_partially_written_line_is_ended_before_the_next_line() {
        let mut disk = Disk {
            bytes: Vec::new(),
            room: 6,
        };
        let mut is_broken = false;
        let result = append(&mut disk, &mut is_broken, b"one\ntwo\n");
        assert!(matches!(result, Err(PartialWrite { written: 6, .. })));
        let result = append(&mut disk, &mut is_broken, b"three\n");
        assert!(matches!(result, Err(PartialWrite { written: 0, .. })));
        disk.room = 100;
        assert!(append(&mut disk, &mut is_broken, b"four\nfive\n").is_ok());
        assert!(append(&mut disk, &mut is_broken, b"six\n").is_ok());
        assert_eq!(disk.bytes, b"one\ntw\nfour\nfive\nsix\n");
    }
}
