//! Hash slots of a Redis Cluster.

/// The number of hash slots of a cluster.
pub const SLOTS: u16 = 16_384;

/// Returns the hash slot of a key or of a sharded channel.
///
/// If the key has a hash tag, a non-empty part between the first `{` and the next `}`, only that part is hashed.
///
/// # Examples
/// ```
/// use uptick_redis::protocol::key_slot;
///
/// assert_eq!(key_slot(b"foo"), 12_182);
/// assert_eq!(key_slot(b"{foo}.bar"), key_slot(b"foo"));
/// ```
pub fn key_slot(key: &[u8]) -> u16 {
    crc16(hash_tag(key)) % SLOTS
}

fn hash_tag(key: &[u8]) -> &[u8] {
    let Some(open) = memchr::memchr(b'{', key) else {
        return key;
    };
    let tag = &key[open + 1..];
    match memchr::memchr(b'}', tag) {
        Some(close) if close > 0 => &tag[..close],
        _ => key,
    }
}

/// Returns the CRC-16/XMODEM of bytes.
fn crc16(bytes: &[u8]) -> u16 {
    let mut crc = 0_u16;
    for &byte in bytes {
        crc ^= u16::from(byte) << 8;
        for _ in 0..8 {
            let carry = crc & 0x8000 != 0;
            crc <<= 1;
            if carry {
                crc ^= 0x1021;
            }
        }
    }
    crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_the_cluster_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
    }

    #[test]
    fn only_a_non_empty_hash_tag_replaces_the_key() {
        assert_eq!(key_slot(b"{user1000}.following"), key_slot(b"user1000"));
        assert_eq!(hash_tag(b"foo{}{bar}"), b"foo{}{bar}");
        assert_eq!(hash_tag(b"foo{{bar}}zap"), b"{bar");
        assert_eq!(hash_tag(b"foo{bar}{zap}"), b"bar");
        assert_eq!(hash_tag(b"foo{bar"), b"foo{bar");
    }
}
