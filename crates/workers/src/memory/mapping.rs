//! Memory shared between processes.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicU64;

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};

/// 64-bit words in memory that several processes map.
///
/// The mapping lives until the process ends, so the words are `'static`.
#[derive(Debug)]
pub(crate) struct Mapping {
    words: &'static [AtomicU64],
    file: OwnedFd,
}

impl Mapping {
    /// Creates shared memory of `count` words, all zero.
    pub(crate) fn create(count: usize) -> io::Result<Mapping> {
        let file = rustix::fs::memfd_create(
            "uptick-workers",
            MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
        )?;
        rustix::fs::ftruncate(&file, bytes(count)? as u64)?;
        let size = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        rustix::fs::fcntl_add_seals(&file, size)?;
        Mapping::open(file)
    }

    /// Maps memory that another process created.
    ///
    /// # Errors
    /// `EINVAL` if it is not memory of a fixed size.
    pub(crate) fn open(file: OwnedFd) -> io::Result<Mapping> {
        let seals = rustix::fs::fcntl_get_seals(&file)?;
        if !seals.contains(SealFlags::SHRINK | SealFlags::SEAL) {
            return Err(rustix::io::Errno::INVAL.into());
        }
        let size = usize::try_from(rustix::fs::fstat(&file)?.st_size).unwrap_or(0);
        let words = map(file.as_fd(), size / size_of::<AtomicU64>())?;
        Ok(Mapping { words, file })
    }

    pub(crate) fn words(&self) -> &'static [AtomicU64] {
        self.words
    }

    /// Returns the descriptor to pass to another process.
    pub(crate) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn bytes(count: usize) -> io::Result<usize> {
    count
        .checked_mul(size_of::<AtomicU64>())
        .ok_or_else(|| rustix::io::Errno::OVERFLOW.into())
}

#[allow(unsafe_code)]
fn map(file: BorrowedFd<'_>, count: usize) -> io::Result<&'static [AtomicU64]> {
    if count == 0 {
        return Ok(&[]);
    }
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: the address is chosen by the system, so that no memory in use is replaced.
    let start = unsafe {
        rustix::mm::mmap(
            std::ptr::null_mut(),
            bytes(count)?,
            protection,
            MapFlags::SHARED,
            file,
            0,
        )
    }?;
    // SAFETY: the mapping has `count` words, is aligned to a page, readable, writable and never unmapped. Its file is sealed
    // against shrinking, so every word stays backed. Any 8 bytes are a valid `AtomicU64`; concurrent accesses by other
    // processes are atomic as well.
    Ok(unsafe { std::slice::from_raw_parts(start.cast::<AtomicU64>(), count) })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn two_mappings_of_one_file_share_their_words() {
        let ours = Mapping::create(4).unwrap();
        let theirs = Mapping::open(ours.file().try_clone_to_owned().unwrap()).unwrap();
        ours.words()[3].store(7, Ordering::Relaxed);
        assert_eq!(theirs.words()[3].load(Ordering::Relaxed), 7);
        assert_eq!(theirs.words().len(), 4);
    }

    #[test]
    fn memory_that_can_shrink_is_refused() {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = rustix::fs::memfd_create("test", flags).unwrap();
        rustix::fs::ftruncate(&file, 64).unwrap();
        let error = Mapping::open(file).unwrap_err();
        assert_eq!(
            error.raw_os_error(),
            Some(rustix::io::Errno::INVAL.raw_os_error())
        );
    }
}
