//! P-256 and SM2's curve: elements hashed to the group and raised to one secret scalar, or blinded by a multiple of the
//! generator each; points are compressed, 33 bytes.
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
/// Random bytes that make a blind: reduced they are uniform but for a distance of 2^-128.
pub const BLIND: usize = 48;

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

fn decode<G: Group>(bytes: &[u8; POINT]) -> Option<ProjectivePoint<G>>
where
    FieldBytes<G>: Copy,
{
    let odd = match bytes[0] {
        2 => Choice::from(0),
        3 => Choice::from(1),
        _ => return None,
    };
    let x: FieldBytes<G> = GenericArray::clone_from_slice(&bytes[1..]);
    let point: Option<AffinePoint<G>> = AffinePoint::<G>::decompress(&x, odd).into();
    point.map(ProjectivePoint::from)
}

/// 0 to 15 times 16^i P for every digit of a scalar: secret multiples of a known point by additions alone.
struct Comb<G: Group>(Vec<[ProjectivePoint<G>; 16]>);

impl<G: Group> Comb<G>
where
    FieldBytes<G>: Copy,
{
    fn new(mut base: ProjectivePoint<G>) -> Self {
        let window = |_| {
            let mut multiples = [ProjectivePoint::identity(); 16];
            for i in 1..16 {
                multiples[i] = multiples[i - 1] + base;
            }
            base = multiples[15] + base;
            multiples
        };
        Comb((0..64).map(window).collect())
    }

    /// Every entry of every window is read.
    fn times(&self, scalar: &Scalar<G>) -> ProjectivePoint<G> {
        let bytes = scalar.to_repr();
        let mut sum = ProjectivePoint::identity();
        for (i, window) in self.0.iter().enumerate() {
            let digit = bytes.as_ref()[31 - i / 2] >> (4 * (i % 2)) & 15;
            let mut entry = window[0];
            for (place, multiple) in (1u8..).zip(&window[1..]) {
                entry.conditional_assign(multiple, digit.ct_eq(&place));
            }
            sum += entry;
        }
        sum
    }
}

/// Hides elements' points behind multiples of the generator.
pub struct Blinding<G: Group> {
    map: Map<G>,
    comb: Comb<G>,
}

impl<G: Group> Blinding<G>
where
    FieldBytes<G>: Copy,
{
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Blinding { map: Map::new(), comb: Comb::new(ProjectivePoint::generator()) }
    }

    /// H + r G of every element; blinds: one an element.  None as of `Key::map`.
    pub fn blind(&self, tag: &[u8], data: &[u8], offsets: &[i64], blinds: &[[u8; BLIND]]) -> Option<Vec<u8>> {
        if !(1..=255).contains(&tag.len()) || offsets.len() != blinds.len() + 1 {
            return None;
        }
        let mut start = usize::try_from(*offsets.first()?).ok()?;
        let mut out = Vec::with_capacity(POINT * blinds.len());
        for (end, blind) in offsets[1..].iter().zip(blinds) {
            let end = usize::try_from(*end).ok()?;
            let point = self.map.hash(tag, data.get(start..end)?);
            encode(&(point + self.comb.times(&reduced(blind))), &mut out);
            start = end;
        }
        Some(out)
    }
}

/// Takes blinds away from a key holder's answers.
pub struct Unblinding<G: Group>(Comb<G>);

impl<G: Group> Unblinding<G>
where
    FieldBytes<G>: Copy,
{
    /// public: the key times the generator; None when it is no compressed point of the curve.
    pub fn new(public: &[u8; POINT]) -> Option<Self> {
        Some(Unblinding(Comb::new(-decode::<G>(public)?)))
    }

    /// The key times every element's point; the index of the first answer that is no point.
    pub fn unblind(&self, answers: &[[u8; POINT]], blinds: &[[u8; BLIND]]) -> Result<Vec<u8>, usize> {
        let mut out = Vec::with_capacity(POINT * answers.len());
        for (index, (bytes, blind)) in answers.iter().zip(blinds).enumerate() {
            let point = decode::<G>(bytes).ok_or(index)?;
            encode(&(point + self.0.times(&reduced(blind))), &mut out);
        }
        Ok(out)
    }
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
            encode(&(decode::<G>(bytes).ok_or(index)? * self.0), &mut out);
        }
        Ok(out)
    }

    /// The generator times the scalar, which `Unblinding` needs.
    pub fn public(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(POINT);
        encode(&(ProjectivePoint::<G>::generator() * self.0), &mut out);
        out
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

    #[test]
    fn blinds_go_away() {
        fn check<G: Group>()
        where
            FieldBytes<G>: Copy,
        {
            let key = Key::<G>::new(&[7; 64]).unwrap();
            let mut blinds = [[0; BLIND], [0xff; BLIND], [0; BLIND], [0x5a; BLIND]];
            blinds[2][BLIND - 1] = 1;
            let (blinding, offsets) = (Blinding::<G>::new(), [0, 3, 6, 6, 7]);
            let blinded = blinding.blind(b"tag", b"abcabdx", &offsets, &blinds).unwrap();
            let points = |bytes: &[u8]| bytes.chunks_exact(POINT).map(|x| x.try_into().unwrap()).collect::<Vec<_>>();
            let answers = points(&key.multiply(&points(&blinded)).unwrap());
            let unblinding = Unblinding::<G>::new(&key.public().try_into().unwrap()).unwrap();
            let found = unblinding.unblind(&answers, &blinds).unwrap();
            assert_eq!(found, key.map(b"tag", b"abcabdx", &offsets).unwrap());
            let one = Key::<G>::new(&std::array::from_fn(|i| u8::from(i == 47))).unwrap();
            assert_eq!(blinded[..POINT], one.map(b"tag", b"abc", &[0, 3]).unwrap()); // a blind of 0
            assert_eq!(unblinding.unblind(&[answers[0], [0; POINT]], &blinds[..2]), Err(1));
            assert!(Unblinding::<G>::new(&[0; POINT]).is_none());
            assert!(blinding.blind(b"tag", b"abc", &[0, 3], &blinds).is_none());
        }
        check::<NistP256>();
        check::<Sm2>();
    }
}
