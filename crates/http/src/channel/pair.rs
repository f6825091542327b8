//! Two streams in memory, of which each is the peer of the other.

use std::cell::OnceCell;
use std::rc::{Rc, Weak};

use uptick_socket::Address;
use uptick_stream::transport::SOFT_LIMIT;

use super::handle::Channel;
use super::stream::{Carrier, VirtualStream};

/// The number of bytes that a stream in memory takes from its peer and has not delivered.
const WINDOW: usize = SOFT_LIMIT;

/// The ends of a pair, which do not keep each other.
#[derive(Default)]
struct Ends {
    this: OnceCell<Weak<VirtualStream>>,
    other: OnceCell<Weak<VirtualStream>>,
}

/// Moves bytes from a stream to its peer.
struct MemoryCarrier(Rc<Ends>);

fn get(end: &OnceCell<Weak<VirtualStream>>) -> Option<Rc<VirtualStream>> {
    end.get()?.upgrade()
}

impl Carrier for MemoryCarrier {
    fn send(&self) {
        let Some(this) = get(&self.0.this) else {
            return;
        };
        let Some(other) = get(&self.0.other) else {
            // As with a socket: what is sent to a peer that is gone comes back as a reset.
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

/// Makes a pair of channels in memory, whose ends have the addresses of each other as peers; `None` when there is no room for them.
///
/// Bytes come to the other end in the next iteration of the loop. An end takes 64 KiB that it has not delivered; more waits in the write
/// queue of the other.
pub(crate) fn pair(peers: [Option<Address>; 2]) -> Option<[Channel; 2]> {
    let [first, second] = peers.map(|peer| {
        let ends = Rc::<Ends>::default();
        let carrier = Box::new(MemoryCarrier(Rc::clone(&ends)));
        (Rc::new(VirtualStream::new(peer, carrier)), ends)
    });
    for ((this, ends), (other, _)) in [(&first, &second), (&second, &first)] {
        // Both were empty.
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
