//! Protocols that a program sets on its server, and those of the context.

use std::io::Write;

use uptick_socket::prelude::*;
use uptick_tls::{SecureServer, ServerCert, TlsConfig, TlsContext};

use crate::support::{
    Directory, Identity, Trust, certificate, client, hang_up, join, logged, tls_server, until,
};

/// Returns the protocol that a client of `config` negotiates which offers `protocols`, or the error of its handshake.
#[track_caller]
fn negotiated(
    server: SecureServer,
    config: rustls::ClientConfig,
    protocols: &[&str],
) -> Result<Option<String>, String> {
    let mut config = config;
    config.alpn_protocols = protocols
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    join(client(server, config, |mut tls| {
        tls.write_all(b"hello").map_err(|error| error.to_string())?;
        let protocol = tls.conn.alpn_protocol().map(<[u8]>::to_vec);
        hang_up(tls);
        Ok(protocol.map(|name| String::from_utf8(name).unwrap()))
    }))
}

fn chosen(name: &str) -> Result<Option<String>, String> {
    Ok(Some(name.to_owned()))
}

#[test]
fn the_protocols_of_the_program_are_offered() {
    let identity = Identity::new();
    let server = tls_server(identity.config());
    let log = logged(server);
    let negotiated = |protocols: &[&str]| negotiated(server, identity.client(), protocols);
    assert_eq!(negotiated(&["h2", "http/1.1"]), Ok(None));
    server.offer_protocols(&["h2", "http/1.1"]);
    assert_eq!(negotiated(&["http/1.1", "h2"]), chosen("h2"));
    assert_eq!(negotiated(&["http/1.1"]), chosen("http/1.1"));
    assert_eq!(negotiated(&[]), Ok(None));
    log.take();
    let error = negotiated(&["imap"]).unwrap_err();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
    until(|| log.len() == 1);
    let error = log.take().remove(0);
    assert!(error.contains("no supported ALPN protocol"), "{error}");
    // A later call applies to later handshakes.
    server.offer_protocols(&["http/1.1"]);
    assert_eq!(negotiated(&["h2", "http/1.1"]), chosen("http/1.1"));
    server.offer_protocols(&[]);
    assert_eq!(negotiated(&["h2"]), Ok(None));
}

#[test]
fn the_connection_has_the_offered_protocol() {
    let identity = Identity::new();
    let server = tls_server(identity.config());
    server.offer_protocols(&["h2", "http/1.1"]);
    let log = logged(server);
    let protocols = log.clone();
    server.on("connection", move |conn: Connection| {
        let protocol = conn.alpn().unwrap();
        protocols.add(String::from_utf8_lossy(&protocol));
    });
    for name in ["h2", "http/1.1", "h2", "h2"] {
        assert_eq!(negotiated(server, identity.client(), &[name]), chosen(name));
        assert_eq!(log.take()[1], name);
    }
}

#[test]
fn the_protocols_of_the_context_take_precedence() {
    let identity = Identity::new();
    let server = tls_server(
        identity
            .context()
            .alpn_protocols(["http/1.1"])
            .load()
            .unwrap(),
    );
    logged(server);
    server.offer_protocols(&["h2"]);
    let both = ["h2", "http/1.1"];
    assert_eq!(
        negotiated(server, identity.client(), &both),
        chosen("http/1.1")
    );
    let none: [&str; 0] = [];
    let server = tls_server(identity.context().alpn_protocols(none).load().unwrap());
    logged(server);
    server.offer_protocols(&["h2"]);
    assert_eq!(negotiated(server, identity.client(), &both), Ok(None));
}

#[test]
fn names_that_alpn_cannot_express_are_not_offered() {
    let identity = Identity::new();
    let server = tls_server(identity.config());
    logged(server);
    server.offer_protocols(&["", &"x".repeat(256), "h2"]);
    assert_eq!(negotiated(server, identity.client(), &["h2"]), chosen("h2"));
}

#[test]
fn servers_with_the_same_configuration_offer_their_own_protocols() {
    let identity = Identity::new();
    let config = identity.config();
    let [first, second] = [tls_server(config.clone()), tls_server(config)];
    logged(first);
    logged(second);
    first.offer_protocols(&["h2"]);
    second.offer_protocols(&["imap"]);
    let both = ["h2", "imap"];
    for _ in 0..2 {
        assert_eq!(negotiated(first, identity.client(), &both), chosen("h2"));
        assert_eq!(negotiated(second, identity.client(), &both), chosen("imap"));
    }
}

/// Returns a context whose certificate for `localhost` is that of a name or of the callback.
fn contexts(trust: &mut Trust) -> [TlsConfig; 2] {
    let mut cert = || {
        let (cert, key) = certificate(|_| ());
        trust.add(&cert);
        ServerCert::from_pem(cert, key)
    };
    let named = TlsContext::new().sni_server_certs([("localhost", cert())]);
    let cert = cert();
    let by_callback = TlsContext::new().unknown_name(move |_| Some(cert.clone()));
    [named, by_callback].map(|context| context.load().unwrap())
}

#[test]
fn certificates_by_name_and_by_callback_have_the_protocols() {
    let mut trust = Trust::new();
    for config in contexts(&mut trust) {
        let server = tls_server(config);
        logged(server);
        server.offer_protocols(&["h2"]);
        for _ in 0..2 {
            assert_eq!(negotiated(server, trust.client(), &["h2"]), chosen("h2"));
        }
    }
}

#[test]
fn a_reloaded_certificate_has_the_protocols() {
    let directory = Directory::new();
    let mut trust = Trust::new();
    let mut renew = || {
        let (cert, key) = certificate(|_| ());
        trust.add(&cert);
        let file = directory.write("server.pem", &format!("{cert}{key}"));
        (file, trust.client())
    };
    let (file, old) = renew();
    let config = TlsContext::new().local_cert(file).load().unwrap();
    let server = tls_server(config.clone());
    logged(server);
    server.offer_protocols(&["h2"]);
    assert_eq!(negotiated(server, old, &["h2"]), chosen("h2"));
    let (_, new) = renew();
    config.reload().unwrap();
    assert_eq!(negotiated(server, new, &["h2"]), chosen("h2"));
}

#[test]
fn wrappers_pass_the_protocols_to_the_tls_server() {
    let identity = Identity::new();
    let secure = tls_server(identity.config());
    let limiting = LimitingServer::new(AnyServer::from(secure), 10, false);
    logged(limiting);
    limiting.offer_protocols(&["h2"]);
    assert_eq!(negotiated(secure, identity.client(), &["h2"]), chosen("h2"));
}

#[test]
fn the_outer_of_two_tls_servers_offers_the_protocols() {
    let identity = Identity::new();
    let inner = tls_server(identity.config());
    let outer = SecureServer::new(inner, identity.config());
    logged(outer);
    outer.offer_protocols(&["h2"]);
    // The client of the inner server sends no second handshake.
    assert_eq!(negotiated(inner, identity.client(), &["h2"]), Ok(None));
}
