//! Keys of random transfers from correlated ones: 1 of 2, and 1 of N = 2^log from log correlations.
//!
//! log rows become one of GF(2^128) by q = sum q_j X^j, so that t = q + c delta with the choice c as a polynomial of degree
//! below log. Key x is H(q + x delta), which the receiver knows for x = c alone (as in SoftSpokenOT, Roy, CRYPTO 2022,
//! section 5; with log = 1 the 1-of-2 transfer of Ishai, Kilian, Nissim, Petrank, CRYPTO 2003).
use super::aes::{fixed, Block, CHUNK};

/// x X in GF(2^128) modulo X^128 + X^7 + X^2 + X + 1.
#[inline(always)]
pub fn times_x(x: Block) -> Block {
    x << 1 ^ (x >> 127).wrapping_neg() & 0x87
}

/// Groups of `log` rows as elements: row j of a group at X^j.
fn element(rows: &[Block]) -> Block {
    rows.iter().rev().fold(0, |sum, row| times_x(sum) ^ row)
}

/// x delta for every x below 2^log.
fn multiples(delta: Block, log: usize) -> Vec<Block> {
    let mut all = vec![0];
    let mut power = delta;
    for _ in 0..log {
        all.extend(all.clone().iter().map(|x| x ^ power));
        power = times_x(power);
    }
    all
}

/// All keys of the holder of delta: 2^log for each group of rows, given to `out` in order. tweak: of the first group.
pub fn send(rows: &[Block], delta: Block, log: usize, tweak: u64, mut out: impl FnMut(&[Block])) {
    let multiples = multiples(delta, log);
    let groups = (CHUNK >> log).max(1);
    let mut work = Vec::with_capacity(groups << log);
    for (index, part) in rows.chunks(groups * log).enumerate() {
        work.clear();
        for group in part.chunks_exact(log) {
            let q = element(group);
            work.extend(multiples.iter().map(|x| q ^ x));
        }
        fixed().tweak_hash(&mut work, tweak.wrapping_add((index * groups) as u64), 1 << log);
        out(&work);
    }
}

/// The receiver's key of each group of rows. tweak: of the first group.
pub fn receive(rows: &[Block], log: usize, tweak: u64) -> Vec<Block> {
    let mut keys: Vec<Block> = rows.chunks_exact(log).map(element).collect();
    fixed().tweak_hash(&mut keys, tweak, 1);
    keys
}

/// The receiver's choice of each group of rows: bit j from row j.
pub fn choices(rows: &[Block], log: usize) -> Vec<u8> {
    let choice = |group: &[Block]| group.iter().rev().fold(0, |sum, row| sum << 1 | (*row as u8 & 1));
    rows.chunks_exact(log).map(choice).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_receiver_knows_the_key_of_its_choice() {
        let delta: Block = 0x8000_0000_0000_0000_0000_0000_0000_0001 | 0xabcd << 40;
        for log in [1, 2, 3, 4, 8] {
            let n = 50 * log;
            let q: Vec<Block> = (0..n as Block).map(|i| ((i * i * 0x1_0001_0001_0001 + i) << 77) & !1).collect();
            let t: Vec<Block> =
                q.iter().enumerate().map(|(i, q)| if i * i % 7 % 2 == 1 { q ^ delta } else { *q }).collect();
            let mut keys = Vec::new();
            send(&q, delta, log, 5, |part| keys.extend_from_slice(part));
            let (mine, choices) = (receive(&t, log, 5), choices(&t, log));
            assert_eq!(keys.len(), 50 << log);
            for (i, (key, choice)) in mine.iter().zip(&choices).enumerate() {
                let group = &keys[i << log..(i + 1) << log];
                assert!(group.iter().enumerate().all(|(x, other)| (other == key) == (x == usize::from(*choice))));
            }
        }
    }
}
