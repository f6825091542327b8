use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, IntoRawFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::sync::{Barrier, RwLock};
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::io::FdFlags;

use super::*;

fn listen(uri: &str) -> Result<Bound, Error> {
    bind(&uri.parse()?, &SocketOptions::new())
}

fn error(uri: &str) -> String {
    listen(uri).unwrap_err().to_string()
}

/// A directory that is removed when the test ends.
struct TempDir(PathBuf);

impl TempDir {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("uptick-bind-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn uri(&self, name: &str) -> String {
        format!("unix://{}", self.path(name).display())
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A process that is being started holds copies of all descriptors until its program begins, so that a closed server
/// still appears to be alive. Tests with a dead server therefore prevent the start of processes.
static STARTING: RwLock<()> = RwLock::new(());

/// Duplicates a descriptor to a number that no other test uses, because each number can be taken only once.
fn inherit(socket: impl AsFd) -> RawFd {
    static NEXT: AtomicI32 = AtomicI32::new(600);
    let least = NEXT.fetch_add(1, Ordering::Relaxed);
    let copy = rustix::io::fcntl_dupfd_cloexec(socket, least).unwrap();
    copy.into_raw_fd()
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn a_tcp_socket_is_non_blocking_and_has_its_actual_port() {
    let bound = listen("127.0.0.1:0").unwrap();
    let address = bound.address.socket_addr().unwrap();
    assert_ne!(address.port(), 0);
    assert!(bound.file.is_none());
    let flags = rustix::fs::fcntl_getfl(&bound.socket).unwrap();
    assert!(flags.contains(OFlags::NONBLOCK));
    let flags = rustix::io::fcntl_getfd(&bound.socket).unwrap();
    assert!(flags.contains(FdFlags::CLOEXEC));

    let listener = TcpListener::from(bound.socket);
    assert!(listener.accept().is_err());
    let _client = TcpStream::connect(address).unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn accepted_connections_inherit_the_options() {
    let uri = "127.0.0.1:0".parse().unwrap();
    let options = SocketOptions::new().recv_buffer_size(20_000);
    let bound = bind(&uri, &options).unwrap();
    let listener = TcpListener::from(bound.socket);
    let _client = TcpStream::connect(bound.address.socket_addr().unwrap()).unwrap();
    listener.set_nonblocking(false).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    let accepted = Socket::from(accepted);
    assert!(accepted.tcp_nodelay().unwrap());
    assert!(accepted.keepalive().unwrap());
    assert_eq!(accepted.recv_buffer_size().unwrap(), 40_000);
}

#[test]
fn a_port_in_use_is_an_error() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = taken.local_addr().unwrap();
    assert_eq!(
        error(&address.to_string()),
        format!("listening on tcp://{address} failed: Address already in use (EADDRINUSE)")
    );
    assert_eq!(
        error("192.0.2.1:0"),
        "listening on tcp://192.0.2.1:0 failed: Cannot assign requested address (EADDRNOTAVAIL)"
    );
}

#[test]
fn several_sockets_share_a_port_only_if_all_of_them_set_reuse_port() {
    let share = SocketOptions::new().reuse_port(true);
    let first = bind(&"127.0.0.1:0".parse().unwrap(), &share).unwrap();
    let uri = ListenUri::Tcp(first.address.socket_addr().unwrap());
    let second = bind(&uri, &share).unwrap();
    assert_eq!(second.address, first.address);
    let error = bind(&uri, &SocketOptions::new()).unwrap_err();
    assert_eq!(error.errno_name(), Some("EADDRINUSE"));
}

#[test]
fn v6_only_determines_whether_ipv4_clients_are_accepted() {
    for (only, reachable) in [(true, false), (false, true)] {
        let options = SocketOptions::new().v6_only(only);
        let bound = bind(&"[::]:0".parse().unwrap(), &options).unwrap();
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, bound.address.port().unwrap()));
        assert_eq!(client.is_ok(), reachable, "v6_only({only})");
    }
}

#[test]
fn a_unix_socket_listens_and_its_file_is_removed_with_it() {
    let directory = TempDir::new();
    let path = directory.path("s");
    let bound = listen(&directory.uri("s")).unwrap();
    assert_eq!(bound.address.to_string(), directory.uri("s"));
    assert_eq!(bound.file.as_ref().unwrap().path(), path);
    let _client = UnixStream::connect(&path).unwrap();
    drop(bound);
    assert!(!path.exists());
}

#[test]
fn a_file_can_be_kept_for_the_next_process() {
    let directory = TempDir::new();
    let bound = listen(&directory.uri("s")).unwrap();
    bound.file.unwrap().keep();
    let _client = UnixStream::connect(directory.path("s")).unwrap();
}

#[test]
fn the_file_of_a_later_server_is_not_removed() {
    let directory = TempDir::new();
    let path = directory.path("s");
    let bound = listen(&directory.uri("s")).unwrap();
    fs::remove_file(&path).unwrap();
    let later = listen(&directory.uri("s")).unwrap();
    drop(bound);
    let _client = UnixStream::connect(&path).unwrap();
    drop(later);
    assert!(!path.exists());
}

#[test]
fn a_socket_file_without_a_server_is_replaced() {
    let _no_process_starts = STARTING.read().unwrap();
    let directory = TempDir::new();
    let path = directory.path("s");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let _bound = listen(&directory.uri("s")).unwrap();
    let _client = UnixStream::connect(&path).unwrap();
}

#[test]
fn a_socket_file_with_a_server_is_in_use() {
    let directory = TempDir::new();
    let path = directory.path("s");
    let in_use = format!(
        "listening on {} failed: Address already in use (EADDRINUSE)",
        directory.uri("s")
    );
    let stream = UnixListener::bind(&path).unwrap();
    assert_eq!(error(&directory.uri("s")), in_use);
    assert!(UnixStream::connect(&path).is_ok());
    drop(stream);

    fs::remove_file(&path).unwrap();
    let _datagram = UnixDatagram::bind(&path).unwrap();
    assert_eq!(error(&directory.uri("s")), in_use);
}

#[cfg(target_os = "linux")]
#[test]
fn a_server_with_a_full_backlog_is_not_mistaken_for_a_dead_one() {
    let directory = TempDir::new();
    let options = SocketOptions::new().backlog(0);
    let uri = directory.uri("s").parse().unwrap();
    let _bound = bind(&uri, &options).unwrap();
    let _waiting = UnixStream::connect(directory.path("s")).unwrap();
    let error = bind(&uri, &options).unwrap_err();
    assert_eq!(error.errno_name(), Some("EADDRINUSE"));
}

#[test]
fn a_file_that_is_not_a_socket_is_never_removed() {
    let directory = TempDir::new();
    fs::write(directory.path("file"), "precious").unwrap();
    fs::create_dir(directory.path("directory")).unwrap();
    drop(UnixListener::bind(directory.path("stale")).unwrap());
    std::os::unix::fs::symlink("stale", directory.path("link")).unwrap();
    for name in ["file", "directory", "link"] {
        let uri = directory.uri(name);
        assert_eq!(
            error(&uri),
            format!(
                "listening on {uri} failed: a file exists that is not a socket; it was not \
                 replaced (ENOTSOCK)"
            )
        );
    }
    assert_eq!(fs::read(directory.path("file")).unwrap(), b"precious");
    assert!(
        directory
            .path("link")
            .symlink_metadata()
            .unwrap()
            .is_symlink()
    );
    assert!(
        directory
            .path("stale")
            .metadata()
            .unwrap()
            .file_type()
            .is_socket()
    );
}

#[test]
fn exactly_one_of_many_servers_replaces_a_stale_socket_file() {
    let _no_process_starts = STARTING.read().unwrap();
    let directory = TempDir::new();
    let path = directory.path("s");
    for round in 0..20 {
        drop(UnixListener::bind(&path).unwrap());
        let barrier = Barrier::new(8);
        let results: Vec<Result<Bound, Error>> = std::thread::scope(|scope| {
            let server = || {
                barrier.wait();
                listen(&directory.uri("s"))
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(server)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert!(UnixStream::connect(&path).is_ok(), "round {round}");
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        drop(results);
        assert!(!path.exists());
    }
}

#[test]
fn the_mode_is_independent_of_the_umask() {
    let directory = TempDir::new();
    let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let bound: Vec<_> = ["0666", "0660", "0600", "0000"]
        .into_iter()
        .map(|mode| {
            let uri = format!("{}?mode={mode}", directory.uri(mode));
            (mode, listen(&uri).unwrap())
        })
        .collect();
    rustix::process::umask(before);
    for (mode, _) in &bound {
        let expected = u32::from_str_radix(mode, 8).unwrap();
        assert_eq!(mode_of(&directory.path(mode)), expected);
    }
}

#[test]
fn owner_and_group_of_the_file_are_set() {
    let directory = TempDir::new();
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    let uri = format!(
        "{}?mode=0640&owner={}&group={}",
        directory.uri("s"),
        user.as_raw(),
        group.as_raw()
    );
    let _bound = listen(&uri).unwrap();
    let metadata = fs::metadata(directory.path("s")).unwrap();
    assert_eq!(metadata.uid(), user.as_raw());
    assert_eq!(metadata.gid(), group.as_raw());
    assert_eq!(mode_of(&directory.path("s")), 0o640);

    // Only root may change the owner of a file to another user.
    let uri = format!(
        "{}?mode=0600&owner=12345&group=12346",
        directory.uri("other")
    );
    match listen(&uri) {
        Ok(_bound) => {
            let metadata = fs::metadata(directory.path("other")).unwrap();
            assert_eq!((metadata.uid(), metadata.gid()), (12345, 12346));
        }
        Err(error) => {
            assert_eq!(error.errno_name(), Some("EPERM"));
            assert!(!directory.path("other").exists());
        }
    }
}

#[test]
fn an_unknown_owner_is_an_error_and_no_file_is_created() {
    let directory = TempDir::new();
    let error = error(&format!("{}?owner=no-such-user", directory.uri("s")));
    assert!(
        error.ends_with(
            "/etc/passwd has no entry \"no-such-user\"; use the number of an account from another source (EINVAL)"
        ),
        "{error}"
    );
    assert!(!directory.path("s").exists());
}

#[test]
fn a_missing_directory_is_an_error() {
    assert_eq!(
        error("unix:///no/such/directory/s"),
        "listening on unix:///no/such/directory/s failed: No such file or directory (ENOENT)"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn an_abstract_name_has_no_file_and_can_be_bound_once() {
    let _no_process_starts = STARTING.read().unwrap();
    let uri = format!("unix:@uptick-bind-{}", std::process::id());
    let bound = listen(&uri).unwrap();
    assert_eq!(bound.address.to_string(), uri);
    assert!(bound.file.is_none());
    assert_eq!(
        error(&uri),
        format!("listening on {uri} failed: Address already in use (EADDRINUSE)")
    );
    drop(bound);
    listen(&uri).unwrap();
}

#[test]
fn an_inherited_listener_continues_to_listen() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let number = inherit(&listener);
    let bound = listen(&format!("fd://{number}")).unwrap();
    assert_eq!(bound.address, listener.local_addr().unwrap().into());
    let flags = rustix::fs::fcntl_getfl(&bound.socket).unwrap();
    assert!(flags.contains(OFlags::NONBLOCK));
    drop(listener);
    let _client = TcpStream::connect(bound.address.socket_addr().unwrap()).unwrap();

    let directory = TempDir::new();
    let listener = UnixListener::bind(directory.path("s")).unwrap();
    let bound = listen(&format!("fd://{}", inherit(&listener))).unwrap();
    assert_eq!(bound.address.to_string(), directory.uri("s"));
    drop(bound);
    assert!(directory.path("s").exists());
}

#[test]
fn an_inherited_socket_that_is_only_bound_starts_to_listen() {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    let bound = listen(&format!("fd://{}", inherit(&socket))).unwrap();
    let _client = TcpStream::connect(bound.address.socket_addr().unwrap()).unwrap();
}

#[test]
fn the_error_for_an_unsuitable_descriptor_states_the_reason() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connection = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let datagram = UdpSocket::bind("127.0.0.1:0").unwrap();
    let unbound = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let unnamed = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    let file = fs::File::open("/dev/null").unwrap();
    let not_bound = "the socket is not bound to an address (EINVAL)";
    for (fd, reason) in [
        (
            inherit(&connection),
            "the socket is a connection, not a listening socket (EISCONN)",
        ),
        (
            inherit(&datagram),
            "the socket is not a stream socket (EPROTOTYPE)",
        ),
        (inherit(&unbound), not_bound),
        (inherit(&unnamed), not_bound),
        (inherit(&file), "Socket operation on non-socket (ENOTSOCK)"),
        (99_999_999, "Bad file descriptor (EBADF)"),
    ] {
        let expected = format!("listening on fd://{fd} failed: {reason}");
        assert_eq!(error(&format!("fd://{fd}")), expected);
        // The descriptor stays open, and a second attempt fails in the same way.
        assert_eq!(error(&format!("fd://{fd}")), expected);
    }
    let error = bind(&ListenUri::Fd(-1), &SocketOptions::new()).unwrap_err();
    assert_eq!(error.errno_name(), Some("EBADF"));
}

#[test]
fn a_descriptor_can_be_taken_only_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let number = inherit(&listener);
    let bound = listen(&format!("fd://{number}")).unwrap();
    let taken = format!(
        "listening on fd://{number} failed: file descriptor {number} was already taken over (EBUSY)"
    );
    assert_eq!(error(&format!("fd://{number}")), taken);
    drop(bound);
    assert_eq!(error(&format!("fd://{number}")), taken);
}

#[test]
fn an_owned_descriptor_is_checked_like_an_inherited_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = Address::from(listener.local_addr().unwrap());
    let bound = adopt(listener.into(), &SocketOptions::new()).unwrap();
    assert_eq!(bound.address, address);

    let datagram = UdpSocket::bind("127.0.0.1:0").unwrap();
    let error = adopt(datagram.into(), &SocketOptions::new()).unwrap_err();
    assert_eq!(error.errno_name(), Some("EPROTOTYPE"));
}

#[test]
fn without_a_service_manager_there_are_no_inherited_sockets() {
    assert_eq!(
        error("systemd:web"),
        "listening on systemd:web failed: the service manager passed no socket to this process \
         (ENOENT)"
    );
}

/// Starts this test again in a process that inherits a socket in the same way as from systemd.
#[test]
fn a_socket_of_the_service_manager_is_taken_by_its_name() {
    if std::env::var_os("UPTICK_TEST_INHERITS").is_some() {
        return serve_one_client_on_the_inherited_socket();
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let (_, module) = module_path!().split_once("::").unwrap();
    let test = format!("{module}::a_socket_of_the_service_manager_is_taken_by_its_name");
    let script = "exec 3<&0 </dev/null; \
                  LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=web exec \"$@\"";
    let mut command = Command::new("sh");
    command
        .args(["-c", script, "sh"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &test])
        .env("UPTICK_TEST_INHERITS", "1")
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = {
        let _starting = STARTING.write().unwrap();
        command.spawn().unwrap()
    };
    drop(command);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut answer = String::new();
    client.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "hello");
}

fn serve_one_client_on_the_inherited_socket() {
    assert_eq!(
        error("systemd:admin"),
        "listening on systemd:admin failed: the service manager passed no socket with the name \
         \"admin\", only [\"web\"] (ENOENT)"
    );
    let bound = listen("systemd:web").unwrap();
    for uri in ["systemd:web", "systemd:"] {
        assert_eq!(
            error(uri),
            format!(
                "listening on {uri} failed: all of these sockets (1) were already taken over (EBUSY)"
            )
        );
    }
    let listener = TcpListener::from(bound.socket);
    let (mut connection, _) = listener.accept().unwrap();
    connection.write_all(b"hello").unwrap();
}
