//! Exact truncation of a sum a + b of which party 0 knows a, parties 1 and 2 know b (see share/rep3/arithmetic.py).
//!
//! Components of the result: x_0 = mask - wrap0, x_1 = high - wrap1, x_2 = (b >> f) - top(b) 2^(64-f) - (e_1 + e_2) 2^(64-f).
//! The products of the top bits live in Z_2^f, as only their low f bits reach the result.
use crate::bits::{pack, unpack};
use crate::memory::zeros;
use crate::prg::{Prg, CHUNK};

/// What is added so that the sum is not negative.
const OFFSET: u64 = 1 << 62;

/// Party 0, which holds k_0 and k_1: its two components, and the message to party 1 (high words, then packed low ones).
pub fn lead(a: &[u64], f: usize, mine: &mut Prg, next: &mut Prg) -> (Vec<u64>, Vec<u64>, Vec<u64>) {
    let (n, wrap, low) = (a.len(), 64 - f, (1u64 << f) - 1);
    let (mut first, mut second, mut message, mut tops) = (zeros(n), zeros(n), zeros(n), zeros(n));
    let (mut mask, mut top, mut own, mut other) = ([0; CHUNK], [0; CHUNK], [0; CHUNK], [0; CHUNK]);
    for start in (0..n).step_by(CHUNK) {
        let count = CHUNK.min(n - start);
        mine.fill(&mut mask[..count]);
        mine.fill(&mut top[..count]);
        mine.fill(&mut own[..count]);
        next.fill(&mut other[..count]);
        for i in 0..count {
            let a = a[start + i].wrapping_add(OFFSET);
            let high = (a >> f).wrapping_sub(mask[i]);
            message[start + i] = high;
            tops[start + i] = (a >> 63).wrapping_sub(top[i]) & low;
            first[start + i] = mask[i].wrapping_sub(own[i] << wrap);
            second[start + i] = high.wrapping_sub(other[i] << wrap);
        }
    }
    message.extend(pack(&tops, f));
    (first, second, message)
}

/// Party 1, which holds k_1: its component x_1 and the summand e_1.
pub fn helper(message: &[u64], b: &[u64], f: usize, mine: &mut Prg) -> (Vec<u64>, Vec<u64>) {
    let (n, wrap, low) = (b.len(), 64 - f, (1u64 << f) - 1);
    let (high, packed) = message.split_at(n);
    let (mut first, mut part) = (zeros(n), unpack(packed, n, f));
    let mut own = [0; CHUNK];
    for start in (0..n).step_by(CHUNK) {
        let count = CHUNK.min(n - start);
        mine.fill(&mut own[..count]);
        for i in 0..count {
            let without = (b[start + i] >> 63).wrapping_sub(1);
            first[start + i] = high[start + i].wrapping_sub(own[i] << wrap);
            part[start + i] = (part[start + i] & without).wrapping_sub(own[i]) & low;
        }
    }
    (first, part)
}

/// Party 2, which holds k_0: its component x_0 and the summand e_2.
pub fn other(b: &[u64], f: usize, next: &mut Prg) -> (Vec<u64>, Vec<u64>) {
    let (n, wrap, low) = (b.len(), 64 - f, (1u64 << f) - 1);
    let (mut second, mut part) = (zeros(n), zeros(n));
    let (mut mask, mut top, mut own) = ([0; CHUNK], [0; CHUNK], [0; CHUNK]);
    for start in (0..n).step_by(CHUNK) {
        let count = CHUNK.min(n - start);
        next.fill(&mut mask[..count]);
        next.fill(&mut top[..count]);
        next.fill(&mut own[..count]);
        for i in 0..count {
            let without = (b[start + i] >> 63).wrapping_sub(1);
            second[start + i] = mask[i].wrapping_sub(own[i] << wrap);
            part[start + i] = (top[i] & without).wrapping_sub(own[i]) & low;
        }
    }
    (second, part)
}

/// The component x_2 that parties 1 and 2 find from b and both summands, the peer's one packed.
pub fn joint(b: &[u64], part: &[u64], theirs: &[u64], f: usize) -> Vec<u64> {
    let wrap = 64 - f;
    let mut out = unpack(theirs, b.len(), f);
    for ((out, part), b) in out.iter_mut().zip(part).zip(b) {
        let turns = part.wrapping_add(*out).wrapping_add(b >> 63);
        *out = (b >> f).wrapping_sub(turns << wrap).wrapping_sub(OFFSET >> f);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_shifted_with_at_most_one_lost() {
        let keys = [[1u8; 16], [2; 16]];
        for f in [1, 7, 20, 33, 62] {
            let n = 1500;
            let (mut a, mut noise) = (vec![0u64; n], vec![0u64; n]);
            Prg::new(&[8; 16]).fill(&mut a);
            Prg::new(&[9; 16]).fill(&mut noise);
            let edges = [0i64, 1, -1, (1 << 62) - 1, -(1 << 62)];
            let x: Vec<i64> =
                (0..n).map(|i| edges.get(i).copied().unwrap_or(noise[i] as i64 >> (1 + i % 60))).collect();
            let b: Vec<u64> = x.iter().zip(&a).map(|(x, a)| (*x as u64).wrapping_sub(*a)).collect();
            let (x_0, x_1, message) = lead(&a, f, &mut Prg::new(&keys[0]), &mut Prg::new(&keys[1]));
            let (same_1, e_1) = helper(&message, &b, f, &mut Prg::new(&keys[1]));
            let (same_0, e_2) = other(&b, f, &mut Prg::new(&keys[0]));
            assert_eq!((&x_0, &x_1), (&same_0, &same_1));
            let x_2 = joint(&b, &e_1, &pack(&e_2, f), f);
            assert_eq!(x_2, joint(&b, &e_2, &pack(&e_1, f), f));
            for i in 0..n {
                let found = x_0[i].wrapping_add(x_1[i]).wrapping_add(x_2[i]) as i64;
                assert!((0..2).contains(&((x[i] >> f) - found)), "{} >> {f} gave {found}", x[i]);
            }
        }
    }
}
