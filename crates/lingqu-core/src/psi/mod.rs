//! Kernels of private set intersection: digests of elements, and the store that the OPRF of Raghuraman and Rindal uses.
pub mod bands;
#[cfg(target_arch = "x86_64")]
mod columns;
pub mod cuckoo;
pub mod hash;
pub mod okvs;
pub mod python;
pub mod rows;
pub mod rr22;
pub mod sha;
pub mod spread;
pub mod tags;
pub mod unique;
