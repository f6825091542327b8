//! A replacement for the SIMD type of the crate `wide`, used without the feature `simd`.

use std::array;
use std::ops::{Add, BitAnd, BitOr, Not};

/// Sixteen signed bytes. A comparison sets all bits of a byte, or none.
#[derive(Clone, Copy, Debug)]
#[allow(non_camel_case_types, reason = "same name as the type in `wide`")]
pub(crate) struct i8x16([i8; 16]);

impl i8x16 {
    #[inline(always)]
    pub(crate) fn new(bytes: [i8; 16]) -> Self {
        i8x16(bytes)
    }

    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(i8, i8) -> i8) -> Self {
        i8x16(array::from_fn(|at| f(self.0[at], other.0[at])))
    }

    #[inline(always)]
    pub(crate) fn cmp_eq(self, other: Self) -> Self {
        self.zip(other, |a, b| -i8::from(a == b))
    }

    #[inline(always)]
    pub(crate) fn cmp_gt(self, other: Self) -> Self {
        self.zip(other, |a, b| -i8::from(a > b))
    }

    /// Returns the sign of each byte as a bit, with the first byte in the lowest bit.
    #[inline(always)]
    pub(crate) fn move_mask(self) -> i32 {
        let signs = self.0.iter().enumerate();
        signs.fold(0, |bits, (at, byte)| bits | i32::from(*byte < 0) << at)
    }
}

impl Add for i8x16 {
    type Output = Self;

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, i8::wrapping_add)
    }
}

impl BitAnd for i8x16 {
    type Output = Self;

    #[inline(always)]
    fn bitand(self, other: Self) -> Self {
        self.zip(other, |a, b| a & b)
    }
}

impl BitOr for i8x16 {
    type Output = Self;

    #[inline(always)]
    fn bitor(self, other: Self) -> Self {
        self.zip(other, |a, b| a | b)
    }
}

impl Not for i8x16 {
    type Output = Self;

    #[inline(always)]
    fn not(self) -> Self {
        i8x16(self.0.map(|byte| !byte))
    }
}
