//! Base oblivious transfers on ristretto255: the endemic protocol of Masny and Rindal (CCS 2019) from Diffie-Hellman.
//!
//! The receiver with choice b sends R_0, R_1 where R_{1-b} is a random element and R_b = t G - H(i, b, R_{1-b}); the
//! sender sends A = a G and derives key j from a (R_j + H(i, j, R_{1-j})), the receiver key b from t A. Both messages
//! cross, so it is one round. One A serves the batch, so indices and all messages go into every hash (McQuoid, Rosulek,
//! Roy, "Batching base oblivious transfers", Asiacrypt 2021). Every received element must be canonical and not the identity.
use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity;
use sha2::{Digest, Sha512};
use subtle::{Choice, ConditionallySelectable};

use super::aes::Block;
use super::Fault;
use crate::curve;

/// Bytes of one element.
pub const POINT: usize = 32;
/// Base transfers of a session: one a bit of the correlation.
pub const COUNT: usize = 128;

/// Names the use of a session's hashes: both parties must give the same one.
pub type Label = [u8; 32];

/// 64 uniform bytes each, from a seed.
fn draw(seed: &[u8; 32], count: usize) -> impl Iterator<Item = [u8; 64]> + '_ {
    (0..count as u64).map(move |index| {
        let hash = Sha512::new_with_prefix(b"lingqu base OT randomness").chain_update(seed);
        hash.chain_update(index.to_le_bytes()).finalize().into()
    })
}

fn to_group(label: &Label, index: usize, side: u8, other: &CompressedRistretto) -> RistrettoPoint {
    let mut hash = Sha512::new_with_prefix(b"lingqu base OT element");
    hash.update(label);
    hash.update((index as u64).to_le_bytes());
    hash.update([side]);
    hash.update(other.as_bytes());
    RistrettoPoint::from_uniform_bytes(&hash.finalize().into())
}

fn key(transcript: &[u8; 64], index: usize, side: u8, shared: &curve::Encoded) -> Block {
    let mut hash = Sha512::new_with_prefix(b"lingqu base OT key");
    hash.update(transcript);
    hash.update((index as u64).to_le_bytes());
    hash.update([side]);
    hash.update(shared);
    let digest: [u8; 64] = hash.finalize().into();
    Block::from_le_bytes(std::array::from_fn(|i| digest[i]))
}

/// What both saw: the sender's element and the receiver's elements.
fn transcript(label: &Label, sent: &[u8], points: &[u8]) -> [u8; 64] {
    let mut hash = Sha512::new_with_prefix(b"lingqu base OT transcript");
    hash.update(label);
    hash.update(sent);
    hash.update(points);
    hash.finalize().into()
}

/// An element of a peer: canonical, on the curve and not the identity.
pub fn element(bytes: &[u8]) -> Result<RistrettoPoint, Fault> {
    CompressedRistretto::from_slice(bytes)
        .ok()
        .and_then(|compressed| compressed.decompress())
        .filter(|point| !point.is_identity())
        .ok_or(Fault("an element is not a canonical ristretto255 element, or is the identity"))
}

/// The party that gets both keys of every transfer.
pub struct Sender {
    label: Label,
    secret: Scalar,
    message: [u8; POINT],
}

impl Sender {
    pub fn new(seed: &[u8; 32], label: &Label) -> Self {
        let secret = Scalar::from_bytes_mod_order_wide(&draw(seed, 1).next().unwrap_or([0; 64]));
        let message = RistrettoPoint::mul_base(&secret).compress().to_bytes();
        Sender { label: *label, secret, message }
    }

    pub fn message(&self) -> [u8; POINT] {
        self.message
    }

    /// Both keys of every transfer, and the digest of what was sent.
    pub fn keys(&self, points: &[u8]) -> Result<(Vec<[Block; 2]>, [u8; 64]), Fault> {
        if points.len() != 2 * POINT * COUNT {
            return Err(Fault("a base transfer message of another length"));
        }
        let digest = transcript(&self.label, &self.message, points);
        let mut joint = Vec::with_capacity(2 * COUNT);
        for (index, pair) in points.chunks_exact(2 * POINT).enumerate() {
            for side in 0..2 {
                let (own, other) = (&pair[POINT * side..][..POINT], &pair[POINT * (1 - side)..][..POINT]);
                let other =
                    CompressedRistretto::from_slice(other).map_err(|_| Fault("an element of another length"))?;
                let sum = element(own)? + to_group(&self.label, index, side as u8, &other);
                joint.push(sum.compress().to_bytes());
            }
        }
        let shared = curve::multiply(&joint, &self.secret).map_err(|_| Fault("an element cancels its hash"))?;
        let one = |place: usize| key(&digest, place / 2, (place % 2) as u8, &shared[place]);
        Ok(((0..COUNT).map(|index| [one(2 * index), one(2 * index + 1)]).collect(), digest))
    }
}

/// The party that gets one key of every transfer, by its choice bits.
pub struct Receiver {
    label: Label,
    choices: Block,
    secrets: Vec<Scalar>,
    message: Vec<u8>,
}

impl Receiver {
    /// choices: bit i chooses in transfer i.
    pub fn new(seed: &[u8; 32], label: &Label, choices: Block) -> Self {
        let mut secrets = Vec::with_capacity(COUNT);
        let mut message = Vec::with_capacity(2 * POINT * COUNT);
        let drawn: Vec<[u8; 64]> = draw(seed, 2 * COUNT).collect();
        for (index, pair) in drawn.chunks_exact(2).enumerate() {
            let secret = Scalar::from_bytes_mod_order_wide(&pair[0]);
            let free = RistrettoPoint::from_uniform_bytes(&pair[1]);
            let choice = (choices >> index) as u8 & 1;
            let bound = RistrettoPoint::mul_base(&secret) - to_group(label, index, choice, &free.compress());
            // The order of the two elements depends on the choice, so it is made by selection, not by a branch.
            let turn = Choice::from(choice);
            message.extend(RistrettoPoint::conditional_select(&bound, &free, turn).compress().to_bytes());
            message.extend(RistrettoPoint::conditional_select(&free, &bound, turn).compress().to_bytes());
            secrets.push(secret);
        }
        Receiver { label: *label, choices, secrets, message }
    }

    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// The chosen key of every transfer, and the digest of what was sent.
    pub fn keys(&self, sent: &[u8]) -> Result<(Vec<Block>, [u8; 64]), Fault> {
        let theirs = element(sent)?;
        let digest = transcript(&self.label, sent, &self.message);
        let keys = self.secrets.iter().enumerate().map(|(index, secret)| {
            let choice = (self.choices >> index) as u8 & 1;
            key(&digest, index, choice, (theirs * secret).compress().as_bytes())
        });
        Ok((keys.collect(), digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LABEL: Label = [7; 32];

    #[test]
    fn the_receiver_gets_the_chosen_keys_and_no_other() {
        let choices = 0xdead_beef_0123_4567_89ab_cdef_5555_0001;
        let (sender, receiver) = (Sender::new(&[1; 32], &LABEL), Receiver::new(&[2; 32], &LABEL, choices));
        let (pairs, one) = sender.keys(receiver.message()).unwrap();
        let (keys, other) = receiver.keys(&sender.message()).unwrap();
        assert_eq!(one, other);
        for (i, (pair, key)) in pairs.iter().zip(&keys).enumerate() {
            let choice = (choices >> i) as usize & 1;
            assert_eq!(pair[choice], *key);
            assert_ne!(pair[1 - choice], *key);
        }
    }

    #[test]
    fn another_label_gives_other_keys() {
        let (sender, receiver) = (Sender::new(&[1; 32], &LABEL), Receiver::new(&[2; 32], &[8; 32], 0));
        let (pairs, _) = sender.keys(receiver.message()).unwrap();
        let (keys, _) = receiver.keys(&sender.message()).unwrap();
        assert!(pairs.iter().zip(&keys).all(|(pair, key)| !pair.contains(key)));
    }

    #[test]
    fn altered_messages_are_refused_or_change_every_key() {
        let (sender, receiver) = (Sender::new(&[1; 32], &LABEL), Receiver::new(&[2; 32], &LABEL, 0));
        let (keys, _) = receiver.keys(&sender.message()).unwrap();
        let mut altered = receiver.message().to_vec();
        altered.swap(0, 64);
        if let Ok((pairs, _)) = sender.keys(&altered) {
            assert!(pairs.iter().zip(&keys).all(|(pair, key)| !pair.contains(key)));
        }
        assert!(sender.keys(&altered[1..]).is_err());
        assert!(receiver.keys(&[]).is_err());
        altered[..32].fill(0); // the identity
        assert!(sender.keys(&altered).is_err());
        altered[..32].fill(0xff); // not canonical
        assert!(sender.keys(&altered).is_err());
    }
}
