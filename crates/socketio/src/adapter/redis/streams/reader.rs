//! Reading a stream.

use std::rc::Rc;
use std::time::Duration;

use uptick_emitter::Emitter;
use uptick_event_loop::sleep;
use uptick_redis::{Error, Redis, StreamEntry, XRead};

use super::RedisStreamsError;
use super::entry_id::EntryId;
use super::stream::StreamState;

/// Delay before a failed command is sent again on the same connection.
const RETRY_DELAY: Duration = Duration::from_millis(200);

/// Reads the entries of a stream that are added after the call, and passes them to the namespaces. After an error, it resumes after the last entry that was read.
pub(super) async fn read(stream: Rc<StreamState>) {
    read_until_closed(&stream).await;
    stream.release();
}

async fn read_until_closed(stream: &StreamState) {
    let mut failing = false;
    let mut must_check = true;
    loop {
        if must_check {
            match check_position(stream).await {
                Ok(()) => must_check = false,
                Err(_) if !stream.redis.is_open() => return,
                Err(error) => {
                    report(stream, &mut failing, error);
                    wait(stream.redis).await;
                    continue;
                }
            }
        }
        let position = stream.position().unwrap_or_default();
        let options = &stream.shared.options;
        let read = XRead::new()
            .stream(&stream.name, position.to_string())
            .count(options.read_count)
            .block(options.block_time);
        match stream.redis.xread(read).await {
            Ok(entries) => {
                failing = false;
                for entry in entries.iter().flat_map(|(_, entries)| entries) {
                    stream.receive(entry);
                }
            }
            Err(_) if !stream.redis.is_open() => return,
            Err(error) => {
                report(stream, &mut failing, error);
                must_check = true;
                wait(stream.redis).await;
            }
        }
    }
}

/// Reports the first of several errors in a row.
fn report(stream: &StreamState, failing: &mut bool, cause: Error) {
    if !std::mem::replace(failing, true) {
        let stream_name = stream.name.as_str().into();
        stream.shared.emit(RedisStreamsError::Read {
            stream: stream_name,
            cause,
        });
    }
}

/// Sets the position to the last entry at the start, and checks it after an error: Redis may have been restarted without its data.
async fn check_position(stream: &StreamState) -> Result<(), Error> {
    let last: Vec<StreamEntry> = stream
        .redis
        .command(("XREVRANGE", &stream.name, "+", "-", "COUNT", 1))
        .await?;
    let last = last.first().and_then(|entry| EntryId::parse(&entry.id));
    match (stream.position(), last) {
        (None, last) => stream.set_position(last.unwrap_or_default()),
        (Some(_), None) => stream.set_position(EntryId::default()),
        (Some(position), Some(last)) if last < position => stream.set_position(last),
        (Some(_), Some(_)) => {}
    }
    Ok(())
}

/// Waits until the client is connected, or for a short time if it is.
pub(super) async fn wait(redis: Redis) {
    match redis.is_ready() || !redis.is_open() {
        true => sleep(RETRY_DELAY).await,
        false => {
            redis.next(Redis::READY).await;
        }
    }
}
