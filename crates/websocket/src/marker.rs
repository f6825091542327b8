//! Markers for the kinds of decisions of a gate: the parameter `M` of [`IntoDecision`](crate::IntoDecision), which is always inferred.
//! Programs do not need to name them.

/// A verdict.
#[derive(Debug)]
pub enum Immediate {}
/// A future of a verdict.
#[derive(Debug)]
pub enum Deferred {}
