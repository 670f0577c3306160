//! A fixed public permutation, AES-128 under one public key, on many blocks at a time; and the hashes built from it.
//!
//! Source: Guo, Katz, Wang, Yu, "Efficient and secure multiparty computation from fixed-key block ciphers" (S&P 2020):
//! `sigma` and `robust_hash` (circular correlation robust), `tweak_hash` (tweakable circular correlation robust).
use std::sync::OnceLock;

use aes::cipher::{BlockEncrypt, KeyInit};
use aes::Aes128;

/// 128 bits; bit 0 is the least significant bit of the first byte on the wire.
pub type Block = u128;

/// The first 128 bits of the fraction of pi: a key with nothing to hide.
pub const FIXED_KEY: [u8; 16] =
    [0x24, 0x3f, 0x6a, 0x88, 0x85, 0xa3, 0x08, 0xd3, 0x13, 0x19, 0x8a, 0x2e, 0x03, 0x70, 0x73, 0x44];

/// Blocks worked on at a time: they stay in the first-level cache.
pub const CHUNK: usize = 128;

const fn sbox() -> [u8; 256] {
    let mut table = [0u8; 256];
    let (mut p, mut q) = (1u8, 1u8);
    loop {
        // p runs through the powers of 3, q through those of 1/3, so q is the inverse of p.
        p = p ^ (p << 1) ^ if p & 0x80 != 0 { 0x1b } else { 0 };
        q ^= q << 1;
        q ^= q << 2;
        q ^= q << 4;
        if q & 0x80 != 0 {
            q ^= 0x09;
        }
        table[p as usize] = q ^ q.rotate_left(1) ^ q.rotate_left(2) ^ q.rotate_left(3) ^ q.rotate_left(4) ^ 0x63;
        if p == 1 {
            table[0] = 0x63;
            return table;
        }
    }
}

/// The round keys of AES-128 (FIPS 197, section 5.2). The key is public, so its schedule may use a table.
pub fn schedule(key: &[u8; 16]) -> [Block; 11] {
    const SBOX: [u8; 256] = sbox();
    let mut words = [[0u8; 4]; 44];
    for (word, bytes) in words.iter_mut().zip(key.chunks_exact(4)) {
        word.copy_from_slice(bytes);
    }
    let mut constant = 1u8;
    for i in 4..44 {
        let mut next = words[i - 1];
        if i % 4 == 0 {
            next.rotate_left(1);
            next.iter_mut().for_each(|byte| *byte = SBOX[usize::from(*byte)]);
            next[0] ^= constant;
            constant = (constant << 1) ^ if constant & 0x80 != 0 { 0x1b } else { 0 };
        }
        for (byte, old) in next.iter_mut().zip(words[i - 4]) {
            *byte ^= old;
        }
        words[i] = next;
    }
    std::array::from_fn(|round| {
        let bytes: Vec<u8> = words[4 * round..4 * round + 4].concat();
        Block::from_le_bytes(bytes.try_into().unwrap_or([0; 16]))
    })
}

/// How the permutation is computed on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Portable,
    #[cfg(target_arch = "x86_64")]
    AesNi,
    #[cfg(target_arch = "x86_64")]
    Vaes512,
}

impl Engine {
    /// Everything that this machine can run, the fastest first.
    pub fn available() -> Vec<Engine> {
        let mut all = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("vaes") && is_x86_feature_detected!("avx512f") {
                all.push(Engine::Vaes512);
            }
            if is_x86_feature_detected!("aes") {
                all.push(Engine::AesNi);
            }
        }
        all.push(Engine::Portable);
        all
    }
}

/// The permutation: its round keys and how to run it.
pub struct Permutation {
    keys: [Block; 11],
    portable: Aes128,
    engine: Engine,
}

impl Permutation {
    pub fn new(key: &[u8; 16], engine: Engine) -> Self {
        Permutation { keys: schedule(key), portable: Aes128::new(key.into()), engine }
    }

    /// Replace every block by its image.
    pub fn apply(&self, blocks: &mut [Block]) {
        match self.engine {
            Engine::Portable => self.apply_portable(blocks),
            // SAFETY: the engine is only chosen when the processor has AES-NI.
            #[cfg(target_arch = "x86_64")]
            Engine::AesNi => unsafe { x86::aes_ni(&self.keys, blocks) },
            // SAFETY: the engine is only chosen when the processor has VAES and AVX-512F.
            #[cfg(target_arch = "x86_64")]
            Engine::Vaes512 => unsafe { x86::vaes_512(&self.keys, blocks) },
        }
    }

    fn apply_portable(&self, blocks: &mut [Block]) {
        let mut work = [aes::Block::default(); 16];
        for part in blocks.chunks_mut(16) {
            for (bytes, block) in work.iter_mut().zip(part.iter()) {
                *bytes = block.to_le_bytes().into();
            }
            self.portable.encrypt_blocks(&mut work[..part.len()]);
            for (block, bytes) in part.iter_mut().zip(&work) {
                *block = Block::from_le_bytes((*bytes).into());
            }
        }
    }

    /// The images of name + first, name + (first + 1) and so on, + being exclusive.
    pub fn counter(&self, name: Block, first: u64, blocks: &mut [Block]) {
        #[cfg(target_arch = "x86_64")]
        if self.engine == Engine::Vaes512 {
            // SAFETY: the engine is only chosen when the processor has VAES and AVX-512F.
            return unsafe { x86::counter_512(&self.keys, name, first, blocks) };
        }
        for (i, block) in blocks.iter_mut().enumerate() {
            *block = name ^ Block::from(first.wrapping_add(i as u64));
        }
        self.apply(blocks);
    }

    /// Every x becomes pi(sigma(x)) + sigma(x): circular correlation robust (Guo et al., section 7.3).
    pub fn robust_hash(&self, blocks: &mut [Block]) {
        #[cfg(target_arch = "x86_64")]
        if self.engine == Engine::Vaes512 {
            let whole = blocks.len() / x86::WIDE * x86::WIDE;
            let (blocks, rest) = blocks.split_at_mut(whole);
            // SAFETY: the engine is only chosen when the processor has VAES and AVX-512F.
            unsafe { x86::robust_512(&self.keys, blocks) };
            return self.robust_hash_each(rest);
        }
        self.robust_hash_each(blocks);
    }

    fn robust_hash_each(&self, blocks: &mut [Block]) {
        let mut work = [0; CHUNK];
        for part in blocks.chunks_mut(CHUNK) {
            let work = &mut work[..part.len()];
            for (turned, x) in work.iter_mut().zip(part.iter_mut()) {
                *x = sigma(*x);
                *turned = *x;
            }
            self.apply(work);
            part.iter_mut().zip(work.iter()).for_each(|(x, image)| *x ^= image);
        }
    }

    /// Every x_i becomes pi(pi(x_i) + t_i) + pi(x_i) for the tweak t_i = first + i / group (Guo et al., section 7.4).
    pub fn tweak_hash(&self, blocks: &mut [Block], first: u64, group: usize) {
        let mut work = [0; CHUNK];
        for (part_index, part) in blocks.chunks_mut(CHUNK).enumerate() {
            let work = &mut work[..part.len()];
            self.apply(part);
            for (offset, (tweaked, x)) in work.iter_mut().zip(part.iter()).enumerate() {
                let index = (part_index * CHUNK + offset) / group;
                *tweaked = x ^ Block::from(first.wrapping_add(index as u64));
            }
            self.apply(work);
            part.iter_mut().zip(work.iter()).for_each(|(x, image)| *x ^= image);
        }
    }
}

/// The linear orthomorphism (left, right) -> (left + right, left), left being the high half.
#[inline(always)]
pub fn sigma(x: Block) -> Block {
    let high = x >> 64;
    high | ((x ^ (x >> 64)) << 64)
}

/// The permutation that everything here uses, on the fastest engine of this machine.
pub fn fixed() -> &'static Permutation {
    static FIXED: OnceLock<Permutation> = OnceLock::new();
    FIXED.get_or_init(|| Permutation::new(&FIXED_KEY, Engine::available()[0]))
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Block;
    use std::arch::x86_64::*;

    /// # Safety
    /// The processor must have AES-NI.
    #[target_feature(enable = "aes,sse2")]
    pub unsafe fn aes_ni(keys: &[Block; 11], blocks: &mut [Block]) {
        let keys: [__m128i; 11] = std::array::from_fn(|i| {
            // SAFETY: an unaligned load of 16 bytes from a u128.
            unsafe { _mm_loadu_si128(std::ptr::from_ref(&keys[i]).cast()) }
        });
        let mut chunks = blocks.chunks_exact_mut(8);
        for part in &mut chunks {
            // SAFETY: every pointer is to one u128 of the chunk's eight.
            let mut state: [__m128i; 8] =
                std::array::from_fn(|i| unsafe { _mm_loadu_si128(part.as_ptr().add(i).cast()) });
            state.iter_mut().for_each(|x| *x = _mm_xor_si128(*x, keys[0]));
            for key in &keys[1..10] {
                state.iter_mut().for_each(|x| *x = _mm_aesenc_si128(*x, *key));
            }
            for (i, x) in state.into_iter().enumerate() {
                // SAFETY: as above.
                unsafe { _mm_storeu_si128(part.as_mut_ptr().add(i).cast(), _mm_aesenclast_si128(x, keys[10])) };
            }
        }
        for block in chunks.into_remainder() {
            let place = std::ptr::from_mut(block);
            // SAFETY: an unaligned load and store of 16 bytes at a u128.
            let mut x = unsafe { _mm_loadu_si128(place.cast()) };
            x = _mm_xor_si128(x, keys[0]);
            for key in &keys[1..10] {
                x = _mm_aesenc_si128(x, *key);
            }
            // SAFETY: as above.
            unsafe { _mm_storeu_si128(place.cast(), _mm_aesenclast_si128(x, keys[10])) };
        }
    }

    /// Blocks that the wide functions work on at a time: eight registers.
    pub const WIDE: usize = 32;

    #[target_feature(enable = "avx512f")]
    fn wide_keys(keys: &[Block; 11]) -> [__m512i; 11] {
        std::array::from_fn(|i| {
            // SAFETY: an unaligned load of 16 bytes from a u128.
            _mm512_broadcast_i32x4(unsafe { _mm_loadu_si128(std::ptr::from_ref(&keys[i]).cast()) })
        })
    }

    #[target_feature(enable = "avx512f")]
    fn load(part: &[Block]) -> [__m512i; 8] {
        assert!(part.len() == WIDE);
        // SAFETY: every pointer is to four u128 of the 32.
        std::array::from_fn(|i| unsafe { _mm512_loadu_si512(part.as_ptr().add(4 * i).cast()) })
    }

    #[target_feature(enable = "avx512f")]
    fn store(state: [__m512i; 8], part: &mut [Block]) {
        assert!(part.len() == WIDE);
        for (i, x) in state.into_iter().enumerate() {
            // SAFETY: every pointer is to four u128 of the 32.
            unsafe { _mm512_storeu_si512(part.as_mut_ptr().add(4 * i).cast(), x) };
        }
    }

    #[target_feature(enable = "avx512f,vaes")]
    fn permuted(keys: &[__m512i; 11], mut state: [__m512i; 8]) -> [__m512i; 8] {
        state.iter_mut().for_each(|x| *x = _mm512_xor_si512(*x, keys[0]));
        for key in &keys[1..10] {
            state.iter_mut().for_each(|x| *x = _mm512_aesenc_epi128(*x, *key));
        }
        state.iter_mut().for_each(|x| *x = _mm512_aesenclast_epi128(*x, keys[10]));
        state
    }

    /// # Safety
    /// The processor must have VAES and AVX-512F (and so AES-NI).
    #[target_feature(enable = "aes,sse2,avx512f,vaes")]
    pub unsafe fn vaes_512(keys: &[Block; 11], blocks: &mut [Block]) {
        let wide = wide_keys(keys);
        let mut chunks = blocks.chunks_exact_mut(WIDE);
        for part in &mut chunks {
            store(permuted(&wide, load(part)), part);
        }
        // SAFETY: a processor with VAES has AES-NI.
        unsafe { aes_ni(keys, chunks.into_remainder()) };
    }

    /// As `Permutation::counter`.
    ///
    /// # Safety
    /// The processor must have VAES and AVX-512F (and so AES-NI).
    #[target_feature(enable = "aes,sse2,avx512f,vaes")]
    pub unsafe fn counter_512(keys: &[Block; 11], name: Block, first: u64, blocks: &mut [Block]) {
        let wide = wide_keys(keys);
        // SAFETY: an unaligned load of 16 bytes from a u128.
        let name_wide = _mm512_broadcast_i32x4(unsafe { _mm_loadu_si128(std::ptr::from_ref(&name).cast()) });
        let mut at =
            _mm512_add_epi64(_mm512_maskz_set1_epi64(0x55, first as i64), _mm512_set_epi64(0, 3, 0, 2, 0, 1, 0, 0));
        let step = _mm512_maskz_set1_epi64(0x55, 4);
        let whole = blocks.len() / WIDE * WIDE;
        for part in blocks.chunks_exact_mut(WIDE) {
            let state = std::array::from_fn(|_| {
                let here = _mm512_xor_si512(at, name_wide);
                at = _mm512_add_epi64(at, step);
                here
            });
            store(permuted(&wide, state), part);
        }
        let rest = &mut blocks[whole..];
        for (i, block) in rest.iter_mut().enumerate() {
            *block = name ^ Block::from(first.wrapping_add((whole + i) as u64));
        }
        // SAFETY: a processor with VAES has AES-NI.
        unsafe { aes_ni(keys, rest) };
    }

    /// As `Permutation::robust_hash`, for a multiple of WIDE blocks.
    ///
    /// # Safety
    /// The processor must have VAES and AVX-512F.
    #[target_feature(enable = "avx512f,vaes")]
    pub unsafe fn robust_512(keys: &[Block; 11], blocks: &mut [Block]) {
        let wide = wide_keys(keys);
        for part in blocks.chunks_exact_mut(WIDE) {
            let turned = load(part).map(|x| {
                let swapped = _mm512_shuffle_epi32::<0x4e>(x);
                _mm512_mask_xor_epi64(swapped, 0xaa, swapped, x)
            });
            let mut state = permuted(&wide, turned);
            state.iter_mut().zip(turned).for_each(|(x, turned)| *x = _mm512_xor_si512(*x, turned));
            store(state, part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(hex: &str) -> Block {
        Block::from_be_bytes(std::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap()))
            .swap_bytes()
    }

    /// FIPS 197, appendix A.1 (last round key) and appendix B (cipher example).
    #[test]
    fn known_answers() {
        let key = block("2b7e151628aed2a6abf7158809cf4f3c").to_le_bytes();
        assert_eq!(schedule(&key)[10], block("d014f9a8c9ee2589e13f0cc8b6630ca6"));
        for engine in Engine::available() {
            let mut blocks = vec![block("3243f6a8885a308d313198a2e0370734"); 41];
            Permutation::new(&key, engine).apply(&mut blocks);
            assert!(blocks.iter().all(|x| *x == block("3925841d02dc09fbdc118597196a0b32")), "{engine:?}");
        }
    }

    #[test]
    fn engines_agree_at_every_length() {
        let all: Vec<Permutation> =
            Engine::available().into_iter().map(|engine| Permutation::new(&FIXED_KEY, engine)).collect();
        for n in (0..70).chain([127, 128, 129, 1000]) {
            let input: Vec<Block> = (0..n as u128).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060)).collect();
            let mut images = all.iter().map(|one| {
                let (mut plain, mut hash, mut tweaked) = (input.clone(), input.clone(), input.clone());
                one.apply(&mut plain);
                one.robust_hash(&mut hash);
                one.tweak_hash(&mut tweaked, u64::MAX - 3, 3);
                let mut counted = vec![0; n as usize];
                one.counter(77 << 100 | 5, u64::MAX - 40, &mut counted);
                (plain, hash, tweaked, counted)
            });
            let first = images.next().unwrap();
            assert!(images.all(|image| image == first), "{n}");
        }
    }

    #[test]
    fn hashes_are_as_defined() {
        let pi = fixed();
        let one = |x: Block| {
            let mut blocks = [x];
            pi.apply(&mut blocks);
            blocks[0]
        };
        let x = 0x0123_4567_89ab_cdef_0011_2233_4455_6677;
        assert_eq!(sigma(x), 0x0132_6754_cdfe_ab98_0123_4567_89ab_cdef);
        let (mut plain, mut tweaked) = ([x; 5], [x; 5]);
        pi.robust_hash(&mut plain);
        assert_eq!(plain[4], one(sigma(x)) ^ sigma(x));
        pi.tweak_hash(&mut tweaked, 7, 2);
        assert_eq!(tweaked[4], one(one(x) ^ 9) ^ one(x));
    }
}
