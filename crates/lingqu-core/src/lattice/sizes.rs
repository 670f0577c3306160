//! How matrices are cut into blocks, one block a polynomial, and how many bytes their ciphertexts take.
use super::matrix::{FULL_BYTES, KEPT_BYTES, N};

/// Ciphertexts of one row of blocks, so that sums of products do not overflow.
pub const MOST_DEEP: usize = 2048;
/// Columns of blocks that are answered together.
pub const TOGETHER: usize = 48;

/// rows x inner times inner x columns, in blocks of run x deep and deep x wide; run * deep * wide = N.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub rows: usize,
    pub inner: usize,
    pub columns: usize,
    pub run: usize,
    pub deep: usize,
    pub wide: usize,
}

impl Sizes {
    /// Whether these sizes can be worked on.
    pub fn valid(&self) -> bool {
        let powers = [self.run, self.deep, self.wide].iter().all(|x| x.is_power_of_two() && *x <= N);
        powers
            && self.run >= 8
            && self.run * self.deep * self.wide == N
            && (1..=self.run).contains(&self.rows)
            && self.inner >= 1
            && self.columns >= 1
            && self.ciphertexts() <= MOST_DEEP
    }

    pub fn ciphertexts(&self) -> usize {
        self.inner.div_ceil(self.deep)
    }

    pub fn answers(&self) -> usize {
        self.columns.div_ceil(self.wide)
    }

    /// The columns of blocks of one group: first and one past the last.
    pub fn group(&self, group: usize) -> (usize, usize) {
        (group * TOGETHER, ((group + 1) * TOGETHER).min(self.answers()))
    }

    pub fn groups(&self) -> usize {
        self.answers().div_ceil(TOGETHER)
    }

    pub fn request_bytes(&self) -> usize {
        16 + self.ciphertexts() * FULL_BYTES
    }

    /// The columns of the matrix in one group: first and one past the last.
    pub fn columns_of(&self, group: usize) -> (usize, usize) {
        let (first, end) = self.group(group);
        (first * self.wide, (end * self.wide).min(self.columns))
    }

    pub fn answer_bytes(&self, group: usize) -> usize {
        let ((first, end), (from, to)) = (self.group(group), self.columns_of(group));
        16 + (end - first) * N * KEPT_BYTES + 2 * self.rows * (to - from)
    }

    pub fn exponent(&self, row: usize, column: usize) -> usize {
        row + self.run * (column % self.wide * self.deep + self.deep - 1)
    }
}
