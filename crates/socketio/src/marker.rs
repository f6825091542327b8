//! Marker types for the result of a callback: the parameter `M` of [`IntoConnectMiddleware`](crate::IntoConnectMiddleware) and
//! [`IntoPermission`](crate::engine::IntoPermission), which is always inferred. Programs do not name them.

/// Marker for callbacks that return a result.
#[derive(Debug)]
pub enum Now {}
/// Marker for callbacks that return a future of a result.
#[derive(Debug)]
pub enum Later {}
