//! The status as JSON.

use std::fmt::Write;

use super::Status;

impl Status {
    /// Returns the status as JSON without spaces: `generation`, `master`, and `workers` with `worker`, `pid`, `generation`,
    /// `state` (`ready` or `draining`), `connections`, `requests`, `websockets` and `restarts`.
    pub fn to_json(&self) -> String {
        encode(self)
    }
}

fn encode(status: &Status) -> String {
    let Status {
        generation, master, ..
    } = status;
    let mut text = format!("{{\"generation\":{generation},\"master\":{master},\"workers\":[");
    for (index, worker) in status.workers.iter().enumerate() {
        let comma = if index > 0 { "," } else { "" };
        let state = if worker.draining { "draining" } else { "ready" };
        // Writing to a `String` does not fail.
        let _ = write!(
            text,
            "{comma}{{\"worker\":{},\"pid\":{},\"generation\":{},\"state\":\"{state}\",\"connections\":{},\"requests\":{},\
             \"websockets\":{},\"restarts\":{}}}",
            worker.number,
            worker.pid,
            worker.generation,
            worker.connections,
            worker.requests,
            worker.websockets,
            status.restarts(worker.number),
        );
    }
    text.push_str("]}");
    text
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;
    use crate::memory::{Counter, Gauge, SharedMemory, WorkerState};

    #[test]
    fn workers_are_listed_by_number_and_generation() {
        let memory = SharedMemory::create(2).unwrap();
        memory.generation().store(3, Relaxed);
        memory.master().store(4700, Relaxed);
        for (place, generation, pid) in [(1, 3, 4712), (0, 3, 4711), (0, 2, 4709)] {
            let slot = memory.assign(place, generation, pid).unwrap();
            memory.slot(slot).set_state(match generation {
                2 => WorkerState::Draining,
                _ => WorkerState::Ready,
            });
            memory.slot(slot).set(Gauge::Connections, 3);
        }
        memory.assign(1, 4, 4713).unwrap();
        memory.place(0).add(Counter::Restarts, 1);
        let expected = [
            r#"{"generation":3,"master":4700,"workers":["#,
            r#"{"worker":1,"pid":4709,"generation":2,"state":"draining","connections":3,"requests":0,"websockets":0,"restarts":1},"#,
            r#"{"worker":1,"pid":4711,"generation":3,"state":"ready","connections":3,"requests":0,"websockets":0,"restarts":1},"#,
            r#"{"worker":2,"pid":4712,"generation":3,"state":"ready","connections":3,"requests":0,"websockets":0,"restarts":0}]}"#,
        ];
        assert_eq!(Status::of(&memory).to_json(), expected.concat());
    }
}
