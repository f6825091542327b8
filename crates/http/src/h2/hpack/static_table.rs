//! The static table (RFC 7541, appendix A), with a perfect hash of its names.

use std::fmt;
use std::num::NonZeroU8;

/// The number of entries of the static table.
pub(super) const STATIC_LEN: usize = ENTRIES.len();

/// The fields of the static table. The first one has the index 1.
#[rustfmt::skip]
const ENTRIES: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// The first index with the name of each entry.
static FIRST: [StaticName; STATIC_LEN] = first_indices();

/// The indices of the names, by their hash; zero where no name has the hash.
static SLOTS: [u8; 128] = slots();

/// A factor for which no two names have the same hash.
const FACTOR: u32 = 0x1920_7c37;

/// A name in the static table. It is one byte, so that comparing it costs less than comparing the text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct StaticName(NonZeroU8);

impl StaticName {
    /// The name `:authority`.
    pub const AUTHORITY: StaticName = StaticName::at(1);
    /// The name `:method`.
    pub const METHOD: StaticName = StaticName::at(2);
    /// The name `:path`.
    pub const PATH: StaticName = StaticName::at(4);
    /// The name `:scheme`.
    pub const SCHEME: StaticName = StaticName::at(6);
    /// The name `:status`.
    pub const STATUS: StaticName = StaticName::at(8);
    /// The name `accept-charset`.
    pub const ACCEPT_CHARSET: StaticName = StaticName::at(15);
    /// The name `accept-encoding`.
    pub const ACCEPT_ENCODING: StaticName = StaticName::at(16);
    /// The name `accept-language`.
    pub const ACCEPT_LANGUAGE: StaticName = StaticName::at(17);
    /// The name `accept-ranges`.
    pub const ACCEPT_RANGES: StaticName = StaticName::at(18);
    /// The name `accept`.
    pub const ACCEPT: StaticName = StaticName::at(19);
    /// The name `access-control-allow-origin`.
    pub const ACCESS_CONTROL_ALLOW_ORIGIN: StaticName = StaticName::at(20);
    /// The name `age`.
    pub const AGE: StaticName = StaticName::at(21);
    /// The name `allow`.
    pub const ALLOW: StaticName = StaticName::at(22);
    /// The name `authorization`.
    pub const AUTHORIZATION: StaticName = StaticName::at(23);
    /// The name `cache-control`.
    pub const CACHE_CONTROL: StaticName = StaticName::at(24);
    /// The name `content-disposition`.
    pub const CONTENT_DISPOSITION: StaticName = StaticName::at(25);
    /// The name `content-encoding`.
    pub const CONTENT_ENCODING: StaticName = StaticName::at(26);
    /// The name `content-language`.
    pub const CONTENT_LANGUAGE: StaticName = StaticName::at(27);
    /// The name `content-length`.
    pub const CONTENT_LENGTH: StaticName = StaticName::at(28);
    /// The name `content-location`.
    pub const CONTENT_LOCATION: StaticName = StaticName::at(29);
    /// The name `content-range`.
    pub const CONTENT_RANGE: StaticName = StaticName::at(30);
    /// The name `content-type`.
    pub const CONTENT_TYPE: StaticName = StaticName::at(31);
    /// The name `cookie`.
    pub const COOKIE: StaticName = StaticName::at(32);
    /// The name `date`.
    pub const DATE: StaticName = StaticName::at(33);
    /// The name `etag`.
    pub const ETAG: StaticName = StaticName::at(34);
    /// The name `expect`.
    pub const EXPECT: StaticName = StaticName::at(35);
    /// The name `expires`.
    pub const EXPIRES: StaticName = StaticName::at(36);
    /// The name `from`.
    pub const FROM: StaticName = StaticName::at(37);
    /// The name `host`.
    pub const HOST: StaticName = StaticName::at(38);
    /// The name `if-match`.
    pub const IF_MATCH: StaticName = StaticName::at(39);
    /// The name `if-modified-since`.
    pub const IF_MODIFIED_SINCE: StaticName = StaticName::at(40);
    /// The name `if-none-match`.
    pub const IF_NONE_MATCH: StaticName = StaticName::at(41);
    /// The name `if-range`.
    pub const IF_RANGE: StaticName = StaticName::at(42);
    /// The name `if-unmodified-since`.
    pub const IF_UNMODIFIED_SINCE: StaticName = StaticName::at(43);
    /// The name `last-modified`.
    pub const LAST_MODIFIED: StaticName = StaticName::at(44);
    /// The name `link`.
    pub const LINK: StaticName = StaticName::at(45);
    /// The name `location`.
    pub const LOCATION: StaticName = StaticName::at(46);
    /// The name `max-forwards`.
    pub const MAX_FORWARDS: StaticName = StaticName::at(47);
    /// The name `proxy-authenticate`.
    pub const PROXY_AUTHENTICATE: StaticName = StaticName::at(48);
    /// The name `proxy-authorization`.
    pub const PROXY_AUTHORIZATION: StaticName = StaticName::at(49);
    /// The name `range`.
    pub const RANGE: StaticName = StaticName::at(50);
    /// The name `referer`.
    pub const REFERER: StaticName = StaticName::at(51);
    /// The name `refresh`.
    pub const REFRESH: StaticName = StaticName::at(52);
    /// The name `retry-after`.
    pub const RETRY_AFTER: StaticName = StaticName::at(53);
    /// The name `server`.
    pub const SERVER: StaticName = StaticName::at(54);
    /// The name `set-cookie`.
    pub const SET_COOKIE: StaticName = StaticName::at(55);
    /// The name `strict-transport-security`.
    pub const STRICT_TRANSPORT_SECURITY: StaticName = StaticName::at(56);
    /// The name `transfer-encoding`.
    pub const TRANSFER_ENCODING: StaticName = StaticName::at(57);
    /// The name `user-agent`.
    pub const USER_AGENT: StaticName = StaticName::at(58);
    /// The name `vary`.
    pub const VARY: StaticName = StaticName::at(59);
    /// The name `via`.
    pub const VIA: StaticName = StaticName::at(60);
    /// The name `www-authenticate`.
    pub const WWW_AUTHENTICATE: StaticName = StaticName::at(61);

    /// Returns the name of the static table that equals `name`, which is in lower case.
    #[inline]
    pub fn find(name: &[u8]) -> Option<StaticName> {
        let index = SLOTS[hash(name)];
        let (found, _) = ENTRIES.get(usize::from(index).checked_sub(1)?)?;
        (found.as_bytes() == name).then(|| StaticName::at(index))
    }

    /// Returns the text of the name.
    #[inline]
    pub fn as_str(self) -> &'static str {
        ENTRIES.get(self.index() - 1).map_or("", |(name, _)| name)
    }

    /// Returns the first index with this name.
    #[inline]
    pub(in crate::h2) const fn index(self) -> usize {
        self.0.get() as usize
    }

    /// Returns the index of the entry with this name and `value`.
    #[inline]
    pub(super) fn index_of(self, value: &[u8]) -> Option<usize> {
        let first = self.index();
        let found = |index: &usize| ENTRIES[index - 1].1.as_bytes() == value;
        match self {
            StaticName::METHOD | StaticName::PATH | StaticName::SCHEME => {
                (first..first + 2).find(found)
            }
            StaticName::STATUS => (first..first + 7).find(found),
            _ => Some(first).filter(found),
        }
    }

    const fn at(index: u8) -> StaticName {
        StaticName(NonZeroU8::MIN.saturating_add(index.saturating_sub(1)))
    }
}

impl fmt::Debug for StaticName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StaticName({})", self.as_str())
    }
}

impl fmt::Display for StaticName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Returns the field with an index of the static table, from 1 to 61.
#[inline]
pub(super) fn entry(index: usize) -> Option<(StaticName, &'static str, &'static str)> {
    let position = index.checked_sub(1)?;
    let &(name, value) = ENTRIES.get(position)?;
    Some((FIRST[position], name, value))
}

#[inline]
const fn hash(name: &[u8]) -> usize {
    let (Some(&first), Some(&last)) = (name.first(), name.last()) else {
        return 0;
    };
    let middle = name[name.len() / 2];
    let key = u32::from_le_bytes([name.len() as u8, first, last, middle]);
    (key.wrapping_mul(FACTOR) >> 25) as usize
}

const fn first_indices() -> [StaticName; STATIC_LEN] {
    let mut first = [StaticName::AUTHORITY; STATIC_LEN];
    let mut position = 1;
    while position < STATIC_LEN {
        first[position] = StaticName::at(position as u8 + 1);
        if is_same(ENTRIES[position].0, ENTRIES[position - 1].0) {
            first[position] = first[position - 1];
        }
        position += 1;
    }
    first
}

const fn slots() -> [u8; 128] {
    let mut slots = [0; 128];
    let mut position = 0;
    while position < STATIC_LEN {
        if position == 0 || !is_same(ENTRIES[position].0, ENTRIES[position - 1].0) {
            let slot = hash(ENTRIES[position].0.as_bytes());
            assert!(slots[slot] == 0, "two names have the same hash");
            slots[slot] = position as u8 + 1;
        }
        position += 1;
    }
    slots
}

const fn is_same(first: &str, second: &str) -> bool {
    let (first, second) = (first.as_bytes(), second.as_bytes());
    let mut index = 0;
    while index < first.len() && index < second.len() {
        if first[index] != second[index] {
            return false;
        }
        index += 1;
    }
    first.len() == second.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_found_at_its_first_index() {
        for (position, (name, value)) in ENTRIES.iter().enumerate() {
            let first = ENTRIES.iter().position(|(other, _)| other == name).unwrap() + 1;
            let found = StaticName::find(name.as_bytes()).unwrap();
            assert_eq!((found.index(), found.as_str()), (first, *name));
            assert_eq!(found.index_of(value.as_bytes()), Some(position + 1));
            assert_eq!(found.index_of(b"another value"), None);
            assert_eq!(entry(position + 1), Some((found, *name, *value)));
        }
        assert_eq!((entry(0), entry(62)), (None, None));
    }

    #[test]
    fn other_names_are_not_found() {
        for name in [
            "",
            "x",
            ":",
            "host2",
            "Host",
            "x-request-id",
            "content-typf",
            ":protocol",
        ] {
            assert_eq!(StaticName::find(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn the_constants_have_the_names_of_the_rfc() {
        assert_eq!(StaticName::AUTHORITY.to_string(), ":authority");
        assert_eq!(StaticName::STATUS.index(), 8);
        assert_eq!(StaticName::CONTENT_TYPE.as_str(), "content-type");
        assert_eq!(StaticName::WWW_AUTHENTICATE.index(), 61);
    }
}
