//! Names of HTTP/2 fields, and the groups of names with special rules.

use super::invalid::InvalidMessage;

/// The kinds of fields in the head of an HTTP/2 request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldKind {
    /// `:method`.
    Method,
    /// `:path`.
    Path,
    /// `:scheme`.
    Scheme,
    /// `:authority`.
    Authority,
    /// `:protocol` (RFC 8441).
    Protocol,
    /// `:status`, or an unknown name that starts with a colon.
    OtherPseudo,
    Host,
    ContentLength,
    Cookie,
    Expect,
    Te,
    /// A header that describes the connection in HTTP/1 (RFC 9113, section 8.2.2).
    Connection,
    /// Any other name. It was not validated unless it is in the static table.
    Other,
}

/// Returns a key for `match`: the length of a name and its first character.
const fn key(name: &str) -> usize {
    name.len() << 8 | name.as_bytes()[0] as usize
}

// The keys of names that both versions look for.
pub(crate) const CONNECTION: usize = key("connection");
pub(crate) const CONTENT_LENGTH: usize = key("content-length");
pub(crate) const EXPECT: usize = key("expect");
pub(crate) const HOST: usize = key("host");
pub(crate) const TRANSFER_ENCODING: usize = key("transfer-encoding");
pub(crate) const UPGRADE: usize = key("upgrade");

const COOKIE: usize = key("cookie");
const KEEP_ALIVE: usize = key("keep-alive");
const PROXY_CONNECTION: usize = key("proxy-connection");
const TE: usize = key("te");

impl FieldKind {
    /// Returns the kind of a field. `static_name` is the index of an entry with this name in the static table of HPACK (RFC 7541, appendix
    /// A), or 0.
    #[inline]
    pub(crate) fn of(name: &[u8], static_name: u8) -> FieldKind {
        match static_name {
            0 => FieldKind::of_name(name),
            1 => FieldKind::Authority,
            2 | 3 => FieldKind::Method,
            4 | 5 => FieldKind::Path,
            6 | 7 => FieldKind::Scheme,
            8..=14 => FieldKind::OtherPseudo,
            28 => FieldKind::ContentLength,
            32 => FieldKind::Cookie,
            35 => FieldKind::Expect,
            38 => FieldKind::Host,
            57 => FieldKind::Connection,
            _ => FieldKind::Other,
        }
    }

    /// Returns the kind of a field whose name is not in the static table.
    fn of_name(name: &[u8]) -> FieldKind {
        let Some(&first) = name.first() else {
            return FieldKind::Other;
        };
        let (expected, kind): (&[u8], _) = match name.len() << 8 | usize::from(first) {
            HOST => (b"host", FieldKind::Host),
            CONTENT_LENGTH => (b"content-length", FieldKind::ContentLength),
            COOKIE => (b"cookie", FieldKind::Cookie),
            EXPECT => (b"expect", FieldKind::Expect),
            TE => (b"te", FieldKind::Te),
            CONNECTION => (b"connection", FieldKind::Connection),
            KEEP_ALIVE => (b"keep-alive", FieldKind::Connection),
            PROXY_CONNECTION => (b"proxy-connection", FieldKind::Connection),
            TRANSFER_ENCODING => (b"transfer-encoding", FieldKind::Connection),
            UPGRADE => (b"upgrade", FieldKind::Connection),
            _ if first == b':' => return FieldKind::of_pseudo(name),
            _ => return FieldKind::Other,
        };
        match name == expected {
            true => kind,
            false => FieldKind::Other,
        }
    }

    fn of_pseudo(name: &[u8]) -> FieldKind {
        match name {
            b":method" => FieldKind::Method,
            b":path" => FieldKind::Path,
            b":scheme" => FieldKind::Scheme,
            b":authority" => FieldKind::Authority,
            b":protocol" => FieldKind::Protocol,
            _ => FieldKind::OtherPseudo,
        }
    }
}

/// Returns `true` if a header describes a connection of HTTP/1 (RFC 9113, section 8.2.2).
pub(crate) fn is_connection_specific(name: &[u8]) -> bool {
    FieldKind::of_name(name) == FieldKind::Connection
}

/// The error for a trailer that would change the request.
pub(crate) const FORBIDDEN_TRAILER: InvalidMessage =
    InvalidMessage::bad("a trailer has a name that is not allowed in trailers");

/// Returns `true` if a field with this name must not be a trailer of any HTTP version. Case-insensitive.
pub(crate) fn is_forbidden_in_trailers(name: &[u8]) -> bool {
    let forbidden: [&[u8]; 3] = [b"content-length", b"transfer-encoding", b"host"];
    forbidden
        .iter()
        .any(|forbidden| name.eq_ignore_ascii_case(forbidden))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_completely() {
        for (name, kind) in [
            (":method", FieldKind::Method),
            (":path", FieldKind::Path),
            (":scheme", FieldKind::Scheme),
            (":authority", FieldKind::Authority),
            (":protocol", FieldKind::Protocol),
            (":status", FieldKind::OtherPseudo),
            (":paths", FieldKind::OtherPseudo),
            (":", FieldKind::OtherPseudo),
            ("", FieldKind::Other),
            ("host", FieldKind::Host),
            ("hosu", FieldKind::Other),
            ("content-length", FieldKind::ContentLength),
            ("content-lengtg", FieldKind::Other),
            ("cookie", FieldKind::Cookie),
            ("expect", FieldKind::Expect),
            ("te", FieldKind::Te),
            ("connection", FieldKind::Connection),
            ("keep-alive", FieldKind::Connection),
            ("proxy-connection", FieldKind::Connection),
            ("transfer-encoding", FieldKind::Connection),
            ("upgrade", FieldKind::Connection),
            ("user-agent", FieldKind::Other),
        ] {
            assert_eq!(FieldKind::of(name.as_bytes(), 0), kind, "{name}");
        }
    }

    #[test]
    fn an_index_of_the_static_table_has_the_kind_of_its_name() {
        for (index, name) in [
            (1, ":authority"),
            (2, ":method"),
            (3, ":method"),
            (4, ":path"),
            (5, ":path"),
            (6, ":scheme"),
            (7, ":scheme"),
            (8, ":status"),
            (14, ":status"),
            (15, "accept-charset"),
            (27, "content-language"),
            (28, "content-length"),
            (29, "content-location"),
            (31, "content-type"),
            (32, "cookie"),
            (33, "date"),
            (34, "etag"),
            (35, "expect"),
            (36, "expires"),
            (37, "from"),
            (38, "host"),
            (39, "if-match"),
            (56, "strict-transport-security"),
            (57, "transfer-encoding"),
            (58, "user-agent"),
            (61, "www-authenticate"),
        ] {
            let kind = FieldKind::of(name.as_bytes(), 0);
            assert_eq!(FieldKind::of(name.as_bytes(), index), kind, "{name}");
        }
    }
}
