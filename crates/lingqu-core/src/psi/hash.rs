//! AES-128 under a public key as a permutation of blocks, and the digests of set elements.
use aes::cipher::{BlockEncrypt, KeyInit};
use aes::Aes128;
use sha2::{Digest, Sha256};

/// AES-128 under a key that both parties know, on 128-bit integers read as little-endian blocks.
pub struct FixedKey(Aes128);

impl FixedKey {
    pub fn new(key: &[u8; 16]) -> Self {
        FixedKey(Aes128::new(key.into()))
    }

    /// Every block replaced by its image.
    pub fn apply(&self, blocks: &mut [u128]) {
        blocks.iter_mut().for_each(|block| *block = block.to_le());
        // SAFETY: a cipher block is 16 bytes with the alignment of a byte; the view has the slice's exact extent.
        let view = unsafe { std::slice::from_raw_parts_mut(blocks.as_mut_ptr().cast(), blocks.len()) };
        self.0.encrypt_blocks(view);
        blocks.iter_mut().for_each(|block| *block = u128::from_le(*block));
    }
}

/// The first BLOCKS of SHA-256(salt || element), 1 or 2, for every element of `data`, which ends at its offset.
///
/// None when offsets do not rise from 0 to the length of the data.
pub fn digests<const BLOCKS: usize>(salt: &[u8; 32], data: &[u8], offsets: &[i64]) -> Option<Vec<u128>> {
    let mut start = usize::try_from(*offsets.first()?).ok()?;
    let begun = Sha256::new_with_prefix(salt);
    let mut out = Vec::with_capacity(BLOCKS * (offsets.len() - 1));
    for end in &offsets[1..] {
        let end = usize::try_from(*end).ok()?;
        let digest = begun.clone().chain_update(data.get(start..end)?).finalize();
        for block in digest.chunks_exact(16).take(BLOCKS) {
            out.push(u128::from_le_bytes(block.try_into().unwrap_or([0; 16])));
        }
        start = end;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_is_the_front_of_sha256() {
        let salt = [0x61u8; 32];
        let found = digests::<1>(&salt, b"abcd", &[0, 1, 1, 4]).unwrap();
        for (value, element) in found.iter().zip([&b"a"[..], b"", b"bcd"]) {
            let whole = Sha256::digest([&salt[..], element].concat());
            assert_eq!(value.to_le_bytes(), whole[..16]);
        }
        let both = digests::<2>(&salt, b"abcd", &[0, 1, 1, 4]).unwrap();
        assert_eq!(both.iter().step_by(2).collect::<Vec<_>>(), found.iter().collect::<Vec<_>>());
        assert_eq!(both[5].to_le_bytes(), Sha256::digest([&salt[..], b"bcd"].concat())[16..]);
        assert!(digests::<1>(&salt, b"abcd", &[0, 3, 2]).is_none());
        assert!(digests::<1>(&salt, b"abcd", &[0, 5]).is_none());
        assert!(digests::<1>(&salt, b"abcd", &[-1, 2]).is_none());
        assert!(digests::<1>(&salt, b"abcd", &[]).is_none());
    }

    #[test]
    fn fixed_key_is_aes() {
        let mut blocks = [0u128];
        FixedKey::new(&[0; 16]).apply(&mut blocks);
        assert_eq!(blocks[0].to_le_bytes()[..4], [0x66, 0xe9, 0x4b, 0xd4]);
    }
}
