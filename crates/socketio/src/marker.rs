//! The kinds of decisions of callbacks: the parameter `M` of [`IntoConnectMiddleware`](crate::IntoConnectMiddleware) and
//! [`IntoPermission`](crate::engine::IntoPermission), which is always inferred. No program names them.

/// A result.
#[derive(Debug)]
pub enum Now {}
/// A future of a result.
#[derive(Debug)]
pub enum Later {}
