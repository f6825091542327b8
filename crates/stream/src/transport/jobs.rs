//! Descriptors without readiness, such as regular files: the pool of blocking jobs reads and writes them.
//!
//! A stream has at most one read and one write in progress, which keeps the order. The result of a read is kept until it is
//! wanted, and the next read starts when it is taken: at most 64 KiB are read ahead.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use uptick_event_loop::driver;
use uptick_event_loop::{Id, Readiness, Token, spawn, spawn_blocking};

use super::flags::StreamFlags;
use super::stream::Visit;
use super::{StreamEntry, Transport, deadlines};
use crate::queue_pool;
use crate::read_buffer::{NoBytes, READ_SIZE};

/// Maximum number of chunks of the write queue that one job writes.
const MAX_CHUNKS: usize = 64;

/// The jobs of a stream.
pub(super) struct BlockingJobs {
    /// A duplicate of the stream's descriptor: a job may outlast the stream.
    file: Arc<std::fs::File>,
    reading: bool,
    read: Option<io::Result<Bytes>>,
    written: Option<io::Result<usize>>,
}

/// Starts to read and write the stream with blocking jobs.
pub(super) fn enable<T: Transport>(stream: &Visit<T>) -> io::Result<()> {
    let enabled = stream.with(|entry, _| {
        let file = Arc::new(entry.fd.try_clone()?.into());
        entry.flags.insert(StreamFlags::JOBS);
        entry.extended().jobs = Some(Box::new(BlockingJobs {
            file,
            reading: false,
            read: None,
            written: None,
        }));
        Ok(())
    });
    enabled.unwrap_or(Ok(()))
}

/// Returns the result of the read job, if it has finished, and starts the next job.
pub(super) fn read<T: Transport>(
    entry: &mut StreamEntry<T>,
    id: Id,
) -> Option<Result<Bytes, NoBytes>> {
    let token = entry.token(id);
    let jobs = entry.extended.as_mut()?.jobs.as_mut()?;
    let read = jobs.read.take();
    let ended =
        matches!(&read, Some(Err(_))) || matches!(&read, Some(Ok(bytes)) if bytes.is_empty());
    if !jobs.reading && !ended {
        jobs.reading = true;
        let file = Arc::clone(&jobs.file);
        let job = spawn_blocking(move || read_chunk(&file));
        spawn(async move {
            let result = job
                .await
                .unwrap_or_else(|error| Err(io::Error::other(error)));
            complete::<T>(token, |entry| {
                if let Some(jobs) = entry.extended().jobs.as_mut() {
                    jobs.reading = false;
                    jobs.read = Some(result);
                }
                entry.schedule_read(id);
            });
        });
    }
    Some(match read? {
        Ok(bytes) if bytes.is_empty() => Err(NoBytes::End),
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(NoBytes::Failed(error)),
    })
}

/// Removes the bytes written by the last job from the queue, and starts a job for the rest.
pub(super) fn write<T: Transport>(entry: &mut StreamEntry<T>, id: Id) -> io::Result<()> {
    let token = entry.token(id);
    let jobs = entry
        .extended
        .as_mut()
        .and_then(|extended| extended.jobs.as_mut());
    let (Some(jobs), Some(queue)) = (jobs, entry.queue.as_mut()) else {
        return Ok(());
    };
    let written = jobs.written.take().transpose()?.unwrap_or(0);
    queue.consume(written);
    let chunks = queue.share(MAX_CHUNKS);
    let file = Arc::clone(&jobs.file);
    entry.bytes_written += written as u64;
    if written > 0 {
        entry.touch();
    }
    if chunks.is_empty() {
        queue_pool::put_back(entry.queue.take());
        return Ok(());
    }
    let job = spawn_blocking(move || write_chunks(&file, &chunks));
    spawn(async move {
        let result = job
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)));
        complete::<T>(token, |entry| {
            if let Some(jobs) = entry.extended().jobs.as_mut() {
                jobs.written = Some(result);
            }
            driver::ready_later(token, Readiness::WRITABLE);
        });
    });
    entry.flags.insert(StreamFlags::BLOCKED);
    deadlines::blocked(entry, id);
    Ok(())
}

/// Calls `f` with the stream, if it is still open. Events are emitted later, by the driver, so that a panic is attributed to
/// the stream.
fn complete<T: Transport>(token: Token, f: impl FnOnce(&mut StreamEntry<T>)) {
    if let Some(Some(stream)) = T::streams(|all| all.find(token)) {
        stream.with(|entry, _| f(entry));
    }
}

fn read_chunk(file: &std::fs::File) -> io::Result<Bytes> {
    let mut buffer = Vec::with_capacity(READ_SIZE);
    loop {
        match rustix::io::read(file, spare_capacity(&mut buffer)) {
            Ok(_) => return Ok(Bytes::from(buffer)),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn write_chunks(mut file: &std::fs::File, chunks: &[Bytes]) -> io::Result<usize> {
    for chunk in chunks {
        file.write_all(chunk)?;
    }
    Ok(chunks.iter().map(Bytes::len).sum())
}
