//! Resumption of sessions.

use std::io::{Read, Write};
use std::thread;

use rcgen::SanType;
use rustls::{ClientConfig, HandshakeKind, SupportedProtocolVersion};
use uptick_socket::prelude::*;
use uptick_tls::{TicketKeys, TlsConfig, TlsContext};

use crate::support::{
    Client, Directory, Identity, Trust, certificate_for, client, hang_up, join, tls_server,
};

/// Returns the kind of handshake of a client that exchanges a byte.
#[track_caller]
fn visit(config: &TlsConfig, client_config: &ClientConfig) -> HandshakeKind {
    let server = tls_server(config.clone());
    server.on("connection", |conn: Connection| {
        conn.on("data", move |chunk: Bytes| conn.write(chunk));
    });
    let kind = join(client(server, client_config.clone(), |mut tls: Client| {
        tls.write_all(b"x").unwrap();
        // The tickets were received before this byte.
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
fn a_client_resumes_its_session_with_its_ticket() {
    let identity = Identity::new();
    for version in VERSIONS {
        // The server keeps no sessions, so only the ticket can resume one.
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
fn tickets_are_accepted_after_a_reload_and_kept_sessions_are_not() {
    let identity = Identity::new();
    for version in VERSIONS {
        let tickets = identity.context().session_cache(0);
        let kept = identity.context().session_tickets(0);
        for (context, expected) in [
            (tickets, HandshakeKind::Resumed),
            (kept, HandshakeKind::Full),
        ] {
            let config = context.load().unwrap();
            let client = identity.client_of(&[version]);
            visit(&config, &client);
            config.reload().unwrap();
            assert_eq!(visit(&config, &client), expected, "{version:?}");
        }
    }
}

#[test]
fn contexts_of_a_process_resume_each_others_sessions() {
    let identity = Identity::new();
    for version in VERSIONS {
        let client = identity.client_of(&[version]);
        let context = identity.context().session_cache(0);
        let visit = || visit(&context.clone().load().unwrap(), &client);
        assert_eq!(visit(), HandshakeKind::Full);
        // Each thread has its own loop and context.
        let second = thread::scope(|scope| scope.spawn(visit).join().unwrap());
        assert_eq!(second, HandshakeKind::Resumed, "{version:?}");
        assert_eq!(visit(), HandshakeKind::Resumed, "{version:?}");
    }
}

#[test]
fn contexts_resume_sessions_only_with_the_same_keys() {
    let identity = Identity::new();
    let keys = TicketKeys::new().unwrap();
    let imported = TicketKeys::import(&keys.export().unwrap()).unwrap();
    for version in VERSIONS {
        let client = identity.client_of(&[version]);
        let visit = |keys: Option<&TicketKeys>| {
            let mut context = identity.context().session_cache(0);
            if let Some(keys) = keys {
                context = context.ticket_keys(keys.clone());
            }
            visit(&context.load().unwrap(), &client)
        };
        assert_eq!(visit(Some(&keys)), HandshakeKind::Full);
        assert_eq!(visit(Some(&imported)), HandshakeKind::Resumed);
        assert_eq!(visit(None), HandshakeKind::Full);
        assert_eq!(visit(Some(&keys)), HandshakeKind::Full);
    }
}

#[test]
fn sessions_are_resumed_after_a_renewal_for_the_same_names_only() {
    let directory = Directory::new();
    let mut trust = Trust::new();
    let names = [
        ["localhost", "a.example"],
        ["a.example", "localhost"],
        ["localhost", "b.example"],
    ];
    let files = names.map(|[first, second]| {
        let (cert, key) = certificate_for(first, |params| {
            let second = SanType::DnsName(second.try_into().unwrap());
            params.subject_alt_names.push(second);
        });
        trust.add(&cert);
        format!("{cert}{key}")
    });
    let [first, renewed, other] = files;
    let path = directory.write("server.pem", &first);
    let context = TlsContext::new().local_cert(path).session_cache(0);
    let (config, client) = (context.load().unwrap(), trust.client());
    assert_eq!(visit(&config, &client), HandshakeKind::Full);
    directory.write("server.pem", &renewed);
    config.reload().unwrap();
    assert_eq!(visit(&config, &client), HandshakeKind::Resumed);
    directory.write("server.pem", &other);
    config.reload().unwrap();
    assert_eq!(visit(&config, &client), HandshakeKind::Full);
}

#[test]
fn only_tls_1_2_clients_resume_kept_sessions_without_tickets() {
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
fn a_client_gets_the_configured_number_of_tickets() {
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
