//! How the poller names what is ready: the driver that looks after it, and the driver's own key.

/// Names a [`Driver`](crate::driver::Driver) of this thread's loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriverId(u8);

impl DriverId {
    /// The id that no driver has.
    pub(crate) const NONE: DriverId = DriverId(u8::MAX);

    pub(crate) const fn from_index(index: u8) -> Self {
        DriverId(index)
    }

    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What the poller reports with an event: 8 bits of driver, 24 of generation, 32 of index.
///
/// A driver makes it with [`Id::token`](crate::Id::token) and gets the id back with
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

    /// The token as the poller carries it.
    #[inline]
    pub const fn to_u64(self) -> u64 {
        self.0
    }

    /// The token that the poller carried.
    #[inline]
    pub const fn from_u64(raw: u64) -> Self {
        Token(raw)
    }

    /// The driver that looks after the thing.
    #[inline]
    pub const fn driver(self) -> DriverId {
        DriverId((self.0 >> 56) as u8)
    }

    #[inline]
    pub(crate) const fn index(self) -> u32 {
        self.0 as u32
    }

    /// Whether the token was made under this generation, as far as its 24 bits tell.
    #[inline]
    pub(crate) const fn is_of(self, generation: u32) -> bool {
        (self.0 >> 32) as u32 & GENERATION_MASK == generation & GENERATION_MASK
    }
}
