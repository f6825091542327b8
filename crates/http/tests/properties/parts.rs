//! Properties of multipart forms, proxy headers and routes.

use proptest::prelude::*;
use proptest::sample::select;

use crate::{forwarded_invariants, multipart_invariants, router_invariants};

const FORM: &[&str] = &[
    "--x",
    "\r\n",
    "\r\n\r\n",
    "--",
    "Content-Disposition: form-data; name=\"a\"",
    "; filename=\"f\"",
    "Content-Type: text/plain",
    "a text",
    " ",
    "\r",
    "--x\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\nvalue\r\n",
    "--x--\r\n",
    "0123456789012345678901234567890123456789012345678901234567890123456789",
];

const HOPS: &[&str] = &[
    "for=",
    "192.0.2.1",
    "10.0.0.1",
    "\"[2001:db8::1]:80\"",
    "unknown",
    "_hidden",
    ";",
    ",",
    " ",
    "\"",
    "\\",
    "proto=https",
    "host=a.example",
    "by=10.0.0.1",
    "=",
    "\u{e4}",
];

fn text(parts: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::collection::vec(select(parts), 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn the_division_of_a_form_does_not_change_its_parts_and_limits(
        body in text(FORM),
        has_start in any::<bool>(),
        size in 1..40_usize,
    ) {
        let start = if has_start { FORM[10] } else { "" };
        let body = format!("{start}{body}");
        multipart_invariants::check("multipart/form-data; boundary=x", body.as_bytes(), size);
    }

    #[test]
    fn only_trusted_proxies_determine_the_client(
        forwarded in text(HOPS),
        x_forwarded_for in text(HOPS),
        scheme in "[a-z,\" ]{0,12}",
    ) {
        forwarded_invariants::check(forwarded.as_bytes(), x_forwarded_for.as_bytes(), scheme.as_bytes());
    }

    #[test]
    fn routes_are_found_regardless_of_other_routes(
        patterns in prop::collection::vec("(/([ab%2.]{0,3}|\\{[ab]\\}|a\\{b\\}|\\{\\*r\\})){1,4}/?|[ -~]{0,10}", 0..8),
        path in "(/[ab.%2]{0,3}){1,5}|[ -~é]{0,10}",
    ) {
        let patterns: Vec<_> = patterns.iter().map(String::as_str).collect();
        router_invariants::check(&patterns, &path);
    }
}
