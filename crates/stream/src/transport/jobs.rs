//! Descriptors without readiness, as regular files: the pool of blocking jobs reads and writes them.
//!
//! A stream has one read and one write under way at most, so order is kept. A read that has come waits until it is
//! wanted, and the next one begins when it is taken: 64 KiB are read ahead.

use std::io::{self, Write};
use std::sync::Arc;

use bytes::Bytes;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use uptick_event_loop::driver;
use uptick_event_loop::{Id, Readiness, Token, spawn, spawn_blocking};

use super::flags::Flags;
use super::stream::Visit;
use super::{Entry, Transport, deadlines};
use crate::queue_pool;
use crate::read_buffer::{NoBytes, READ_SIZE};

/// How many pieces of the write queue one job writes.
const PIECES: usize = 64;

/// The jobs of a stream.
pub(super) struct Jobs {
    /// A duplicate of the stream's descriptor: a job may outlast the stream.
    file: Arc<std::fs::File>,
    reading: bool,
    read: Option<io::Result<Bytes>>,
    written: Option<io::Result<usize>>,
}

/// Has jobs read and write the stream from now on.
pub(super) fn enable<T: Transport>(stream: &Visit<T>) -> io::Result<()> {
    let enabled = stream.with(|entry, _| {
        let file = Arc::new(entry.fd.try_clone()?.into());
        entry.flags.insert(Flags::JOBS);
        entry.rare().jobs = Some(Box::new(Jobs {
            file,
            reading: false,
            read: None,
            written: None,
        }));
        Ok(())
    });
    enabled.unwrap_or(Ok(()))
}

/// What the job has read, if it is done; has the next one begin.
pub(super) fn read<T: Transport>(entry: &mut Entry<T>, id: Id) -> Option<Result<Bytes, NoBytes>> {
    let token = entry.token(id);
    let jobs = entry.rare.as_mut()?.jobs.as_mut()?;
    let read = jobs.read.take();
    let over =
        matches!(&read, Some(Err(_))) || matches!(&read, Some(Ok(bytes)) if bytes.is_empty());
    if !jobs.reading && !over {
        jobs.reading = true;
        let file = Arc::clone(&jobs.file);
        let job = spawn_blocking(move || read_chunk(&file));
        spawn(async move {
            let result = job
                .await
                .unwrap_or_else(|error| Err(io::Error::other(error)));
            done::<T>(token, |entry| {
                if let Some(jobs) = entry.rare().jobs.as_mut() {
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

/// Takes what the job has written off the queue, and has a job write what is left.
pub(super) fn write<T: Transport>(entry: &mut Entry<T>, id: Id) -> io::Result<()> {
    let token = entry.token(id);
    let jobs = entry.rare.as_mut().and_then(|rare| rare.jobs.as_mut());
    let (Some(jobs), Some(queue)) = (jobs, entry.queue.as_mut()) else {
        return Ok(());
    };
    let written = jobs.written.take().transpose()?.unwrap_or(0);
    queue.consume(written);
    let pieces = queue.share(PIECES);
    let file = Arc::clone(&jobs.file);
    entry.bytes_written += written as u64;
    if written > 0 {
        entry.touch();
    }
    if pieces.is_empty() {
        queue_pool::put_back(entry.queue.take());
        return Ok(());
    }
    let job = spawn_blocking(move || write_pieces(&file, &pieces));
    spawn(async move {
        let result = job
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)));
        done::<T>(token, |entry| {
            if let Some(jobs) = entry.rare().jobs.as_mut() {
                jobs.written = Some(result);
            }
            driver::ready_later(token, Readiness::WRITABLE);
        });
    });
    entry.flags.insert(Flags::BLOCKED);
    deadlines::blocked(entry, id);
    Ok(())
}

/// Runs `f` on the stream, if it is still there. Events wait for the driver's turn: a panic in one is the stream's.
fn done<T: Transport>(token: Token, f: impl FnOnce(&mut Entry<T>)) {
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

fn write_pieces(mut file: &std::fs::File, pieces: &[Bytes]) -> io::Result<usize> {
    for piece in pieces {
        file.write_all(piece)?;
    }
    Ok(pieces.iter().map(Bytes::len).sum())
}
