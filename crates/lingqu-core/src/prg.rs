//! A keyed generator: AES-128 in counter mode, as two parties with one key draw the same words.
use aes::Aes128;
use ctr::cipher::{KeyIvInit, StreamCipher};
use ctr::Ctr64LE;

/// Words drawn at a time, small enough for the first-level cache.
pub const CHUNK: usize = 512;

/// The key stream as little-endian 64-bit words. One key serves one session, so the counter starts at zero.
///
/// A clone draws the same words again: for one who used words as a mask and needs them a second time.
#[derive(Clone)]
pub struct Prg(Engine);

/// How a mask meets a word.
#[derive(Clone, Copy)]
pub enum Combine {
    Add,
    Subtract,
    Xor,
}

#[derive(Clone)]
enum Engine {
    #[cfg(target_arch = "x86_64")]
    Wide(Box<wide::Stream>),
    Portable(Box<Ctr64LE<Aes128>>),
}

impl Prg {
    pub fn new(key: &[u8; 16]) -> Self {
        #[cfg(target_arch = "x86_64")]
        if let Some(stream) = wide::Stream::new(key) {
            return Prg(Engine::Wide(Box::new(stream)));
        }
        Self::portable(key)
    }

    fn portable(key: &[u8; 16]) -> Self {
        Prg(Engine::Portable(Box::new(Ctr64LE::<Aes128>::new(key.into(), &[0u8; 16].into()))))
    }

    /// Overwrite `out` with the next words of the stream.
    pub fn fill(&mut self, out: &mut [u64]) {
        match &mut self.0 {
            #[cfg(target_arch = "x86_64")]
            Engine::Wide(stream) => stream.fill(out),
            Engine::Portable(stream) => {
                out.fill(0);
                // SAFETY: u64 has no padding and every byte pattern is a u64; the view has the slice's exact extent.
                let bytes = unsafe { std::slice::from_raw_parts_mut(out.as_mut_ptr().cast::<u8>(), size_of_val(out)) };
                stream.apply_keystream(bytes);
                if cfg!(target_endian = "big") {
                    out.iter_mut().for_each(|word| *word = u64::from_le(*word));
                }
            }
        }
    }

    /// Combine every word with the next of the stream, cut to the bits of `cut`: the same words that `fill` gives.
    pub fn mask(&mut self, words: &mut [u64], cut: u64, combine: Combine) {
        let mut drawn = [0u64; CHUNK];
        for part in words.chunks_mut(CHUNK) {
            let drawn = &mut drawn[..part.len()];
            self.fill(drawn);
            let pairs = part.iter_mut().zip(drawn.iter());
            match combine {
                Combine::Add => pairs.for_each(|(word, mask)| *word = word.wrapping_add(mask & cut)),
                Combine::Subtract => pairs.for_each(|(word, mask)| *word = word.wrapping_sub(mask & cut)),
                Combine::Xor => pairs.for_each(|(word, mask)| *word ^= mask & cut),
            }
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

/// The same stream with four blocks to a vector register (VAES).
#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::*;

    const ROUNDS: usize = 10;
    /// Registers in flight, enough to hide a round's latency.
    const LANES: usize = 8;
    /// Words of one pass: four blocks of two words a register.
    const BATCH: usize = LANES * 8;

    /// Round keys, the next block's number, and the second half of a block whose first half was drawn.
    #[derive(Clone)]
    pub struct Stream {
        keys: [__m128i; ROUNDS + 1],
        next: u64,
        held: Option<u64>,
    }

    fn available() -> bool {
        is_x86_feature_detected!("aes") && is_x86_feature_detected!("vaes") && is_x86_feature_detected!("avx512f")
    }

    impl Stream {
        pub fn new(key: &[u8; 16]) -> Option<Self> {
            // SAFETY: the processor has the features that `expand` is compiled for.
            available().then(|| Stream { keys: unsafe { expand(key) }, next: 0, held: None })
        }

        pub fn fill(&mut self, out: &mut [u64]) {
            let mut rest = out;
            if let (Some(word), false) = (self.held, rest.is_empty()) {
                rest[0] = word;
                self.held = None;
                rest = &mut rest[1..];
            }
            let (whole, tail) = rest.split_at_mut(rest.len() / BATCH * BATCH);
            // SAFETY: a Stream exists only where the processor has the features that `batches` is compiled for.
            unsafe { batches(&self.keys, self.next, whole) };
            self.next += (whole.len() / 2) as u64;
            if !tail.is_empty() {
                let mut last = [0u64; BATCH];
                // SAFETY: as above.
                unsafe { batches(&self.keys, self.next, &mut last) };
                tail.copy_from_slice(&last[..tail.len()]);
                self.next += tail.len().div_ceil(2) as u64;
                self.held = (tail.len() % 2 == 1).then(|| last[tail.len()]);
                last.fill(0);
            }
        }
    }

    #[target_feature(enable = "aes,sse2")]
    fn next_key<const CONSTANT: i32>(key: __m128i) -> __m128i {
        let turned = _mm_shuffle_epi32::<0xff>(_mm_aeskeygenassist_si128::<CONSTANT>(key));
        let key = _mm_xor_si128(key, _mm_slli_si128::<4>(key));
        let key = _mm_xor_si128(key, _mm_slli_si128::<8>(key));
        _mm_xor_si128(key, turned)
    }

    /// The key schedule of FIPS 197, section 5.2.
    #[target_feature(enable = "aes,sse2")]
    fn expand(key: &[u8; 16]) -> [__m128i; ROUNDS + 1] {
        // SAFETY: the load is of 16 bytes that are there, and needs no alignment.
        let first = unsafe { _mm_loadu_si128(key.as_ptr().cast()) };
        let mut keys = [first; ROUNDS + 1];
        keys[1] = next_key::<0x01>(keys[0]);
        keys[2] = next_key::<0x02>(keys[1]);
        keys[3] = next_key::<0x04>(keys[2]);
        keys[4] = next_key::<0x08>(keys[3]);
        keys[5] = next_key::<0x10>(keys[4]);
        keys[6] = next_key::<0x20>(keys[5]);
        keys[7] = next_key::<0x40>(keys[6]);
        keys[8] = next_key::<0x80>(keys[7]);
        keys[9] = next_key::<0x1b>(keys[8]);
        keys[10] = next_key::<0x36>(keys[9]);
        keys
    }

    /// Whole batches of the key stream from block `first` on; the counter is the block's low half.
    #[target_feature(enable = "avx512f,vaes")]
    fn batches(keys: &[__m128i; ROUNDS + 1], first: u64, out: &mut [u64]) {
        let keys = keys.map(|key| _mm512_broadcast_i32x4(key));
        let step = _mm512_set_epi64(0, 4, 0, 4, 0, 4, 0, 4);
        let first = first as i64;
        let mut counter = _mm512_set_epi64(0, first + 3, 0, first + 2, 0, first + 1, 0, first);
        for batch in out.chunks_exact_mut(BATCH) {
            let mut blocks = [counter; LANES];
            for block in blocks.iter_mut() {
                *block = _mm512_xor_si512(counter, keys[0]);
                counter = _mm512_add_epi64(counter, step);
            }
            for key in &keys[1..ROUNDS] {
                for block in blocks.iter_mut() {
                    *block = _mm512_aesenc_epi128(*block, *key);
                }
            }
            for (block, to) in blocks.iter().zip(batch.chunks_exact_mut(8)) {
                // SAFETY: `to` has the 64 bytes that are stored, and the store needs no alignment.
                unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), _mm512_aesenclast_epi128(*block, keys[ROUNDS])) };
            }
        }
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
        for make in [Prg::new, Prg::portable] {
            let mut one = Prg::portable(&[7; 16]);
            let mut two = make(&[7; 16]);
            let mut whole = vec![0u64; 3000];
            one.fill(&mut whole);
            let mut parts = vec![0u64; 3000];
            let mut rest = parts.as_mut_slice();
            for length in [333, 0, 1, 64, 1, 2, 511, 512, 65, 63, 128, 1, 700] {
                let (left, right) = rest.split_at_mut(length);
                two.fill(left);
                rest = right;
            }
            two.fill(rest);
            assert_eq!(whole, parts);
        }
    }

    #[test]
    fn masks_are_the_words_of_the_stream() {
        let (mut words, mut masked) = (vec![0u64; 1300], vec![5u64; 1300]);
        Prg::new(&[3; 16]).fill(&mut words);
        for (combine, undo) in [(Combine::Add, Combine::Subtract), (Combine::Xor, Combine::Xor)] {
            Prg::new(&[3; 16]).mask(&mut masked, 0xff, combine);
            for (word, mask) in masked.iter().zip(&words) {
                let mask = mask & 0xff;
                assert_eq!(*word, if let Combine::Add = combine { 5 + mask } else { 5 ^ mask });
            }
            Prg::new(&[3; 16]).mask(&mut masked, 0xff, undo);
            assert!(masked.iter().all(|word| *word == 5));
        }
    }

    #[test]
    fn a_clone_draws_the_same_words() {
        for make in [Prg::new, Prg::portable] {
            let mut prg = make(&[9; 16]);
            prg.fill(&mut [0u64; 77]);
            let (mut copy, mut one, mut two) = (prg.clone(), vec![0u64; 200], vec![0u64; 200]);
            prg.fill(&mut one);
            copy.fill(&mut two);
            assert_eq!(one, two);
        }
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
