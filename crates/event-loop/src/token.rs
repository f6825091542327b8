//! Tokens, which identify a ready object to the poller: its driver, and the driver's own key.

/// The identifier of a [`Driver`](crate::driver::Driver) on this thread's loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriverId(u8);

impl DriverId {
    /// The id of no driver.
    pub(crate) const NONE: DriverId = DriverId(u8::MAX);

    pub(crate) const fn from_index(index: u8) -> Self {
        DriverId(index)
    }

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// The identifier of an object in the poller's events: 8 bits of driver, 24 of generation, 32 of index.
///
/// A driver creates it with [`Id::token`](crate::Id::token) and converts it back to the id with
/// [`Table::find`](crate::Table::find).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(u64);

const GENERATION_MASK: u32 = 0x00FF_FFFF;

impl Token {
    #[inline]
    pub(crate) const fn new(driver: DriverId, index: u32, generation: u32) -> Self {
        Token(
            (driver.0 as u64) << 56 | ((generation & GENERATION_MASK) as u64) << 32 | index as u64,
        )
    }

    /// Returns the token as a number, for the poller.
    #[inline]
    pub const fn to_u64(self) -> u64 {
        self.0
    }

    /// Creates the token from a number of the poller.
    #[inline]
    pub const fn from_u64(raw: u64) -> Self {
        Token(raw)
    }

    /// Returns the driver of the object.
    #[inline]
    pub const fn driver(self) -> DriverId {
        DriverId((self.0 >> 56) as u8)
    }

    #[inline]
    pub(crate) const fn index(self) -> u32 {
        self.0 as u32
    }

    /// Returns `true` if the lower 24 bits of the generation match the token's.
    #[inline]
    pub(crate) const fn is_of(self, generation: u32) -> bool {
        (self.0 >> 32) as u32 & GENERATION_MASK == generation & GENERATION_MASK
    }
}
