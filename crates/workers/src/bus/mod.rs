//! The bus between workers.
