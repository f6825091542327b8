//! Servers with several server names.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;
use uptick_socket::prelude::*;
use uptick_tls::{SecureServer, ServerCert, TlsConfig, TlsContext};

use crate::support::{
    Client, Directory, Log, Trust, address, certificate_for, connect, hang_up, join,
};

/// Certificates in files, and clients that trust all of them.
struct Site {
    directory: Directory,
    trust: Trust,
}

impl Site {
    fn new() -> Self {
        Site {
            directory: Directory::new(),
            trust: Trust::new(),
        }
    }

    fn cert(&mut self, name: &str) -> ServerCert {
        let (cert, key) = certificate_for(name, |_| ());
        self.trust.add(&cert);
        let key = self.directory.write(&format!("{name}.key"), &key);
        let cert = self.directory.write(&format!("{name}.pem"), &cert);
        ServerCert::new(cert).local_pk(key)
    }

    /// Returns the data that a client receives when it requests a name.
    fn request(&self, server: SecureServer, name: &str) -> Result<String, String> {
        join(request(
            address(server),
            self.trust.client(),
            name.to_owned(),
        ))
    }
}

fn request(
    address: SocketAddr,
    config: ClientConfig,
    name: String,
) -> JoinHandle<Result<String, String>> {
    thread::spawn(move || {
        let name = ServerName::try_from(name).unwrap();
        let session = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut tls: Client = StreamOwned::new(session, connect(address));
        let mut welcome = [0; 7];
        tls.flush().map_err(|error| error.to_string())?;
        tls.read_exact(&mut welcome)
            .map_err(|error| error.to_string())?;
        hang_up(tls);
        Ok(String::from_utf8_lossy(&welcome).into_owned())
    })
}

fn serve(config: impl Into<TlsConfig>) -> (SecureServer, Log) {
    let server = SecureServer::new(Server::bind("127.0.0.1:0").unwrap(), config);
    server.on("connection", |conn: Connection| {
        conn.write("welcome");
        conn.on("data", |_: Bytes| ());
    });
    let log = Log::default();
    let errors = log.clone();
    server.on("error", move |error: Error| errors.add(error));
    (server, log)
}

#[test]
fn clients_get_the_certificate_for_the_requested_name() {
    let mut site = Site::new();
    let certs = [
        ("*.example.org", site.cert("*.example.org")),
        ("example.com", site.cert("example.com")),
    ];
    let (server, log) = serve(TlsContext::new().sni_server_certs(certs));
    for name in ["www.example.org", "mail.example.org", "example.com"] {
        assert_eq!(
            site.request(server, name).as_deref(),
            Ok("welcome"),
            "{name}"
        );
    }
    assert!(log.take().is_empty());
}

#[test]
fn a_client_that_requests_an_unknown_name_gets_an_alert() {
    let mut site = Site::new();
    let certs = [("example.com", site.cert("example.com"))];
    let (server, log) = serve(TlsContext::new().sni_server_certs(certs));
    let refused = site.request(server, "example.org").unwrap_err();
    // The alert is unrecognized_name.
    assert!(refused.contains("UnrecognisedName"), "{refused}");
    let [text] = &log.take()[..] else { panic!() };
    assert!(
        text.ends_with(
            " failed: the client requested example.org, for which there is no certificate"
        ),
        "{text}"
    );
    assert_eq!(
        site.request(server, "example.com").as_deref(),
        Ok("welcome")
    );
}

#[test]
fn a_callback_may_return_certificates_for_requested_names() {
    let mut site = Site::new();
    let default = site.cert("default.example");
    let mut certs = vec![site.cert("a.example")];
    let (server, log) = serve(
        TlsContext::new()
            .sni_server_certs([("default.example", default)])
            .unknown_name(move |name| {
                assert_eq!(name, "a.example");
                // The callback is called only once.
                certs.pop()
            }),
    );
    for _ in 0..2 {
        assert_eq!(site.request(server, "a.example").as_deref(), Ok("welcome"));
    }
    assert!(log.take().is_empty());
}

#[test]
fn a_callback_that_panics_fails_only_that_handshake() {
    let mut site = Site::new();
    let default = site.cert("default.example");
    let mut certs = vec![site.cert("a.example")];
    let mut calls = 0;
    let (server, _) = serve(
        TlsContext::new()
            .sni_server_certs([("default.example", default)])
            .unknown_name(move |_| {
                calls += 1;
                assert!(calls > 1, "not yet");
                certs.pop()
            }),
    );
    site.request(server, "a.example").unwrap_err();
    assert_eq!(site.request(server, "a.example").as_deref(), Ok("welcome"));
}
