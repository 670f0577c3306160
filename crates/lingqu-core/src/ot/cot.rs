//! Silent correlated transfers: Ferret (Yang, Weng, Lan, Zhang, Wang, CCS 2020) over correlated GGM trees.
//!
//! The sender holds delta and rows q, the receiver rows t = q + b delta, b being the lowest bit of t (delta's is 1, q's 0).
//! Messages: both parties' `base_message` cross; the receiver's `setup` answers; the sender's `setup` gives the first
//! correction, and every `extend` one more. The places of the noise are the receiver's own choice bits, so it sends nothing.
use std::sync::Arc;

use sha2::{Digest, Sha512};

use super::aes::Block;
use super::base::{self, Label};
use super::lpn::Parameters;
use super::rows::{seeds, Rows, Trees};
use super::{blocks, bytes, softspoken, Fault};

/// Field bits of the extension that makes the first correlations.
pub const FIELD: usize = 4;
/// The first, small iteration (parameters `ferret_b11` of emp-ot, its `pre` part).
pub const FIRST: Parameters = Parameters { trees: 699, height: 8, secret: 17384 };
/// Every later iteration (parameters `ferret_b11` of emp-ot).
pub const MAIN: Parameters = Parameters { trees: 4971, height: 11, secret: 124_000 };
/// Rows at the front of every extension that only the next one uses.
pub const RESERVE: usize = MAIN.needs(MAIN.trees);

/// Bytes of the receiver's answer to the base messages.
pub const SETUP: usize = softspoken::setup_bytes(FIELD) + softspoken::extend_bytes(FIELD, FIRST.needs(FIRST.trees));

const fn message_bytes(parameters: &Parameters, trees: usize) -> usize {
    16 * trees * parameters.height
}

/// Bytes of the sender's first correction.
pub const FIRST_MESSAGE: usize = message_bytes(&FIRST, FIRST.trees);

/// Bytes of the sender's message for an extension by this many trees.
pub const fn extend_bytes(trees: usize) -> usize {
    message_bytes(&MAIN, trees)
}

/// Bits that a name and a seed give.
fn derive(name: &[u8], seed: &[u8], index: u64) -> [u8; 16] {
    let hash = Sha512::new_with_prefix(name).chain_update(seed).chain_update(index.to_le_bytes());
    let digest: [u8; 64] = hash.finalize().into();
    std::array::from_fn(|i| digest[i])
}

/// What both parties know: it names the public code of each iteration.
#[derive(Clone)]
pub struct Codes {
    pub digest: [u8; 64],
    pub used: u64,
}

impl Codes {
    pub fn name(&mut self) -> Block {
        self.used += 1;
        Block::from_le_bytes(derive(b"lingqu LPN code", &self.digest, self.used))
    }
}

/// One iteration at the sender: its message and its rows. taken: `needs(trees)` correlations.
pub fn iterate_sender(
    parameters: Parameters,
    code: Block,
    delta: Block,
    mut taken: Vec<Block>,
    key: &[u8; 16],
) -> (Vec<u8>, Rows) {
    let height = parameters.height;
    let mut masks = taken.split_off(parameters.secret);
    let seeds = seeds(key, masks.len() / height);
    let mut leaves = vec![0; 1 << height];
    let mut sums = vec![0; height];
    for (seed, masks) in seeds.iter().zip(masks.chunks_exact_mut(height)) {
        super::ggm::full(delta, *seed, &mut leaves, &mut sums);
        masks.iter_mut().zip(&sums).for_each(|(mask, sum)| *mask ^= sum);
    }
    (bytes(&masks), Rows { parameters, code, secret: taken, trees: Trees::Full { delta, seeds } })
}

/// One iteration at the receiver. The path to the hole takes at every level the side that the choice bit does not name.
pub fn iterate_receiver(
    parameters: Parameters,
    code: Block,
    mut taken: Vec<Block>,
    message: &[u8],
) -> Result<Rows, Fault> {
    let height = parameters.height;
    let mut siblings = taken.split_off(parameters.secret);
    if message.len() != 16 * siblings.len() {
        return Err(Fault("a silent extension's message of another length"));
    }
    let path = |masks: &[Block]| {
        masks.iter().enumerate().fold(0, |hole, (level, mask)| hole | ((1 ^ (*mask as u32 & 1)) << level))
    };
    let holes = siblings.chunks_exact(height).map(path).collect();
    siblings.iter_mut().zip(blocks(message)).for_each(|(sibling, sum)| *sibling ^= sum);
    Ok(Rows { parameters, code, secret: taken, trees: Trees::Punctured { holes, siblings } })
}

/// The party that holds delta.
pub struct Sender {
    pub delta: Block,
    base: base::Receiver,
    codes: Option<Codes>,
    latest: Option<Arc<Rows>>,
}

impl Sender {
    /// seed: fresh randomness. label: what both parties call this session.
    pub fn new(seed: &[u8; 32], label: &Label) -> Self {
        let delta = Block::from_le_bytes(derive(b"lingqu COT delta", seed, 0)) | 1;
        Sender { delta, base: base::Receiver::new(seed, label, !delta), codes: None, latest: None }
    }

    pub fn base_message(&self) -> &[u8] {
        self.base.message()
    }

    /// Take the receiver's base message and its answer to ours; the first correction is returned.
    pub fn setup(&mut self, sent: &[u8], answer: &[u8], key: &[u8; 16]) -> Result<Vec<u8>, Fault> {
        if answer.len() != SETUP {
            return Err(Fault("an answer of another length"));
        }
        let (keys, digest) = self.base.keys(sent)?;
        let (correction, extension) = answer.split_at(softspoken::setup_bytes(FIELD));
        let mut soft = softspoken::Sender::new(FIELD, self.delta, &keys, correction)?;
        let taken = soft.extend(FIRST.needs(FIRST.trees), extension)?;
        let mut codes = Codes { digest, used: 0 };
        let (message, rows) = iterate_sender(FIRST, codes.name(), self.delta, taken, key);
        self.codes = Some(codes);
        self.latest = Some(Arc::new(rows));
        Ok(message)
    }

    /// The message of one more extension, and its rows. trees: 1 to MAIN.trees; key: fresh randomness.
    pub fn extend(&mut self, trees: usize, key: &[u8; 16]) -> Result<(Vec<u8>, Arc<Rows>), Fault> {
        let (codes, taken) = prepared(&mut self.codes, &self.latest, trees)?;
        let (message, rows) = iterate_sender(MAIN, codes.name(), self.delta, taken, key);
        let rows = Arc::new(rows);
        self.latest = Some(rows.clone());
        Ok((message, rows))
    }
}

/// The correlations that an extension takes from the one before it.
fn prepared<'a>(
    codes: &'a mut Option<Codes>,
    latest: &Option<Arc<Rows>>,
    trees: usize,
) -> Result<(&'a mut Codes, Vec<Block>), Fault> {
    let (Some(codes), Some(latest)) = (codes.as_mut(), latest) else {
        return Err(Fault("the session has not been set up"));
    };
    if trees == 0 || trees > MAIN.trees || MAIN.needs(trees) > latest.len() {
        return Err(Fault("an extension of another size than the session can make"));
    }
    Ok((codes, latest.take(0, MAIN.needs(trees))))
}

/// The party that holds choice bits.
pub struct Receiver {
    base: base::Sender,
    codes: Option<Codes>,
    taken: Vec<Block>,
    latest: Option<Arc<Rows>>,
}

impl Receiver {
    /// seed: fresh randomness. label: what both parties call this session.
    pub fn new(seed: &[u8; 32], label: &Label) -> Self {
        Receiver { base: base::Sender::new(seed, label), codes: None, taken: Vec::new(), latest: None }
    }

    pub fn base_message(&self) -> [u8; base::POINT] {
        self.base.message()
    }

    /// Take the sender's base message; the answer is returned.
    pub fn setup(&mut self, points: &[u8]) -> Result<Vec<u8>, Fault> {
        let (pairs, digest) = self.base.keys(points)?;
        let (mut soft, mut answer) = softspoken::Receiver::new(FIELD, &pairs);
        let (taken, extension) = soft.extend(FIRST.needs(FIRST.trees));
        answer.extend(extension);
        self.taken = taken;
        self.codes = Some(Codes { digest, used: 0 });
        Ok(answer)
    }

    /// Take the sender's first correction.
    pub fn begin(&mut self, message: &[u8]) -> Result<(), Fault> {
        let (Some(codes), FIRST_MESSAGE, false) = (self.codes.as_mut(), message.len(), self.taken.is_empty()) else {
            return Err(Fault("a first correction of another length, or out of turn"));
        };
        let taken = std::mem::take(&mut self.taken);
        self.latest = Some(Arc::new(iterate_receiver(FIRST, codes.name(), taken, message)?));
        Ok(())
    }

    /// Take the sender's message of one more extension by this many trees.
    pub fn extend(&mut self, trees: usize, message: &[u8]) -> Result<Arc<Rows>, Fault> {
        if message.len() != extend_bytes(trees) {
            return Err(Fault("a silent extension's message of another length"));
        }
        let (codes, taken) = prepared(&mut self.codes, &self.latest, trees)?;
        let rows = Arc::new(iterate_receiver(MAIN, codes.name(), taken, message)?);
        self.latest = Some(rows.clone());
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn pair() -> (Sender, Receiver) {
        let label = [3; 32];
        let (mut sender, mut receiver) = (Sender::new(&[1; 32], &label), Receiver::new(&[2; 32], &label));
        let answer = receiver.setup(sender.base_message()).unwrap();
        let first = sender.setup(&receiver.base_message(), &answer, &[4; 16]).unwrap();
        receiver.begin(&first).unwrap();
        (sender, receiver)
    }

    fn check(delta: Block, q: &[Block], t: &[Block]) {
        assert_eq!(q.len(), t.len());
        for (q, t) in q.iter().zip(t) {
            assert_eq!(q & 1, 0);
            assert_eq!(q ^ if t & 1 == 1 { delta } else { 0 }, *t);
        }
    }

    #[test]
    fn rows_correlate_over_several_extensions() {
        let (mut sender, mut receiver) = pair();
        assert_eq!(sender.delta & 1, 1);
        for trees in [100, 3] {
            let (message, mine) = sender.extend(trees, &[trees as u8; 16]).unwrap();
            let theirs = receiver.extend(trees, &message).unwrap();
            let (q, t) = (mine.take(0, mine.len()), theirs.take(0, mine.len()));
            check(sender.delta, &q, &t);
            let ones = t.iter().filter(|t| *t & 1 == 1).count();
            assert!(ones.abs_diff(t.len() / 2) < 4 * t.len().isqrt(), "{ones} of {}", t.len());
            assert_eq!(mine.take(2047, 2), q[2047..2049]);
            assert_eq!(theirs.take(77, 5000), t[77..5077]);
            let again = Rows::restore(MAIN, &theirs.state()).unwrap();
            assert_eq!(again.words(5, 3), crate::ot::tests::words(&t[5..8]));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (mut sender, mut receiver) = pair();
        assert!(sender.extend(0, &[0; 16]).is_err());
        assert!(sender.extend(MAIN.trees + 1, &[0; 16]).is_err());
        let (message, rows) = sender.extend(2, &[0; 16]).unwrap();
        assert!(receiver.extend(2, &message[1..]).is_err());
        assert!(receiver.begin(&[0; FIRST_MESSAGE]).is_err());
        let state = rows.state();
        for broken in [&state[..state.len() - 1], &state[..20], &[&[2], &state[1..]].concat()[..]] {
            assert!(Rows::restore(MAIN, broken).is_err());
        }
        let mut fresh = Receiver::new(&[2; 32], &[3; 32]);
        assert!(fresh.extend(1, &[0; extend_bytes(1)]).is_err());
        assert!(fresh.setup(&[0; 64]).is_err());
    }
}
