//! Adapters over Redis, compatible with the official ones.
//!
//! ```text
//! adapter ─→ wire ─→ link ─→ broker ─→ Redis ─→ (other server, also Node.js)
//!         ←─ wire ←─────────        ←─
//! ```
//!
//! | here | npm package |
//! |---|---|
//! | [`RedisAdapter`] | `createAdapter` of `@socket.io/redis-adapter` |
//! | [`ShardedRedisAdapter`] | `createShardedAdapter` of `@socket.io/redis-adapter` |
//! | [`RedisEmitter`] | `@socket.io/redis-emitter` |

#[doc(hidden)]
pub mod broker;
mod classic;
mod client;
mod emitter;
mod link;
mod sharded;
mod stats;
#[doc(hidden)]
pub mod wire;

pub use classic::RedisAdapter;
pub use emitter::{RedisBroadcast, RedisEmitter};
pub use sharded::{ShardedRedisAdapter, SubscriptionMode};
pub use stats::RedisAdapterStats;

/// The prefix of the channels.
const DEFAULT_PREFIX: &str = "socket.io";

/// Escapes the special characters of patterns.
fn escape_pattern(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '^' | '\\') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}
