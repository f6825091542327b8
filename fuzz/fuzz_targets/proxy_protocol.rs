//! PROXY headers: what is decided stays decided when more comes, and what parses encodes to something that parses the same.
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
            "{end} bytes gave {part:?}, all of them {whole:?}"
        );
    }
    if let Parsed::Header { header, consumed } = whole {
        assert!(consumed <= input.len());
        if let Ok(encoded) = header.encode() {
            let Parsed::Header { header: again, .. } = parse(&encoded, usize::MAX) else {
                panic!("what was encoded does not parse: {encoded:?}");
            };
            assert_eq!(format!("{:?}", header.endpoints), format!("{:?}", again.endpoints));
        }
    }
});
