//! Private lookups: linear retrieval under learning with errors, sealed records in a cuckoo table, and RFC 9497's OPRF.
pub mod cuckoo;
pub mod lwe;
pub mod oprf;
pub mod product;
pub mod python;
pub mod records;

/// Entries of a secret.
pub const SECRET: usize = 1280;
/// Columns of the public matrix that one key stream makes; every section has a multiple of it.
pub const BLOCK: usize = 64;
/// The top byte of a word carries a byte of the table.
pub const SCALE: u32 = 24;
/// Low bits that hints and answers drop on the wire.
pub const DROPPED: u32 = 16;
