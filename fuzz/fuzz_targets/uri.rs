//! Addresses: parsing never panics, and a parsed address survives formatting and parsing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use uptick_socket::{ConnectUri, IntoUri, ListenUri};

fuzz_target!(|input: &str| {
    if let Ok(uri) = IntoUri::<ListenUri>::into_uri(input) {
        let text = uri.to_string();
        let again = IntoUri::<ListenUri>::into_uri(text.as_str());
        assert_eq!(again.ok().map(|uri| uri.to_string()), Some(text));
    }
    if let Ok(uri) = IntoUri::<ConnectUri>::into_uri(input) {
        let text = uri.to_string();
        let again = IntoUri::<ConnectUri>::into_uri(text.as_str());
        assert_eq!(again.ok().map(|uri| uri.to_string()), Some(text));
    }
});
