//! The arguments of commands.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::Encoder;

/// One or more arguments of a command.
///
/// Strings, bytes and numbers are one argument. Arrays, slices, vectors, options and tuples are the arguments of their elements, in order;
/// they may be nested.
///
/// # Examples
/// ```
/// use uptick_redis::protocol::Arguments;
///
/// let fields = [("name", "Ann"), ("city", "Oslo")];
/// assert_eq!(("HSET", "user:1", fields).count(), 6);
/// ```
pub trait Arguments {
    /// Returns the number of arguments.
    fn count(&self) -> usize;

    /// Appends the arguments to a command.
    fn encode(&self, encoder: &mut Encoder<'_>);
}

macro_rules! bytes_arguments {
    ($($type:ty),+ $(,)?) => {$(
        impl Arguments for $type {
            #[inline]
            fn count(&self) -> usize {
                1
            }

            #[inline]
            fn encode(&self, encoder: &mut Encoder<'_>) {
                encoder.argument(self.as_ref());
            }
        }
    )+};
}

bytes_arguments!(str, String, [u8], Vec<u8>, Bytes, BytesMut);

impl<const N: usize> Arguments for [u8; N] {
    #[inline]
    fn count(&self) -> usize {
        1
    }

    #[inline]
    fn encode(&self, encoder: &mut Encoder<'_>) {
        encoder.argument(self);
    }
}

macro_rules! integer_arguments {
    ($($type:ty),+) => {$(
        impl Arguments for $type {
            fn count(&self) -> usize {
                1
            }

            fn encode(&self, encoder: &mut Encoder<'_>) {
                encoder.integer(*self as i128);
            }
        }
    )+};
}

integer_arguments!(i16, i32, i64, isize, u16, u32, u64, usize);

/// A double, in the shortest text that has the same value.
impl Arguments for f64 {
    fn count(&self) -> usize {
        1
    }

    fn encode(&self, encoder: &mut Encoder<'_>) {
        encoder.argument(self.to_string().as_bytes());
    }
}

macro_rules! forwarded_arguments {
    ($(($($generics:tt)+) $type:ty),+ $(,)?) => {$(
        impl<$($generics)+> Arguments for $type {
            #[inline]
            fn count(&self) -> usize {
                (**self).count()
            }

            #[inline]
            fn encode(&self, encoder: &mut Encoder<'_>) {
                (**self).encode(encoder);
            }
        }
    )+};
}

forwarded_arguments!(
    (T: Arguments + ?Sized) &T,
    (T: Arguments + ?Sized) Box<T>,
    (T: Arguments + ?Sized) Rc<T>,
    (T: Arguments + ?Sized) Arc<T>,
    ('a, T: Arguments + ToOwned + ?Sized) Cow<'a, T>,
);

impl<T: Arguments> Arguments for [T] {
    fn count(&self) -> usize {
        self.iter().map(Arguments::count).sum()
    }

    fn encode(&self, encoder: &mut Encoder<'_>) {
        for argument in self {
            argument.encode(encoder);
        }
    }
}

impl<T: Arguments, const N: usize> Arguments for [T; N] {
    fn count(&self) -> usize {
        self.as_slice().count()
    }

    fn encode(&self, encoder: &mut Encoder<'_>) {
        self.as_slice().encode(encoder);
    }
}

impl<T: Arguments> Arguments for Vec<T> {
    fn count(&self) -> usize {
        self.as_slice().count()
    }

    fn encode(&self, encoder: &mut Encoder<'_>) {
        self.as_slice().encode(encoder);
    }
}

impl<T: Arguments> Arguments for Option<T> {
    fn count(&self) -> usize {
        self.as_slice().count()
    }

    fn encode(&self, encoder: &mut Encoder<'_>) {
        self.as_slice().encode(encoder);
    }
}

/// No arguments.
impl Arguments for () {
    fn count(&self) -> usize {
        0
    }

    fn encode(&self, _: &mut Encoder<'_>) {}
}

macro_rules! tuple_arguments {
    ($($name:ident)+) => {
        impl<$($name: Arguments),+> Arguments for ($($name,)+) {
            #[inline]
            fn count(&self) -> usize {
                #[allow(non_snake_case)]
                let ($($name,)+) = self;
                0 $(+ $name.count())+
            }

            #[inline]
            fn encode(&self, encoder: &mut Encoder<'_>) {
                #[allow(non_snake_case)]
                let ($($name,)+) = self;
                $($name.encode(encoder);)+
            }
        }
    };
}

tuple_arguments!(A);
tuple_arguments!(A B);
tuple_arguments!(A B C);
tuple_arguments!(A B C D);
tuple_arguments!(A B C D E);
tuple_arguments!(A B C D E F);
tuple_arguments!(A B C D E F G);
tuple_arguments!(A B C D E F G H);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::encode_command;

    fn encoded(arguments: impl Arguments) -> Vec<u8> {
        let mut out = Vec::new();
        encode_command(&mut out, arguments);
        out
    }

    #[test]
    fn nested_arguments_are_flattened_in_order() {
        let flat = encoded(["HSET", "k", "a", "1", "b", "2"]);
        assert_eq!(encoded(("HSET", "k", [("a", 1), ("b", 2)])), flat);
        assert_eq!(encoded(("HSET", "k", vec![("a", "1"), ("b", "2")])), flat);
        let some = Some(("a", 1_u64));
        assert_eq!(
            encoded(("HSET", b"k", some, &[("b", Bytes::from("2"))])),
            flat
        );
        assert_eq!(encoded(("PING", (), None::<&str>)), encoded("PING"));
    }

    #[test]
    fn bytes_are_one_argument_and_numbers_are_text() {
        assert_eq!(encoded(("X", b"a\0b")), b"*2\r\n$1\r\nX\r\n$3\r\na\0b\r\n");
        assert_eq!(
            encoded(("X", vec![1_u8, 2], 1.5, -3)),
            b"*4\r\n$1\r\nX\r\n$2\r\n\x01\x02\r\n$3\r\n1.5\r\n$2\r\n-3\r\n"
        );
    }
}
