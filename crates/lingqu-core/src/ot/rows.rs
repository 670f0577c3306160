//! What one silent extension leaves behind: a short secret and trees, from which any rows are computed when needed.
//!
//! Rows are a function of this state, so holding ten million correlations takes three megabytes, and the memory that a
//! use of them takes is the caller's to choose.
use super::aes::Block;
use super::lpn::{self, Parameters};
use super::{ggm, Fault};
use crate::prg::Prg;

/// The trees of one party.
pub enum Trees {
    /// The holder of delta knows every tree whole: `seeds` are their first nodes.
    Full { delta: Block, seeds: Vec<Block> },
    /// The other party lacks one leaf of each: its path's bits are the lowest bits of the sums beside it.
    Punctured { holes: Vec<u32>, siblings: Vec<Block> },
}

/// Correlations of one extension: q = ... of the holder of delta, or t = q + b delta with b its lowest bit.
pub struct Rows {
    pub parameters: Parameters,
    pub code: Block,
    pub secret: Vec<Block>,
    pub trees: Trees,
}

/// First nodes of trees from one key.
pub fn seeds(key: &[u8; 16], trees: usize) -> Vec<Block> {
    let mut words = vec![0u64; 2 * trees];
    Prg::new(key).fill(&mut words);
    words.chunks_exact(2).map(|pair| Block::from(pair[0]) | Block::from(pair[1]) << 64).collect()
}

impl Rows {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        let trees = match &self.trees {
            Trees::Full { seeds, .. } => seeds.len(),
            Trees::Punctured { holes, .. } => holes.len(),
        };
        self.parameters.makes(trees)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The leaves of one tree as correlations of one place: lowest bits 0, or 1 where the hole is.
    fn tree(&self, index: usize, leaves: &mut [Block]) {
        let height = self.parameters.height;
        match &self.trees {
            Trees::Full { delta, seeds } => {
                ggm::full(*delta, seeds[index], leaves, &mut vec![0; height]);
                leaves.iter_mut().for_each(|leaf| *leaf &= !1);
            }
            Trees::Punctured { holes, siblings } => {
                let hole = holes[index] as usize;
                let sum = ggm::punctured(hole, &siblings[index * height..][..height], leaves);
                // All leaves of the full tree sum to delta, so this is the missing leaf plus delta; the lowest bits
                // of an even number of leaves and of delta leave the hole's to be set.
                leaves.iter_mut().for_each(|leaf| *leaf &= !1);
                ggm::add_at(leaves, hole, sum & !1 | 1);
            }
        }
    }

    /// Rows first .. first + count, piece by piece; the caller has checked that they exist.
    pub fn each(&self, first: usize, count: usize, mut use_them: impl FnMut(&[Block])) {
        let size = 1 << self.parameters.height;
        let mut leaves = vec![0; size];
        let mut at = first;
        while at < first + count {
            let (tree, inside) = (at / size, at % size);
            let end = (first + count - tree * size).min(size);
            self.tree(tree, &mut leaves);
            let wide = inside / lpn::GROUP * lpn::GROUP..end.next_multiple_of(lpn::GROUP);
            lpn::add(self.code, (tree * size + wide.start) as u64, &self.secret, &mut leaves[wide]);
            use_them(&leaves[inside..end]);
            at = tree * size + end;
        }
    }

    /// Rows first .. first + count.
    pub fn take(&self, first: usize, count: usize) -> Vec<Block> {
        let mut out = Vec::with_capacity(count);
        self.each(first, count, |rows| out.extend_from_slice(rows));
        out
    }

    /// Rows first .. first + count, two words each, the low one first.
    pub fn words(&self, first: usize, count: usize) -> Vec<u64> {
        let mut out = Vec::with_capacity(2 * count);
        self.each(first, count, |rows| super::append(rows, &mut out));
        out
    }

    /// The state as bytes; secret, and to be stored encrypted only.
    pub fn state(&self) -> Vec<u8> {
        let mut blocks = vec![self.code];
        let (kind, count) = match &self.trees {
            Trees::Full { delta, seeds } => {
                blocks.push(*delta);
                blocks.extend(seeds);
                (0u64, seeds.len())
            }
            Trees::Punctured { holes, siblings } => {
                blocks.extend(holes.iter().map(|hole| Block::from(*hole)));
                blocks.extend(siblings);
                (1, holes.len())
            }
        };
        blocks.extend(&self.secret);
        let sizes = [kind, count as u64, self.parameters.height as u64, self.parameters.secret as u64];
        let head = sizes.iter().flat_map(|size| size.to_le_bytes());
        head.chain(blocks.iter().flat_map(|block| block.to_le_bytes())).collect()
    }

    /// The inverse of `state`, for these parameters.
    pub fn restore(parameters: Parameters, state: &[u8]) -> Result<Self, Fault> {
        const BROKEN: Fault = Fault("a stored state of another version or length");
        let (head, rest) = state.split_at_checked(32).ok_or(BROKEN)?;
        let mut sizes = head.chunks_exact(8).map(|x| u64::from_le_bytes(x.try_into().unwrap_or([0; 8])));
        let (kind, count) = (sizes.next().ok_or(BROKEN)?, sizes.next().ok_or(BROKEN)? as usize);
        if sizes.next() != Some(parameters.height as u64) || sizes.next() != Some(parameters.secret as u64) {
            return Err(BROKEN);
        }
        let own = if kind == 0 { count.checked_add(1) } else { count.checked_mul(1 + parameters.height) };
        let blocks = own.and_then(|own| own.checked_add(1 + parameters.secret)).ok_or(BROKEN)?;
        if kind > 1 || count > parameters.trees || blocks.checked_mul(16) != Some(rest.len()) {
            return Err(BROKEN);
        }
        let mut blocks = rest.chunks_exact(16).map(|x| Block::from_le_bytes(x.try_into().unwrap_or([0; 16])));
        let code = blocks.next().ok_or(BROKEN)?;
        let trees = if kind == 0 {
            let delta = blocks.next().ok_or(BROKEN)?;
            Trees::Full { delta, seeds: blocks.by_ref().take(count).collect() }
        } else {
            let holes: Vec<u32> = blocks.by_ref().take(count).map(|block| block as u32).collect();
            if holes.iter().any(|hole| *hole as usize >> parameters.height != 0) {
                return Err(BROKEN);
            }
            Trees::Punctured { holes, siblings: blocks.by_ref().take(count * parameters.height).collect() }
        };
        Ok(Rows { parameters, code, secret: blocks.collect(), trees })
    }
}
