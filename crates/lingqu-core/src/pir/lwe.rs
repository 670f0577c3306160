//! The public matrix, secrets and errors of learning with errors modulo 2^32, and what a client makes ahead of a query.
use super::{BLOCK, DROPPED, SCALE, SECRET};
use crate::prg::Prg;
use crate::psi::hash::FixedKey;
use subtle::ConstantTimeEq;

/// The public matrix, a row of `SECRET` words a column of the table, from a seed.
pub struct Public(FixedKey);

impl Public {
    pub fn new(seed: &[u8; 16]) -> Self {
        Public(FixedKey::new(seed))
    }

    /// The rows of one block of columns: entry j of column c stands at `BLOCK * j + c`.
    pub fn block(&self, number: usize, out: &mut [u32]) {
        let mut key = [number as u128];
        self.0.apply(&mut key);
        let mut words = vec![0u64; BLOCK * SECRET / 2];
        Prg::new(&key[0].to_le_bytes()).fill(&mut words);
        for (pair, word) in out.chunks_exact_mut(2).zip(words) {
            pair[0] = word as u32;
            pair[1] = (word >> 32) as u32;
        }
    }
}

/// Words of a block.
pub fn block_words() -> Vec<u32> {
    vec![0; BLOCK * SECRET]
}

/// Uniform over -1, 0, 1, but for a bias below 2^-62.
fn secret(prg: &mut Prg) -> Vec<u32> {
    let mut words = vec![0u64; SECRET];
    prg.fill(&mut words);
    words.iter().map(|word| ((u128::from(*word) * 3) >> 64) as u32).map(|x| x.wrapping_sub(1)).collect()
}

/// Centred binomial errors of variance 32: 64 bits against 64 bits.
fn errors(prg: &mut Prg, out: &mut [u32]) {
    let mut words = vec![0u64; 2 * out.len()];
    prg.fill(&mut words);
    for (out, pair) in out.iter_mut().zip(words.chunks_exact(2)) {
        *out = pair[0].count_ones().wrapping_sub(pair[1].count_ones());
    }
}

/// What queries need that does not depend on what they ask: masks A s + e, and the products H s that unmask answers.
pub struct Prepared {
    columns: usize,
    rows: usize,
    masks: Vec<Option<Vec<u32>>>,
    products: Vec<Vec<u32>>,
}

impl Prepared {
    /// hints: one a section, each a row of `SECRET` words a row of the table.  columns: those of one section.
    pub fn new(seed: &[u8; 16], randomness: &[u8; 16], columns: usize, hints: &[&[u32]], count: usize) -> Self {
        let mut prg = Prg::new(randomness);
        let secrets: Vec<Vec<u32>> = (0..count).map(|_| secret(&mut prg)).collect();
        let mut masks: Vec<Vec<u32>> = vec![vec![0; columns * hints.len()]; count];
        masks.iter_mut().for_each(|mask| errors(&mut prg, mask));
        let (public, mut block) = (Public::new(seed), block_words());
        for number in 0..columns * hints.len() / BLOCK {
            public.block(number, &mut block);
            for (mask, secret) in masks.iter_mut().zip(&secrets) {
                add_product(&block, secret, &mut mask[number * BLOCK..(number + 1) * BLOCK]);
            }
        }
        let products = secrets.iter().map(|secret| hints.iter().flat_map(|hint| hint_product(hint, secret)).collect());
        let rows = hints.iter().map(|hint| hint.len() / SECRET).sum();
        Prepared { columns, rows, products: products.collect(), masks: masks.into_iter().map(Some).collect() }
    }

    /// The query number `index` for one column of every section, beside the sections' first; None when it was made.
    pub fn query(&mut self, index: usize, columns: &[u32]) -> Option<Vec<u32>> {
        if columns.len() * self.columns != self.masks.get(index)?.as_ref()?.len() {
            return None;
        }
        let mut words = self.masks[index].take()?;
        for (section, column) in words.chunks_exact_mut(self.columns).zip(columns) {
            for (i, word) in section.iter_mut().enumerate() {
                let chosen = (i as u32).ct_eq(column).unwrap_u8() | (i as u32).ct_eq(&0).unwrap_u8();
                *word = word.wrapping_add(u32::from(chosen) << SCALE);
            }
        }
        Some(words)
    }

    /// The bytes of the chosen columns, section by section.
    pub fn decode(&self, index: usize, answer: &[u16]) -> Option<Vec<u8>> {
        let products = self.products.get(index).filter(|_| answer.len() == self.rows)?;
        let byte = |(word, product): (&u16, &u32)| {
            let noisy = (u32::from(*word) << DROPPED).wrapping_sub(*product);
            (noisy.wrapping_add(1 << (SCALE - 1)) >> SCALE) as u8
        };
        Some(answer.iter().zip(products).map(byte).collect())
    }
}

/// Adds the block's rows times the secret.
fn add_product(block: &[u32], secret: &[u32], out: &mut [u32]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has the feature that the function is compiled for.
        return unsafe { add_product_wide(block, secret, out) };
    }
    add_product_plain(block, secret, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn add_product_wide(block: &[u32], secret: &[u32], out: &mut [u32]) {
    add_product_plain(block, secret, out);
}

#[inline(always)]
fn add_product_plain(block: &[u32], secret: &[u32], out: &mut [u32]) {
    let mut sums = [0u32; BLOCK];
    sums.copy_from_slice(out);
    for (row, s) in block.as_chunks::<BLOCK>().0.iter().zip(secret) {
        for (sum, a) in sums.iter_mut().zip(row) {
            *sum = sum.wrapping_add(a.wrapping_mul(*s));
        }
    }
    out.copy_from_slice(&sums);
}

fn hint_product(hint: &[u32], secret: &[u32]) -> Vec<u32> {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor has the feature that the function is compiled for.
        return unsafe { hint_product_wide(hint, secret) };
    }
    hint_product_plain(hint, secret)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn hint_product_wide(hint: &[u32], secret: &[u32]) -> Vec<u32> {
    hint_product_plain(hint, secret)
}

#[inline(always)]
fn hint_product_plain(hint: &[u32], secret: &[u32]) -> Vec<u32> {
    let dot = |row: &[u32]| row.iter().zip(secret).fold(0u32, |sum, (h, s)| sum.wrapping_add(h.wrapping_mul(*s)));
    hint.chunks_exact(SECRET).map(dot).collect()
}

/// Adds to the hint's rows from `first` on what a change of one column's entries there adds.
pub fn patch(hint: &mut [u32], seed: &[u8; 16], column: usize, first: usize, changes: &[i16]) {
    let mut block = block_words();
    Public::new(seed).block(column / BLOCK, &mut block);
    let row: Vec<u32> = (0..SECRET).map(|j| block[BLOCK * j + column % BLOCK]).collect();
    for (words, change) in hint[first * SECRET..].chunks_exact_mut(SECRET).zip(changes) {
        let change = i32::from(*change) as u32;
        words.iter_mut().zip(&row).for_each(|(word, a)| *word = word.wrapping_add(a.wrapping_mul(change)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::product;
    use super::*;

    #[test]
    fn distributions_have_their_moments() {
        let mut prg = Prg::new(&[3; 16]);
        let mut drawn = vec![0u32; 1 << 16];
        errors(&mut prg, &mut drawn);
        let moments = |x: &[u32]| {
            let mean = x.iter().map(|x| f64::from(*x as i32)).sum::<f64>() / x.len() as f64;
            (mean, x.iter().map(|x| (f64::from(*x as i32) - mean).powi(2)).sum::<f64>() / x.len() as f64)
        };
        let (mean, variance) = moments(&drawn);
        assert!(mean.abs() < 0.1 && (variance - 32.0).abs() < 1.0, "{mean} {variance}");
        let (mean, variance) = moments(&(0..50).flat_map(|_| secret(&mut prg)).collect::<Vec<_>>());
        assert!(mean.abs() < 0.02 && (variance - 2.0 / 3.0).abs() < 0.02, "{mean} {variance}");
    }

    #[test]
    fn products_agree_with_one_at_a_time() {
        let mut prg = Prg::new(&[1; 16]);
        let (secret, mut block) = (secret(&mut prg), block_words());
        Public::new(&[2; 16]).block(3, &mut block);
        let (mut one, mut two) = (vec![7u32; BLOCK], vec![7u32; BLOCK]);
        add_product(&block, &secret, &mut one);
        add_product_plain(&block, &secret, &mut two);
        assert_eq!(one, two);
        assert_eq!(hint_product(&block, &secret), hint_product_plain(&block, &secret));
    }

    #[test]
    fn a_column_comes_back_and_noise_is_as_small_as_declared() {
        let (rows, columns, seed) = (64usize, 2 * BLOCK, [5u8; 16]);
        let mut words = vec![0u64; 2 * rows * columns / 8];
        Prg::new(&[9; 16]).fill(&mut words);
        let mut tables: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        for table in tables.chunks_exact_mut(rows * columns) {
            table.chunks_exact_mut(columns).for_each(|row| row[0] = 0);
        }
        let sections: Vec<&[u8]> = tables.chunks_exact(rows * columns).collect();
        let whole: Vec<Vec<u32>> = sections
            .iter()
            .enumerate()
            .map(|(i, table)| product::hint(&seed, i * columns, table, columns, 1))
            .collect();
        let rounded = |hint: &Vec<u32>| hint.iter().map(|x| x.wrapping_add(1 << 15) >> 16 << 16).collect::<Vec<u32>>();
        let sent: Vec<Vec<u32>> = whole.iter().map(rounded).collect();
        let hints: Vec<&[u32]> = sent.iter().map(|hint| hint.as_slice()).collect();
        let mut prepared = Prepared::new(&seed, &[8; 16], columns, &hints, 2);
        for (index, chosen) in [[1u32, 127], [64, 5]].into_iter().enumerate() {
            let query = prepared.query(index, &chosen).unwrap();
            assert!(prepared.query(index, &chosen).is_none());
            let answers = sections.iter().zip(query.chunks_exact(columns));
            let answer: Vec<u16> =
                answers.flat_map(|(table, query)| product::answer(table, columns, query, 1, 1)).collect();
            let decoded = prepared.decode(index, &answer).unwrap();
            let pairs = answer.iter().zip(&prepared.products[index]).zip(&decoded);
            let squares = pairs.map(|((word, product), byte)| {
                let noisy = (u32::from(*word) << DROPPED).wrapping_sub(*product);
                f64::from(noisy.wrapping_sub(u32::from(*byte) << SCALE) as i32).powi(2)
            });
            // Rounding the hint by 2^16 under a ternary secret is most of it: 2^16 sqrt(1280 * 2 / 3 / 12) = 552,700.
            let deviation = (squares.sum::<f64>() / answer.len() as f64).sqrt();
            assert!((400_000.0..720_000.0).contains(&deviation), "{deviation}");
            for (section, column) in chosen.iter().enumerate() {
                for row in 0..rows {
                    assert_eq!(decoded[section * rows + row], sections[section][row * columns + *column as usize]);
                }
            }
        }
    }

    #[test]
    fn a_patched_hint_is_that_of_the_changed_table() {
        let (columns, seed) = (2 * BLOCK, [4u8; 16]);
        let mut table: Vec<u8> = (0..16 * columns).map(|i| (i * 37 + i / 91) as u8).collect();
        let mut hint = product::hint(&seed, columns, &table, columns, 1);
        let changes: Vec<i16> = (4..9)
            .map(|row| {
                let (old, new) = (table[row * columns + 70], (row * 50) as u8);
                table[row * columns + 70] = new;
                i16::from(new as i8) - i16::from(old as i8)
            })
            .collect();
        patch(&mut hint, &seed, columns + 70, 4, &changes);
        assert_eq!(hint, product::hint(&seed, columns, &table, columns, 2));
    }
}
