//! Matrix products modulo 2^64 by the tile unit of processors that have AMX-INT8.
//!
//! Words are cut into eight bytes; the products of bytes i and j count 2^(8 (i + j)), so the 36 pairs with i + j < 8 give
//! the product.  The unit multiplies a tile of 16 x 64 bytes by one of 64 x 16 and adds to 16 x 16 sums of 32 bits, one
//! tile of sums for each i + j.  What a processor lacks, or a system forbids, is left to the other kernels.
use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count};
use std::sync::OnceLock;

/// Rows and columns of a tile of sums, and bytes of a row of a tile.
const SIDE: usize = 16;
const REACH: usize = 64;
const BYTES: usize = 8;
/// Words of one tile, and of the tiles of all bytes.
const TILE: usize = SIDE * REACH / 8;
const TILES: usize = BYTES * TILE;
/// Rows of tiles of x that stay in the cache, and the most tiles whose sums stay below 2^32.
const ROWS: usize = 8;
const DEEPEST: usize = 64;

/// Whether the processor has the unit and the system lets this process use it; asked once.
pub fn available() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    *FOUND.get_or_init(|| {
        const REQUEST_PERMISSION: libc::c_long = 0x1023;
        const TILE_DATA: libc::c_long = 18;
        let (most, seven) = (__cpuid(0).eax, __cpuid_count(7, 0).edx);
        // SAFETY: the system call takes two numbers and touches no memory of ours.
        most >= 7
            && seven >> 24 & 3 == 3
            && unsafe { libc::syscall(libc::SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) } == 0
    })
}

/// Whether tiles would mostly be full.
pub fn suits(rows: usize, inner: usize, columns: usize) -> bool {
    rows >= SIDE && inner >= REACH && columns >= SIDE
}

/// Eight words as the words of their lowest bytes, of their second bytes, and so on.
fn turned(mut words: [u64; 8]) -> [u64; 8] {
    for (step, mask) in [(4, 0x0000_0000_ffff_ffff), (2, 0x0000_ffff_0000_ffff), (1, 0x00ff_00ff_00ff_00ffu64)] {
        for i in (0..8).filter(|i| i & step == 0) {
            let (low, high, shift) = (words[i], words[i + step], 8 * step);
            words[i] = low & mask | (high & mask) << shift;
            words[i + step] = low >> shift & mask | high & !mask;
        }
    }
    words
}

fn put(tiles: &mut [u64], at: usize, words: [u64; 8]) {
    for (byte, word) in turned(words).into_iter().enumerate() {
        tiles[byte * TILE + at] = word;
    }
}

/// A matrix of words; step: how far apart rows, and neighbours in a row, are.
#[derive(Clone, Copy)]
pub struct Strided<'a> {
    pub words: &'a [u64],
    pub rows: usize,
    pub columns: usize,
    pub step: (usize, usize),
}

impl Strided<'_> {
    fn get(&self, row: usize, column: usize) -> u64 {
        if row < self.rows && column < self.columns {
            self.words[row * self.step.0 + column * self.step.1]
        } else {
            0
        }
    }

    /// Tiles of the rows from `row` on: a row of a tile has 64 neighbours' bytes.
    fn left(&self, tiles: &mut [u64], row: usize) {
        for (block, tiles) in tiles.chunks_exact_mut(TILES).enumerate() {
            for r in 0..SIDE {
                for k in 0..REACH / 8 {
                    let words = std::array::from_fn(|i| self.get(row + r, block * REACH + 8 * k + i));
                    put(tiles, r * (REACH / 8) + k, words);
                }
            }
        }
    }

    /// Tiles of the columns from `column` on: a row of a tile has, for each column, the bytes of four rows.
    fn right(&self, tiles: &mut [u64], column: usize) {
        for (block, tiles) in tiles.chunks_exact_mut(TILES).enumerate() {
            for r in 0..REACH / 4 {
                for pair in 0..SIDE / 2 {
                    let words =
                        std::array::from_fn(|i| self.get(block * REACH + 4 * r + i % 4, column + 2 * pair + i / 4));
                    put(tiles, r * (SIDE / 2) + pair, words);
                }
            }
        }
    }
}

/// Sums of the products of bytes by i + j, each 16 x 16.
#[repr(align(64))]
struct Sums([[u32; SIDE * SIDE]; BYTES]);

/// How the unit's eight registers are laid out: 16 rows of 64 bytes each.
#[repr(align(64))]
struct Shape([u8; 64]);

const SHAPE: Shape = {
    let mut bytes = [0; 64];
    bytes[0] = 1;
    let mut i = 0;
    while i < 8 {
        bytes[16 + 2 * i] = REACH as u8;
        bytes[48 + i] = SIDE as u8;
        i += 1;
    }
    Shape(bytes)
};

/// Add x @ y to `out`; the unit must be `available`.
pub fn add_product(out: &mut [u64], x: Strided, y: Strided) {
    assert!(available() && x.columns == y.rows && out.len() == x.rows * y.columns);
    for start in (0..x.columns).step_by(DEEPEST * REACH) {
        let count = (x.columns - start).min(DEEPEST * REACH);
        let x = Strided { words: &x.words[start * x.step.1..], columns: count, ..x };
        let y = Strided { words: &y.words[start * y.step.0..], rows: count, ..y };
        add_shallow(out, x, y);
    }
}

/// As `add_product`, for so few neighbours in a row that no sum overflows.
fn add_shallow(out: &mut [u64], x: Strided, y: Strided) {
    let blocks = x.columns.div_ceil(REACH);
    let mut right = vec![0u64; y.columns.div_ceil(SIDE) * blocks * TILES];
    for (tiles, column) in right.chunks_exact_mut(blocks * TILES).zip((0..y.columns).step_by(SIDE)) {
        y.right(tiles, column);
    }
    let mut left = vec![0u64; ROWS * blocks * TILES];
    let mut sums = Box::new(Sums([[0; SIDE * SIDE]; BYTES]));
    for first in (0..x.rows).step_by(ROWS * SIDE) {
        let rows: Vec<usize> = (first..x.rows.min(first + ROWS * SIDE)).step_by(SIDE).collect();
        for (tiles, row) in left.chunks_exact_mut(blocks * TILES).zip(&rows) {
            x.left(tiles, *row);
        }
        for (right, column) in right.chunks_exact(blocks * TILES).zip((0..y.columns).step_by(SIDE)) {
            for (tiles, row) in left.chunks_exact(blocks * TILES).zip(&rows) {
                multiply(&mut sums, tiles, right);
                collect(out, &sums, (*row, column), (x.rows, y.columns));
            }
        }
    }
}

/// Add the sums of one tile to the words from row and column `at` on.
fn collect(out: &mut [u64], sums: &Sums, at: (usize, usize), sizes: (usize, usize)) {
    let width = SIDE.min(sizes.1 - at.1);
    for r in 0..SIDE.min(sizes.0 - at.0) {
        for (c, word) in out[(at.0 + r) * sizes.1 + at.1..][..width].iter_mut().enumerate() {
            for (byte, sums) in sums.0.iter().enumerate() {
                *word = word.wrapping_add(u64::from(sums[r * SIDE + c]) << (8 * byte));
            }
        }
    }
}

/// The sums of a row of tiles times a column of tiles, of equally many blocks.
fn multiply(sums: &mut Sums, left: &[u64], right: &[u64]) {
    assert!(left.len() == right.len() && left.len().is_multiple_of(TILES) && !left.is_empty());
    let blocks = left.len() / TILES;
    macro_rules! load {
        (x $byte:literal) => {
            concat!("tileloadd tmm6, [{x} + {stride} + ", $byte, " * 1024]\n")
        };
        (y $byte:literal) => {
            concat!("tileloadd tmm7, [{y} + {stride} + ", $byte, " * 1024]\n")
        };
    }
    macro_rules! products {
        ($($x:literal: $($y:literal $sum:literal),*;)*) => {
            concat!($(load!(x $x), $(load!(y $y), "tdpbuud tmm", $sum, ", tmm6, tmm7\n",)*)*)
        };
    }
    macro_rules! pass {
        ($first:literal: $($sum:literal),*; $body:expr) => {
            // SAFETY: the unit is available, as `add_product` checks; all tiles that are read lie in `left` and `right`,
            // all that are written in `sums`, and the registers are given back before the block ends.
            unsafe {
                asm!(
                    "ldtilecfg [{shape}]",
                    concat!($("tilezero tmm", $sum, "\n",)*),
                    "2:",
                    $body,
                    "add {x}, 8192",
                    "add {y}, 8192",
                    "dec {count}",
                    "jnz 2b",
                    concat!($("tilestored [{sums} + {stride} + ", $sum, " * 1024], tmm", $sum, "\n",)*),
                    "tilerelease",
                    shape = in(reg) SHAPE.0.as_ptr(),
                    stride = in(reg) REACH,
                    x = inout(reg) left.as_ptr() => _,
                    y = inout(reg) right.as_ptr() => _,
                    count = inout(reg) blocks => _,
                    sums = in(reg) sums.0[$first..].as_mut_ptr(),
                    options(nostack),
                );
            }
        };
    }
    pass!(0: 0, 1, 2, 3, 4, 5; products!(
        0: 0 0, 1 1, 2 2, 3 3, 4 4, 5 5;
        1: 0 1, 1 2, 2 3, 3 4, 4 5;
        2: 0 2, 1 3, 2 4, 3 5;
        3: 0 3, 1 4, 2 5;
        4: 0 4, 1 5;
        5: 0 5;
    ));
    pass!(6: 0, 1; products!(
        0: 6 0, 7 1;
        1: 5 0, 6 1;
        2: 4 0, 5 1;
        3: 3 0, 4 1;
        4: 2 0, 3 1;
        5: 1 0, 2 1;
        6: 0 0, 1 1;
        7: 0 1;
    ));
}
