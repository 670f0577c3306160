//! A keyed generator: AES-128 in counter mode, as two parties with one key draw the same words.
use aes::Aes128;
use ctr::cipher::{KeyIvInit, StreamCipher};
use ctr::Ctr64LE;

/// Words drawn at a time, small enough for the first-level cache.
pub const CHUNK: usize = 512;

/// The key stream as little-endian 64-bit words. One key serves one session, so the counter starts at zero.
pub struct Prg(Ctr64LE<Aes128>);

impl Prg {
    pub fn new(key: &[u8; 16]) -> Self {
        Prg(Ctr64LE::<Aes128>::new(key.into(), &[0u8; 16].into()))
    }

    /// Overwrite `out` with the next words of the stream.
    pub fn fill(&mut self, out: &mut [u64]) {
        out.fill(0);
        // SAFETY: u64 has no padding and every byte pattern is a u64; the view has the slice's exact extent.
        let bytes = unsafe { std::slice::from_raw_parts_mut(out.as_mut_ptr().cast::<u8>(), size_of_val(out)) };
        self.0.apply_keystream(bytes);
        if cfg!(target_endian = "big") {
            out.iter_mut().for_each(|word| *word = u64::from_le(*word));
        }
    }

    /// A uniform permutation of 0..n by Fisher and Yates, with Lemire's unbiased bounded draws (2019).
    pub fn permutation(&mut self, n: u32) -> Vec<u32> {
        let mut words = [0u64; CHUNK];
        let mut used = CHUNK;
        let mut draw = || {
            if used == CHUNK {
                self.fill(&mut words);
                used = 0;
            }
            used += 1;
            words[used - 1]
        };
        let mut order: Vec<u32> = (0..n).collect();
        for last in (1..n as usize).rev() {
            let bound = last as u64 + 1;
            let mut wide = u128::from(draw()) * u128::from(bound);
            while (wide as u64) < bound && (wide as u64) < bound.wrapping_neg() % bound {
                wide = u128::from(draw()) * u128::from(bound);
            }
            order.swap(last, (wide >> 64) as usize);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// AES-128 of the zero block under the zero key, a well-known answer (NIST SP 800-38D test case 1 uses it as H).
    #[test]
    fn first_block_is_aes_of_zero() {
        let mut out = [0u64; 2];
        Prg::new(&[0; 16]).fill(&mut out);
        let bytes: Vec<u8> = out.iter().flat_map(|word| word.to_le_bytes()).collect();
        assert_eq!(
            bytes,
            [0x66, 0xe9, 0x4b, 0xd4, 0xef, 0x8a, 0x2c, 0x3b, 0x88, 0x4c, 0xfa, 0x59, 0xca, 0x34, 0x2b, 0x2e]
        );
    }

    #[test]
    fn stream_does_not_depend_on_how_it_is_drawn() {
        let (mut one, mut two) = (Prg::new(&[7; 16]), Prg::new(&[7; 16]));
        let mut whole = vec![0u64; 1000];
        one.fill(&mut whole);
        let mut parts = vec![0u64; 1000];
        let (left, right) = parts.split_at_mut(333);
        two.fill(left);
        two.fill(right);
        assert_eq!(whole, parts);
    }

    #[test]
    fn permutations_are_permutations() {
        let mut prg = Prg::new(&[1; 16]);
        for n in [0u32, 1, 2, 3, 1000] {
            let mut order = prg.permutation(n);
            order.sort_unstable();
            assert_eq!(order, (0..n).collect::<Vec<_>>());
        }
        let mut seen = [0u32; 6];
        for _ in 0..6000 {
            let order = prg.permutation(3);
            seen[(order[0] * 2 + u32::from(order[1] > order[2])) as usize] += 1;
        }
        assert!(seen.iter().all(|count| (800..1200).contains(count)), "{seen:?}");
    }
}
