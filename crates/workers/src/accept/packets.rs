//! The packets in which processes offer connections: numbers as bytes, sockets as ancillary data.

use crate::memory::OFFERS;

/// An offer as encoded in a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WireOffer {
    pub(super) listener: u32,
    /// The index of the flag in the slot of the offering worker.
    pub(super) flag: u32,
    pub(super) number: u64,
}

const WIRE_OFFER_LENGTH: usize = 16;

/// The maximum length of a packet, in bytes.
pub(super) const MAX_PACKET: usize = OFFERS * WIRE_OFFER_LENGTH;

pub(super) fn encode(items: &[WireOffer]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(items.len() * WIRE_OFFER_LENGTH);
    for item in items {
        packet.extend_from_slice(&item.listener.to_le_bytes());
        packet.extend_from_slice(&item.flag.to_le_bytes());
        packet.extend_from_slice(&item.number.to_le_bytes());
    }
    packet
}

/// Returns the items of a packet. An incomplete item at the end is ignored.
pub(super) fn decode(packet: &[u8]) -> impl Iterator<Item = WireOffer> + '_ {
    packet.chunks_exact(WIRE_OFFER_LENGTH).map(|bytes| {
        let number = |at: usize, length: usize| {
            let bytes = bytes[at..at + length].iter().rev();
            bytes.fold(0, |number: u64, byte| number << 8 | u64::from(*byte))
        };
        WireOffer {
            listener: number(0, 4) as u32,
            flag: number(4, 4) as u32,
            number: number(8, 8),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_arrive_as_they_were_sent() {
        let items = [
            WireOffer {
                listener: 1,
                flag: 63,
                number: u64::MAX >> 2,
            },
            WireOffer {
                listener: 0,
                flag: 0,
                number: 1,
            },
        ];
        let packet = encode(&items);
        assert!(packet.len() <= MAX_PACKET);
        assert_eq!(decode(&packet).collect::<Vec<_>>(), items);
        assert_eq!(decode(&packet[..17]).count(), 1);
    }
}
