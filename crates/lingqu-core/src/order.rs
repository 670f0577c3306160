//! Comparing rows of packed keys: planes of chosen pairs, and the tree that finds the first bit in which they differ.
use crate::memory::zeros;
use crate::prg::{Prg, CHUNK};
use crate::ring::{widened, Rows};
use crate::turn::turn;

/// Blocks turned together, so that a whole line of every plane is written at once.
const TOGETHER: usize = 8;

/// Different keys of `bits` bits: packed rows of both components, as `packed::interleave` gives them.
#[derive(Clone, Copy)]
pub struct Keys<'a> {
    pub table: &'a [u64],
    pub bits: usize,
}

/// Both components.
pub type Components = (Vec<u64>, Vec<u64>);
/// (x ^ y, y) of 64 pairs of rows, a bit of all of them in a word.
type Block = ([u64; 64], [u64; 64]);

impl Keys<'_> {
    /// Words of a row, whatever bit it starts at.
    fn width(&self) -> usize {
        (2 * self.bits).div_ceil(64)
    }

    fn lack(&self, rows: &[u32]) -> bool {
        let count = (64 * self.table.len().saturating_sub(1)).checked_div(2 * self.bits).unwrap_or(0);
        rows.iter().any(|row| *row as usize >= count)
    }

    /// Up to 64 pairs.  The rows are read in one pass, so that their misses overlap.
    fn read(&self, block: &mut [Block], left: &[u32], right: &[u32]) {
        if left.len() < 64 {
            block.fill(([0; 64], [0; 64]));
        }
        let row = |number: u32| {
            let at = number as usize * 2 * self.bits;
            (&self.table[at / 64..][..block.len() + 1], (at % 64) as u32)
        };
        let word = |(words, shift): (&[u64], u32), i: usize| words[i] >> shift | words[i + 1] << 1 << (63 - shift);
        let rows: [_; 64] = std::array::from_fn(|i| (i < left.len()).then(|| (row(left[i]), row(right[i]))));
        for (i, (x, y)) in rows.into_iter().flatten().enumerate() {
            for (k, words) in block.iter_mut().enumerate() {
                let value = word(y, k);
                (words.0[i], words.1[i]) = (word(x, k) ^ value, value);
            }
        }
        block.iter_mut().for_each(|(differ, value)| {
            turn(differ);
            turn(value);
        });
    }

    /// Blocks of up to 64 * TOGETHER pairs, `width` a word of pairs; how many words.
    fn read_all(&self, blocks: &mut [Block], left: &[u32], right: &[u32]) -> usize {
        for (block, (left, right)) in blocks.chunks_exact_mut(self.width()).zip(left.chunks(64).zip(right.chunks(64))) {
            self.read(block, left, right);
        }
        left.len().div_ceil(64)
    }
}

/// Where the values of every group lie: their places, group by group and in each as they come, and where each group begins
/// among these, and behind them the end.  None where a value is no group.
pub fn group_places(values: &[u32], groups: usize) -> Option<(Vec<u32>, Vec<u32>)> {
    let mut begins = vec![0u32; groups + 1];
    for value in values {
        *begins[..groups].get_mut(*value as usize)? += 1;
    }
    let mut sum = 0;
    for begin in &mut begins {
        sum += std::mem::replace(begin, sum);
    }
    let mut places = vec![0u32; values.len()];
    for (place, value) in values.iter().enumerate() {
        let next = &mut begins[*value as usize];
        places[*next as usize] = place as u32;
        *next += 1;
    }
    // every group's next place has become the place where the group behind it begins
    begins.rotate_right(1);
    begins[0] = 0;
    Some((places, begins))
}

/// A pair of places of one group: the group, the earlier place, the later one.
pub type Pair = (u32, u32, u32);

/// Up to `count` pairs of different places of one group, group by group, from a pair on; and the pair that comes next.
/// begins: as `group_places` gives them.  None where the first pair lies elsewhere.
pub fn group_pairs(begins: &[u32], from: Pair, count: usize) -> Option<(Vec<u32>, Vec<u32>, Pair)> {
    let (mut group, mut one, mut other) = from;
    if begins.is_empty() || other <= one || begins.get(group as usize).is_some_and(|begin| one < *begin) {
        return None;
    }
    let (mut left, mut right) = (Vec::with_capacity(count), Vec::with_capacity(count));
    while left.len() < count {
        let Some(end) = begins.get(group as usize + 1) else { break };
        if other < *end {
            left.push(one);
            right.push(other);
            other += 1;
        } else if one + 2 < *end {
            one += 1;
            other = one + 1;
        } else {
            group += 1;
            one = *end;
            other = one + 1;
        }
    }
    Some((left, right, (group, one, other)))
}

/// For pairs of rows (x, y) and each component: planes of x ^ y, then planes of y, `bits` each.  None when a row is not
/// there.
pub fn pair_planes(keys: Keys, left: &[u32], right: &[u32]) -> Option<Components> {
    if keys.lack(left) || keys.lack(right) {
        return None;
    }
    let (length, width) = (left.len().div_ceil(64), keys.width());
    let mut out = (zeros(2 * keys.bits * length), zeros(2 * keys.bits * length));
    let mut blocks = vec![([0u64; 64], [0u64; 64]); TOGETHER * width];
    let pairs = left.chunks(64 * TOGETHER).zip(right.chunks(64 * TOGETHER));
    for (b, (left, right)) in pairs.enumerate() {
        let count = keys.read_all(&mut blocks, left, right);
        for (half, out) in [&mut out.0, &mut out.1].into_iter().enumerate() {
            let (differs, values) = out.split_at_mut(keys.bits * length);
            for bit in 0..keys.bits {
                let (place, at) = (half * keys.bits + bit, bit * length + b * TOGETHER);
                let turned = blocks.chunks_exact(width).take(count).map(|block| &block[place / 64]);
                let line = differs[at..at + count].iter_mut().zip(&mut values[at..at + count]);
                for ((differ, value), block) in line.zip(turned) {
                    (*differ, *value) = (block.0[place % 64], block.1[place % 64]);
                }
            }
        }
    }
    Some(out)
}

/// A word of TOGETHER * 64 pairs.
pub(crate) type Line = [u64; TOGETHER];

/// Lines of both components of x ^ y and of y, bit by bit.
pub(crate) struct Lines {
    differ: [Vec<Line>; 2],
    value: [Vec<Line>; 2],
}

impl Lines {
    fn new(bits: usize) -> Self {
        let lines = || [vec![[0; TOGETHER]; bits], vec![[0; TOGETHER]; bits]];
        Lines { differ: lines(), value: lines() }
    }

    fn take(&mut self, blocks: &[Block], width: usize, bits: usize) {
        for half in 0..2 {
            let lines = self.differ[half].iter_mut().zip(&mut self.value[half]);
            for (bit, (differ, value)) in lines.enumerate() {
                let place = half * bits + bit;
                for (k, block) in blocks.chunks_exact(width).enumerate() {
                    let block = &block[place / 64];
                    (differ[k], value[k]) = (block.0[place % 64], block.1[place % 64]);
                }
            }
        }
    }
}

#[inline(always)]
fn first_level(out: &mut [Line], lines: &Lines, plus: &[Line], minus: &[Line]) {
    let (choices, unions) = out.split_at_mut(out.len() / 2 + 1);
    let at = choices.len();
    let ([d0, d1], [v0, v1]) = (&lines.differ, &lines.value);
    for (i, out) in choices.iter_mut().enumerate() {
        let (upper, lower) = (2 * i + 1, 2 * i);
        for k in 0..TOGETHER {
            let (y0, y1) = (v0[upper][k] ^ v0[lower][k], v1[upper][k] ^ v1[lower][k]);
            out[k] = v0[lower][k] ^ (d0[upper][k] & (y0 ^ y1)) ^ (d1[upper][k] & y0) ^ plus[i][k] ^ minus[i][k];
        }
    }
    for (i, out) in unions.iter_mut().enumerate() {
        let (x, y) = (2 * i + 3, 2 * i + 2);
        for k in 0..TOGETHER {
            let (x0, y0) = (d0[x][k], d0[y][k]);
            let both = (x0 & (y0 ^ d1[y][k])) ^ (d1[x][k] & y0);
            out[k] = x0 ^ y0 ^ both ^ plus[at + i][k] ^ minus[at + i][k];
        }
    }
}
widened!(first_level_fast, first_level, out: &mut [Line], lines: &Lines, plus: &[Line], minus: &[Line]);

/// The first level of the tree that compares pairs of rows (x, y), whose planes are never written down: this party's
/// component of values of neighbouring bits, the lowest two first, then whether they differ in these, but for the
/// lowest; masked by a fresh share of zero.  And both components of the highest bit where it is left over: x ^ y, y.
pub fn choose_pairs(
    keys: Keys,
    left: &[u32],
    right: &[u32],
    mine: &mut Prg,
    next: &mut Prg,
) -> Option<(Vec<u64>, Components)> {
    if keys.lack(left) || keys.lack(right) || keys.bits < 2 {
        return None;
    }
    let (length, width, bits) = (left.len().div_ceil(64), keys.width(), keys.bits);
    let (rows, odd) = (bits / 2 * 2 - 1, bits % 2);
    let mut out = zeros(rows * length);
    let mut top = (zeros(2 * odd * length), zeros(2 * odd * length));
    let mut blocks = vec![([0u64; 64], [0u64; 64]); TOGETHER * width];
    let mut lines = Lines::new(bits);
    let mut found = vec![[0u64; TOGETHER]; rows];
    let (mut plus, mut minus) = (found.clone(), found.clone());
    let pairs = left.chunks(64 * TOGETHER).zip(right.chunks(64 * TOGETHER));
    for (b, (left, right)) in pairs.enumerate() {
        let count = keys.read_all(&mut blocks, left, right);
        lines.take(&blocks, width, bits);
        mine.fill(plus.as_flattened_mut());
        next.fill(minus.as_flattened_mut());
        first_level_fast(&mut found, &lines, &plus, &minus);
        let at = b * TOGETHER..b * TOGETHER + count;
        for (out, line) in out.chunks_exact_mut(length).zip(&found) {
            out[at.clone()].copy_from_slice(&line[..count]);
        }
        for (half, top) in [&mut top.0, &mut top.1].into_iter().enumerate() {
            for (top, lines) in top.chunks_exact_mut(length).zip([&lines.differ, &lines.value]) {
                top[at.clone()].copy_from_slice(&lines[half][bits - 1][..count]);
            }
        }
    }
    Some((out, top))
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
    fn groups_lie_one_after_the_other() {
        assert_eq!(group_places(&[2, 0, 2, 4, 0], 5), Some((vec![1, 4, 0, 2, 3], vec![0, 2, 2, 4, 4, 5])));
        assert_eq!(group_places(&[], 1), Some((vec![], vec![0, 0])));
        assert_eq!(group_places(&[1], 1), None);
    }

    #[test]
    fn pairs_of_every_group_come_once() {
        let begins = [0, 2, 2, 3, 7];
        let expected: Vec<(u32, u32)> = vec![(0, 1), (3, 4), (3, 5), (3, 6), (4, 5), (4, 6), (5, 6)];
        for count in 1..9 {
            let (mut found, mut at) = (vec![], (0, 0, 1));
            loop {
                let (left, right, next) = group_pairs(&begins, at, count).unwrap();
                assert!(left.len() <= count);
                if left.is_empty() {
                    break;
                }
                found.extend(left.into_iter().zip(right));
                at = next;
            }
            assert_eq!(found, expected);
        }
        assert_eq!(group_pairs(&[0, 0], (0, 0, 1), 5), Some((vec![], vec![], (1, 0, 1))));
        assert_eq!(group_pairs(&[], (0, 0, 1), 5), None);
        assert_eq!(group_pairs(&begins, (3, 2, 4), 5), None);
        assert_eq!(group_pairs(&begins, (3, 4, 4), 5), None);
    }

    #[test]
    fn planes_of_pairs() {
        let (rows, bits) = (100usize, 81);
        let table = words(1, (rows * 2 * bits).div_ceil(64) + 1);
        for n in [0usize, 1, 64, 700] {
            let left: Vec<u32> = (0..n).map(|i| (i * 7 % rows) as u32).collect();
            let right: Vec<u32> = (0..n).map(|i| (i * 3 % rows) as u32).collect();
            let found = pair_planes(Keys { table: &table, bits }, &left, &right).unwrap();
            let length = n.div_ceil(64);
            for (half, planes) in [found.0, found.1].iter().enumerate() {
                for i in 0..n {
                    for bit in 0..bits {
                        let place = |row: u32| (2 * row as usize + half) * bits + bit;
                        let of = |row: u32| table[place(row) / 64] >> (place(row) % 64) & 1;
                        let at = |plane: usize| planes[plane * length + i / 64] >> (i % 64) & 1;
                        assert_eq!(at(bits + bit), of(right[i]));
                        assert_eq!(at(bit), of(left[i]) ^ of(right[i]));
                    }
                }
            }
        }
        assert!(pair_planes(Keys { table: &table, bits }, &[100], &[0]).is_none());
        assert!(pair_planes(Keys { table: &[], bits }, &[0], &[0]).is_none());
    }

    #[test]
    fn the_first_level_is_that_of_the_planes() {
        for bits in [2usize, 3, 12, 64, 81] {
            let (rows, n) = (90, 700);
            let count = (2 * rows * bits).div_ceil(64) + 1;
            let parts: Vec<Vec<u64>> = (0..3).map(|i| words(i, count)).collect();
            let left: Vec<u32> = (0..n).map(|i| (i * 7 % rows) as u32).collect();
            let right: Vec<u32> = (0..n).map(|i| (i * 5 % rows) as u32).collect();
            let key = |index: usize| Prg::new(&[index as u8 % 3 + 40; 16]);
            let length = n.div_ceil(64);
            let level = bits / 2 * 2 - 1;
            let mut sum = vec![0u64; level * length];
            // three components of every key, two at a party: component h of party p is h + p of the key
            let component = |row: usize, h: usize, bit: usize| {
                let place = (2 * row + h % 2) * bits + bit;
                parts[h][place / 64] >> (place % 64) & 1
            };
            for party in 0..3usize {
                let mut table = vec![0u64; count];
                for row in 0..rows {
                    for (half, h) in [party, (party + 1) % 3].into_iter().enumerate() {
                        for bit in 0..bits {
                            let place = (2 * row + half) * bits + bit;
                            table[place / 64] |= component(row, h, bit) << (place % 64);
                        }
                    }
                }
                let keys = Keys { table: &table, bits };
                let (mut mine, mut next) = (key(party), key(party + 1));
                let (own, top) = choose_pairs(keys, &left, &right, &mut mine, &mut next).unwrap();
                sum.iter_mut().zip(own).for_each(|(sum, word)| *sum ^= word);
                let planes = pair_planes(keys, &left, &right).unwrap();
                let highest = |planes: &[u64]| {
                    let row = |plane: usize| planes[plane * length..(plane + 1) * length].to_vec();
                    [row(bits - 1), row(2 * bits - 1)].concat()
                };
                if bits % 2 == 1 {
                    assert_eq!(top, (highest(&planes.0), highest(&planes.1)));
                } else {
                    assert!(top.0.is_empty());
                }
            }
            let of = |row: u32, bit: usize| (0..3).fold(0, |sum, h| sum ^ component(row as usize, h, bit));
            for i in 0..n {
                let differ = |bit: usize| of(left[i], bit) ^ of(right[i], bit);
                let found = |row: usize| sum[row * length + i / 64] >> (i % 64) & 1;
                for pair in 0..bits / 2 {
                    let chosen = if differ(2 * pair + 1) == 1 { 2 * pair + 1 } else { 2 * pair };
                    assert_eq!(found(pair), of(right[i], chosen));
                    if pair > 0 {
                        assert_eq!(found(bits / 2 + pair - 1), differ(2 * pair + 1) | differ(2 * pair));
                    }
                }
            }
        }
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
