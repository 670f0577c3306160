//! AES-128 under a public key as a permutation of blocks, and the digests of set elements.
use aes::cipher::{BlockEncrypt, KeyInit};
use aes::Aes128;
use sha2::{compress256, Digest, Sha256};

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

/// The longest element that fills one block of SHA-256 with the salt, the padding and the length.
const SHORT: usize = 64 - 32 - 9;

/// SHA-256 of a salt and an element of at most SHORT bytes: one compression (FIPS 180-4, sections 5.1.1 and 5.3.3).
fn short(salt: &[u8; 32], element: &[u8]) -> [u8; 32] {
    let mut state =
        [0x6a09_e667u32, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19];
    let mut block = [0u8; 64];
    block[..32].copy_from_slice(salt);
    block[32..32 + element.len()].copy_from_slice(element);
    block[32 + element.len()] = 0x80;
    block[56..].copy_from_slice(&(8 * (32 + element.len()) as u64).to_be_bytes());
    compress256(&mut state, &[block.into()]);
    let mut digest = [0u8; 32];
    digest.chunks_exact_mut(4).zip(state).for_each(|(bytes, word)| bytes.copy_from_slice(&word.to_be_bytes()));
    digest
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
        let element = data.get(start..end)?;
        let digest = if element.len() <= SHORT {
            short(salt, element)
        } else {
            begun.clone().chain_update(element).finalize().into()
        };
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
    fn one_block_is_enough_for_short_elements() {
        for length in [0, 1, SHORT - 1, SHORT, SHORT + 1, 100] {
            let element = vec![7u8; length];
            let found = digests::<2>(&[9; 32], &element, &[0, length as i64]).unwrap();
            let whole = Sha256::digest([&[9u8; 32][..], &element].concat());
            assert_eq!([found[0].to_le_bytes(), found[1].to_le_bytes()].concat(), whole[..]);
        }
    }

    #[test]
    fn fixed_key_is_aes() {
        let mut blocks = [0u128];
        FixedKey::new(&[0; 16]).apply(&mut blocks);
        assert_eq!(blocks[0].to_le_bytes()[..4], [0x66, 0xe9, 0x4b, 0xd4]);
    }
}
