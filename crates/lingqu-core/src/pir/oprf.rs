//! The client's side of RFC 9497's OPRF on ristretto255 with SHA-512, mode 0; the server's is `curve::map_and_multiply` and `curve::multiply`.
use crate::curve::{self, Encoded};
use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity;
use sha2::{Digest, Sha512};

/// The domain of hashing to the group: "HashToGroup-" and the context string of mode 0.
pub const TAG: &[u8] = b"HashToGroup-OPRFV1-\x00-ristretto255-SHA512";

/// Every element under a blinding scalar of its own.
pub struct Blinding {
    scalars: Vec<Scalar>,
    message: Vec<u8>,
}

impl Blinding {
    /// randomness: 64 bytes an element.  None when sizes do not fit, or a scalar is zero.
    pub fn new(data: &[u8], offsets: &[i64], randomness: &[u8]) -> Option<Self> {
        let uniform = curve::expand(TAG, data, offsets)?;
        let (seeds, rest) = randomness.as_chunks::<64>();
        if seeds.len() != uniform.len() || !rest.is_empty() {
            return None;
        }
        let scalars: Vec<Scalar> = seeds.iter().map(curve::scalar).collect::<Option<_>>()?;
        let pairs = uniform.iter().zip(&scalars);
        let blinded = pairs.map(|(bytes, scalar)| (RistrettoPoint::from_uniform_bytes(bytes) * scalar).compress().0);
        let message = blinded.collect::<Vec<Encoded>>().concat();
        Some(Blinding { scalars, message })
    }

    pub fn message(&self) -> &[u8] {
        &self.message
    }

    /// The evaluated elements without their blinds; the index of the first that is no point, or is the identity.
    pub fn unblind(&self, evaluated: &[u8]) -> Result<Vec<u8>, usize> {
        let (points, rest) = evaluated.as_chunks::<32>();
        if points.len() != self.scalars.len() || !rest.is_empty() {
            return Err(points.len().min(self.scalars.len()));
        }
        let mut inverses = self.scalars.clone();
        Scalar::batch_invert(&mut inverses);
        let mut out = Vec::with_capacity(evaluated.len());
        for (i, (bytes, inverse)) in points.iter().zip(&inverses).enumerate() {
            let point = CompressedRistretto(*bytes).decompress().filter(|point| !point.is_identity()).ok_or(i)?;
            out.extend((point * inverse).compress().0);
        }
        Ok(out)
    }
}

/// RFC 9497, section 3.3.1, Finalize: 64 bytes of every element and its point under the server's key.
pub fn finalize(data: &[u8], offsets: &[i64], points: &[u8]) -> Option<Vec<u8>> {
    let mut start = usize::try_from(*offsets.first()?).ok()?;
    let (points, rest) = points.as_chunks::<32>();
    if points.len() != offsets.len() - 1 || !rest.is_empty() {
        return None;
    }
    let mut out = Vec::with_capacity(64 * points.len());
    for (end, point) in offsets[1..].iter().zip(points) {
        let end = usize::try_from(*end).ok()?;
        let element = data.get(start..end)?;
        let length = u16::try_from(element.len()).ok()?.to_be_bytes();
        let hash = Sha512::new_with_prefix(length).chain_update(element).chain_update([0, 32]).chain_update(point);
        out.extend(hash.chain_update(b"Finalize").finalize());
        start = end;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blinds_cancel_and_bad_points_are_named() {
        let (data, offsets) = (b"onetwo", [0i64, 3, 6]);
        let key = curve::scalar(&[7; 64]).unwrap();
        let randomness: Vec<u8> = (0..128).map(|i| i as u8 + 1).collect();
        let blinding = Blinding::new(data, &offsets, &randomness).unwrap();
        let points: Vec<Encoded> = blinding.message().as_chunks::<32>().0.to_vec();
        let evaluated = curve::multiply(&points, &key).unwrap().concat();
        let expected = curve::map_and_multiply(&curve::expand(TAG, data, &offsets).unwrap(), &key).concat();
        assert_eq!(blinding.unblind(&evaluated).unwrap(), expected);
        let mut altered = evaluated.clone();
        altered[32..].fill(0);
        assert_eq!(blinding.unblind(&altered), Err(1));
        altered[..32].fill(0xff);
        assert_eq!(blinding.unblind(&altered), Err(0));
        assert_eq!(blinding.unblind(&evaluated[..32]), Err(1));
        assert!(Blinding::new(data, &offsets, &randomness[1..]).is_none());
        assert!(Blinding::new(data, &offsets, &[0; 128]).is_none());
        assert!(finalize(data, &offsets, &expected[..32]).is_none());
    }
}
