//! Products of additively shared 64-bit words from ring learning with errors: pure state machines, bytes in and out.
pub mod basis;
pub mod field;
#[cfg(target_arch = "x86_64")]
mod ifma;
pub mod matrix;
pub mod ntt;
pub mod python;
pub mod sample;
pub mod sizes;
pub mod slots;
pub mod triples;
pub mod wire;
