//! Invariants of `Forwarded` and `X-Forwarded-For` for any values: the headers of an untrusted peer are ignored, a client cannot pose as a
//! proxy, and a client cannot change the values that proxies add.

use std::net::IpAddr;

use uptick_http::{ClientInfo, ForwardedHeaders, TrustedProxies};

/// Checks the invariants for the headers of a request.
pub(crate) fn check(forwarded: &[u8], x_forwarded_for: &[u8], x_forwarded_proto: &[u8]) {
    let proxy = IpAddr::from([10, 0, 0, 1]);
    let stranger = IpAddr::from([203, 0, 113, 9]);
    let fields = [
        ("Forwarded", forwarded),
        ("X-Forwarded-For", x_forwarded_for),
        ("x-forwarded-proto", x_forwarded_proto),
    ];
    let trusted = || TrustedProxies::new([proxy]);

    let info = trusted().client_info(received(stranger), fields);
    assert_eq!(info, received(stranger));

    // Repeated headers are one list.
    let comma = x_forwarded_for.iter().position(|byte| *byte == b',');
    if let Some(comma) = comma.filter(|_| !x_forwarded_for.contains(&b'"')) {
        let (first, second) = (&x_forwarded_for[..comma], &x_forwarded_for[comma + 1..]);
        let proxies = trusted().fields(ForwardedHeaders::XForwarded);
        let name = "X-Forwarded-For";
        assert_eq!(
            proxies.client_info(received(proxy), [(name, first), (name, second)]),
            proxies.client_info(received(proxy), [(name, x_forwarded_for)])
        );
    }

    // The value that a proxy appends is used, regardless of the values from the client.
    let added = [x_forwarded_for, b", 192.0.2.7".as_slice()].concat();
    for fields in [
        vec![("X-Forwarded-For", added.as_slice())],
        vec![
            ("X-Forwarded-For", x_forwarded_for),
            ("X-Forwarded-For", b"192.0.2.7"),
        ],
    ] {
        let proxies = trusted().fields(ForwardedHeaders::XForwarded);
        let info = proxies.client_info(received(proxy), fields);
        assert_eq!(info.ip, Some(IpAddr::from([192, 0, 2, 7])));
    }
    let proxies = trusted().fields(ForwardedHeaders::Forwarded);
    let fields = [
        ("Forwarded", forwarded),
        ("Forwarded", b"for=192.0.2.7;proto=https".as_slice()),
    ];
    let info = proxies.client_info(received(proxy), fields);
    // A malformed list names no client instead of a wrong one.
    assert!(info.ip.is_none() || info.ip == Some(IpAddr::from([192, 0, 2, 7])));
}

fn received(peer: IpAddr) -> ClientInfo {
    let mut received = ClientInfo::default();
    received.ip = Some(peer);
    received.host = Some("inner".to_owned());
    received
}
