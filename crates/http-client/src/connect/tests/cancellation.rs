//! Futures that are dropped.

use std::net::Ipv4Addr;

use uptick_event_loop::{EventLoop, spawn};

use super::support::{SilentAddress, destination, resolving, run, silent_peer, tunnel, until};
use crate::connect::{ConnectOptions, Connectors, Destination, connect};

/// Starts to connect, and drops the future once `condition` holds.
#[track_caller]
fn cancel_when(
    destination: Destination,
    options: ConnectOptions,
    condition: impl FnMut() -> bool + 'static,
) {
    run(async move {
        let connecting = spawn(async move {
            let result = connect(&Connectors::default(), &destination, &options).await;
            panic!("the attempt has ended: {result:?}");
        });
        until(condition).await;
        connecting.cancel();
    });
    // Nothing is left that keeps the loop running.
    uptick_event_loop::run().unwrap();
    assert!(!EventLoop::current().is_alive());
}

#[test]
fn attempts_at_addresses_are_closed() {
    let silent = std::rc::Rc::new(SilentAddress::new(Ipv4Addr::new(127, 0, 0, 6), 0));
    let other = SilentAddress::new(Ipv4Addr::new(127, 0, 0, 7), silent.port());
    let (before, others) = (silent.attempts(), other.attempts());
    let other = std::rc::Rc::new(other);
    let options = resolving("app.test", &[[127, 0, 0, 6].into(), [127, 0, 0, 7].into()]);
    let watched = (std::rc::Rc::clone(&silent), std::rc::Rc::clone(&other));
    cancel_when(destination("app.test", silent.port()), options, move || {
        watched.0.attempts() > before && watched.1.attempts() > others
    });
    assert_eq!((silent.attempts(), other.attempts()), (before, others));
}

#[test]
fn a_connection_to_a_proxy_is_closed() {
    for scheme in ["http", "socks5"] {
        let proxy = silent_peer();
        let destination = tunnel("app.test", 80, &proxy.url(scheme));
        let start = std::time::Instant::now();
        cancel_when(destination, ConnectOptions::default(), move || {
            start.elapsed().as_millis() > 100
        });
        assert!(!proxy.join().is_empty());
    }
}

#[cfg(feature = "tls")]
#[test]
fn a_connection_in_a_tls_handshake_is_closed() {
    let server = silent_peer();
    let destination = Destination {
        scheme: crate::url::Scheme::Https,
        tls: crate::TlsOptions::new().dangerous_accept_any_certificate(),
        ..destination("127.0.0.1", server.port())
    };
    let start = std::time::Instant::now();
    cancel_when(destination, ConnectOptions::default(), move || {
        start.elapsed().as_millis() > 200
    });
    // A ClientHello.
    assert_eq!(server.join().first(), Some(&22));
}
