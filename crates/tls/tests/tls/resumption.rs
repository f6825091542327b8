//! Clients that come again.

use std::io::{Read, Write};

use rustls::{ClientConfig, HandshakeKind, SupportedProtocolVersion};
use uptick_socket::prelude::*;
use uptick_tls::{TlsConfig, TlsContext};

use crate::support::{Client, Identity, client, hang_up, join, tls_server};

/// How the handshake was done of a client that exchanges something.
#[track_caller]
fn visit(config: &TlsConfig, client_config: &ClientConfig) -> HandshakeKind {
    let server = tls_server(config.clone());
    server.on("connection", |conn: Connection| {
        conn.on("data", move |chunk: Bytes| conn.write(chunk));
    });
    let kind = join(client(server, client_config.clone(), |mut tls: Client| {
        tls.write_all(b"x").unwrap();
        // What came before it has been read as well, so that the tickets have.
        tls.read_exact(&mut [0; 1]).unwrap();
        let kind = tls.conn.handshake_kind().unwrap();
        hang_up(tls);
        kind
    }));
    server.close();
    kind
}

const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];

#[test]
fn a_client_resumes_its_session_with_the_ticket_that_it_was_sent() {
    let identity = Identity::new();
    for version in VERSIONS {
        // Nothing is kept here, so it is the ticket.
        let config = identity.context().session_cache(0).load().unwrap();
        let client = identity.client_of(&[version]);
        assert_eq!(visit(&config, &client), HandshakeKind::Full);
        for _ in 0..3 {
            assert_eq!(
                visit(&config, &client),
                HandshakeKind::Resumed,
                "{version:?}"
            );
        }
    }
}

#[test]
fn after_a_reload_sessions_begin_anew() {
    let identity = Identity::new();
    for version in VERSIONS {
        for context in [identity.context(), identity.context().session_tickets(0)] {
            let config = context.load().unwrap();
            let client = identity.client_of(&[version]);
            visit(&config, &client);
            config.reload().unwrap();
            assert_eq!(visit(&config, &client), HandshakeKind::Full);
        }
    }
}

#[test]
fn without_tickets_only_old_clients_resume_and_only_what_is_kept() {
    let identity = Identity::new();
    let second = |context: TlsContext, version: &'static SupportedProtocolVersion| {
        let config = context.load().unwrap();
        let client = identity.client_of(&[version]);
        visit(&config, &client);
        visit(&config, &client)
    };
    let context = identity.context().session_tickets(0);
    assert_eq!(second(context.clone(), VERSIONS[0]), HandshakeKind::Full);
    assert_eq!(second(context.clone(), VERSIONS[1]), HandshakeKind::Resumed);
    let context = context.session_cache(0);
    assert_eq!(second(context, VERSIONS[1]), HandshakeKind::Full);
}

#[test]
fn a_client_gets_as_many_tickets_as_are_set() {
    let identity = Identity::new();
    for count in [1, 3] {
        let config = identity.context().session_tickets(count).load().unwrap();
        let server = tls_server(config);
        server.on("connection", |conn: Connection| conn.end_with("x"));
        let received = join(client(server, identity.client(), |mut tls| {
            tls.read_exact(&mut [0; 1]).unwrap();
            let received = tls.conn.tls13_tickets_received();
            hang_up(tls);
            received
        }));
        assert_eq!(received, count as u32);
    }
}
