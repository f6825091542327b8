//! Loading at the first handshake, and reloading of changed files.

use std::io::{Read, Write};
use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use uptick_emitter::Emitter;
use uptick_socket::prelude::*;
use uptick_tls::{SecureServer, TlsConfig, TlsContext};

use crate::support::{
    Client, Directory, Log, TEST_TIMEOUT, Trust, certificate, client, hang_up, join, logged,
    manual_clock, tls_server, until,
};

/// A certificate file that is renewed.
struct Renewal {
    directory: Directory,
    trust: Trust,
}

impl Renewal {
    fn new() -> Self {
        Renewal {
            directory: Directory::new(),
            trust: Trust::new(),
        }
    }

    /// Replaces the certificate like a renewal program, by renaming a new file.
    fn renew(&mut self) -> CertificateDer<'static> {
        let (cert, key) = certificate(|_| ());
        let new = self.directory.write("new.pem", &format!("{cert}{key}"));
        std::fs::rename(new, self.directory.path("server.pem")).unwrap();
        self.trust.add(&cert);
        CertificateDer::from_pem_slice(cert.as_bytes()).unwrap()
    }

    fn context(&self) -> TlsContext {
        TlsContext::new().local_cert(self.directory.path("server.pem"))
    }

    fn client(&self) -> ClientConfig {
        self.trust.client()
    }

    /// Returns the certificate that a new client receives.
    #[track_caller]
    fn seen(&self, server: SecureServer) -> CertificateDer<'static> {
        join(client(server, self.client(), |mut tls| {
            tls.flush().unwrap();
            let seen = seen(&tls);
            hang_up(tls);
            seen
        }))
    }
}

fn seen(tls: &Client) -> CertificateDer<'static> {
    tls.conn.peer_certificates().unwrap()[0].clone()
}

fn echo(config: impl Into<TlsConfig>) -> SecureServer {
    let server = SecureServer::new(Server::bind("127.0.0.1:0").unwrap(), config);
    server.on("connection", |conn: Connection| {
        conn.on("data", move |chunk: Bytes| conn.write(chunk));
    });
    server
}

/// Returns a log of the events of a configuration.
fn events(config: &TlsConfig, directory: &Directory) -> Log {
    let log = Log::default();
    let (reloads, errors) = (log.clone(), log.clone());
    let path = format!("{}/", directory.path("").display()).replace("//", "/");
    config.on("reload", move |()| reloads.add("reload"));
    config.on("error", move |error: uptick_tls::Error| {
        errors.add(error.to_string().replace(&path, ""));
    });
    log
}

/// Exchanges one byte over an open connection.
fn exchange(mut tls: Client) -> Client {
    tls.write_all(b"x").unwrap();
    let mut response = [0; 1];
    tls.read_exact(&mut response).unwrap();
    assert_eq!(&response, b"x");
    tls
}

const BROKEN: &str = "loading the certificate from server.pem failed: it contains no `-----BEGIN CERTIFICATE-----`: it \
     must be a PEM file (`openssl x509 -inform der -in FILE` converts from DER)";

#[test]
fn a_reload_applies_to_new_handshakes_and_keeps_open_connections() {
    let mut files = Renewal::new();
    let first = files.renew();
    let config = files.context().load().unwrap();
    let log = events(&config, &files.directory);
    let server = echo(config.clone());
    let open = join(client(server, files.client(), exchange));
    assert_eq!(seen(&open), first);

    let second = files.renew();
    assert_eq!(files.seen(server), first);
    config.reload().unwrap();
    assert_eq!(log.take(), ["reload"]);
    assert_eq!(files.seen(server), second);
    let open = std::thread::spawn(move || exchange(open));
    join(open);
}

#[test]
fn a_reload_applies_to_the_handshakes_of_all_threads() {
    let mut files = Renewal::new();
    let first = files.renew();
    let config = files.context().load().unwrap();
    let (visit, visits) = mpsc::channel::<ClientConfig>();
    let (response, responses) = mpsc::channel();
    let shared = config.clone();
    let other = std::thread::spawn(move || {
        let log = Log::default();
        let events = log.clone();
        shared.on("reload", move |()| events.add("reload"));
        let server = echo(shared.clone());
        for config in visits {
            let seen = join(client(server, config, |mut tls| {
                tls.flush().unwrap();
                let seen = seen(&tls);
                hang_up(tls);
                seen
            }));
            response.send((seen, log.take())).unwrap();
        }
        shared.remove_all_listeners();
    });
    let ask = |files: &Renewal| {
        visit.send(files.client()).unwrap();
        responses.recv_timeout(TEST_TIMEOUT).unwrap()
    };
    assert_eq!(ask(&files), (first, vec![]));
    let second = files.renew();
    config.reload().unwrap();
    assert_eq!(ask(&files), (second, vec!["reload".to_owned()]));
    drop(visit);
    other.join().unwrap();
}

#[test]
fn threads_with_an_unloaded_context_share_the_first_loaded_configuration() {
    let mut files = Renewal::new();
    let config = TlsConfig::from(files.context());
    let own = files.renew();
    let client_config = files.client();
    let threads = [(); 3].map(|()| {
        let (config, client_config) = (config.clone(), client_config.clone());
        std::thread::spawn(move || {
            let server = echo(config);
            join(client(server, client_config, |mut tls| {
                tls.flush().unwrap();
                let seen = seen(&tls);
                hang_up(tls);
                seen
            }))
        })
    });
    for thread in threads {
        assert_eq!(thread.join().unwrap(), own);
    }
}

#[test]
fn an_error_of_a_reload_is_emitted_on_the_thread_with_a_listener() {
    let mut files = Renewal::new();
    files.renew();
    let config = files.context().load().unwrap();
    let log = events(&config, &files.directory);
    files.directory.write("server.pem", "broken");
    let other = config.clone();
    let reloaded = std::thread::spawn(move || other.reload().is_err());
    assert!(reloaded.join().unwrap());
    until(|| log.len() > 0);
    assert_eq!(log.take(), [BROKEN]);
}

#[test]
fn the_listeners_of_other_threads_are_dropped_with_the_last_clone() {
    let mut files = Renewal::new();
    files.renew();
    let config = files.context().load().unwrap();
    let captured = Rc::new(());
    let held = Rc::clone(&captured);
    config.on("reload", move |()| drop(Rc::clone(&held)));
    assert_eq!(Rc::strong_count(&captured), 2);
    std::thread::spawn(move || drop(config)).join().unwrap();
    until(|| Rc::strong_count(&captured) == 1);
}

#[test]
fn a_failed_reload_is_an_error_and_keeps_the_previous_configuration() {
    let mut files = Renewal::new();
    let first = files.renew();
    let config = files.context().load().unwrap();
    let log = events(&config, &files.directory);
    let server = tls_server(config.clone());
    logged(server);
    files.directory.write("server.pem", "");
    let error = config.reload().unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("loading the certificate from ")
    );
    assert_eq!(log.take(), [BROKEN]);
    assert_eq!(files.seen(server), first);
    assert!(log.take().is_empty());
}

#[test]
fn an_unloaded_context_reads_no_file_before_the_first_handshake() {
    let mut files = Renewal::new();
    let server = echo(files.context());
    let own = files.renew();
    assert_eq!(files.seen(server), own);
}

#[test]
fn each_handshake_fails_until_the_context_can_be_loaded() {
    let clock = manual_clock();
    let mut files = Renewal::new();
    let server = echo(files.context());
    let log = Log::default();
    let errors = log.clone();
    server.on("error", move |error: Error| errors.add(error));
    let refused = |files: &Renewal| {
        join(client(server, files.client(), |mut tls| {
            tls.write_all(b"x").is_err() || tls.read(&mut [0; 1]).is_err()
        }))
    };
    let expected = files.context().load().unwrap_err().to_string();
    assert!(expected.ends_with("No such file or directory (ENOENT)"));
    assert!(refused(&files));
    let errors = log.take();
    assert_eq!(errors.len(), 1);
    assert!(
        errors[0].starts_with("TLS handshake with tcp://127.0.0.1:"),
        "{errors:?}"
    );
    assert!(
        errors[0].ends_with(&format!(" failed: {expected}")),
        "{errors:?}"
    );

    let own = files.renew();
    clock.advance(Duration::from_millis(999));
    assert!(refused(&files));
    assert!(log.take()[0].ends_with(&expected));
    clock.advance(Duration::from_millis(1));
    assert_eq!(files.seen(server), own);
    assert!(log.take().is_empty());
}

#[test]
fn changed_files_are_reloaded_at_the_next_handshake() {
    let clock = manual_clock();
    let mut files = Renewal::new();
    let first = files.renew();
    let config = TlsConfig::from(files.context());
    let log = events(&config, &files.directory);
    let server = echo(config);
    assert_eq!(files.seen(server), first);
    let second = files.renew();
    // The files are not checked within the interval.
    clock.advance(Duration::from_millis(999));
    assert_eq!(files.seen(server), first);
    clock.advance(Duration::from_millis(1));
    assert_eq!(files.seen(server), second);
    assert_eq!(log.take(), ["reload"]);
    clock.advance(Duration::from_secs(10));
    assert_eq!(files.seen(server), second);
    assert!(log.take().is_empty());
}

#[test]
fn an_invalid_file_is_reported_once_for_each_change_and_the_previous_configuration_stays() {
    let clock = manual_clock();
    let mut files = Renewal::new();
    let first = files.renew();
    let context = files.context().reload_on_change(Duration::from_secs(5));
    let config = context.load().unwrap();
    let log = events(&config, &files.directory);
    let server = echo(config);
    let look = |files: &Renewal| {
        clock.advance(Duration::from_secs(5));
        files.seen(server)
    };
    files.directory.write("server.pem", "broken");
    assert_eq!(look(&files), first);
    assert_eq!(look(&files), first);
    assert_eq!(log.take(), [BROKEN]);
    std::fs::remove_file(files.directory.path("server.pem")).unwrap();
    assert_eq!(look(&files), first);
    assert_eq!(look(&files), first);
    assert_eq!(
        log.take(),
        ["reading the certificate from server.pem failed: No such file or directory (ENOENT)"]
    );
    let second = files.renew();
    assert_eq!(look(&files), second);
    assert_eq!(log.take(), ["reload"]);
}

#[test]
fn a_changed_link_target_is_a_change() {
    let clock = manual_clock();
    let mut files = Renewal::new();
    let first = files.renew();
    let link = files.directory.path("link.pem");
    let point = |name: &str| {
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(files.directory.path(name), &link).unwrap();
    };
    point("server.pem");
    let context = TlsContext::new().local_cert(&link);
    let server = echo(context);
    assert_eq!(files.seen(server), first);
    std::fs::rename(
        files.directory.path("server.pem"),
        files.directory.path("old.pem"),
    )
    .unwrap();
    let (cert, key) = certificate(|_| ());
    files.directory.write("server.pem", &format!("{cert}{key}"));
    files.trust.add(&cert);
    let second = CertificateDer::from_pem_slice(cert.as_bytes()).unwrap();
    clock.advance(Duration::from_secs(1));
    assert_eq!(files.seen(server), second);
}

#[test]
fn a_loaded_context_does_not_check_its_files_unless_configured() {
    let clock = manual_clock();
    let mut files = Renewal::new();
    let first = files.renew();
    let server = echo(files.context().load().unwrap());
    files.renew();
    clock.advance(Duration::from_secs(3600));
    assert_eq!(files.seen(server), first);
    let server = echo(files.context().reload_on_change(None));
    let second = files.seen(server);
    files.renew();
    clock.advance(Duration::from_secs(3600));
    assert_eq!(files.seen(server), second);
}

#[test]
fn checked_files_do_not_keep_the_loop_running() {
    let mut files = Renewal::new();
    files.renew();
    let server = echo(files.context());
    files.seen(server);
    server.close();
    run().unwrap();
}

#[test]
fn a_listener_may_reload_during_an_error_event() {
    let mut files = Renewal::new();
    files.renew();
    let config = files.context().load().unwrap();
    let log = events(&config, &files.directory);
    let (again, directory) = (config.clone(), files.directory.path("server.pem"));
    let good = std::fs::read(&directory).unwrap();
    config.once("error", move |_: uptick_tls::Error| {
        std::fs::write(&directory, &good).unwrap();
        again.reload().unwrap();
    });
    files.directory.write("server.pem", "broken");
    config.reload().unwrap_err();
    assert_eq!(log.take(), [BROKEN, "reload"]);
    config.remove_all_listeners();
}
