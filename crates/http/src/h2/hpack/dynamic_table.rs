//! The dynamic table (RFC 7541, 2.3.2 and 4): the fields that were added last, of a limited size.
//!
//! All names and values are in one buffer, in the order in which they were added. Evicted fields leave a gap at its beginning, which is closed
//! when the buffer is full. The buffer has at most half again the size of its content, plus one field. An empty table owns no heap memory.

use std::collections::VecDeque;

use super::FIELD_OVERHEAD;

/// The name of a field to add.
#[derive(Clone, Copy, Debug)]
pub(super) enum AddedName<'a> {
    Text(&'a [u8]),
    /// The name of the field with this index.
    Indexed(usize),
}

/// The dynamic table, with data of type `M` for each field.
#[derive(Debug)]
pub(super) struct DynamicTable<M> {
    /// Names and values. The ones of the current fields are at the end.
    bytes: Vec<u8>,
    /// The current fields, oldest first.
    entries: VecDeque<TableEntry<M>>,
    /// The number of bytes that were removed from the beginning of `bytes`, modulo 2³².
    removed: u32,
    /// The size of all fields with their overhead.
    size: usize,
    max_size: usize,
}

/// The location of a field. A name or value is at most as long as the largest table, so 16 bits suffice.
#[derive(Clone, Copy, Debug)]
struct TableEntry<M> {
    /// The number of bytes in front of the field since the table was created, modulo 2³².
    start: u32,
    name: u16,
    value: u16,
    data: M,
}

/// A field of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct TableField<'a, M> {
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
    pub(super) data: M,
}

impl<M: Copy> DynamicTable<M> {
    /// The largest maximum size, in bytes.
    pub(super) const LARGEST: usize = 1 << 16;

    pub(super) fn new(max_size: usize) -> DynamicTable<M> {
        DynamicTable {
            bytes: Vec::new(),
            entries: VecDeque::new(),
            removed: 0,
            size: 0,
            max_size: max_size.min(Self::LARGEST),
        }
    }

    pub(super) fn max_size(&self) -> usize {
        self.max_size
    }

    pub(super) fn size(&self) -> usize {
        self.size
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Changes the maximum size. Fields that no longer fit are evicted, and unused memory is released.
    pub(super) fn set_max_size(&mut self, max_size: usize) {
        self.max_size = max_size.min(Self::LARGEST);
        if self.size > self.max_size {
            self.evict(self.max_size);
            self.entries.shrink_to_fit();
            self.relocate(self.live());
        }
    }

    /// Returns the field that was added `index` fields before the last one.
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<TableField<'_, M>> {
        let position = self.entries.len().checked_sub(index + 1)?;
        self.field(self.entries.get(position)?)
    }

    #[inline]
    fn field(&self, entry: &TableEntry<M>) -> Option<TableField<'_, M>> {
        let start = entry.start.wrapping_sub(self.removed) as usize;
        let (name, value) = (usize::from(entry.name), usize::from(entry.value));
        let text = self.bytes.get(start..start + name + value)?;
        let (name, value) = text.split_at_checked(name)?;
        Some(TableField {
            name,
            value,
            data: entry.data,
        })
    }

    /// Returns the index of the newest field for which both conditions are true. The second one is only called if the first one is true.
    #[inline]
    pub(super) fn find(
        &self,
        mut has_data: impl FnMut(M) -> bool,
        mut is_field: impl FnMut(TableField<'_, M>) -> bool,
    ) -> Option<usize> {
        let mut entries = self.entries.iter().rev();
        entries
            .position(|entry| has_data(entry.data) && self.field(entry).is_some_and(&mut is_field))
    }

    /// Adds a field, and evicts the oldest ones until it fits. A field that is larger than the table empties it (RFC 7541, 4.4).
    pub(super) fn add(&mut self, name: AddedName<'_>, value: &[u8], data: M) {
        let name_len = match name {
            AddedName::Text(text) => text.len(),
            AddedName::Indexed(index) => self.get(index).map_or(0, |field| field.name.len()),
        };
        let length = name_len.saturating_add(value.len());
        let size = length.saturating_add(FIELD_OVERHEAD);
        if size > self.max_size {
            self.clear();
            return;
        }
        if let AddedName::Text(_) = name {
            self.evict(self.max_size - size);
        }
        self.reserve(length);
        let start = self.removed.wrapping_add(self.bytes.len() as u32);
        match name {
            AddedName::Text(text) => self.bytes.extend_from_slice(text),
            AddedName::Indexed(index) => self.extend_with_name(index),
        }
        self.bytes.extend_from_slice(value);
        // The lengths are below the size of the table.
        let (name, value) = (name_len as u16, value.len() as u16);
        self.entries.push_back(TableEntry {
            start,
            name,
            value,
            data,
        });
        self.size += size;
        // A field whose name is copied from the table is evicted only now.
        self.evict(self.max_size);
    }

    /// Removes all fields and releases the memory.
    pub(super) fn clear(&mut self) {
        *self = DynamicTable::new(self.max_size);
    }

    fn extend_with_name(&mut self, index: usize) {
        let position = self.entries.len().checked_sub(index + 1);
        if let Some(entry) = position.and_then(|position| self.entries.get(position)) {
            let start = entry.start.wrapping_sub(self.removed) as usize;
            let range = start..start + usize::from(entry.name);
            self.bytes.extend_from_within(range);
        }
    }

    /// Removes the oldest fields until the size is at most `max_size`.
    #[inline]
    fn evict(&mut self, max_size: usize) {
        while self.size > max_size {
            let Some(entry) = self.entries.pop_front() else {
                return;
            };
            self.size -= usize::from(entry.name) + usize::from(entry.value) + FIELD_OVERHEAD;
        }
    }

    /// Returns the number of bytes of the current fields.
    fn live(&self) -> usize {
        self.size - self.entries.len() * FIELD_OVERHEAD
    }

    /// Makes room for `additional` bytes at the end of the buffer.
    fn reserve(&mut self, additional: usize) {
        if self.bytes.capacity() - self.bytes.len() >= additional {
            return;
        }
        let needed = self.live() + additional;
        // The gap is closed in place only if it is large enough, so that each byte is moved a bounded number of times.
        if needed + needed / 4 <= self.bytes.capacity() {
            let gap = self.bytes.len() - self.live();
            self.bytes.drain(..gap);
            self.removed = self.removed.wrapping_add(gap as u32);
        } else {
            self.relocate(needed + needed / 2);
        }
    }

    /// Moves the bytes of the current fields into a new buffer.
    fn relocate(&mut self, capacity: usize) {
        let gap = self.bytes.len() - self.live();
        let mut bytes = Vec::with_capacity(capacity);
        bytes.extend_from_slice(&self.bytes[gap..]);
        self.bytes = bytes;
        self.removed = self.removed.wrapping_add(gap as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(table: &DynamicTable<u8>) -> Vec<(&str, &str, u8)> {
        let text = |bytes| std::str::from_utf8(bytes).unwrap();
        let fields = (0..table.len()).map(|index| table.get(index).unwrap());
        fields
            .map(|field| (text(field.name), text(field.value), field.data))
            .collect()
    }

    fn add(table: &mut DynamicTable<u8>, name: &str, value: &str, data: u8) {
        table.add(AddedName::Text(name.as_bytes()), value.as_bytes(), data);
    }

    #[test]
    fn the_newest_field_has_the_first_index() {
        let mut table = DynamicTable::new(4096);
        add(&mut table, "a", "1", 7);
        add(&mut table, "b", "", 8);
        table.add(AddedName::Indexed(1), b"2", 9);
        assert_eq!(fields(&table), [("a", "2", 9), ("b", "", 8), ("a", "1", 7)]);
        assert_eq!(table.size(), 34 + 33 + 34);
        assert_eq!(
            table.find(|data| data > 7, |field| field.name == b"b"),
            Some(1)
        );
        assert_eq!(
            table.find(|data| data > 8, |field| field.name == b"b"),
            None
        );
        assert!(table.get(3).is_none());
    }

    #[test]
    fn the_oldest_fields_are_evicted() {
        let mut table = DynamicTable::new(100);
        for data in 0..10 {
            add(&mut table, "name", &data.to_string(), data);
        }
        assert_eq!(fields(&table), [("name", "9", 9), ("name", "8", 8)]);
        add(&mut table, "n", &"x".repeat(67), 10);
        assert_eq!((table.len(), table.size()), (1, 100));
        add(&mut table, "n", &"x".repeat(68), 11);
        assert_eq!((table.len(), table.size()), (0, 0));
    }

    #[test]
    fn a_name_is_copied_from_a_field_that_is_evicted() {
        let mut table = DynamicTable::new(80);
        add(&mut table, "first", "1", 1);
        add(&mut table, "b", "2", 2);
        table.add(AddedName::Indexed(1), b"another", 3);
        assert_eq!(fields(&table), [("first", "another", 3), ("b", "2", 2)]);
        table.add(AddedName::Indexed(0), &[b'x'; 43], 4);
        assert_eq!(fields(&table), [("first", "x".repeat(43).as_str(), 4)]);
    }

    #[test]
    fn a_table_without_fields_owns_no_memory() {
        let memory = |table: &DynamicTable<u8>| (table.bytes.capacity(), table.entries.capacity());
        let mut table = DynamicTable::new(4096);
        assert_eq!(memory(&table), (0, 0));
        add(&mut table, "name", "value", 0);
        add(&mut table, "name", &"value".repeat(1000), 0);
        assert_eq!(memory(&table), (0, 0));
        add(&mut table, "name", "value", 0);
        table.set_max_size(0);
        assert_eq!(memory(&table), (0, 0));
        table.set_max_size(4096);
        add(&mut table, "name", "value", 1);
        assert_eq!(fields(&table), [("name", "value", 1)]);
    }

    #[test]
    fn the_memory_stays_bounded_and_the_fields_right_over_many_changes() {
        for max_size in [64, 200, 4096] {
            let mut table = DynamicTable::new(max_size);
            let mut expected = VecDeque::new();
            let mut size = 0;
            for step in 0..5000_usize {
                let name = "n".repeat(1 + step % 7);
                let value = step.to_string().repeat(1 + step * 7 % 11);
                let data = step as u8;
                add(&mut table, &name, &value, data);
                size += name.len() + value.len() + 32;
                expected.push_front((name, value, data));
                while size > max_size {
                    let (name, value, _) = expected.pop_back().unwrap();
                    size -= name.len() + value.len() + 32;
                }
                let found = fields(&table);
                let same = expected
                    .iter()
                    .map(|(name, value, data)| (&name[..], &value[..], *data));
                assert!(same.eq(found), "step {step}");
                assert!(table.bytes.capacity() <= max_size * 2);
            }
        }
    }

    #[test]
    fn a_reduced_size_releases_memory() {
        let mut table = DynamicTable::new(4096);
        for data in 0..100 {
            add(&mut table, "name", "value", data);
        }
        table.set_max_size(90);
        assert_eq!(
            fields(&table),
            [("name", "value", 99), ("name", "value", 98)]
        );
        assert!(table.bytes.capacity() < 32 && table.entries.capacity() <= 4);
    }
}
