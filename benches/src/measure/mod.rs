//! What a server used: CPU time, system calls, memory, instructions.

pub(crate) mod callgrind;
pub(crate) mod cpu;
pub(crate) mod memory;
pub(crate) mod syscalls;
pub(crate) mod tree;
