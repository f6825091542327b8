//! TLS 1.3 records after the handshake: for any encrypted messages and any splitting, the data is decrypted in
//! order, or there is an error with one alert.
#![no_main]

#[path = "../../crates/tls/src/records/mod.rs"]
#[allow(dead_code, unused_imports)]
mod records;

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use records::Records;
use rustls::client::UnbufferedClientConnection;
use rustls::crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};
use rustls::{
    ClientConfig, ConnectionTrafficSecrets, ContentType, ProtocolVersion, RootCertStore,
    ServerConfig,
};

struct Configs {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

static CONFIGS: LazyLock<Configs> = LazyLock::new(|| {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let cert = CertificateDer::from(own.cert.der().to_vec());
    let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let mut roots = RootCertStore::empty();
    roots.add(cert.clone()).unwrap();
    let mut server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert], key.into())
        .unwrap();
    server.enable_secret_extraction = true;
    let mut client = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.enable_secret_extraction = true;
    Configs {
        server: Arc::new(server),
        client: Arc::new(client),
    }
});

/// Advances a rustls connection; returns the number of bytes to discard and the bytes to send, or `None` if it needs more bytes.
fn step<D>(status: UnbufferedStatus<'_, '_, D>) -> (usize, Option<Vec<u8>>) {
    let sent = match status.state.unwrap() {
        ConnectionState::EncodeTlsData(mut data) => {
            let mut sent = vec![0; 64 * 1024];
            let length = data.encode(&mut sent).unwrap();
            sent.truncate(length);
            Some(sent)
        }
        ConnectionState::TransmitTlsData(data) => {
            data.done();
            Some(Vec::new())
        }
        _ => None,
    };
    (status.discard, sent)
}

/// Connects a client to a server; returns the record layer of the server and the cipher of the client.
fn connect() -> (Records, Box<dyn MessageEncrypter>) {
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = UnbufferedClientConnection::new(Arc::clone(&CONFIGS.client), name).unwrap();
    let mut server = UnbufferedServerConnection::new(Arc::clone(&CONFIGS.server)).unwrap();
    let (mut to_client, mut to_server) = (Vec::new(), Vec::new());
    while server.is_handshaking() {
        loop {
            let (discard, sent) = step(client.process_tls_records(&mut to_client));
            to_client.drain(..discard);
            match sent {
                Some(sent) => to_server.extend(sent),
                None => break,
            }
        }
        loop {
            let (discard, sent) = step(server.process_tls_records(&mut to_server));
            to_server.drain(..discard);
            match sent {
                Some(sent) => to_client.extend(sent),
                None => break,
            }
        }
    }
    let (secrets, keys) = client.dangerous_into_kernel_connection().unwrap();
    let suite = keys.negotiated_cipher_suite().tls13().unwrap();
    let (ConnectionTrafficSecrets::Aes128Gcm { key, iv }
    | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
    | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv }) = secrets.tx.1
    else {
        unreachable!()
    };
    let cipher = suite.aead_alg.encrypter(key, iv);
    (Records::server(server).unwrap(), cipher)
}

fuzz_target!(|input: (u16, Vec<(bool, u8, Vec<u8>)>)| {
    let (piece, steps) = input;
    let (mut server, mut cipher) = connect();
    let (mut bytes, mut sent) = (Vec::new(), Vec::new());
    let mut sequence = 0;
    for (raw, typ, payload) in steps {
        if raw {
            bytes.extend(payload);
            continue;
        }
        // Type 0 is padding, in which case the last byte of the payload is the type.
        let typ = ContentType::from(typ.max(1));
        if typ == ContentType::ApplicationData {
            sent.extend(&payload);
        }
        let message = OutboundPlainMessage {
            typ,
            version: ProtocolVersion::TLSv1_3,
            payload: OutboundChunks::Single(&payload),
        };
        bytes.extend(cipher.encrypt(message, sequence).unwrap().encode());
        sequence += 1;
    }
    let (mut held, mut out, mut received) = (Vec::new(), Vec::new(), Vec::new());
    for piece in bytes.chunks(usize::from(piece).max(1)) {
        held.extend_from_slice(piece);
        let result = server.receive(&mut held, &mut out);
        received.extend_from_slice(&held[result.plaintext]);
        assert!(sent.starts_with(&received));
        match result.closed {
            Ok(false) => drop(held.drain(..result.consumed)),
            Ok(true) => break,
            Err(_) => {
                // At most one alert.
                assert!(out.len() <= 5 + 2 + 17, "{}", out.len());
                return;
            }
        }
        assert!(held.len() < 5 + 16 * 1024 + 256);
    }
    server.send(b"x", &mut out).unwrap();
    server.end(&mut out).unwrap();
});
