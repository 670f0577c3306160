//! Random oblivious transfers turned into what two parties compute with: hashed strings, and lookups of private digits.
//!
//! A block is two words, the low one first. A correlated transfer is q at its sender and t = q ^ c Delta at its receiver.
//! Hash: pi(s(x)) ^ s(x), pi AES-128 under a public key, s(left, right) = (left ^ right, left), circular correlation
//! robust for a random Delta (Guo, Katz, Wang, Yu, S&P 2020, section 7).
//! Lookup: four transfers are packed into one of a 4-bit choice u, t = q + u Delta over GF(2^128), whose 16 hashes are
//! the keys of a 1-of-16 transfer. All lookups are on planes: 64 at a time, no branch and no index depends on a digit.
use std::sync::OnceLock;

use crate::bits::to_planes;
use crate::ot::aes::{Engine, Permutation};

/// Choices of a lookup.
pub const CHOICES: usize = 16;
/// Bits of a choice.
pub const DIGIT: usize = 4;
/// Most bits of an entry.
pub const MOST_BITS: usize = 8;
/// Words handled together, so that the compiler may use wide registers.
const WIDE: usize = 8;
type Lane = [u64; WIDE];

const PUBLIC_KEY: [u8; 16] = *b"lingqu: transfer";

/// The hash's permutation; another key than the trees' and the code's.
fn hash() -> &'static Permutation {
    static HASH: OnceLock<Permutation> = OnceLock::new();
    HASH.get_or_init(|| Permutation::new(&PUBLIC_KEY, Engine::available()[0]))
}

fn block(words: &[u64], at: usize) -> u128 {
    u128::from(words[2 * at]) | u128::from(words[2 * at + 1]) << 64
}

fn blocks_of(words: &[u64], first: usize, count: usize, shift: u128) -> [u128; 64] {
    std::array::from_fn(|i| if i < count { block(words, first + i) ^ shift } else { 0 })
}

/// The low words of the hashes of blocks, each XORed with `shift` first.
pub fn hashed(words: &[u64], shift: u128) -> Vec<u64> {
    let n = words.len() / 2;
    let mut out = Vec::with_capacity(n);
    for first in (0..n).step_by(64) {
        let count = (n - first).min(64);
        let mut blocks = blocks_of(words, first, count, shift);
        hash().robust_hash(&mut blocks);
        out.extend(blocks[..count].iter().map(|hash| *hash as u64));
    }
    out
}

/// `columns` words for every block, shifted as in `hashed`: its hash, or hashes of its hash with the column's number.
pub fn stretched(words: &[u64], shift: u128, columns: usize) -> Vec<u64> {
    if columns == 1 {
        return hashed(words, shift);
    }
    let n = words.len() / 2;
    let mut out = vec![0; n * columns];
    for first in (0..n).step_by(64) {
        let count = (n - first).min(64);
        let mut keys = blocks_of(words, first, count, shift);
        hash().robust_hash(&mut keys);
        for column in 0..columns {
            let mut hashes = keys.map(|key| key ^ column as u128);
            hash().robust_hash(&mut hashes);
            for (i, hash) in hashes[..count].iter().enumerate() {
                out[(first + i) * columns + column] = *hash as u64;
            }
        }
    }
    out
}

/// x times a block in GF(2^128) modulo x^128 + x^7 + x^2 + x + 1.
fn doubled(x: u128) -> u128 {
    x << 1 ^ (0x87 & 0u128.wrapping_sub(x >> 127))
}

/// Four blocks as one: b0 + x b1 + x^2 b2 + x^3 b3.
fn joined(words: &[u64], n: usize, at: usize) -> u128 {
    (0..DIGIT).rev().fold(0, |sum, i| doubled(sum) ^ block(words, i * n + at))
}

/// The lowest bits of 64 blocks as planes, a word each at `stride`.
fn store(blocks: &[u128; 64], bits: usize, out: &mut [u64], stride: usize) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("bmi2") {
        for bit in 0..bits {
            // SAFETY: the processor has what the function was compiled for.
            out[bit * stride] = unsafe { plane(blocks, bit) };
        }
        return;
    }
    let low = blocks.map(|block| block as u64);
    for (bit, word) in to_planes(&low, bits).into_iter().enumerate() {
        out[bit * stride] = word;
    }
}

/// One bit, below 64, of 64 blocks.
///
/// # Safety
/// The processor must have AVX-512F and BMI2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,bmi2")]
unsafe fn plane(blocks: &[u128; 64], bit: usize) -> u64 {
    use std::arch::x86_64::*;
    let wanted = _mm512_maskz_set1_epi64(0x55, 1 << bit);
    let mut out = 0;
    for (half, blocks) in blocks.chunks_exact(32).enumerate() {
        let mut found = 0;
        for (i, four) in blocks.chunks_exact(4).enumerate() {
            // SAFETY: four blocks are 64 bytes; no alignment is asked for.
            let words = unsafe { _mm512_loadu_si512(four.as_ptr().cast()) };
            found |= u64::from(_mm512_test_epi64_mask(words, wanted)) << (8 * i);
        }
        out |= _pext_u64(found, 0x5555_5555_5555_5555) << (32 * half);
    }
    out
}

/// The sender's masks of n lookups (a multiple of 64): planes (16, bits, n / 64). `words`: 4 n blocks, bit by bit of
/// the choice.
pub fn keys_sent(words: &[u64], delta: u128, bits: usize) -> Vec<u64> {
    let n = words.len() / 2 / DIGIT;
    let stride = n / 64;
    let multiples: [u128; CHOICES] = std::array::from_fn(|v| {
        (0..DIGIT).rev().fold(0, |sum, i| doubled(sum) ^ if v >> i & 1 == 1 { delta } else { 0 })
    });
    let mut out = vec![0u64; CHOICES * bits * stride];
    for lane in 0..stride {
        let whole: [u128; 64] = std::array::from_fn(|i| joined(words, n, 64 * lane + i));
        for (v, multiple) in multiples.iter().enumerate() {
            let mut hashes = whole.map(|block| block ^ multiple);
            hash().robust_hash(&mut hashes);
            store(&hashes, bits, &mut out[v * bits * stride + lane..], stride);
        }
    }
    out
}

/// The receiver's masks: planes (bits, n / 64).
pub fn keys_received(words: &[u64], bits: usize) -> Vec<u64> {
    let n = words.len() / 2 / DIGIT;
    let stride = n / 64;
    let mut out = vec![0u64; bits * stride];
    for lane in 0..stride {
        let mut hashes = std::array::from_fn(|i| joined(words, n, 64 * lane + i));
        hash().robust_hash(&mut hashes);
        store(&hashes, bits, &mut out[lane..], stride);
    }
    out
}

fn load(words: &[u64], at: usize, count: usize) -> Lane {
    let mut lane = [0; WIDE];
    lane[..count].copy_from_slice(&words[at..at + count]);
    lane
}

fn each(x: Lane, y: Lane, f: impl Fn(u64, u64) -> u64) -> Lane {
    std::array::from_fn(|i| f(x[i], y[i]))
}

/// All 16 products of four planes or their complements.
fn minterms(planes: &[Lane; DIGIT]) -> [Lane; CHOICES] {
    let mut out = [[u64::MAX; WIDE]; CHOICES];
    for (v, term) in out.iter_mut().enumerate() {
        for (i, plane) in planes.iter().enumerate() {
            let flip = if v >> i & 1 == 1 { 0 } else { u64::MAX };
            *term = each(*term, *plane, |a, b| a & (b ^ flip));
        }
    }
    out
}

/// What the sender says: for every choice v the entry of its digit and v, masked by its share and by the key that fits
/// the receiver's shift d.
///
/// masks: (16, bits, stride).  shift, digit: (4, stride).  share: (bits, stride).
/// table: entry of digit x and choice v at 16 x + v.  Returns (16, bits, stride).
pub fn answers(masks: &[u64], shift: &[u64], digit: &[u64], share: &[u64], table: &[u8; 256], bits: usize) -> Vec<u64> {
    let stride = digit.len() / DIGIT;
    let mut out = vec![0u64; masks.len()];
    for at in (0..stride).step_by(WIDE) {
        let count = (stride - at).min(WIDE);
        let planes = |words: &[u64]| std::array::from_fn(|i| load(words, i * stride + at, count));
        let (own, turn): ([Lane; DIGIT], [Lane; DIGIT]) = (planes(digit), planes(shift));
        let terms = minterms(&own);
        for bit in 0..bits {
            let mut column: [Lane; CHOICES] =
                std::array::from_fn(|v| load(masks, (v * bits + bit) * stride + at, count));
            for (i, flag) in turn.iter().enumerate() {
                for v in (0..CHOICES).filter(|v| v >> i & 1 == 0) {
                    let (low, high) = (column[v], column[v | 1 << i]);
                    let change: Lane = std::array::from_fn(|j| (low[j] ^ high[j]) & flag[j]);
                    column[v] = each(low, change, |a, b| a ^ b);
                    column[v | 1 << i] = each(high, change, |a, b| a ^ b);
                }
            }
            let mine = load(share, bit * stride + at, count);
            for (v, mask) in column.into_iter().enumerate() {
                let mut entry = each(mask, mine, |a, b| a ^ b);
                for (x, term) in terms.iter().enumerate().filter(|(x, _)| table[16 * x + v] >> bit & 1 == 1) {
                    debug_assert!(x < CHOICES);
                    entry = each(entry, *term, |a, b| a ^ b);
                }
                let to = (v * bits + bit) * stride + at;
                out[to..to + count].copy_from_slice(&entry[..count]);
            }
        }
    }
    out
}

/// What the receiver reads: the entry of its digit, unmasked.  said: (16, bits, stride).  digit: (4, stride).
/// masks: (bits, stride).
pub fn read(said: &[u64], digit: &[u64], masks: &[u64], bits: usize) -> Vec<u64> {
    let stride = digit.len() / DIGIT;
    let mut out = masks.to_vec();
    for at in (0..stride).step_by(WIDE) {
        let count = (stride - at).min(WIDE);
        let terms = minterms(&std::array::from_fn(|i| load(digit, i * stride + at, count)));
        for bit in 0..bits {
            let mut sum = load(masks, bit * stride + at, count);
            for (v, term) in terms.iter().enumerate() {
                let entry = load(said, (v * bits + bit) * stride + at, count);
                sum = std::array::from_fn(|j| sum[j] ^ (entry[j] & term[j]));
            }
            out[bit * stride + at..bit * stride + at + count].copy_from_slice(&sum[..count]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prg::Prg;

    fn drawn(seed: u8, n: usize) -> Vec<u64> {
        let mut out = vec![0; n];
        Prg::new(&[seed; 16]).fill(&mut out);
        out
    }

    fn bit(planes: &[u64], stride: usize, plane: usize, i: usize) -> u64 {
        planes[plane * stride + i / 64] >> (i % 64) & 1
    }

    #[test]
    fn doubling_wraps() {
        assert_eq!(doubled(1 << 127), 0x87);
        assert_eq!(doubled(3), 6);
    }

    #[test]
    fn a_transfer_hashes_to_one_of_two() {
        let (q, delta) = (drawn(1, 2 * 100), 77u128 << 90 | 5);
        let (zero, one) = (hashed(&q, 0), hashed(&q, delta));
        let t: Vec<u64> = (0..100)
            .flat_map(|i| {
                let b = block(&q, i) ^ if i % 3 == 0 { delta } else { 0 };
                [b as u64, (b >> 64) as u64]
            })
            .collect();
        for (i, h) in hashed(&t, 0).into_iter().enumerate() {
            assert_eq!(h, if i % 3 == 0 { one[i] } else { zero[i] });
        }
    }

    #[test]
    fn lookups_give_shares_of_the_entry() {
        let (stride, bits, delta) = (11, 3, 0x1234_5678u128 << 64 | 0x9abc);
        let n = 64 * stride;
        let q = drawn(2, 2 * DIGIT * n);
        let choice = drawn(3, DIGIT * stride);
        let t: Vec<u64> = (0..DIGIT * n)
            .flat_map(|at| {
                let c = bit(&choice, stride, at / n, at % n);
                let b = block(&q, at) ^ if c == 1 { delta } else { 0 };
                [b as u64, (b >> 64) as u64]
            })
            .collect();
        let (digit, own, share) = (drawn(4, DIGIT * stride), drawn(5, DIGIT * stride), drawn(6, bits * stride));
        let table: [u8; 256] = std::array::from_fn(|i| (i * 37 % 8) as u8);
        let shift: Vec<u64> = digit.iter().zip(&choice).map(|(a, b)| a ^ b).collect();
        let said = answers(&keys_sent(&q, delta, bits), &shift, &own, &share, &table, bits);
        let got = read(&said, &digit, &keys_received(&t, bits), bits);
        for i in 0..n {
            let value = |planes: &[u64], count| (0..count).fold(0, |sum, p| sum | bit(planes, stride, p, i) << p);
            let entry = value(&got, bits) ^ value(&share, bits);
            assert_eq!(entry, u64::from(table[(16 * value(&own, DIGIT) + value(&digit, DIGIT)) as usize]));
        }
    }
}
