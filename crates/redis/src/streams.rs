//! Redis streams.

use std::time::Duration;

use bytes::Bytes;

use crate::commands::milliseconds;
use crate::protocol::{Arguments, Value};
use crate::{Error, FromValue};

/// An entry of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamEntry {
    /// The ID, such as `1700000000000-0`.
    pub id: String,
    /// The fields, in order.
    pub fields: Vec<(String, Bytes)>,
}

impl StreamEntry {
    /// Returns the value of the first field with a name.
    pub fn field(&self, name: &str) -> Option<&Bytes> {
        self.fields
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value)
    }
}

impl FromValue for StreamEntry {
    fn from_value(value: Value) -> Result<Self, Error> {
        // The fields of a deleted entry are null.
        let (id, fields): (String, Option<Vec<Value>>) = FromValue::from_value(value)?;
        let flat = fields.unwrap_or_default();
        if flat.len() % 2 != 0 {
            return Err(Error::conversion(
                "pairs of fields and values",
                "an array of odd length",
            ));
        }
        let mut fields = Vec::with_capacity(flat.len() / 2);
        let mut flat = flat.into_iter();
        while let (Some(name), Some(value)) = (flat.next(), flat.next()) {
            fields.push((FromValue::from_value(name)?, FromValue::from_value(value)?));
        }
        Ok(StreamEntry { id, fields })
    }
}

/// Converts the reply to `XREAD`: null, a map with RESP3, or an array of pairs with RESP2.
pub(crate) fn entries_by_stream(value: Value) -> Result<Vec<(String, Vec<StreamEntry>)>, Error> {
    Ok(Option::from_value(value)?.unwrap_or_default())
}

/// Options of [`Redis::xadd_with`](crate::Redis::xadd_with).
#[derive(Clone, Debug, Default)]
pub struct XAddOptions {
    id: Option<String>,
    max_len: Option<(bool, u64)>,
    no_make_stream: bool,
}

impl XAddOptions {
    /// Creates options with the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the ID of the entry. Default: `*`, an ID that the server creates.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Limits the stream to about `count` entries, or a few more (`MAXLEN ~`), which is fast. Default: no limit.
    #[must_use]
    pub fn max_len(mut self, count: u64) -> Self {
        self.max_len = Some((true, count));
        self
    }

    /// Limits the stream to exactly `count` entries (`MAXLEN =`). Default: no limit.
    #[must_use]
    pub fn exact_max_len(mut self, count: u64) -> Self {
        self.max_len = Some((false, count));
        self
    }

    /// Prevents the creation of a missing stream (`NOMKSTREAM`). Default: it is created.
    #[must_use]
    pub fn no_make_stream(mut self) -> Self {
        self.no_make_stream = true;
        self
    }

    pub(crate) fn arguments(&self) -> impl Arguments + '_ {
        let trim = self
            .max_len
            .map(|(about, count)| ("MAXLEN", if about { "~" } else { "=" }, count));
        let no_make_stream = self.no_make_stream.then_some("NOMKSTREAM");
        (no_make_stream, trim, self.id.as_deref().unwrap_or("*"))
    }
}

/// The streams of [`Redis::xread`](crate::Redis::xread), and the ID after which each is read.
///
/// # Examples
/// ```no_run
/// use std::time::Duration;
/// use uptick_redis::{Redis, XRead};
///
/// # let redis = Redis::connect("redis://127.0.0.1")?;
/// let read = XRead::new().stream("events", "$").count(100).block(Duration::from_secs(5));
/// redis.xread(read).then(|entries| println!("{entries:?}"));
/// # Ok::<(), uptick_redis::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct XRead {
    keys: Vec<Bytes>,
    ids: Vec<String>,
    count: Option<usize>,
    block: Option<Duration>,
}

impl XRead {
    /// Creates a read of no stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a stream, and the ID after which its entries are returned: `0` for all, `$` for those added after the command.
    #[must_use]
    pub fn stream(mut self, key: impl AsRef<[u8]>, after: impl Into<String>) -> Self {
        self.keys.push(Bytes::copy_from_slice(key.as_ref()));
        self.ids.push(after.into());
        self
    }

    /// Sets the maximum number of entries of each stream. Default: no limit.
    #[must_use]
    pub fn count(mut self, count: usize) -> Self {
        self.count = Some(count);
        self
    }

    /// Sets the time for which the command waits until there is an entry, at least 1 ms. Default: it does not wait.
    #[must_use]
    pub fn block(mut self, time: Duration) -> Self {
        self.block = Some(time);
        self
    }

    pub(crate) fn block_time(&self) -> Option<Duration> {
        self.block
    }

    pub(crate) fn arguments(&self) -> impl Arguments + '_ {
        let count = self.count.map(|count| ("COUNT", count));
        let block = self.block.map(|time| ("BLOCK", milliseconds(time)));
        ("XREAD", count, block, "STREAMS", &self.keys, &self.ids)
    }
}
