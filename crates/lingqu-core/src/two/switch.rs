//! Permutation networks for arbitrary sizes, and hidden permutations of labelled rows through them.
//!
//! Source: Beauquier, Darrot, "On arbitrary size Waksman networks" (2002) for the network (without the saved switch);
//! Mohassel, Sadeghian, "How to hide circuits in MPC" (EUROCRYPT 2013) for labels that switches change.
//! Positions: a network of n pairs neighbours (0 with 1, and so on), sends the lower of each pair through one network and
//! the upper (with what is left over) through another, and pairs neighbours again.

/// Switches of a network of n positions.
pub fn size(n: usize) -> usize {
    match n {
        0 | 1 => 0,
        2 => 1,
        _ => n / 2 * 2 + size(n / 2) + size(n.div_ceil(2)),
    }
}

/// The positions that each switch joins, in order: two words a switch.
pub fn network(n: usize) -> Vec<u32> {
    let mut out = Vec::with_capacity(2 * size(n));
    let positions: Vec<u32> = (0..n as u32).collect();
    lay(&positions, &mut out);
    out
}

fn lay(positions: &[u32], out: &mut Vec<u32>) {
    let pairs = positions.len() / 2;
    let column = |out: &mut Vec<u32>| out.extend_from_slice(&positions[..2 * pairs]);
    if positions.len() < 2 {
        return;
    }
    column(out);
    if positions.len() == 2 {
        return;
    }
    let lower: Vec<u32> = positions[..2 * pairs].iter().copied().step_by(2).collect();
    let mut upper: Vec<u32> = positions[..2 * pairs].iter().copied().skip(1).step_by(2).collect();
    upper.extend_from_slice(&positions[2 * pairs..]);
    lay(&lower, out);
    lay(&upper, out);
    column(out);
}

/// The switches' settings (0 straight, 1 crossed) that bring position order[k] to position k.
pub fn route(order: &[u32]) -> Vec<u8> {
    let mut out = Vec::with_capacity(size(order.len()));
    set(order, &mut out);
    out
}

const FREE: u8 = 2;

fn set(order: &[u32], out: &mut Vec<u8>) {
    let n = order.len();
    if n < 2 {
        return;
    }
    if n == 2 {
        out.push((order[0] == 1) as u8);
        return;
    }
    let pairs = n / 2;
    let mut place = vec![0u32; n];
    for (k, from) in order.iter().enumerate() {
        place[*from as usize] = k as u32;
    }
    // side[k]: the half from which position k comes, 0 the lower.
    let mut side = vec![FREE; n];
    let mut follow = |mut k: usize| {
        // k comes from the upper half: its origin's neighbour goes through the lower one, and so on round the cycle.
        while side[k] == FREE {
            side[k] = 1;
            let origin = order[k] as usize;
            if origin == 2 * pairs {
                return;
            }
            let other = place[origin ^ 1] as usize;
            side[other] = 0;
            if other == 2 * pairs {
                return;
            }
            k = other ^ 1;
        }
    };
    if n % 2 == 1 {
        follow(n - 1);
    }
    for k in 0..pairs {
        follow(2 * k + 1);
    }
    for i in 0..pairs {
        out.push(side[place[2 * i] as usize]);
    }
    let (mut lower, mut upper) = (vec![0u32; pairs], vec![0u32; n - pairs]);
    for (k, from) in order.iter().enumerate() {
        let half = if side[k] == 0 { &mut lower } else { &mut upper };
        half[k / 2] = from / 2;
    }
    set(&lower, out);
    set(&upper, out);
    for k in 0..pairs {
        out.push(side[2 * k]);
    }
}

/// How the words of a table are combined.
#[derive(Clone, Copy)]
pub struct Words {
    pub columns: usize,
    pub xor: bool,
}

impl Words {
    fn plus(self, a: u64, b: u64) -> u64 {
        if self.xor {
            a ^ b
        } else {
            a.wrapping_add(b)
        }
    }

    fn minus(self, a: u64, b: u64) -> u64 {
        if self.xor {
            a ^ b
        } else {
            a.wrapping_sub(b)
        }
    }
}

/// One party's labels pass some switches; returns the corrections for the other, a word a column and switch.
///
/// pairs: the switches' positions.  zero, one: hashes for both choices, switch by switch.  flips: 1 where the other's
/// wanted setting is not its random choice.
pub fn label(labels: &mut [u64], pairs: &[u32], zero: &[u64], one: &[u64], flips: &[u64], words: Words) -> Vec<u64> {
    let columns = words.columns;
    let mut out = Vec::with_capacity(zero.len());
    for (at, pair) in pairs.chunks_exact(2).enumerate() {
        let (i, j) = (pair[0] as usize * columns, pair[1] as usize * columns);
        let flip = flips[at].wrapping_neg();
        for column in 0..columns {
            let (a, b) = (zero[at * columns + column], one[at * columns + column]);
            let change = (a ^ b) & flip;
            let (straight, crossed) = (a ^ change, b ^ change);
            let (x, y) = (labels[i + column], labels[j + column]);
            out.push(words.minus(words.plus(straight, words.minus(y, x)), crossed));
            labels[i + column] = words.minus(x, straight);
            labels[j + column] = words.plus(y, straight);
        }
    }
    out
}

/// The other party's side: what the permuted rows exceed their labels by.  settings: 0 or 1.  chosen: hashes of its choices.
pub fn settle(excess: &mut [u64], pairs: &[u32], chosen: &[u64], settings: &[u8], said: &[u64], words: Words) {
    let columns = words.columns;
    for (at, pair) in pairs.chunks_exact(2).enumerate() {
        let (i, j) = (pair[0] as usize * columns, pair[1] as usize * columns);
        let crossed = u64::from(settings[at]).wrapping_neg();
        for column in 0..columns {
            let z = words.plus(chosen[at * columns + column], said[at * columns + column] & crossed);
            let (x, y) = (excess[i + column], excess[j + column]);
            let change = (x ^ y) & crossed;
            excess[i + column] = words.plus(x ^ change, z);
            excess[j + column] = words.minus(y ^ change, z);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prg::Prg;

    #[test]
    fn every_small_permutation_is_routed() {
        let mut prg = Prg::new(&[3; 16]);
        for n in (0..40).chain([100, 257, 1000]) {
            for _ in 0..20 {
                let order = prg.permutation(n as u32);
                let (pairs, settings) = (network(n), route(&order));
                assert_eq!((pairs.len(), settings.len()), (2 * size(n), size(n)));
                let mut rows: Vec<u32> = (0..n as u32).collect();
                for (pair, setting) in pairs.chunks_exact(2).zip(settings) {
                    if setting == 1 {
                        rows.swap(pair[0] as usize, pair[1] as usize);
                    }
                }
                assert_eq!(rows, order);
            }
        }
    }

    #[test]
    fn labels_and_excess_make_the_permuted_rows() {
        let (n, columns) = (77, 3);
        let mut prg = Prg::new(&[4; 16]);
        let order = prg.permutation(n as u32);
        let (pairs, settings) = (network(n), route(&order));
        for xor in [false, true] {
            let words = Words { columns, xor };
            let mut drawn = |count: usize| {
                let mut out = vec![0u64; count];
                prg.fill(&mut out);
                out
            };
            let rows = drawn(n * columns);
            let (zero, one) = (drawn(size(n) * columns), drawn(size(n) * columns));
            let choices: Vec<u64> = drawn(size(n)).into_iter().map(|word| word & 1).collect();
            let flips: Vec<u64> = choices.iter().zip(&settings).map(|(c, s)| c ^ u64::from(*s)).collect();
            let chosen: Vec<u64> =
                (0..zero.len()).map(|i| if choices[i / columns] == 1 { one[i] } else { zero[i] }).collect();
            let (mut labels, mut excess) = (rows.clone(), vec![0u64; n * columns]);
            let said = label(&mut labels, &pairs, &zero, &one, &flips, words);
            settle(&mut excess, &pairs, &chosen, &settings, &said, words);
            for (k, from) in order.iter().enumerate() {
                for column in 0..columns {
                    let at = k * columns + column;
                    assert_eq!(words.plus(labels[at], excess[at]), rows[*from as usize * columns + column]);
                }
            }
        }
    }
}
