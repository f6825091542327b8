use std::path::Path;

use proptest::prelude::*;

use super::*;

fn listen(text: &str) -> String {
    match text.parse::<ListenUri>() {
        Ok(uri) => uri.to_string(),
        Err(error) => reason(text, &error),
    }
}

fn connect(text: &str) -> String {
    match text.parse::<ConnectUri>() {
        Ok(uri) => uri.to_string(),
        Err(error) => reason(text, &error),
    }
}

fn reason(text: &str, error: &Error) -> String {
    let whole = error.to_string();
    let reason = whole
        .strip_prefix(&format!("invalid address {text:?}: "))
        .and_then(|rest| rest.strip_suffix(" (EINVAL)"))
        .unwrap_or_else(|| panic!("{whole}"));
    format!("error: {reason}")
}

#[test]
fn a_port_alone_is_a_port_of_localhost() {
    assert_eq!(listen("8080"), "tcp://127.0.0.1:8080");
    assert_eq!(connect("8080"), "tcp://127.0.0.1:8080");
    let uri: ListenUri = 8080.into_uri().unwrap();
    assert_eq!(uri.to_string(), "tcp://127.0.0.1:8080");
}

#[test]
fn tcp_addresses_are_ip_and_port_with_or_without_the_scheme() {
    assert_eq!(listen("127.0.0.1:0"), "tcp://127.0.0.1:0");
    assert_eq!(listen("0.0.0.0:80"), "tcp://0.0.0.0:80");
    assert_eq!(listen("tcp://127.0.0.1:80"), "tcp://127.0.0.1:80");
    assert_eq!(listen("TCP://127.0.0.1:80"), "tcp://127.0.0.1:80");
    assert_eq!(listen("[::1]:80"), "tcp://[::1]:80");
    assert_eq!(listen("tcp://[::]:65535"), "tcp://[::]:65535");
    assert_eq!(listen("[fe80::1%2]:80"), "tcp://[fe80::1%2]:80");
    assert_eq!(connect("tcp://[::1]:80"), "tcp://[::1]:80");
    assert_eq!(connect("192.0.2.1:80"), "tcp://192.0.2.1:80");
}

#[cfg(target_os = "linux")]
#[test]
fn the_name_of_an_interface_is_replaced_by_its_number() {
    for parse in [listen, connect] {
        assert_eq!(parse("[fe80::1%lo]:80"), "tcp://[fe80::1%1]:80");
        assert_eq!(parse("tcp://[fe80::1%25lo]:80"), "tcp://[fe80::1%1]:80");
    }
    let target: crate::ConnectTarget = "tls://[fe80::1%lo]:443".parse().unwrap();
    assert_eq!(target.to_string(), "tls://[fe80::1%1]:443");
}

#[test]
fn unix_addresses_are_paths_or_abstract_names() {
    assert_eq!(listen("unix:///run/x.sock"), "unix:///run/x.sock");
    assert_eq!(listen("unix:/run/x.sock"), "unix:///run/x.sock");
    assert_eq!(listen("/run/x.sock"), "unix:///run/x.sock");
    assert_eq!(listen("unix:dir/x.sock"), "unix:dir/x.sock");
    assert_eq!(listen("unix://dir/x.sock"), "unix:dir/x.sock");
    assert_eq!(listen("unix:@name"), "unix:@name");
    assert_eq!(listen("unix:./@name"), "unix:./@name");
    assert_eq!(listen("unix:%40name"), "unix:%40name");
    assert_eq!(listen("unix:://x"), "unix:://x");
    assert_eq!(listen("unix:////x"), "unix:////x");
    assert_eq!(listen("unix:///a b%3f%25"), "unix:///a%20b%3F%25");
    assert_eq!(connect("unix:///run/x.sock"), "unix:///run/x.sock");
    assert_eq!(connect("unix:@name"), "unix:@name");

    let ListenUri::Unix(unix) = "unix:///a%20b".parse().unwrap() else {
        panic!()
    };
    assert_eq!(unix.name.path(), Some(Path::new("/a b")));
}

#[test]
fn a_unix_address_contains_the_mode_and_owners_of_its_file() {
    let ListenUri::Unix(unix) = "unix:///run/x.sock?mode=660&owner=www-data&group=33"
        .parse()
        .unwrap()
    else {
        panic!()
    };
    assert_eq!(unix.mode, Some(0o660));
    assert_eq!(unix.owner, Some(Account::Name("www-data".into())));
    assert_eq!(unix.group, Some(Account::Id(33)));
    assert_eq!(
        unix.to_string(),
        "unix:///run/x.sock?mode=0660&owner=www-data&group=33"
    );
    assert_eq!(listen("/x?group=app"), "unix:///x?group=app");
}

#[test]
fn inherited_sockets_have_a_number_or_a_name() {
    assert_eq!(listen("fd://3"), "fd://3");
    assert_eq!(listen("systemd:"), "systemd:");
    assert_eq!(listen("systemd:my web"), "systemd:my web");
    assert_eq!(listen("systemd://web"), "systemd:web");
}

#[test]
fn a_connector_takes_host_names() {
    assert_eq!(connect("example.com:80"), "tcp://example.com:80");
    assert_eq!(connect("tcp://localhost:80"), "tcp://localhost:80");
    assert_eq!(
        connect("a_b.xn--bcher-kva.:1"),
        "tcp://a_b.xn--bcher-kva.:1"
    );
    assert_eq!(connect("1.example:80"), "tcp://1.example:80");
}

#[test]
fn each_error_in_a_listening_address_has_its_own_text() {
    let mistakes = [
        ("", "the address is empty"),
        (
            "localhost:80",
            "the host must be an IP address, not \"localhost\"; use 127.0.0.1:80 for this machine \
             only, 0.0.0.0:80 for all of its interfaces",
        ),
        (
            "*:80",
            "the host must be an IP address: 0.0.0.0:80 accepts IPv4 connections on all interfaces, \
             [::]:80 IPv6 ones",
        ),
        (
            "127.0.0.1",
            "the port is missing; an example is 127.0.0.1:80",
        ),
        (
            "tcp://127.0.0.1:",
            "the port is missing; an example is 127.0.0.1:80",
        ),
        ("[::1]", "the port is missing; an example is 127.0.0.1:80"),
        ("65536", "the port 65536 is greater than 65535"),
        ("127.0.0.1:65536", "the port 65536 is greater than 65535"),
        ("127.0.0.1:+80", "the port \"+80\" is not a number"),
        ("127.0.0.1:http", "the port \"http\" is not a number"),
        (
            ":80",
            "the host is missing; use 127.0.0.1 for this machine only, 0.0.0.0 for all of its interfaces",
        ),
        ("tcp://", "host and port are missing"),
        (
            "http://127.0.0.1:80",
            "the scheme \"http\" is unknown; the supported schemes are tcp://, unix:, fd:// and systemd:",
        ),
        (
            "://127.0.0.1:80",
            "the scheme is missing; the supported schemes are tcp://, unix:, fd:// and systemd:",
        ),
        (
            "127.0.0.1:80/path",
            "the text \"/path\" after the port is not allowed",
        ),
        (
            "127.0.0.1:80?backlog=1",
            "the text \"?backlog=1\" after the port is not allowed",
        ),
        (
            "tcp://me@127.0.0.1:80",
            "a TCP address must not contain a user name",
        ),
        (
            "::1:80",
            "an IPv6 address must be in brackets, as in [::1]:80",
        ),
        ("[::1:80", "the ] that closes the IPv6 address is missing"),
        ("[::1]80", "the ] must be followed by :PORT, not by \"80\""),
        ("[::g]:80", "\"::g\" is not an IPv6 address"),
        ("[127.0.0.1]:80", "\"127.0.0.1\" is not an IPv6 address"),
        (
            "[fe80::1%nowhere]:80",
            "there is no network interface \"nowhere\"",
        ),
        (
            "tls://127.0.0.1:443",
            "TLS is a layer above the socket: listen on tcp:// and wrap the server in a \
             SecureServer",
        ),
        ("unix:", "the path of the Unix socket is missing"),
        ("unix:@", "the name of the Unix socket is missing"),
        (
            "unix:/run/",
            "the path of the Unix socket names a directory",
        ),
        ("unix:/a%00b", "the path of the Unix socket has a zero byte"),
        (
            "unix:/a%2",
            "a % must be followed by two hexadecimal digits (%25 is a %)",
        ),
        (
            "unix:/x?mode=0888",
            "the mode \"0888\" must be an octal number up to 0777, such as 0660",
        ),
        (
            "unix:/x?mode=1777",
            "the mode \"1777\" must be an octal number up to 0777, such as 0660",
        ),
        ("unix:/x?mode", "the option \"mode\" has no value"),
        (
            "unix:/x?color=red",
            "the option \"color\" is unknown; the supported options are mode, owner and group",
        ),
        ("unix:/x?mode=600&mode=660", "the option mode is set twice"),
        (
            "unix:/x?owner=4294967295",
            "there is no user or group number 4294967295",
        ),
        ("unix:/x?owner=", "the name of an owner or group is empty"),
        (
            "unix:/x?group=a:b",
            "\"a:b\" is not the name of a user or group",
        ),
        (
            "unix:@x?mode=600",
            "an abstract name has no file, so it has no mode, owner or group",
        ),
        ("fd://", "the file descriptor \"\" is not a number"),
        ("fd://-1", "the file descriptor \"-1\" is not a number"),
        (
            "fd://99999999999",
            "there is no file descriptor 99999999999",
        ),
        ("systemd:a:b", "the name of a socket must not contain ':'"),
    ];
    for (text, reason) in mistakes {
        assert_eq!(listen(text), format!("error: {reason}"), "{text:?}");
    }
}

#[test]
fn each_error_in_a_connect_address_has_its_own_text() {
    let long_label = format!("{}.example:80", "a".repeat(64));
    let long_name = format!("{}:80", "a.".repeat(127));
    let mistakes = [
        (
            "127.0.0.1:0",
            "port 0 can be listened on (it selects a free port), but not connected to",
        ),
        (
            "example.com:0",
            "port 0 can be listened on (it selects a free port), but not connected to",
        ),
        (
            "0",
            "port 0 can be listened on (it selects a free port), but not connected to",
        ),
        ("127.0.0.256:80", "\"127.0.0.256\" is not an IPv4 address"),
        ("127.1:80", "\"127.1\" is not an IPv4 address"),
        ("0x7f000001:80", "\"0x7f000001\" is not an IPv4 address"),
        ("a..b:80", "the host name \"a..b\" has an empty part"),
        ("a b:80", "a host name must not contain ' '"),
        (
            "bücher.example:80",
            "the host name \"bücher.example\" must be in its ASCII form (xn--…)",
        ),
        (&long_label, "the host name has a part longer than 63 bytes"),
        (&long_name, "the host name is longer than 253 bytes"),
        (
            "fd://3",
            "an inherited socket can be listened on, not connected to",
        ),
        (
            "unix:/x?mode=600",
            "options such as mode= are for listening, not for connecting",
        ),
        (
            "tls://example.com:443",
            "TLS is a layer above the socket: connect to tcp:// through a SecureConnector",
        ),
    ];
    for (text, reason) in mistakes {
        let error = text.parse::<ConnectUri>().unwrap_err().to_string();
        assert!(error.contains(&format!(": {reason} (EINVAL)")), "{error}");
    }
}

#[test]
fn a_path_must_fit_into_a_socket_address() {
    let fits = format!("unix:///{}", "x".repeat(UnixName::MAX_LEN - 1));
    assert_eq!(listen(&fits), fits);
    let error = listen(&format!("{fits}x"));
    let count = UnixName::MAX_LEN + 1;
    assert!(error.contains(&format!("has {count} bytes")), "{error}");
}

/// Returns text that is likely to pass large parts of the parser.
fn plausible() -> impl Strategy<Value = String> {
    let tcp = r"(tcp://)?(127\.0\.0\.[0-9]|\[[0-9a-f:]{2,6}(%[0-9])?\]|[a-z.-]{1,9}):[0-9]{0,5}";
    let unix = r"(unix:|unix://)?[/@]?([a-zü ./:@]|%[0-9a-f]{2}){1,9}";
    let option = r"(mode=[0-7]{1,4}|(owner|group)=[0-9a-z._:-]{0,5})";
    let other = r"(fd://|systemd:|tls://|http:)[0-9a-z:]{0,5}";
    prop_oneof![
        tcp,
        unix,
        (unix, option, option).prop_map(|(unix, one, two)| format!("{unix}?{one}&{two}")),
        other,
    ]
}

proptest! {
    #[test]
    fn a_parsed_address_displays_as_text_that_parses_to_the_same_address(
        text in prop_oneof![plausible(), any::<String>()]
    ) {
        if let Ok(uri) = text.parse::<ListenUri>() {
            prop_assert_eq!(&uri.to_string().parse::<ListenUri>().unwrap(), &uri);
        }
        if let Ok(uri) = text.parse::<ConnectUri>() {
            prop_assert_eq!(&uri.to_string().parse::<ConnectUri>().unwrap(), &uri);
        }
    }

    #[test]
    fn any_name_of_a_unix_socket_displays_as_text_that_parses_to_it(
        bytes in prop::collection::vec(1..=255u8, 1..UnixName::MAX_LEN),
        is_abstract: bool,
    ) {
        prop_assume!(is_abstract || !bytes.ends_with(b"/"));
        let name = if is_abstract {
            UnixName::Abstract(bytes.into())
        } else {
            UnixName::Path(OsStr::from_bytes(&bytes).into())
        };
        let uri = name.to_string().parse::<ConnectUri>().unwrap();
        prop_assert_eq!(uri, ConnectUri::Unix(name));
    }

    #[test]
    fn every_socket_address_displays_as_text_that_parses_to_it(address: SocketAddr) {
        // The text of an address does not contain the flow label.
        let mut address = address;
        if let SocketAddr::V6(v6) = &mut address {
            v6.set_flowinfo(0);
        }
        let uri = ListenUri::Tcp(address);
        prop_assert_eq!(uri.to_string().parse::<ListenUri>().unwrap(), uri);
    }
}
