//! From the loop to a stream: what an event sets off.
//!
//! Cost of a chunk in the ordinary state, which is that of nearly all: the stream is looked up once to read, once for
//! each `write` of its listener and once to send; with filters twice more. Two system calls; no allocation.

use std::marker::PhantomData;

use uptick_emitter::{emit, emit_begun};
use uptick_event_loop::driver::Driver;
use uptick_event_loop::{Readiness, Token};

use super::reading::Begun;
use super::{Transport, Transports, deadlines, filtering, panicked, protocol, reading, writing};

/// The [`Driver`] of a kind of stream.
#[derive(Debug)]
pub struct TransportDriver<T>(PhantomData<fn(T)>);

impl<T> TransportDriver<T> {
    /// Makes the driver.
    pub const fn new() -> Self {
        TransportDriver(PhantomData)
    }
}

impl<T> Default for TransportDriver<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Transport> Driver for TransportDriver<T> {
    #[inline]
    fn ready(&self, token: Token, readiness: Readiness) {
        // Written in place: handing it out through the closures would copy it at each step.
        let mut stream = None;
        let mut begun = Begun::<T>::Otherwise;
        T::with_transports(|all| {
            let Transports { table, spare, .. } = all;
            if let Some((id, entry)) = table.find_mut(token) {
                stream = Some(T::from_id(id));
                reading::begin(entry, token, readiness, spare, &mut begun);
            }
        });
        let Some(stream) = stream else { return };
        if matches!(begun, Begun::Filtered { .. }) {
            filtering::begin(stream, &mut begun);
        }
        match begun {
            Begun::Served {
                chunk,
                served,
                more,
            } => {
                protocol::tell_came(stream, served, chunk);
                if more {
                    reading::continue_pass(stream);
                }
                writing::flush_queued::<T>(token);
            }
            Begun::Chunk {
                chunk,
                emission: Some(mut emission),
                more: false,
            } if emission.is_only() => {
                emission.call(chunk);
                writing::complete_and_flush(stream, token, emission);
            }
            Begun::Chunk {
                chunk,
                emission,
                more,
            } => {
                match emission {
                    Some(emission) => emit_begun(&stream, T::DATA, emission, chunk),
                    None => drop(emit(&stream, T::DATA, chunk)),
                }
                if more {
                    reading::continue_pass(stream);
                }
                writing::flush_queued::<T>(token);
            }
            Begun::Passed { more } => {
                if more {
                    reading::continue_pass(stream);
                }
                writing::flush_queued::<T>(token);
            }
            Begun::Step(step) => {
                if reading::act(stream, step) {
                    reading::continue_pass(stream);
                }
            }
            Begun::Filtered { .. } | Begun::Otherwise => {
                if readiness.is_writable() {
                    writing::writable(stream);
                }
                reading::read_pass(stream);
            }
        }
    }

    #[inline]
    fn flush(&self, token: Token) {
        writing::flush_queued::<T>(token);
    }

    fn expired(&self, token: Token) {
        if let Some(stream) = find(token) {
            deadlines::expired::<T>(stream);
        }
    }

    fn panicked(&self, token: Token, message: &str) {
        match find::<T>(token) {
            Some(stream) => panicked(stream, message),
            None => tracing::error!("a callback panicked after its stream had closed: {message}"),
        }
    }
}

fn find<T: Transport>(token: Token) -> Option<T> {
    T::with_transports(|all| all.table.find(token))
        .flatten()
        .map(T::from_id)
}
