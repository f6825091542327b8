use std::ffi::OsStr;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;

use proptest::prelude::*;

use super::v2::crc32c;
use super::*;
use crate::UnixName;

fn parse(input: &[u8]) -> Parsed {
    super::parse(input, DEFAULT_MAX_PAYLOAD)
}

fn endpoints(source: &str, destination: &str) -> Endpoints {
    let address = |text: &str| match text.strip_prefix('/') {
        Some(_) => UnixName::Path(text.into()).into(),
        None => text.parse::<SocketAddr>().unwrap().into(),
    };
    Endpoints {
        source: address(source),
        destination: address(destination),
    }
}

/// Returns a version 2 header with the given bytes after the signature.
fn v2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = v2::SIGNATURE.to_vec();
    bytes.extend([command, family]);
    bytes.extend((payload.len() as u16).to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn header(bytes: &[u8]) -> Header {
    match parse(bytes) {
        Parsed::Header { header, consumed } => {
            assert_eq!(consumed, bytes.len());
            header
        }
        other => panic!("{other:?}"),
    }
}

fn invalid(bytes: &[u8]) -> Invalid {
    match parse(bytes) {
        Parsed::Invalid(invalid) => invalid,
        other => panic!("{:?}: {other:?}", bytes.escape_ascii().to_string()),
    }
}

#[test]
fn version_1_contains_the_addresses_of_a_tcp_connection() {
    let parsed = header(b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n");
    let expected = endpoints("192.168.0.1:56324", "192.168.0.11:443");
    assert_eq!(parsed, Header::proxied(Version::V1, expected));

    let longest = "PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff \
                   FFFF:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    let address = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535";
    let expected = endpoints(address, address);
    assert_eq!(header(longest.as_bytes()).endpoints, Some(expected));

    let parsed = header(b"PROXY TCP6 ::1 2001:db8:: 0 1\r\n");
    assert_eq!(
        parsed.endpoints,
        Some(endpoints("[::1]:0", "[2001:db8::]:1"))
    );
}

#[test]
fn text_after_version_1_unknown_is_ignored() {
    let filled = format!("PROXY UNKNOWN {}\r\n", "f".repeat(91));
    assert_eq!(filled.len(), 107);
    for line in [
        "PROXY UNKNOWN\r\n",
        "PROXY UNKNOWN ::1 \r ignored \r\n",
        &filled,
    ] {
        assert_eq!(header(line.as_bytes()), Header::unknown(Version::V1));
    }
}

#[test]
fn version_1_is_strict() {
    let lines: &[(&[u8], Invalid)] = &[
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", Invalid::LineEnd),
        (b"PROXY UNKNOWN\n", Invalid::LineEnd),
        (b"PROXY UNKNOWN x\ny\r\n", Invalid::LineEnd),
        (b"PROXY UNKNOWNS\r\n", Invalid::Protocol),
        (b"PROXY \r\n", Invalid::Protocol),
        (b"PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n", Invalid::Protocol),
        (b"PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n", Invalid::Protocol),
        (b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n", Invalid::Protocol),
        (b"PROXY TCP4\r\n", Invalid::Fields),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", Invalid::Fields),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n", Invalid::Fields),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n", Invalid::Fields),
        (b"PROXY TCP4 \xff 1.2.3.4 1 2\r\n", Invalid::Fields),
        (b"PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n", Invalid::Fields),
        (b"PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n", Invalid::Address),
        (b"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n", Invalid::Address),
        (b"PROXY TCP4 ::1 1.2.3.4 1 2\r\n", Invalid::Address),
        (b"PROXY TCP6 1.2.3.4 ::1 1 2\r\n", Invalid::Address),
        (b"PROXY TCP6 fe80::1%1 ::1 1 2\r\n", Invalid::Address),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", Invalid::Port),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n", Invalid::Port),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", Invalid::Port),
    ];
    for (line, expected) in lines {
        assert_eq!(invalid(line), *expected, "{}", line.escape_ascii());
    }
}

#[test]
fn a_version_1_line_ends_within_107_bytes() {
    let mut line = b"PROXY UNKNOWN ".to_vec();
    line.resize(106, b'x');
    assert_eq!(parse(&line), Parsed::Incomplete);
    line.push(b'\r');
    assert_eq!(invalid(&line), Invalid::LineTooLong);
    line.push(b'\n');
    assert_eq!(invalid(&line), Invalid::LineTooLong);
}

#[test]
fn version_2_contains_the_addresses_of_each_family() {
    let v4 = [192, 0, 2, 7, 192, 0, 2, 1, 0x12, 0x34, 0x01, 0xbb];
    let expected = endpoints("192.0.2.7:4660", "192.0.2.1:443");
    assert_eq!(
        header(&v2(0x21, 0x11, &v4)),
        Header::proxied(Version::V2, expected.clone())
    );
    let datagram = header(&v2(0x21, 0x12, &v4));
    assert_eq!(datagram.transport, Transport::Datagram);
    assert_eq!(datagram.endpoints, Some(expected));

    let mut v6 = [0; 36];
    (v6[15], v6[31], v6[33], v6[35]) = (1, 2, 3, 4);
    let expected = endpoints("[::1]:3", "[::2]:4");
    assert_eq!(header(&v2(0x21, 0x21, &v6)).endpoints, Some(expected));

    let mut unix = [0; 216];
    unix[..5].copy_from_slice(b"/a\0bc");
    unix[108..].fill(b'x');
    unix[108] = b'/';
    let expected = endpoints("/a", &format!("/{}", "x".repeat(107)));
    assert_eq!(header(&v2(0x21, 0x31, &unix)).endpoints, Some(expected));

    unix = [0; 216];
    unix[108..113].copy_from_slice(b"\0a\0bc");
    let parsed = header(&v2(0x21, 0x31, &unix)).endpoints.unwrap();
    assert_eq!(parsed.source, Address::UNNAMED);
    assert_eq!(parsed.destination.to_string(), "unix:@a%00bc");
}

#[test]
fn the_content_of_version_2_local_and_unspecified_headers_is_ignored() {
    assert_eq!(header(&v2(0x20, 0x00, &[])), Header::local());
    assert_eq!(header(&v2(0x20, 0xff, &[0xff; 50])), Header::local());
    for family in [0x00, 0x01, 0x10, 0x30] {
        let parsed = header(&v2(0x21, family, &[0xff; 7]));
        assert_eq!(parsed, Header::unknown(Version::V2));
    }
}

#[test]
fn an_invalid_version_2_header_is_detected_as_early_as_possible() {
    let cases: &[(u8, u8, &[u8], usize, Invalid)] = &[
        (0x11, 0x11, &[0; 12], 13, Invalid::Version(1)),
        (0x31, 0x11, &[0; 12], 13, Invalid::Version(3)),
        (0x22, 0x11, &[0; 12], 13, Invalid::Command(2)),
        (0x21, 0x41, &[0; 12], 14, Invalid::Family(0x41)),
        (0x21, 0x13, &[0; 12], 14, Invalid::Family(0x13)),
        (0x21, 0x11, &[0; 11], 16, Invalid::TooShort),
        (0x21, 0x21, &[0; 35], 16, Invalid::TooShort),
        (0x21, 0x31, &[0; 215], 16, Invalid::TooShort),
        (0x21, 0x11, &[0; 13], 29, Invalid::Tlv),
        (0x21, 0x11, &[1; 15], 31, Invalid::Tlv),
    ];
    for (command, family, payload, length, expected) in cases {
        let bytes = v2(*command, *family, payload);
        assert_eq!(invalid(&bytes[..*length]), *expected);
        assert_eq!(parse(&bytes[..length - 1]), Parsed::Incomplete);
    }
}

#[test]
fn a_version_2_header_over_the_limit_is_refused_before_it_is_received() {
    let mut bytes = v2(0x20, 0, &[0; DEFAULT_MAX_PAYLOAD + 1]);
    bytes.truncate(16);
    let expected = Invalid::TooLong {
        length: 537,
        limit: 536,
    };
    assert_eq!(invalid(&bytes), expected);
    assert_eq!(super::parse(&bytes, 537), Parsed::Incomplete);
    assert_eq!(
        expected.to_string(),
        "the PROXY header has a payload of 537 bytes, and at most 536 are accepted"
    );
    assert_eq!(header(&v2(0x20, 0, &[0; 536])), Header::local());
}

#[test]
fn other_protocols_are_distinguished_from_incomplete_headers() {
    for begun in [
        "",
        "P",
        "PROXY",
        "PROXY ",
        "PROXY TCP4",
        "\r\n\r\n",
        "\r\n\r\n\0\r\nQUIT\n",
    ] {
        assert_eq!(parse(begun.as_bytes()), Parsed::Incomplete, "{begun:?}");
    }
    for other in [
        "G",
        "PUT",
        "PROXY\r",
        "PROXYX",
        "proxy ",
        "\n",
        "\r\n\r\nG",
        "\x16\x03\x01",
    ] {
        assert_eq!(parse(other.as_bytes()), Parsed::NotProxy, "{other:?}");
    }
}

#[test]
fn tlvs_are_found_by_their_type() {
    let mut payload = vec![0; 12];
    payload.extend([Tlvs::ALPN, 0, 2, b'h', b'2', Tlvs::NOOP, 0, 0]);
    payload.extend([Tlvs::UNIQUE_ID, 0, 1, 7, Tlvs::UNIQUE_ID, 0, 1, 8]);
    let tlvs = header(&v2(0x21, 0x11, &payload)).tlvs;
    assert_eq!(tlvs.get(Tlvs::ALPN), Some(&b"h2"[..]));
    assert_eq!(tlvs.get(Tlvs::NOOP), Some(&b""[..]));
    assert_eq!(tlvs.get(Tlvs::UNIQUE_ID), Some(&[7][..]));
    assert_eq!(tlvs.get(Tlvs::SSL), None);
    let kinds: Vec<u8> = tlvs.iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [1, 4, 5, 5]);
}

#[test]
fn the_checksum_is_crc32c() {
    assert_eq!(crc32c([&b"12345"[..], b"6789"]), 0xe306_9283);
}

#[test]
fn a_checksum_is_written_and_detects_any_changed_bit() {
    let mut with_checksum = Header::proxied(Version::V2, endpoints("192.0.2.7:1", "192.0.2.1:2"));
    with_checksum.tlvs.push(Tlvs::ALPN, b"h2").unwrap();
    with_checksum.tlvs.push(Tlvs::CRC32C, &[9; 4]).unwrap();
    with_checksum.tlvs.push(Tlvs::NOOP, &[0; 3]).unwrap();
    let bytes = with_checksum.encode().unwrap();
    assert_ne!(header(&bytes).tlvs.get(Tlvs::CRC32C), Some(&[9; 4][..]));
    // Addresses and checksum; a change elsewhere changes the structure.
    for byte in (16..28).chain(36..40) {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[byte] ^= 1 << bit;
            assert_eq!(invalid(&changed), Invalid::Checksum, "{byte}:{bit}");
        }
    }
}

#[test]
fn a_checksum_of_another_length_or_a_second_one_is_invalid() {
    for fields in [
        &[Tlvs::CRC32C, 0, 3, 0, 0, 0][..],
        &[Tlvs::CRC32C, 0, 5, 0, 0, 0, 0, 0],
        &[Tlvs::CRC32C, 0, 0],
    ] {
        let payload = [&[0; 12], fields].concat();
        assert_eq!(invalid(&v2(0x21, 0x11, &payload)), Invalid::Checksum);
    }
    let mut twice = Header::proxied(Version::V2, endpoints("192.0.2.7:1", "192.0.2.1:2"));
    twice.tlvs.push(Tlvs::CRC32C, &[0; 4]).unwrap();
    assert!(matches!(
        parse(&twice.encode().unwrap()),
        Parsed::Header { .. }
    ));
    twice.tlvs.push(Tlvs::CRC32C, &[0; 4]).unwrap();
    assert_eq!(invalid(&twice.encode().unwrap()), Invalid::Checksum);
}

#[test]
fn addresses_of_mixed_ip_versions_are_encoded_as_ipv6() {
    let mixed = endpoints("192.0.2.7:1", "[2001:db8::1]:2");
    let bytes = Header::proxied(Version::V1, mixed.clone())
        .encode()
        .unwrap();
    assert_eq!(bytes, b"PROXY TCP6 ::ffff:192.0.2.7 2001:db8::1 1 2\r\n");
    let bytes = Header::proxied(Version::V2, mixed).encode().unwrap();
    let expected = endpoints("[::ffff:192.0.2.7]:1", "[2001:db8::1]:2");
    assert_eq!(header(&bytes).endpoints, Some(expected));
}

#[test]
fn a_header_that_the_protocol_cannot_express_is_an_error() {
    let v1 = Header::proxied(Version::V1, endpoints("192.0.2.7:1", "192.0.2.1:2"));
    let unix = Header::proxied(Version::V1, endpoints("/a", "/b"));
    assert_eq!(unix.encode(), Err(EncodeError::NotInVersion1));
    let mut datagram = v1.clone();
    datagram.transport = Transport::Datagram;
    assert_eq!(datagram.encode(), Err(EncodeError::NotInVersion1));
    let mut with_tlv = v1.clone();
    with_tlv.tlvs.push(Tlvs::NOOP, b"").unwrap();
    assert_eq!(with_tlv.encode(), Err(EncodeError::NotInVersion1));
    let mut local = Header::local();
    local.version = Version::V1;
    assert_eq!(local.encode(), Err(EncodeError::NotInVersion1));

    let mixed = Header::proxied(Version::V2, endpoints("/a", "192.0.2.1:2"));
    assert_eq!(mixed.encode(), Err(EncodeError::MixedFamilies));
    let path = format!("/{}", "x".repeat(108));
    let long = Header::proxied(Version::V2, endpoints("/a", &path));
    assert_eq!(long.encode(), Err(EncodeError::AddressTooLong));
    let mut large = Header {
        version: Version::V2,
        ..v1
    };
    let too_long = large.tlvs.push(Tlvs::NOOP, &[0; 65_536]);
    assert_eq!(too_long, Err(EncodeError::TooLong));
    large.tlvs.push(Tlvs::NOOP, &[0; 65_535]).unwrap();
    assert_eq!(large.encode(), Err(EncodeError::TooLong));
}

fn any_unix() -> impl Strategy<Value = Address> {
    let bytes = || prop::collection::vec(1..=255_u8, 1..=UnixName::MAX_LEN);
    prop_oneof![
        Just(Address::UNNAMED),
        bytes().prop_map(|name| UnixName::Abstract(name.into()).into()),
        bytes().prop_map(|path| {
            let path = OsStr::from_bytes(&path);
            UnixName::Path(path.into()).into()
        }),
    ]
}

fn any_endpoints() -> impl Strategy<Value = Endpoints> {
    let v4 = any::<([u8; 4], u16)>().prop_map(|(ip, port)| SocketAddr::from((ip, port)).into());
    let v6 = any::<([u8; 16], u16)>().prop_map(|(ip, port)| SocketAddr::from((ip, port)).into());
    prop_oneof![(v4.clone(), v4), (v6.clone(), v6), (any_unix(), any_unix())].prop_map(
        |(source, destination)| Endpoints {
            source,
            destination,
        },
    )
}

fn any_header() -> impl Strategy<Value = Header> {
    let tlv = (any::<u8>(), prop::collection::vec(any::<u8>(), 0..20))
        .prop_filter("checksums are tested separately", |(kind, _)| {
            *kind != Tlvs::CRC32C
        });
    let tlvs = prop::collection::vec(tlv, 0..5).prop_map(|fields| {
        let mut tlvs = Tlvs::default();
        for (kind, value) in fields {
            tlvs.push(kind, &value).unwrap();
        }
        tlvs
    });
    let transport = prop_oneof![Just(Transport::Stream), Just(Transport::Datagram)];
    let v2 = (any_endpoints(), transport, tlvs).prop_map(|(endpoints, transport, tlvs)| Header {
        transport,
        tlvs,
        ..Header::proxied(Version::V2, endpoints)
    });
    let v1 = any_endpoints()
        .prop_filter("version 1 has no Unix addresses", |ends| {
            !ends.source.is_unix()
        })
        .prop_map(|endpoints| Header::proxied(Version::V1, endpoints));
    prop_oneof![
        4 => v2,
        4 => v1,
        1 => Just(Header::local()),
        1 => Just(Header::unknown(Version::V1)),
        1 => Just(Header::unknown(Version::V2)),
    ]
}

/// Generates headers, headers with a few changed bytes, and arbitrary bytes.
fn any_input() -> impl Strategy<Value = Vec<u8>> {
    let encoded = any_header().prop_map(|header| header.encode().unwrap());
    let change = (any::<prop::sample::Index>(), any::<u8>());
    let changes = prop::collection::vec(change, 0..3);
    let changed = (encoded, changes, prop::collection::vec(any::<u8>(), 0..8)).prop_map(
        |(mut bytes, changes, client)| {
            for (index, byte) in changes {
                let index = index.index(bytes.len());
                bytes[index] = byte;
            }
            bytes.extend(client);
            bytes
        },
    );
    prop_oneof![4 => changed, 1 => prop::collection::vec(any::<u8>(), 0..64)]
}

proptest! {
    #[test]
    fn an_encoded_header_parses_to_the_same_header(header in any_header(), client: [u8; 5]) {
        let mut bytes = header.encode().unwrap();
        let consumed = bytes.len();
        bytes.extend(client);
        prop_assert_eq!(parse(&bytes), Parsed::Header { header, consumed });
    }

    #[test]
    fn the_result_does_not_depend_on_how_the_bytes_are_split(input in any_input()) {
        let mut decided = None;
        for end in 0..=input.len() {
            let parsed = parse(&input[..end]);
            if let Parsed::Header { consumed, .. } = parsed {
                prop_assert!(consumed <= end);
            }
            match &decided {
                Some(decision) => prop_assert_eq!(decision, &parsed),
                None if parsed != Parsed::Incomplete => decided = Some(parsed),
                None => prop_assert!(end <= 15 + DEFAULT_MAX_PAYLOAD),
            }
        }
    }

    #[test]
    fn a_parsed_header_encodes_to_bytes_that_parse_to_the_same_header(input in any_input()) {
        if let Parsed::Header { header, .. } = parse(&input)
            && let Ok(bytes) = header.encode()
        {
            prop_assert_eq!(parse(&bytes), Parsed::Header { header, consumed: bytes.len() });
        }
    }
}
