//! PROXY protocol headers: a result does not change when more bytes follow, and a parsed header survives encoding and parsing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use uptick_socket::proxy_protocol::protocol::{Parsed, parse};

const PAYLOAD: usize = 536;

fuzz_target!(|input: &[u8]| {
    let whole = parse(input, PAYLOAD);
    for end in 0..input.len() {
        let part = parse(&input[..end], PAYLOAD);
        assert!(
            matches!(part, Parsed::Incomplete) || format!("{part:?}") == format!("{whole:?}"),
            "{end} bytes: {part:?}, all bytes: {whole:?}"
        );
    }
    if let Parsed::Header { header, consumed } = whole {
        assert!(consumed <= input.len());
        if let Ok(encoded) = header.encode() {
            let Parsed::Header { header: again, .. } = parse(&encoded, usize::MAX) else {
                panic!("the encoded header does not parse: {encoded:?}");
            };
            assert_eq!(format!("{:?}", header.endpoints), format!("{:?}", again.endpoints));
        }
    }
});
