//! HPACK: any blocks are decoded within the limits, which do not change the dynamic table, and the fields survive encoding.
#![no_main]

#[path = "../../crates/http/tests/invariants/hpack.rs"]
mod invariants;

use libfuzzer_sys::fuzz_target;
use uptick_http::h2::hpack::ListLimits;

fuzz_target!(|input: (u16, u8, u16, Vec<&[u8]>)| {
    let (max_table_size, fields, bytes, blocks) = input;
    let tight = ListLimits {
        fields: fields.into(),
        bytes: bytes.into(),
    };
    invariants::check_decoder(&blocks, max_table_size.into(), tight);
});
