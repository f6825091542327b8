//! TLS, against a real server.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::fs;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use support::{Recorder, RedisServer, free_port, run, until};
use uptick_redis::{Redis, RedisOptions};
use uptick_socket::Connector;
use uptick_tls::SecureConnector;

#[test]
fn a_rediss_url_connects_with_tls() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let pem = cert.pem();
    let tls_port = free_port();
    let Some(server) = RedisServer::start_with(|folder| {
        let (cert, key) = (
            folder.path().join("cert.pem"),
            folder.path().join("key.pem"),
        );
        fs::write(&cert, &pem).unwrap();
        fs::write(&key, signing_key.serialize_pem()).unwrap();
        let path = |path: std::path::PathBuf| path.display().to_string();
        [
            ("--tls-port", tls_port.to_string()),
            ("--tls-cert-file", path(cert.clone())),
            ("--tls-key-file", path(key)),
            ("--tls-ca-cert-file", path(cert)),
            ("--tls-auth-clients", "no".to_owned()),
        ]
        .into_iter()
        .flat_map(|(name, value)| [name.to_owned(), value])
        .collect()
    }) else {
        return;
    };
    let _server = server;
    run(async move {
        let url = format!("rediss://localhost:{tls_port}/1");
        let secure = SecureConnector::new(Connector::new()).cafile_pem(pem);
        let options = RedisOptions::new().connector(secure);
        let redis = Redis::connect_with(&url, options)?;
        let large = "x".repeat(300_000);
        redis.set("large", &large).await?;
        assert!(redis.get::<String>("large").await? == large);
        redis.close();

        // The certificate is not trusted by default.
        let redis = Redis::connect(&url)?;
        let recorder = Recorder::of(redis);
        until(|| recorder.count("error") == 1).await;
        assert!(recorder.has("certificate"), "{:?}", recorder.events());
        redis.disconnect();
        Ok(())
    });
}
