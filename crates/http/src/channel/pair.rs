//! A pair of connected streams in memory.

use std::cell::OnceCell;
use std::rc::{Rc, Weak};

use uptick_socket::Address;
use uptick_stream::transport::SOFT_LIMIT;

use super::handle::Channel;
use super::stream::{Carrier, VirtualStream};

/// Maximum number of undelivered bytes that a stream in memory accepts from its peer.
const WINDOW: usize = SOFT_LIMIT;

/// The two ends of a pair, as weak references.
#[derive(Default)]
struct PairEnds {
    this: OnceCell<Weak<VirtualStream>>,
    other: OnceCell<Weak<VirtualStream>>,
}

/// A carrier that moves bytes from a stream to its peer.
struct MemoryCarrier(Rc<PairEnds>);

fn get(end: &OnceCell<Weak<VirtualStream>>) -> Option<Rc<VirtualStream>> {
    end.get()?.upgrade()
}

impl Carrier for MemoryCarrier {
    fn send(&self) {
        let Some(this) = get(&self.0.this) else {
            return;
        };
        let Some(other) = get(&self.0.other) else {
            // As for a socket: sending to a closed peer is answered with a reset.
            if this.take_output(usize::MAX).is_some() {
                this.receive_reset();
            }
            this.take_end();
            return;
        };
        loop {
            let room = WINDOW.saturating_sub(other.undelivered());
            match this.take_output(room) {
                Some(bytes) => other.receive(&bytes),
                None => break,
            }
        }
        if this.take_end() {
            other.receive_end();
        }
    }

    fn delivered(&self, count: usize) {
        if let Some(other) = get(&self.0.other) {
            other.acknowledge(count);
            other.send();
        }
    }

    fn closed(&self, reset: bool) {
        match get(&self.0.other) {
            Some(other) if reset => other.receive_reset(),
            Some(other) => other.receive_end(),
            None => {}
        }
    }
}

/// Creates a pair of channels in memory; `None` if the stream table is full. Each address in `peers` is the peer address of one channel.
///
/// Bytes are delivered to the other channel in the next iteration of the loop. A channel accepts 64 KiB of undelivered bytes; more stay
/// in the peer's write queue.
pub(crate) fn pair(peers: [Option<Address>; 2]) -> Option<[Channel; 2]> {
    let [first, second] = peers.map(|peer| {
        let ends = Rc::<PairEnds>::default();
        let carrier = Box::new(MemoryCarrier(Rc::clone(&ends)));
        (Rc::new(VirtualStream::new(peer, carrier)), ends)
    });
    for ((this, ends), (other, _)) in [(&first, &second), (&second, &first)] {
        // Both cells were empty.
        let _ = ends.this.set(Rc::downgrade(this));
        let _ = ends.other.set(Rc::downgrade(other));
    }
    let ids = (first.0.open(), second.0.open());
    match ids {
        (Some(first), Some(second)) => Some([first, second].map(Channel::of_stream)),
        (first, second) => {
            for id in [first, second].into_iter().flatten() {
                id.visit(VirtualStream::close);
            }
            None
        }
    }
}
