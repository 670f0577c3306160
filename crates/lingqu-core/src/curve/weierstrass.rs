//! P-256 and SM2's curve: elements hashed to the group and raised to one secret scalar; points are compressed, 33 bytes.
//!
//! Hashing is RFC 9380's simplified SWU map of two field elements (sections 5.2, 6.6.2 and appendix F.2, read as
//! formulas), with SHA-256 on P-256, which is its suite P256_XMD:SHA-256_SSWU_RO_, and with SM3 on SM2's curve, which is
//! the same construction with Z = -9 by the RFC's procedure (appendix H.2) and is no registered suite. Groups and fields
//! are those of RustCrypto's p256 and sm2. Nothing branches on elements or scalars but whether a peer's point is one.
use p256::elliptic_curve::generic_array::GenericArray;
use p256::elliptic_curve::group::Group as _;
use p256::elliptic_curve::point::{AffineCoordinates, DecompressPoint};
use p256::elliptic_curve::{Field as _, FieldBytes, PrimeField, Scalar};
use p256::NistP256;
use primeorder::{AffinePoint, PrimeCurveParams, ProjectivePoint};
use sha2::digest::core_api::BlockSizeUser;
use sha2::digest::Digest;
use sm2::Sm2;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// Bytes of a compressed point.
pub const POINT: usize = 33;

/// A curve y^2 = x^3 - 3 x + b of prime order, and how its elements are hashed.
pub trait Group: PrimeCurveParams {
    type Hash: Digest + BlockSizeUser + Clone;
    /// -Z of the map.
    const MINUS_Z: u64;
}

impl Group for NistP256 {
    type Hash = sha2::Sha256;
    const MINUS_Z: u64 = 10;
}

impl Group for Sm2 {
    type Hash = sm3::Sm3;
    const MINUS_Z: u64 = 9;
}

type Field<G> = <G as PrimeCurveParams>::FieldElement;

/// expand_message_xmd (RFC 9380, section 5.3.1), 96 bytes. tag: 1 to 255 bytes.
fn expand<H: Digest + BlockSizeUser>(tag: &[u8], element: &[u8]) -> [u8; 96] {
    let size = [tag.len() as u8];
    let mut first = H::new();
    first.update(vec![0; H::block_size()]);
    first.update(element);
    first.update([0, 96, 0]);
    first.update(tag);
    first.update(size);
    let first = first.finalize();
    let mut out = [0u8; 96];
    let mut last = vec![0u8; first.len()];
    for (number, part) in (1u8..).zip(out.chunks_exact_mut(32)) {
        let mixed: Vec<u8> = first.iter().zip(&last).map(|(a, b)| a ^ b).collect();
        last = H::new()
            .chain_update(mixed)
            .chain_update([number])
            .chain_update(tag)
            .chain_update(size)
            .finalize()
            .to_vec();
        part.copy_from_slice(&last[..32]);
    }
    out
}

/// 48 bytes as a number, reduced: two halves, each below any modulus of 256 bits.
fn reduced<F: PrimeField>(bytes: &[u8]) -> F {
    let half = |part: &[u8]| {
        let mut repr = F::Repr::default();
        repr.as_mut()[8..].copy_from_slice(part);
        F::from_repr(repr).unwrap_or(F::ZERO)
    };
    let shift = (0..192).fold(F::ONE, |power, _| power.double());
    half(&bytes[..24]) * shift + half(&bytes[24..48])
}

/// The map of field elements to a curve, with what it needs of Z and the curve.
struct Map<G: Group> {
    z: Field<G>,
    usual: Field<G>,
    other: Field<G>,
}

impl<G: Group> Map<G>
where
    FieldBytes<G>: Copy,
{
    fn new() -> Self {
        let (a, b) = (G::EQUATION_A, G::EQUATION_B);
        let z = -Field::<G>::from(G::MINUS_Z);
        let inverse = |x: Field<G>| x.invert().unwrap_or(Field::<G>::from(0));
        Map { z, usual: -b * inverse(a), other: b * inverse(z * a) }
    }

    fn point(&self, u: Field<G>) -> ProjectivePoint<G> {
        let (zero, one) = (Field::<G>::from(0), Field::<G>::from(1));
        let curve = |x: Field<G>| (x.square() + G::EQUATION_A) * x + G::EQUATION_B;
        let zuu = self.z * u.square();
        let sum = zuu.square() + zuu;
        let usual = self.usual * (one + sum.invert().unwrap_or(zero));
        let x1 = Field::<G>::conditional_select(&usual, &self.other, sum.is_zero());
        let x2 = zuu * x1;
        let (root1, root2) = (curve(x1).sqrt(), curve(x2).sqrt());
        let first: Choice = root1.is_some();
        let x = Field::<G>::conditional_select(&x2, &x1, first);
        let y = Field::<G>::conditional_select(&root2.unwrap_or(zero), &root1.unwrap_or(zero), first);
        let odd = Choice::conditional_select(&!y.is_odd(), &y.is_odd(), u.is_odd().ct_eq(&y.is_odd()));
        AffinePoint::<G>::decompress(&x.to_repr(), odd)
            .map(ProjectivePoint::from)
            .unwrap_or(ProjectivePoint::identity())
    }

    fn hash(&self, tag: &[u8], element: &[u8]) -> ProjectivePoint<G> {
        let uniform = expand::<G::Hash>(tag, element);
        self.point(reduced(&uniform[..48])) + self.point(reduced(&uniform[48..]))
    }
}

fn encode<G: Group>(point: &ProjectivePoint<G>, out: &mut Vec<u8>) {
    let affine = point.to_affine();
    out.push(2 + affine.y_is_odd().unwrap_u8());
    out.extend_from_slice(&affine.x());
}

/// One secret scalar.
pub struct Key<G: Group>(Scalar<G>);

impl<G: Group> Key<G>
where
    FieldBytes<G>: Copy,
{
    /// From 64 uniform bytes, of which 48 are used; None when it is zero.
    pub fn new(uniform: &[u8; 64]) -> Option<Self> {
        let scalar: Scalar<G> = reduced(&uniform[..48]);
        (!bool::from(scalar.is_zero())).then_some(Key(scalar))
    }

    /// The element's point times the scalar, for every element of `data`, which ends at its offset.
    ///
    /// None when offsets do not rise from 0 to the length of the data, or the tag has no or more than 255 bytes.
    pub fn map(&self, tag: &[u8], data: &[u8], offsets: &[i64]) -> Option<Vec<u8>> {
        if !(1..=255).contains(&tag.len()) {
            return None;
        }
        let map = Map::<G>::new();
        let mut start = usize::try_from(*offsets.first()?).ok()?;
        let mut out = Vec::with_capacity(POINT * (offsets.len() - 1));
        for end in &offsets[1..] {
            let end = usize::try_from(*end).ok()?;
            encode(&(map.hash(tag, data.get(start..end)?) * self.0), &mut out);
            start = end;
        }
        Some(out)
    }

    /// Every point times the scalar; the index of the first that is no compressed point of the curve.
    pub fn multiply(&self, points: &[[u8; POINT]]) -> Result<Vec<u8>, usize> {
        let mut out = Vec::with_capacity(POINT * points.len());
        for (index, bytes) in points.iter().enumerate() {
            let odd = match bytes[0] {
                2 => Choice::from(0),
                3 => Choice::from(1),
                _ => return Err(index),
            };
            let x: FieldBytes<G> = GenericArray::clone_from_slice(&bytes[1..]);
            let point: Option<AffinePoint<G>> = AffinePoint::<G>::decompress(&x, odd).into();
            encode(&(ProjectivePoint::from(point.ok_or(index)?) * self.0), &mut out);
        }
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiples_of_a_generator_are_points_and_commute() {
        fn check<G: Group>()
        where
            FieldBytes<G>: Copy,
        {
            let (a, b) = (Key::<G>::new(&[7; 64]).unwrap(), Key::<G>::new(&[9; 64]).unwrap());
            let mapped = a.map(b"tag", b"abcabd", &[0, 3, 6]).unwrap();
            let other = b.map(b"tag", b"abcabd", &[0, 3, 6]).unwrap();
            let points = |bytes: &[u8]| bytes.chunks_exact(POINT).map(|x| x.try_into().unwrap()).collect::<Vec<_>>();
            assert_eq!(b.multiply(&points(&mapped)).unwrap(), a.multiply(&points(&other)).unwrap());
            assert_ne!(mapped[..POINT], mapped[POINT..]);
            let mut bad = points(&mapped);
            bad[1][0] = 4;
            assert_eq!(a.multiply(&bad), Err(1));
            bad[1] = [0; POINT];
            assert_eq!(a.multiply(&bad), Err(1));
            bad[1] = [0xff; POINT];
            bad[1][0] = 2; // no field element
            assert_eq!(a.multiply(&bad), Err(1));
            assert!(a.map(b"", b"", &[0]).is_none());
            assert!(Key::<G>::new(&[0; 64]).is_none());
        }
        check::<NistP256>();
        check::<Sm2>();
    }
}
