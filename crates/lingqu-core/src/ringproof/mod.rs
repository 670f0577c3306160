//! Kernels of the proof that ring products were computed honestly: weights, quotients, folding modulo a random prime.
pub mod field;
pub mod fold;
pub mod python;
pub mod sums;
#[cfg(target_arch = "x86_64")]
mod sums_wide;
#[cfg(target_arch = "x86_64")]
mod wide;

/// Binary weight vectors, one to a bit of a weight word.
pub const COMBINATIONS: usize = 48;
