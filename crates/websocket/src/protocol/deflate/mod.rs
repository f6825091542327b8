//! Compressed messages: permessage-deflate (RFC 7692).
//!
//! ```
//! use uptick_websocket::protocol::{Deflater, Inflater};
//!
//! let text = "to be or not to be, ".repeat(10);
//! let mut deflater = Deflater::new(15);
//! let mut small = Vec::new();
//! assert!(deflater.compress(text.as_bytes(), &mut small, true));
//! assert!(small.len() < 40);
//! assert_eq!(Inflater::new().inflate(&small, 1000), Ok(text.into_bytes()));
//! ```

mod config;
mod deflater;
mod inflater;

pub use config::{Config, EXTENSION};
pub use deflater::Deflater;
pub use inflater::Inflater;

/// The end of the blocks of each message, which is not sent (RFC 7692, section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
