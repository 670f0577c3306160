//! Comparing rows of packed keys: planes of chosen pairs, and the tree that finds the first bit in which they differ.
use crate::memory::zeros;
use crate::prg::{Prg, CHUNK};
use crate::ring::{widened, Rows};
use crate::turn::turn;

/// Blocks turned together, so that a whole line of every plane is written at once.
const TOGETHER: usize = 8;

/// Keys of `bits` bits; a row is `columns` words of one component, the lowest bits first, then those of the other.
#[derive(Clone, Copy)]
pub struct Keys<'a> {
    pub table: &'a [u64],
    pub columns: usize,
    pub bits: usize,
}

/// Both components.
pub type Components = (Vec<u64>, Vec<u64>);

/// For pairs of rows (x, y) and each component: planes of x ^ y, then planes of y, `bits` each.  None when a row is not
/// there.
pub fn pair_planes(keys: Keys, left: &[u32], right: &[u32]) -> Option<Components> {
    let (length, width) = (left.len().div_ceil(64), 2 * keys.columns);
    let rows = keys.table.len().checked_div(width).unwrap_or(0);
    if left.iter().chain(right).any(|row| *row as usize >= rows) {
        return None;
    }
    let mut out = (zeros(2 * keys.bits * length), zeros(2 * keys.bits * length));
    let mut blocks = vec![([0u64; 64], [0u64; 64]); TOGETHER * width];
    let pairs = left.chunks(64 * TOGETHER).zip(right.chunks(64 * TOGETHER));
    for (b, (left, right)) in pairs.enumerate() {
        let count = left.len().div_ceil(64);
        for (block, (left, right)) in blocks.chunks_exact_mut(width).zip(left.chunks(64).zip(right.chunks(64))) {
            gather_block(block, keys, left, right);
            block.iter_mut().for_each(|(differ, value)| {
                turn(differ);
                turn(value);
            });
        }
        for (half, out) in [&mut out.0, &mut out.1].into_iter().enumerate() {
            let (differs, values) = out.split_at_mut(keys.bits * length);
            for bit in 0..keys.bits {
                let (column, at) = (half * keys.columns + bit / 64, bit * length + b * TOGETHER);
                let turned = blocks.chunks_exact(width).take(count).map(|block| &block[column]);
                let line = differs[at..at + count].iter_mut().zip(&mut values[at..at + count]);
                for ((differ, value), block) in line.zip(turned) {
                    (*differ, *value) = (block.0[bit % 64], block.1[bit % 64]);
                }
            }
        }
    }
    Some(out)
}

/// (x ^ y, y) of up to 64 pairs, word by word.  The rows are read in one pass, so that their misses overlap.
fn gather_block(block: &mut [([u64; 64], [u64; 64])], keys: Keys, left: &[u32], right: &[u32]) {
    let width = block.len();
    if left.len() < 64 {
        block.fill(([0; 64], [0; 64]));
    }
    for (i, (x, y)) in left.iter().zip(right).enumerate() {
        let x = &keys.table[*x as usize * width..][..width];
        let y = &keys.table[*y as usize * width..][..width];
        for (words, (x, y)) in block.iter_mut().zip(x.iter().zip(y)) {
            (words.0[i], words.1[i]) = (x ^ y, *y);
        }
    }
}

/// Both components of a row.
type Node<'a> = (&'a [u64], &'a [u64]);

#[inline(always)]
fn chosen(out: &mut [u64], by: Node, upper: Node, lower: Node, plus: &[u64], minus: &[u64]) {
    let n = out.len();
    let (d0, d1, u0, u1) = (&by.0[..n], &by.1[..n], &upper.0[..n], &upper.1[..n]);
    let (l0, l1, plus, minus) = (&lower.0[..n], &lower.1[..n], &plus[..n], &minus[..n]);
    for i in 0..n {
        let (y0, y1) = (u0[i] ^ l0[i], u1[i] ^ l1[i]);
        out[i] = l0[i] ^ (d0[i] & (y0 ^ y1)) ^ (d1[i] & y0) ^ plus[i] ^ minus[i];
    }
}
widened!(chosen_fast, chosen, out: &mut [u64], by: Node, upper: Node, lower: Node, plus: &[u64], minus: &[u64]);

#[inline(always)]
fn either(out: &mut [u64], x: Node, y: Node, plus: &[u64], minus: &[u64]) {
    let n = out.len();
    let (x0, x1, y0, y1) = (&x.0[..n], &x.1[..n], &y.0[..n], &y.1[..n]);
    let (plus, minus) = (&plus[..n], &minus[..n]);
    for i in 0..n {
        out[i] = x0[i] ^ y0[i] ^ (x0[i] & (y0[i] ^ y1[i])) ^ (x1[i] & y0[i]) ^ plus[i] ^ minus[i];
    }
}
widened!(either_fast, either, out: &mut [u64], x: Node, y: Node, plus: &[u64], minus: &[u64]);

/// Rows (by, upper, lower) of a value that is the upper one where `by` is 1, else the lower one.
pub type Choice = (u32, u32, u32);

/// This party's XOR component of choices and then of disjunctions of rows, masked by a fresh share of zero.
pub fn choose_rows(
    x: (&Rows, &Rows),
    choices: &[Choice],
    unions: &[(u32, u32)],
    mine: &mut Prg,
    next: &mut Prg,
) -> Option<Vec<u64>> {
    let length = x.0.length();
    let row = |number: u32| Some((x.0.row(number as usize)?, x.1.row(number as usize)?));
    let mut out = zeros((choices.len() + unions.len()) * length);
    let (chosen_rows, union_rows) = out.split_at_mut(choices.len() * length);
    let (mut plus, mut minus) = ([0u64; CHUNK], [0u64; CHUNK]);
    for (out, (by, upper, lower)) in chosen_rows.chunks_exact_mut(length.max(1)).zip(choices) {
        let (by, upper, lower) = (row(*by)?, row(*upper)?, row(*lower)?);
        for (chunk, part) in out.chunks_mut(CHUNK).enumerate() {
            let at = chunk * CHUNK..chunk * CHUNK + part.len();
            mine.fill(&mut plus[..part.len()]);
            next.fill(&mut minus[..part.len()]);
            chosen_fast(part, cut(by, &at), cut(upper, &at), cut(lower, &at), &plus, &minus);
        }
    }
    for (out, (one, other)) in union_rows.chunks_exact_mut(length.max(1)).zip(unions) {
        let (one, other) = (row(*one)?, row(*other)?);
        for (chunk, part) in out.chunks_mut(CHUNK).enumerate() {
            let at = chunk * CHUNK..chunk * CHUNK + part.len();
            mine.fill(&mut plus[..part.len()]);
            next.fill(&mut minus[..part.len()]);
            either_fast(part, cut(one, &at), cut(other, &at), &plus, &minus);
        }
    }
    Some(out)
}

fn cut<'a>(row: Node<'a>, at: &std::ops::Range<usize>) -> Node<'a> {
    (&row.0[at.clone()], &row.1[at.clone()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(seed: u8, n: usize) -> Vec<u64> {
        let mut out = vec![0; n];
        Prg::new(&[seed; 16]).fill(&mut out);
        out
    }

    #[test]
    fn planes_of_pairs() {
        let (rows, columns, bits) = (100, 2, 81);
        let table = words(1, rows * 2 * columns);
        for n in [0usize, 1, 64, 700] {
            let left: Vec<u32> = (0..n).map(|i| (i * 7 % rows) as u32).collect();
            let right: Vec<u32> = (0..n).map(|i| (i * 3 % rows) as u32).collect();
            let found = pair_planes(Keys { table: &table, columns, bits }, &left, &right).unwrap();
            let length = n.div_ceil(64);
            for (half, planes) in [found.0, found.1].iter().enumerate() {
                for i in 0..n {
                    for bit in 0..bits {
                        let word = |row: u32| table[row as usize * 2 * columns + half * columns + bit / 64];
                        let of = |row: u32| word(row) >> (bit % 64) & 1;
                        let at = |plane: usize| planes[plane * length + i / 64] >> (i % 64) & 1;
                        assert_eq!(at(bits + bit), of(right[i]));
                        assert_eq!(at(bit), of(left[i]) ^ of(right[i]));
                    }
                }
            }
        }
        assert!(pair_planes(Keys { table: &table, columns, bits }, &[100], &[0]).is_none());
    }

    #[test]
    fn a_level_takes_the_upper_value_where_it_chooses() {
        let (length, nodes) = (CHUNK + 9, 5);
        let parts: Vec<Vec<u64>> = (0..3).map(|i| words(i, 2 * nodes * length)).collect();
        let whole: Vec<u64> = (0..2 * nodes * length).map(|i| parts[0][i] ^ parts[1][i] ^ parts[2][i]).collect();
        let mut sum = vec![0u64; 3 * length];
        for party in 0..3usize {
            let rows = (Rows::new(vec![&parts[party]], length), Rows::new(vec![&parts[(party + 1) % 3]], length));
            let key = |index: usize| Prg::new(&[index as u8 % 3 + 40; 16]);
            let (mut mine, mut next) = (key(party), key(party + 1));
            let part =
                choose_rows((&rows.0, &rows.1), &[(1, 6, 5), (3, 8, 7)], &[(3, 2)], &mut mine, &mut next).unwrap();
            sum.iter_mut().zip(part).for_each(|(sum, word)| *sum ^= word);
        }
        let row = |number: usize| &whole[number * length..(number + 1) * length];
        for i in 0..length {
            for pair in 0..2 {
                let by = row(2 * pair + 1)[i];
                let expected = (by & row(2 * pair + 6)[i]) | (!by & row(2 * pair + 5)[i]);
                assert_eq!(sum[pair * length + i], expected);
            }
            assert_eq!(sum[2 * length + i], row(3)[i] | row(2)[i]);
        }
    }
}
