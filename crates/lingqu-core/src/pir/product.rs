//! A table of signed bytes times vectors of 32-bit words: hints, and the answers to queries.
//!
//! A word is four bytes, so a product is four of bytes by bytes, summed where they are 32 bits wide (AVX-512 VNNI).
use super::lwe::{block_words, Public};
use super::{BLOCK, DROPPED, SECRET};

/// Rows that are multiplied together; every table has a multiple of it.
pub const GROUP: usize = 4;
/// Columns whose bytes of four words stay in the caches.
const WIDTH: usize = 4096;
/// Columns of the public matrix beside each other.
const BATCH: usize = 32;
/// Bytes of planes that stay in the second-level cache.
const PLANES: usize = 1 << 19;

/// Vectors cut into the four bytes of their words: vector v's byte k of column c stands at `(4 v + k) width + c`.
struct Planes<'a> {
    bytes: &'a [u8],
    width: usize,
}

/// Where the products go: vector v of row r at `r * stride + offset + v`.
struct Place {
    stride: usize,
    offset: usize,
}

fn split(words: &[u32], planes: &mut [u8], width: usize, at: usize) {
    for (k, plane) in planes.chunks_exact_mut(width).take(4).enumerate() {
        plane[at..at + words.len()].iter_mut().zip(words).for_each(|(byte, word)| *byte = (*word >> (8 * k)) as u8);
    }
}

/// Adds to `out` the products of the table's columns from `start` on with the vectors.
fn accumulate(table: &[u8], columns: usize, start: usize, planes: &Planes, place: &Place, out: &mut [u32]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni") {
        // SAFETY: the processor has the features that the function is compiled for.
        return unsafe { wide::accumulate(table, columns, start, planes, place, out) };
    }
    accumulate_plain(table, columns, start, planes, place, out);
}

fn accumulate_plain(table: &[u8], columns: usize, start: usize, planes: &Planes, place: &Place, out: &mut [u32]) {
    for (r, row) in table.chunks_exact(columns).enumerate() {
        let row = &row[start..start + planes.width];
        for (v, vector) in planes.bytes.chunks_exact(4 * planes.width).enumerate() {
            let mut sum = 0u32;
            for (k, plane) in vector.chunks_exact(planes.width).enumerate() {
                let dot = row.iter().zip(plane).map(|(d, q)| i32::from(*d as i8).wrapping_mul(i32::from(*q)));
                sum = sum.wrapping_add((dot.fold(0i32, i32::wrapping_add) as u32) << (8 * k));
            }
            let out = &mut out[r * place.stride + place.offset + v];
            *out = out.wrapping_add(sum);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use super::{Place, Planes, GROUP};
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx512f,avx512vnni")]
    pub fn accumulate(table: &[u8], columns: usize, start: usize, planes: &Planes, place: &Place, out: &mut [u32]) {
        let width = planes.width;
        for (group, rows) in table.chunks_exact(GROUP * columns).enumerate() {
            for (v, vector) in planes.bytes.chunks_exact(4 * width).enumerate() {
                let sums = dots(rows, columns, start, vector, width);
                for (r, sum) in sums.into_iter().enumerate() {
                    let out = &mut out[(group * GROUP + r) * place.stride + place.offset + v];
                    *out = out.wrapping_add(sum);
                }
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512vnni")]
    fn dots(rows: &[u8], columns: usize, start: usize, vector: &[u8], width: usize) -> [u32; GROUP] {
        assert!(width.is_multiple_of(64) && vector.len() == 4 * width && start + width <= columns);
        assert!(rows.len() == GROUP * columns);
        let mut sums = [[_mm512_setzero_si512(); 4]; GROUP];
        for x in (0..width).step_by(64) {
            // SAFETY: 64 bytes follow x in every plane and every row, as asserted; loads need no alignment.
            let q: [__m512i; 4] =
                std::array::from_fn(|k| unsafe { _mm512_loadu_si512(vector.as_ptr().add(k * width + x).cast()) });
            for (r, sums) in sums.iter_mut().enumerate() {
                // SAFETY: as above.
                let d = unsafe { _mm512_loadu_si512(rows.as_ptr().add(r * columns + start + x).cast()) };
                for (sum, q) in sums.iter_mut().zip(q) {
                    *sum = _mm512_dpbusd_epi32(*sum, q, d);
                }
            }
        }
        sums.map(|[a, b, c, d]| {
            let low = _mm512_add_epi32(a, _mm512_slli_epi32::<8>(b));
            let high = _mm512_add_epi32(c, _mm512_slli_epi32::<8>(d));
            _mm512_reduce_add_epi32(_mm512_add_epi32(low, _mm512_slli_epi32::<16>(high))) as u32
        })
    }
}

/// Runs on parts of the rows, each beside its part of the output, on so many threads.
fn by_rows(
    table: &[u8],
    columns: usize,
    out: &mut [u32],
    stride: usize,
    threads: usize,
    work: impl Fn(&[u8], &mut [u32]) + Sync,
) {
    let rows = table.len() / columns;
    let part = rows.div_ceil(threads.max(1)).next_multiple_of(GROUP).max(GROUP);
    if part >= rows {
        return work(table, out);
    }
    std::thread::scope(|scope| {
        for (table, out) in table.chunks(part * columns).zip(out.chunks_mut(part * stride)) {
            let work = &work;
            scope.spawn(move || work(table, out));
        }
    });
}

/// The table times the public matrix, whose rows from `first` on are the table's columns: `SECRET` words a row.
pub fn hint(seed: &[u8; 16], first: usize, table: &[u8], columns: usize, threads: usize) -> Vec<u32> {
    let (public, mut block) = (Public::new(seed), block_words());
    let mut out = vec![0u32; table.len() / columns * SECRET];
    let mut bytes = vec![0u8; 4 * SECRET * WIDTH.min(columns)];
    for start in (0..columns).step_by(WIDTH) {
        let width = WIDTH.min(columns - start);
        for at in (0..width).step_by(BLOCK) {
            public.block((first + start + at) / BLOCK, &mut block);
            for (words, planes) in block.chunks_exact(BLOCK).zip(bytes.chunks_exact_mut(4 * width)) {
                split(words, planes, width, at);
            }
        }
        let bytes = &bytes[..4 * SECRET * width];
        by_rows(table, columns, &mut out, SECRET, threads, |table, out| {
            for (batch, bytes) in bytes.chunks(4 * BATCH * width).enumerate() {
                let place = Place { stride: SECRET, offset: batch * BATCH };
                accumulate(table, columns, start, &Planes { bytes, width }, &place, out);
            }
        });
    }
    out
}

/// Answers to `count` queries of `columns` words each, one after the other, rounded to their upper 16 bits.
pub fn answer(table: &[u8], columns: usize, queries: &[u32], count: usize, threads: usize) -> Vec<u16> {
    let rows = table.len() / columns;
    let mut out = vec![0u32; rows * count];
    let most = (PLANES / (4 * count.max(1)) / BLOCK * BLOCK).max(WIDTH).min(columns);
    let mut bytes = vec![0u8; 4 * count * most];
    for start in (0..columns).step_by(most) {
        let width = most.min(columns - start);
        let bytes = &mut bytes[..4 * count * width];
        for (query, planes) in queries.chunks_exact(columns).zip(bytes.chunks_exact_mut(4 * width)) {
            split(&query[start..start + width], planes, width, 0);
        }
        let bytes = &*bytes;
        by_rows(table, columns, &mut out, count, threads, |table, out| {
            accumulate(table, columns, start, &Planes { bytes, width }, &Place { stride: count, offset: 0 }, out);
        });
    }
    let rounded = |word: u32| (word.wrapping_add(1 << (DROPPED - 1)) >> DROPPED) as u16;
    (0..count).flat_map(|v| out.iter().skip(v).step_by(count).map(|word| rounded(*word))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prg::Prg;

    #[test]
    fn products_agree_with_plain_arithmetic() {
        let (columns, rows) = (3 * BLOCK, 8);
        let mut words = vec![0u64; rows * columns / 8];
        Prg::new(&[1; 16]).fill(&mut words);
        let table: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let mut drawn = vec![0u64; 3 * columns];
        Prg::new(&[2; 16]).fill(&mut drawn);
        let queries: Vec<u32> = drawn.iter().map(|word| *word as u32).collect();
        for threads in [1, 2, 5] {
            let found = answer(&table, columns, &queries, 3, threads);
            for (v, query) in queries.chunks_exact(columns).enumerate() {
                for (r, row) in table.chunks_exact(columns).enumerate() {
                    let dot = row.iter().zip(query).map(|(d, q)| (i32::from(*d as i8) as u32).wrapping_mul(*q));
                    let exact = dot.fold(0u32, u32::wrapping_add);
                    assert_eq!(found[v * rows + r], (exact.wrapping_add(1 << 15) >> 16) as u16);
                }
            }
        }
    }

    #[test]
    fn portable_products_are_equal() {
        let (columns, rows) = (2 * BLOCK, 8);
        let table: Vec<u8> = (0..rows * columns).map(|i| (i * 91 + i / 7) as u8).collect();
        let bytes: Vec<u8> = (0..8 * columns).map(|i| (i * 53 + i / 5) as u8).collect();
        let (planes, place) = (Planes { bytes: &bytes, width: columns }, Place { stride: 2, offset: 0 });
        let (mut one, mut two) = (vec![3u32; 2 * rows], vec![3u32; 2 * rows]);
        accumulate(&table, columns, 0, &planes, &place, &mut one);
        accumulate_plain(&table, columns, 0, &planes, &place, &mut two);
        assert_eq!(one, two);
    }
}
