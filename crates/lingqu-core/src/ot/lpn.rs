//! The local linear code of the LPN assumption: every output is the sum of ten random entries of a short vector.
//!
//! Source: Yang, Weng, Lan, Zhang, Wang, "Ferret" (CCS 2020), section 5; ten as in its implementation. The code is public.
use super::aes::{fixed, Block};

/// Entries summed for one output.
pub const WEIGHT: usize = 10;
/// Outputs whose places are drawn together.
pub const GROUP: usize = 32;
const DRAWN: usize = GROUP * WEIGHT / 4;

/// Regular LPN: noise of one in each of `trees` blocks of 2^height outputs, a secret of `secret` entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    pub trees: usize,
    pub height: usize,
    pub secret: usize,
}

impl Parameters {
    /// Correlations an iteration with this many trees takes.
    pub const fn needs(&self, trees: usize) -> usize {
        self.secret + trees * self.height
    }

    /// Correlations an iteration with this many trees makes.
    pub const fn makes(&self, trees: usize) -> usize {
        trees << self.height
    }
}

/// The places that `GROUP` outputs from number `group * GROUP` on sum, each below `secret`.
pub fn places(code: Block, group: u64, secret: usize, out: &mut [u32; GROUP * WEIGHT]) {
    let mut drawn: [Block; DRAWN] =
        std::array::from_fn(|i| code ^ Block::from(group.wrapping_mul(DRAWN as u64).wrapping_add(i as u64)));
    fixed().robust_hash(&mut drawn);
    for (four, block) in out.chunks_exact_mut(4).zip(&drawn) {
        for (i, place) in four.iter_mut().enumerate() {
            let word = (block >> (32 * i)) as u32;
            *place = ((u64::from(word) * secret as u64) >> 32) as u32;
        }
    }
}

/// Add the code's outputs from number `first` on to `rows`; first and the number of rows are multiples of `GROUP`.
pub fn add(code: Block, first: u64, secret: &[Block], rows: &mut [Block]) {
    let mut at = [0u32; GROUP * WEIGHT];
    for (group, rows) in rows.chunks_exact_mut(GROUP).enumerate() {
        places(code, first / GROUP as u64 + group as u64, secret.len(), &mut at);
        for (row, at) in rows.iter_mut().zip(at.chunks_exact(WEIGHT)) {
            *row ^= at.iter().fold(0, |sum, place| sum ^ secret[*place as usize]);
        }
    }
}

/// `add` of two secrets to two vectors, each place computed once.
pub fn add_pair(code: Block, first: u64, secrets: (&[Block], &[Block]), rows: (&mut [Block], &mut [Block])) {
    let mut at = [0u32; GROUP * WEIGHT];
    let groups = rows.0.chunks_exact_mut(GROUP).zip(rows.1.chunks_exact_mut(GROUP));
    for (group, (one, two)) in groups.enumerate() {
        places(code, first / GROUP as u64 + group as u64, secrets.0.len(), &mut at);
        for ((one, two), at) in one.iter_mut().zip(two.iter_mut()).zip(at.chunks_exact(WEIGHT)) {
            for place in at {
                *one ^= secrets.0[*place as usize];
                *two ^= secrets.1[*place as usize];
            }
        }
    }
}
