//! The resources used by a server: CPU time, system calls, memory, instructions.

pub(crate) mod callgrind;
pub(crate) mod cpu;
pub(crate) mod memory;
pub(crate) mod syscalls;
pub(crate) mod tree;
