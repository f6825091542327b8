//! Socket.IO packets: any text and any bytes are refused, or survive encoding and decoding.
#![no_main]

#[path = "../../crates/socketio/tests/invariants/packet.rs"]
#[allow(dead_code)]
mod invariants;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use uptick_socketio::protocol::msgpack;
use uptick_socketio::protocol::packet::Limits;

fuzz_target!(|input: (Vec<Vec<u8>>, &str)| {
    let (attachments, text) = input;
    let attachments: Vec<_> = attachments.into_iter().map(Bytes::from).collect();
    invariants::check_packet(text, &attachments);
    for bytes in attachments {
        if let Ok(packet) = msgpack::decode(bytes, &Limits::default()) {
            let again = msgpack::encode(&packet).unwrap().frames().next().unwrap();
            assert_eq!(msgpack::decode(again.into_bytes(), &Limits::default()), Ok(packet));
        }
    }
});
