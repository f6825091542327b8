//! What is wrong with a handshake, so that an operator knows whether to act.

use std::net::IpAddr;

use rustls::{
    AlertDescription, CertificateError, InvalidMessage, PeerIncompatible, PeerMisbehaved,
};
use rustls_pki_types::ServerName;

use crate::certificate::{VERSION_1, is_version_1};
use crate::error::Error;
use crate::verifier::SelfSigned;

/// How many of the first bytes are kept, and shown.
const BEGINNING: usize = 32;

/// The content types with which TLS begins: an alert, a handshake record (RFC 8446, section 5.1).
const CONTENT_TYPES: [u8; 2] = [ALERT, HANDSHAKE];
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// The first bytes of a peer, to tell what one speaks that does not speak TLS.
#[derive(Default)]
pub(super) struct Beginning {
    bytes: [u8; BEGINNING],
    length: usize,
}

impl Beginning {
    pub(super) fn note(&mut self, bytes: &[u8]) {
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

    /// The alert that it is, if it is a whole one that is not encrypted.
    fn alert(&self) -> Option<AlertDescription> {
        match *self.as_bytes() {
            [ALERT, 3, _, 0, 2, _, description, ..] => Some(description.into()),
            _ => None,
        }
    }

    /// Says that it is not TLS, with the text that it begins with.
    fn not_tls(&self, peer: &str) -> Error {
        let is_text = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
        let text = self.as_bytes().iter().copied().take_while(is_text);
        let text: String = text.map(char::from).collect();
        Error::protocol(match text.as_str() {
            "" => format!("what the {peer} sent is not TLS"),
            text => format!("what the {peer} sent is not TLS: it begins with {text:?}"),
        })
    }

    /// Whether it is the beginning of one of `words`, or begins with one.
    fn is_one_of(&self, words: &[&[u8]]) -> bool {
        // A peer that sends single bytes fails before its word is whole.
        let beginning = self.as_bytes();
        words.iter().any(|word| {
            let length = beginning.len().min(word.len());
            length > 0 && beginning.get(..length) == word.get(..length)
        })
    }
}

/// An error of an established connection.
pub(super) fn connection(error: &rustls::Error) -> Error {
    match error {
        rustls::Error::AlertReceived(alert) => {
            Error::protocol(format!("the peer refused: {}", told(alert)))
        }
        other => Error::protocol(other.to_string()),
    }
}

/// An error of a handshake in which this side is the server.
pub(super) fn handshake_with_client(error: &rustls::Error, beginning: &Beginning) -> Error {
    const BEGINNINGS: [&[u8]; 10] = [
        b"GET ",
        b"HEAD ",
        b"POST ",
        b"PUT ",
        b"DELETE ",
        b"OPTIONS ",
        b"PATCH ",
        b"CONNECT ",
        b"TRACE ",
        // Of HTTP/2 (RFC 9113, section 3.4).
        b"PRI * HTTP/2.0",
    ];
    match error {
        rustls::Error::InvalidMessage(_) if beginning.is_one_of(&BEGINNINGS) => {
            Error::protocol("the client speaks plain HTTP, not TLS: it has to use https://")
        }
        rustls::Error::InvalidMessage(_) if !beginning.is_tls() => beginning.not_tls("client"),
        rustls::Error::InappropriateMessage { got_type, .. } if !beginning.is_handshake() => {
            Error::protocol(match beginning.alert() {
                Some(alert) => format!(
                    "the client sent an alert in place of a ClientHello: {}",
                    told(&alert)
                ),
                None => format!("the client sent {got_type:?} in place of a ClientHello"),
            })
        }
        rustls::Error::PeerMisbehaved(PeerMisbehaved::ServerNameMustContainOneHostName)
        | rustls::Error::InvalidMessage(InvalidMessage::InvalidServerName) => {
            Error::protocol("the name that the client asks for (SNI) is no host name")
        }
        rustls::Error::PeerIncompatible(incompatible) => {
            Error::protocol(incompatible_with(incompatible, "client"))
        }
        rustls::Error::NoApplicationProtocol => {
            Error::protocol("the client offers no ALPN protocol that is spoken here")
        }
        rustls::Error::NoCertificatesPresented => {
            Error::protocol("the client shows no certificate, and one is required")
        }
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            Error::protocol("nobody in `cafile` has issued the client's certificate")
        }
        rustls::Error::InvalidCertificate(error) => Error::protocol(certificate(error, "client")),
        rustls::Error::AlertReceived(alert) => {
            Error::protocol(format!("the client refused: {}", told(alert)))
        }
        other => Error::protocol(other.to_string()),
    }
}

/// An error of a handshake in which this side is the client.
pub(super) fn handshake_with_server(error: &rustls::Error, beginning: &Beginning) -> Error {
    match error {
        rustls::Error::InvalidMessage(_) if beginning.is_one_of(&[b"HTTP/"]) => {
            Error::protocol("the server speaks plain HTTP, not TLS")
        }
        rustls::Error::InvalidMessage(_) if !beginning.is_tls() => beginning.not_tls("server"),
        rustls::Error::InvalidCertificate(error) => Error::protocol(certificate(error, "server")),
        rustls::Error::PeerIncompatible(incompatible) => {
            Error::protocol(incompatible_with(incompatible, "server"))
        }
        rustls::Error::AlertReceived(alert) => {
            Error::protocol(format!("the server refused: {}", told_by_server(alert)))
        }
        other => Error::protocol(other.to_string()),
    }
}

fn incompatible_with(incompatible: &PeerIncompatible, peer: &str) -> String {
    match incompatible {
        PeerIncompatible::NoCipherSuitesInCommon => {
            format!("the {peer} offers no cipher suite that is spoken here")
        }
        PeerIncompatible::NoKxGroupsInCommon => {
            format!("the {peer} offers no key exchange group that is spoken here")
        }
        PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        | PeerIncompatible::SupportedVersionsExtensionRequired
        | PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig => {
            format!("the {peer} offers no version of TLS that is spoken here")
        }
        // Not even an older client's version is looked at then.
        PeerIncompatible::SignatureAlgorithmsExtensionRequired => {
            format!(
                "the {peer} sends no signature algorithms, as those do that are older than TLS 1.2"
            )
        }
        other => format!("the {peer} offers nothing that is spoken here: {other:?}"),
    }
}

/// What a peer means that ends a connection.
fn told(alert: &AlertDescription) -> String {
    match alert {
        AlertDescription::UnknownCA => {
            "it does not trust the certificate's issuer (UnknownCA)".into()
        }
        AlertDescription::CertificateUnknown | AlertDescription::BadCertificate => {
            format!("it does not accept the certificate ({alert:?})")
        }
        AlertDescription::CertificateRequired => {
            "it requires a certificate of the client (CertificateRequired)".into()
        }
        other => format!("{other:?}"),
    }
}

fn told_by_server(alert: &AlertDescription) -> String {
    match alert {
        AlertDescription::UnrecognisedName => {
            "it has no certificate for that name (UnrecognisedName)".into()
        }
        AlertDescription::ProtocolVersion => {
            "it speaks no version of TLS that is offered (ProtocolVersion)".into()
        }
        AlertDescription::NoApplicationProtocol => {
            "it speaks none of the ALPN protocols offered (NoApplicationProtocol)".into()
        }
        AlertDescription::HandshakeFailure => {
            "it has no parameters in common, or wants a certificate of the client (HandshakeFailure)".into()
        }
        other => told(other),
    }
}

/// Why a peer's certificate is not accepted.
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
                "its certificate is not valid for {count} more {unit}, unless the clock of this machine is wrong"
            )
        }
        CertificateError::BadSignature => {
            "the signature of its certificate is not valid: the issuer has another key than the trusted one of the same \
             name, or an RSA key of fewer than 2,048 bits"
                .into()
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "its certificate is signed with an algorithm that is not accepted here, such as SHA-1".into()
        }
        CertificateError::UnknownIssuer => {
            "the issuer of its certificate is not among those that are trusted: give the issuer's certificate to \
             `cafile`, or have the server send those between"
                .into()
        }
        CertificateError::Other(other) if other.0.is::<SelfSigned>() => {
            "its certificate is signed by itself, and not trusted: give it to `cafile`".into()
        }
        error if is_version_1(error) => format!("its certificate is not accepted: {VERSION_1}"),
        CertificateError::Other(other) => match other.0.downcast_ref() {
            Some(webpki::Error::CaUsedAsEndEntity) => format!(
                "its certificate is one for issuers (CA:TRUE), with which no {peer} can be verified"
            ),
            Some(webpki::Error::EndEntityUsedAsCa) => {
                "the certificate of its issuer is not one for issuers (CA:FALSE)".into()
            }
            Some(webpki::Error::NameConstraintViolation) => {
                "its issuer may not issue certificates for its names (name constraints)".into()
            }
            _ => format!("its certificate is not accepted: {}", other.0),
        },
        other => format!("its certificate is not accepted: {other}"),
    }
}

/// Why a certificate is not valid for a name, with the first of the names that it lists.
fn wrong_name(expected: &ServerName<'_>, presented: &[String]) -> String {
    let host = expected.to_str();
    if presented.is_empty() {
        return format!(
            "its certificate lists no names (subjectAltName), so it is not valid for {host}; its common name (CN) does not count"
        );
    }
    let names: Vec<Listed<'_>> = presented.iter().filter_map(|name| listed(name)).collect();
    if names.is_empty() {
        return format!(
            "its certificate lists neither DNS names nor IP addresses, so it is not valid for {host}"
        );
    }
    if let ServerName::IpAddress(ip) = expected {
        let ip = IpAddr::from(*ip);
        let is_ip =
            |listed: &Listed<'_>| matches!(listed, Listed::Dns(name) if name.parse() == Ok(ip));
        if names.iter().any(is_ip) {
            return format!(
                "its certificate lists {host} as a DNS name, not as an IP address: have it issued with `IP:{host}`"
            );
        }
    }
    let mut text = String::from("its certificate is for ");
    for (at, listed) in names.iter().take(NAMES).enumerate() {
        let (Listed::Dns(name) | Listed::Other(name)) = listed;
        // What the peer has chosen is neither to end a line nor to fill a log.
        let name = name.chars().take(LONGEST_NAME).flat_map(char::escape_debug);
        text.extend(std::iter::repeat_n(", ", usize::from(at > 0)));
        text.extend(name);
    }
    if let Some(more @ 1..) = names.len().checked_sub(NAMES) {
        text += &format!(" and {more} more");
    }
    text += &format!(", not for {host}");
    let is_below = |listed: &Listed<'_>| {
        let Listed::Dns(name) = listed else {
            return false;
        };
        let parent = name.strip_prefix("*.").map(str::to_ascii_lowercase);
        parent.is_some_and(|parent| {
            let host = host.to_ascii_lowercase();
            host == parent || host.ends_with(&format!(".{parent}"))
        })
    };
    if names.iter().any(is_below) {
        text += "; `*` stands for exactly one label";
    }
    let has_dot = |listed: &Listed<'_>| {
        matches!(listed, Listed::Dns(name)
            if name.strip_suffix('.').is_some_and(|name| name.eq_ignore_ascii_case(&host)))
    };
    if names.iter().any(has_dot) {
        text += "; a name in a certificate has no dot at its end";
    }
    text
}

/// How many names of a certificate an error lists, and how many characters of each.
const NAMES: usize = 10;
const LONGEST_NAME: usize = 253;

/// A name that a certificate lists.
enum Listed<'a> {
    Dns(&'a str),
    Other(&'a str),
}

/// A name as rustls lists it, `DnsName("example.com")`; `None` for one of a kind that rustls does not parse.
fn listed(name: &str) -> Option<Listed<'_>> {
    let (kind, inner) = name.split_once('(')?;
    let inner = inner.strip_suffix(')').unwrap_or(inner);
    let inner = inner.strip_prefix('"').unwrap_or(inner);
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    match kind {
        "DnsName" => Some(Listed::Dns(inner)),
        "IpAddress" | "UniformResourceIdentifier" => Some(Listed::Other(inner)),
        _ => None,
    }
}

/// A time in the largest unit of which it has two at least.
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
        handshake_with_server(&error.into(), &Beginning::default()).to_string()
    }

    #[test]
    fn a_certificate_for_other_names_says_what_is_wrong_with_its_own() {
        let cases: [(&str, &[&str], &str); 10] = [
            (
                "localhost",
                &["DnsName(\"localhost.\")"],
                "its certificate is for localhost., not for localhost; a name in a certificate has no dot at its end",
            ),
            (
                "127.0.0.1",
                &["DnsName(\"localhost\")", "DnsName(\"127.0.0.1\")"],
                "its certificate lists 127.0.0.1 as a DNS name, not as an IP address: have it issued with `IP:127.0.0.1`",
            ),
            (
                "::1",
                &["DnsName(\"0:0::1\")"],
                "its certificate lists ::1 as a DNS name, not as an IP address: have it issued with `IP:::1`",
            ),
            (
                "127.0.0.1",
                &["DnsName(\"localhost\")", "IpAddress(192.0.2.1)"],
                "its certificate is for localhost, 192.0.2.1, not for 127.0.0.1",
            ),
            (
                "example.com",
                &[],
                "its certificate lists no names (subjectAltName), so it is not valid for example.com; its common name \
                 (CN) does not count",
            ),
            (
                "example.com",
                &["Unsupported(0x81)", "DirectoryName"],
                "its certificate lists neither DNS names nor IP addresses, so it is not valid for example.com",
            ),
            (
                "a.b.example.com",
                &["DnsName(\"*.Example.com\")"],
                "its certificate is for *.Example.com, not for a.b.example.com; `*` stands for exactly one label",
            ),
            (
                "example.com",
                &["DnsName(\"*.example.com\")", "Unsupported(0x81)"],
                "its certificate is for *.example.com, not for example.com; `*` stands for exactly one label",
            ),
            (
                "example.org",
                &["DnsName(\"*.example.com\")"],
                "its certificate is for *.example.com, not for example.org",
            ),
            (
                "example.org",
                &["UniformResourceIdentifier(\"https://example.org/\")"],
                "its certificate is for https://example.org/, not for example.org",
            ),
        ];
        for (expected, presented, text) in cases {
            assert_eq!(refused_for(expected, presented), text);
        }
    }

    #[test]
    fn names_of_a_certificate_neither_end_a_line_nor_fill_a_log() {
        assert_eq!(
            refused_for("example.org", &["DnsName(\"a\nERROR b\")"]),
            "its certificate is for a\\nERROR b, not for example.org"
        );
        let long = format!("DnsName(\"{}\")", "x".repeat(60_000));
        let text = refused_for("example.org", &vec![&*long; 1_000]);
        assert!(text.len() < 3_000, "{}", text.len());
        assert!(
            text.ends_with(" and 990 more, not for example.org"),
            "{text}"
        );
    }

    #[test]
    fn a_certificate_that_has_just_expired_is_not_said_to_have_expired_0_days_ago() {
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
    fn a_certificate_that_cannot_be_verified_says_for_whom_and_what_to_do() {
        let refused = |error: webpki::Error| {
            let error = CertificateError::Other(OtherError(Arc::new(error)));
            handshake_with_client(&error.into(), &Beginning::default()).to_string()
        };
        assert_eq!(
            refused(webpki::Error::UnsupportedCertVersion),
            "its certificate is not accepted: it is of X.509 version 1, and only version 3 is accepted: have it issued \
             with extensions (`openssl x509 -req -extfile FILE`)"
        );
        assert_eq!(
            refused(webpki::Error::CaUsedAsEndEntity),
            "its certificate is one for issuers (CA:TRUE), with which no client can be verified"
        );
        assert_eq!(
            refused(webpki::Error::EndEntityUsedAsCa),
            "the certificate of its issuer is not one for issuers (CA:FALSE)"
        );
        assert_eq!(
            refused(webpki::Error::ExtensionValueInvalid),
            "its certificate is not accepted: ExtensionValueInvalid"
        );
    }
}
