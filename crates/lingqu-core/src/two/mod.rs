//! What two parties compute with alone: hashed transfers, lookups of private digits, permutation networks.
pub mod lookup;
pub mod python;
pub mod switch;
pub mod transfers;
