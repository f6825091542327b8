//! Descriptions of TLS errors for operators, with the cause and a remedy.

use std::net::IpAddr;

use rustls::{
    AlertDescription, CertificateError, InvalidMessage, PeerIncompatible, PeerMisbehaved,
};
use rustls_pki_types::ServerName;

use crate::certificate::{VERSION_1, is_version_1};
use crate::error::Error;
use crate::verifier::SelfSignedCertificate;

/// The maximum number of the peer's first bytes that are kept and quoted.
const MAX_FIRST_BYTES: usize = 32;

/// The content types with which TLS begins: an alert, a handshake record (RFC 8446, section 5.1).
const CONTENT_TYPES: [u8; 2] = [ALERT, HANDSHAKE];
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// The first bytes of a peer, to identify the protocol of a peer that does not speak TLS.
#[derive(Default)]
pub(super) struct FirstBytes {
    bytes: [u8; MAX_FIRST_BYTES],
    length: usize,
}

impl FirstBytes {
    pub(super) fn record(&mut self, bytes: &[u8]) {
        if let Some(room) = self.bytes.get_mut(self.length..) {
            let count = room.len().min(bytes.len());
            room.iter_mut()
                .zip(bytes)
                .for_each(|(to, from)| *to = *from);
            self.length += count;
        }
    }

    fn is_tls(&self) -> bool {
        CONTENT_TYPES.contains(&self.bytes[0])
    }

    fn is_handshake(&self) -> bool {
        self.bytes[0] == HANDSHAKE
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// Returns the alert if the bytes are a complete, unencrypted one.
    fn alert(&self) -> Option<AlertDescription> {
        match *self.as_bytes() {
            [ALERT, 3, _, 0, 2, _, description, ..] => Some(description.into()),
            _ => None,
        }
    }

    /// Returns the error for a peer that does not speak TLS, which quotes its first bytes.
    fn not_tls(&self, what: &str) -> Error {
        let is_text = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
        let text = self.as_bytes().iter().copied().take_while(is_text);
        let text: String = text.map(char::from).collect();
        Error::protocol(match text.as_str() {
            "" => what.to_owned(),
            text => format!("{what}; it sent {text:?}"),
        })
    }

    /// Returns `true` if the bytes begin with one of `words`, or are the beginning of one.
    fn is_one_of(&self, words: &[&[u8]]) -> bool {
        // If the peer sends single bytes, the handshake fails before a word is complete.
        let first_bytes = self.as_bytes();
        words.iter().any(|word| {
            let length = first_bytes.len().min(word.len());
            length > 0 && first_bytes.get(..length) == word.get(..length)
        })
    }
}

/// Returns the error of an established connection.
pub(super) fn connection(error: &rustls::Error) -> Error {
    match error {
        rustls::Error::AlertReceived(alert) => {
            Error::protocol(format!("the peer sent an alert: {}", alert_text(alert)))
        }
        other => Error::protocol(other.to_string()),
    }
}

/// Returns the error of a server's handshake.
pub(super) fn handshake_with_client(error: &rustls::Error, first_bytes: &FirstBytes) -> Error {
    const HTTP: [&[u8]; 10] = [
        b"GET ",
        b"HEAD ",
        b"POST ",
        b"PUT ",
        b"DELETE ",
        b"OPTIONS ",
        b"PATCH ",
        b"CONNECT ",
        b"TRACE ",
        // The connection preface of HTTP/2 (RFC 9113, section 3.4).
        b"PRI * HTTP/2.0",
    ];
    match error {
        rustls::Error::InvalidMessage(_) if first_bytes.is_one_of(&HTTP) => {
            Error::protocol("the client sent plain HTTP, not TLS; it must use https://")
        }
        rustls::Error::InvalidMessage(_) if !first_bytes.is_tls() => {
            first_bytes.not_tls("the client did not speak TLS")
        }
        rustls::Error::InappropriateMessage { got_type, .. } if !first_bytes.is_handshake() => {
            Error::protocol(match first_bytes.alert() {
                Some(alert) => format!(
                    "the client sent an alert instead of a ClientHello: {}",
                    alert_text(&alert)
                ),
                None => format!("the client sent {got_type:?} instead of a ClientHello"),
            })
        }
        rustls::Error::PeerMisbehaved(PeerMisbehaved::ServerNameMustContainOneHostName)
        | rustls::Error::InvalidMessage(InvalidMessage::InvalidServerName) => {
            Error::protocol("the requested server name (SNI) is not a valid host name")
        }
        rustls::Error::PeerIncompatible(incompatible) => {
            Error::protocol(incompatible_with(incompatible, "client"))
        }
        rustls::Error::NoApplicationProtocol => {
            Error::protocol("the client offers no supported ALPN protocol")
        }
        rustls::Error::NoCertificatesPresented => {
            Error::protocol("the client sent no certificate, but one is required")
        }
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            Error::protocol("the client's certificate was not issued by a CA in `cafile`")
        }
        rustls::Error::InvalidCertificate(error) => Error::protocol(certificate(error, "client")),
        rustls::Error::AlertReceived(alert) => {
            Error::protocol(format!("the client sent an alert: {}", alert_text(alert)))
        }
        other => Error::protocol(other.to_string()),
    }
}

/// Returns the error of a client's handshake.
pub(super) fn handshake_with_server(error: &rustls::Error, first_bytes: &FirstBytes) -> Error {
    match error {
        rustls::Error::InvalidMessage(_) if first_bytes.is_one_of(&[b"HTTP/"]) => {
            Error::protocol("the server answered with plain HTTP, not TLS")
        }
        rustls::Error::InvalidMessage(_) if !first_bytes.is_tls() => {
            first_bytes.not_tls("the server did not answer with TLS")
        }
        rustls::Error::InvalidCertificate(error) => Error::protocol(certificate(error, "server")),
        rustls::Error::PeerIncompatible(incompatible) => {
            Error::protocol(incompatible_with(incompatible, "server"))
        }
        rustls::Error::AlertReceived(alert) => Error::protocol(format!(
            "the server sent an alert: {}",
            server_alert_text(alert)
        )),
        other => Error::protocol(other.to_string()),
    }
}

fn incompatible_with(incompatible: &PeerIncompatible, peer: &str) -> String {
    match incompatible {
        PeerIncompatible::NoCipherSuitesInCommon => {
            format!("the {peer} offers no supported cipher suite")
        }
        PeerIncompatible::NoKxGroupsInCommon => {
            format!("the {peer} offers no supported key exchange group")
        }
        PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        | PeerIncompatible::SupportedVersionsExtensionRequired
        | PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig => {
            format!("the {peer} offers no supported TLS version")
        }
        // rustls reports this before it checks the version of an older client.
        PeerIncompatible::SignatureAlgorithmsExtensionRequired => {
            format!(
                "the {peer} sent no signature algorithms; it probably supports only versions before TLS 1.2"
            )
        }
        other => format!("the {peer} offers no supported parameters: {other:?}"),
    }
}

/// Returns the meaning of an alert.
fn alert_text(alert: &AlertDescription) -> String {
    match alert {
        AlertDescription::UnknownCA => {
            "it does not trust the certificate's issuer (UnknownCA)".into()
        }
        AlertDescription::CertificateUnknown | AlertDescription::BadCertificate => {
            format!("it does not accept the certificate ({alert:?})")
        }
        AlertDescription::CertificateRequired => {
            "it requires a client certificate (CertificateRequired)".into()
        }
        other => format!("{other:?}"),
    }
}

fn server_alert_text(alert: &AlertDescription) -> String {
    match alert {
        AlertDescription::UnrecognisedName => {
            "it has no certificate for that name (UnrecognisedName)".into()
        }
        AlertDescription::ProtocolVersion => {
            "it supports none of the offered TLS versions (ProtocolVersion)".into()
        }
        AlertDescription::NoApplicationProtocol => {
            "it supports none of the offered ALPN protocols (NoApplicationProtocol)".into()
        }
        AlertDescription::HandshakeFailure => {
            "it supports none of the offered parameters, or requires a client certificate (HandshakeFailure)".into()
        }
        other => alert_text(other),
    }
}

/// Returns the reason why a peer's certificate is rejected.
fn certificate(error: &CertificateError, peer: &str) -> String {
    match error {
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => wrong_name(expected, presented),
        CertificateError::ExpiredContext { time, not_after } => {
            let (count, unit) = span(time.as_secs().saturating_sub(not_after.as_secs()));
            format!("its certificate expired {count} {unit} ago, unless the clock of this machine is wrong")
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            let (count, unit) = span(not_before.as_secs().saturating_sub(time.as_secs()));
            format!(
                "its certificate becomes valid in {count} {unit}, unless the clock of this machine is wrong"
            )
        }
        CertificateError::BadSignature => {
            "the signature of its certificate is invalid: the issuer's key is not that of the trusted CA with the same name, \
             or is an RSA key of fewer than 2,048 bits"
                .into()
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "its certificate is signed with an unsupported algorithm, such as SHA-1".into()
        }
        CertificateError::UnknownIssuer => {
            "the issuer of its certificate is not trusted: add the issuer's certificate to `cafile`, or configure the server to \
             send the intermediate certificates"
                .into()
        }
        CertificateError::Other(other) if other.0.is::<SelfSignedCertificate>() => {
            "its certificate is self-signed and not trusted: add it to `cafile`".into()
        }
        error if is_version_1(error) => format!("its certificate is not accepted: {VERSION_1}"),
        CertificateError::Other(other) => match other.0.downcast_ref() {
            Some(webpki::Error::CaUsedAsEndEntity) => format!(
                "its certificate is a CA certificate (CA:TRUE), not a {peer} certificate"
            ),
            Some(webpki::Error::EndEntityUsedAsCa) => {
                "the certificate of its issuer is not a CA certificate (CA:FALSE)".into()
            }
            Some(webpki::Error::NameConstraintViolation) => {
                "its issuer may not issue certificates for its names (name constraints)".into()
            }
            _ => format!("its certificate is not accepted: {}", other.0),
        },
        other => format!("its certificate is not accepted: {other}"),
    }
}

/// Returns the reason why a certificate is not valid for a name, with the first names of the certificate.
fn wrong_name(expected: &ServerName<'_>, presented: &[String]) -> String {
    let host = expected.to_str();
    if presented.is_empty() {
        return format!(
            "its certificate lists no names (subjectAltName), so it is not valid for {host}; its common name (CN) is ignored"
        );
    }
    let names: Vec<ListedName<'_>> = presented
        .iter()
        .filter_map(|name| parse_name(name))
        .collect();
    if names.is_empty() {
        return format!(
            "its certificate lists neither DNS names nor IP addresses, so it is not valid for {host}"
        );
    }
    if let ServerName::IpAddress(ip) = expected {
        let ip = IpAddr::from(*ip);
        let is_ip = |parse_name: &ListedName<'_>| matches!(parse_name, ListedName::Dns(name) if name.parse() == Ok(ip));
        if names.iter().any(is_ip) {
            return format!(
                "its certificate lists {host} as a DNS name, not as an IP address: reissue it with `IP:{host}`"
            );
        }
    }
    let mut text = format!("its certificate is not valid for {host}, only for ");
    for (at, parse_name) in names.iter().take(MAX_NAMES).enumerate() {
        let (ListedName::Dns(name) | ListedName::Other(name)) = parse_name;
        // The peer chooses the names, so control characters are escaped and the length is limited.
        let name = name
            .chars()
            .take(MAX_NAME_LENGTH)
            .flat_map(char::escape_debug);
        text.extend(std::iter::repeat_n(", ", usize::from(at > 0)));
        text.extend(name);
    }
    if let Some(more @ 1..) = names.len().checked_sub(MAX_NAMES) {
        text += &format!(" and {more} more");
    }
    let is_below = |parse_name: &ListedName<'_>| {
        let ListedName::Dns(name) = parse_name else {
            return false;
        };
        let parent = name.strip_prefix("*.").map(str::to_ascii_lowercase);
        parent.is_some_and(|parent| {
            let host = host.to_ascii_lowercase();
            host == parent || host.ends_with(&format!(".{parent}"))
        })
    };
    if names.iter().any(is_below) {
        text += "; `*` matches exactly one label";
    }
    let has_dot = |parse_name: &ListedName<'_>| {
        matches!(parse_name, ListedName::Dns(name)
            if name.strip_suffix('.').is_some_and(|name| name.eq_ignore_ascii_case(&host)))
    };
    if names.iter().any(has_dot) {
        text += "; a name in a certificate must not end with a dot";
    }
    text
}

/// The maximum number of a certificate's names in an error.
const MAX_NAMES: usize = 10;
/// The maximum number of characters of each name in an error.
const MAX_NAME_LENGTH: usize = 253;

/// A name of a certificate.
enum ListedName<'a> {
    Dns(&'a str),
    Other(&'a str),
}

/// Parses a name in the format of rustls, `DnsName("example.com")`. Returns `None` for a kind of name that rustls does not parse.
fn parse_name(name: &str) -> Option<ListedName<'_>> {
    let (kind, inner) = name.split_once('(')?;
    let inner = inner.strip_suffix(')').unwrap_or(inner);
    let inner = inner.strip_prefix('"').unwrap_or(inner);
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    match kind {
        "DnsName" => Some(ListedName::Dns(inner)),
        "IpAddress" | "UniformResourceIdentifier" => Some(ListedName::Other(inner)),
        _ => None,
    }
}

/// Converts a time to the largest unit of which it has at least two.
fn span(seconds: u64) -> (u64, &'static str) {
    const UNITS: [(u64, &str); 3] = [(86_400, "days"), (3_600, "hours"), (60, "minutes")];
    let unit = UNITS.iter().find(|(length, _)| seconds >= 2 * length);
    unit.map_or((seconds, "seconds"), |(length, name)| {
        (seconds / length, name)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::OtherError;

    use super::*;

    fn refused_for(expected: &str, presented: &[&str]) -> String {
        let error = CertificateError::NotValidForNameContext {
            expected: ServerName::try_from(expected.to_owned()).unwrap(),
            presented: presented.iter().map(ToString::to_string).collect(),
        };
        handshake_with_server(&error.into(), &FirstBytes::default()).to_string()
    }

    #[test]
    fn the_error_for_a_wrong_name_explains_the_names_of_the_certificate() {
        let cases: [(&str, &[&str], &str); 10] = [
            (
                "localhost",
                &["DnsName(\"localhost.\")"],
                "its certificate is not valid for localhost, only for localhost.; a name in a certificate must not end with a dot",
            ),
            (
                "127.0.0.1",
                &["DnsName(\"localhost\")", "DnsName(\"127.0.0.1\")"],
                "its certificate lists 127.0.0.1 as a DNS name, not as an IP address: reissue it with `IP:127.0.0.1`",
            ),
            (
                "::1",
                &["DnsName(\"0:0::1\")"],
                "its certificate lists ::1 as a DNS name, not as an IP address: reissue it with `IP:::1`",
            ),
            (
                "127.0.0.1",
                &["DnsName(\"localhost\")", "IpAddress(192.0.2.1)"],
                "its certificate is not valid for 127.0.0.1, only for localhost, 192.0.2.1",
            ),
            (
                "example.com",
                &[],
                "its certificate lists no names (subjectAltName), so it is not valid for example.com; its common name \
                 (CN) is ignored",
            ),
            (
                "example.com",
                &["Unsupported(0x81)", "DirectoryName"],
                "its certificate lists neither DNS names nor IP addresses, so it is not valid for example.com",
            ),
            (
                "a.b.example.com",
                &["DnsName(\"*.Example.com\")"],
                "its certificate is not valid for a.b.example.com, only for *.Example.com; `*` matches exactly one label",
            ),
            (
                "example.com",
                &["DnsName(\"*.example.com\")", "Unsupported(0x81)"],
                "its certificate is not valid for example.com, only for *.example.com; `*` matches exactly one label",
            ),
            (
                "example.org",
                &["DnsName(\"*.example.com\")"],
                "its certificate is not valid for example.org, only for *.example.com",
            ),
            (
                "example.org",
                &["UniformResourceIdentifier(\"https://example.org/\")"],
                "its certificate is not valid for example.org, only for https://example.org/",
            ),
        ];
        for (expected, presented, text) in cases {
            assert_eq!(refused_for(expected, presented), text);
        }
    }

    #[test]
    fn names_of_a_certificate_are_escaped_and_truncated() {
        assert_eq!(
            refused_for("example.org", &["DnsName(\"a\nERROR b\")"]),
            "its certificate is not valid for example.org, only for a\\nERROR b"
        );
        let long = format!("DnsName(\"{}\")", "x".repeat(60_000));
        let text = refused_for("example.org", &vec![&*long; 1_000]);
        assert!(text.len() < 3_000, "{}", text.len());
        assert!(text.ends_with(" and 990 more"), "{text}");
    }

    #[test]
    fn the_time_since_expiry_uses_a_unit_with_a_count_of_at_least_two() {
        let units = [
            (1, (1, "seconds")),
            (119, (119, "seconds")),
            (120, (2, "minutes")),
            (7_200, (2, "hours")),
            (172_799, (47, "hours")),
            (172_800, (2, "days")),
        ];
        for (seconds, expected) in units {
            assert_eq!(span(seconds), expected);
        }
    }

    #[test]
    fn the_error_for_an_invalid_certificate_contains_the_cause_and_a_remedy() {
        let refused = |error: webpki::Error| {
            let error = CertificateError::Other(OtherError(Arc::new(error)));
            handshake_with_client(&error.into(), &FirstBytes::default()).to_string()
        };
        assert_eq!(
            refused(webpki::Error::UnsupportedCertVersion),
            "its certificate is not accepted: it is an X.509 version 1 certificate, but only version 3 is supported: reissue \
             it with extensions (`openssl x509 -req -extfile FILE`)"
        );
        assert_eq!(
            refused(webpki::Error::CaUsedAsEndEntity),
            "its certificate is a CA certificate (CA:TRUE), not a client certificate"
        );
        assert_eq!(
            refused(webpki::Error::EndEntityUsedAsCa),
            "the certificate of its issuer is not a CA certificate (CA:FALSE)"
        );
        assert_eq!(
            refused(webpki::Error::ExtensionValueInvalid),
            "its certificate is not accepted: ExtensionValueInvalid"
        );
    }
}
