//! Lookups of a private digit in a table of the other party's, masked by keys of 1-of-16 transfers (transfers.rs).
//!
//! All lookups are on planes: 64 at a time, no branch and no index depends on a digit.
/// Choices of a lookup.
pub const CHOICES: usize = 16;
/// Bits of a choice.
pub const DIGIT: usize = 4;
/// Most bits of an entry.
pub const MOST_BITS: usize = 8;
/// Words handled together, so that the compiler may use wide registers.
const WIDE: usize = 8;
type Lane = [u64; WIDE];

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
pub mod tests {
    use super::*;
    use crate::prg::Prg;

    pub fn drawn(seed: u8, n: usize) -> Vec<u64> {
        let mut out = vec![0; n];
        Prg::new(&[seed; 16]).fill(&mut out);
        out
    }

    pub fn bit(planes: &[u64], stride: usize, plane: usize, i: usize) -> u64 {
        planes[plane * stride + i / 64] >> (i % 64) & 1
    }

    #[test]
    fn lookups_give_shares_of_the_entry() {
        let (stride, bits) = (11, 3);
        let (choice, masks) = (drawn(3, DIGIT * stride), drawn(2, CHOICES * bits * stride));
        let (digit, own, share) = (drawn(4, DIGIT * stride), drawn(5, DIGIT * stride), drawn(6, bits * stride));
        let value = |planes: &[u64], from: usize, count: usize, i: usize| {
            (0..count).fold(0, |sum, p| sum | bit(planes, stride, from + p, i) << p)
        };
        let mut keys = vec![0; bits * stride];
        for i in 0..64 * stride {
            let known = value(&masks, value(&choice, 0, DIGIT, i) as usize * bits, bits, i);
            (0..bits).for_each(|p| keys[p * stride + i / 64] |= (known >> p & 1) << (i % 64));
        }
        let table: [u8; 256] = std::array::from_fn(|i| (i * 37 % 8) as u8);
        let shift: Vec<u64> = digit.iter().zip(&choice).map(|(a, b)| a ^ b).collect();
        let said = answers(&masks, &shift, &own, &share, &table, bits);
        let got = read(&said, &digit, &keys, bits);
        for i in 0..64 * stride {
            let entry = value(&got, 0, bits, i) ^ value(&share, 0, bits, i);
            let at = 16 * value(&own, 0, DIGIT, i) + value(&digit, 0, DIGIT, i);
            assert_eq!(entry, u64::from(table[at as usize]));
        }
    }
}
