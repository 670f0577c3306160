//! Batches of ristretto255 (RFC 9496): elements hashed to the group and raised to one secret scalar, or blinded by a
//! multiple of the generator each.
#[cfg(target_arch = "x86_64")]
mod expand8;
#[cfg(target_arch = "x86_64")]
mod field8;
#[cfg(target_arch = "x86_64")]
mod fixed8;
mod formulas;
#[cfg(target_arch = "x86_64")]
mod points8;
pub mod python;
pub mod weierstrass;

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{Identity, IsIdentity};
use sha2::{Digest, Sha512};

/// An encoded point.
pub type Encoded = [u8; 32];
/// 64 bytes that the group's map takes.
pub type Uniform = [u8; 64];

/// A scalar from 64 uniform bytes; None when it is zero, which happens with a chance of 2^-252.
pub fn scalar(bytes: &Uniform) -> Option<Scalar> {
    let value = Scalar::from_bytes_mod_order_wide(bytes);
    (value != Scalar::ZERO).then_some(value)
}

/// expand_message_xmd with SHA-512 and 64 bytes (RFC 9380, section 5.3.1) for every element, which ends at its offset.
///
/// None when offsets do not rise from 0 to the length of the data, or the tag has no or more than 255 bytes.
pub fn expand(tag: &[u8], data: &[u8], offsets: &[i64]) -> Option<Vec<Uniform>> {
    let size = u8::try_from(tag.len()).ok().filter(|size| *size > 0)?;
    let suffix = [tag, &[size]].concat();
    #[cfg(target_arch = "x86_64")]
    if wide::available() {
        // SAFETY: the processor has AVX-512F.
        return unsafe { expand8::expand(&suffix, data, offsets) };
    }
    expand_portable(&suffix, data, offsets)
}

fn expand_portable(suffix: &[u8], data: &[u8], offsets: &[i64]) -> Option<Vec<Uniform>> {
    let begun = Sha512::new_with_prefix([0u8; 128]);
    let mut start = usize::try_from(*offsets.first()?).ok()?;
    let mut out = Vec::with_capacity(offsets.len() - 1);
    for end in &offsets[1..] {
        let end = usize::try_from(*end).ok()?;
        let first = begun.clone().chain_update(data.get(start..end)?).chain_update([0, 64, 0]);
        let first = first.chain_update(suffix).finalize();
        let second = Sha512::new_with_prefix(first).chain_update([1]).chain_update(suffix);
        out.push(second.finalize().into());
        start = end;
    }
    Some(out)
}

/// The mapped element times the scalar, encoded, for every 64 uniform bytes.
pub fn map_and_multiply(uniform: &[Uniform], scalar: &Scalar) -> Vec<Encoded> {
    #[cfg(target_arch = "x86_64")]
    if wide::available() {
        return wide::map_and_multiply(uniform, scalar);
    }
    uniform.iter().map(|bytes| (RistrettoPoint::from_uniform_bytes(bytes) * scalar).compress().0).collect()
}

/// Every point times the scalar, encoded; the index of the first that is no point, or is the identity.
pub fn multiply(points: &[Encoded], scalar: &Scalar) -> Result<Vec<Encoded>, usize> {
    #[cfg(target_arch = "x86_64")]
    if wide::available() {
        return wide::multiply(points, scalar);
    }
    multiply_portable(points, scalar)
}

/// What blinds a point: 32 random bytes, of which 252 bits v are read; the scalar is r = 2 v + 1 - 2^252.
pub type Blind = [u8; 32];

fn blind_scalar(blind: &Blind) -> Scalar {
    let mut bits = *blind;
    bits[31] &= 15;
    let mut top = [0; 32];
    top[31] = 16;
    let v = Scalar::from_bytes_mod_order(bits);
    v + v + Scalar::ONE - Scalar::from_bytes_mod_order(top)
}

/// A key's part that unblinding needs: half the key times the generator.
pub fn public(key: &Scalar) -> Encoded {
    RistrettoPoint::mul_base(&(key * Scalar::from(2u8).invert())).compress().0
}

/// Blinded points under a key, for `Unblinding`: a quarter of the key times each.  Errors as `multiply`.
pub fn answer(points: &[Encoded], key: &Scalar) -> Result<Vec<Encoded>, usize> {
    multiply(points, &(key * Scalar::from(4u8).invert()))
}

/// 2 (H + r G), encoded, for the point H that 64 uniform bytes map to and the blind's r.
///
/// The factors 2 here, 1/4 in `answer`, 1/2 in `public` and 2 in `Unblinding` make up the key: doubled points are
/// encoded with one inversion for many.
pub fn blind(uniform: &[Uniform], blinds: &[Blind]) -> Vec<Encoded> {
    #[cfg(target_arch = "x86_64")]
    if wide::available() {
        return wide::blind(uniform, blinds);
    }
    blind_portable(uniform, blinds)
}

fn blind_portable(uniform: &[Uniform], blinds: &[Blind]) -> Vec<Encoded> {
    let blinded = uniform.iter().zip(blinds).map(|(bytes, blind)| {
        let point = RistrettoPoint::from_uniform_bytes(bytes) + RistrettoPoint::mul_base(&blind_scalar(blind));
        (point + point).compress().0
    });
    blinded.collect()
}

/// Takes blinds away from a key holder's answers.
pub struct Unblinding {
    minus_public: RistrettoPoint,
    #[cfg(target_arch = "x86_64")]
    table: Option<fixed8::Table>,
}

impl Unblinding {
    /// public: the key holder's; None when it is no canonical point, or the identity.
    pub fn new(public: &Encoded) -> Option<Self> {
        let point = CompressedRistretto(*public).decompress().filter(|point| !point.is_identity())?;
        Some(Unblinding {
            minus_public: RistrettoPoint::identity() - point,
            #[cfg(target_arch = "x86_64")]
            table: wide::available().then(|| wide::table_of(public, true)),
        })
    }

    /// The key times every element's point; the index of the first answer that is no point, or is the identity.
    pub fn unblind(&self, answers: &[Encoded], blinds: &[Blind]) -> Result<Vec<Encoded>, usize> {
        #[cfg(target_arch = "x86_64")]
        if let Some(table) = &self.table {
            return wide::unblind(answers, blinds, table);
        }
        self.unblind_portable(answers, blinds)
    }

    fn unblind_portable(&self, answers: &[Encoded], blinds: &[Blind]) -> Result<Vec<Encoded>, usize> {
        let found = |(i, (bytes, blind)): (usize, (&Encoded, &Blind))| {
            let point = CompressedRistretto(*bytes).decompress().filter(|point| !point.is_identity()).ok_or(i)?;
            let point = point + self.minus_public * blind_scalar(blind);
            Ok((point + point).compress().0)
        };
        answers.iter().zip(blinds).enumerate().map(found).collect()
    }
}

fn multiply_portable(points: &[Encoded], scalar: &Scalar) -> Result<Vec<Encoded>, usize> {
    let product = |(i, bytes): (usize, &Encoded)| {
        let point = CompressedRistretto(*bytes).decompress().filter(|point| !point.is_identity()).ok_or(i)?;
        Ok((point * scalar).compress().0)
    };
    points.iter().enumerate().map(product).collect()
}

/// The same on eight points at a time.
#[cfg(target_arch = "x86_64")]
mod wide {
    use super::fixed8::{add_multiples, table, Table};
    use super::formulas::{digits, CONSTANTS, DIGITS};
    use super::points8::{decode, encode_doubled, from_uniform, multiply as multiply_points, Points};
    use super::{Blind, Encoded, Uniform};
    use curve25519_dalek::constants::RISTRETTO_BASEPOINT_COMPRESSED;
    use curve25519_dalek::scalar::Scalar;
    use std::sync::OnceLock;

    /// Points that share an inversion.
    const BATCH: usize = 512;
    /// Eights that are decoded at once.
    const DECODED: usize = 4;

    pub fn available() -> bool {
        is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512ifma")
    }

    /// The encoding doubles, so the points are multiplied by half the scalar.
    fn half(scalar: &Scalar) -> [i8; DIGITS] {
        digits(&(scalar * Scalar::from(2u8).invert()))
    }

    /// Up to N times eight elements; what is missing is zeros.
    fn lanes<const N: usize>(elements: impl Iterator<Item = Encoded>) -> [[Encoded; 8]; N] {
        let mut out = [[[0; 32]; 8]; N];
        out.iter_mut().flatten().zip(elements).for_each(|(lane, element)| *lane = element);
        out
    }

    pub fn map_and_multiply(uniform: &[Uniform], scalar: &Scalar) -> Vec<Encoded> {
        let digits = half(scalar);
        let mut out = Vec::with_capacity(uniform.len().next_multiple_of(16));
        for batch in uniform.chunks(BATCH) {
            let end = out.len() + batch.len();
            // SAFETY: the caller has asked `available`.
            unsafe { map_batch(batch, &digits, &mut out) };
            out.truncate(end);
        }
        out
    }

    /// Eight points of every eight elements, and of up to eight that are not there.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn mapped(batch: &[Uniform]) -> Vec<[Points; 2]> {
        let half = |bytes: &Uniform, from: usize| bytes[from..from + 32].try_into().expect("half of 64 bytes");
        let pair = |sixteen: &[Uniform]| {
            let [a, c] = lanes(sixteen.iter().map(|bytes| half(bytes, 0)));
            let [b, d] = lanes(sixteen.iter().map(|bytes| half(bytes, 32)));
            from_uniform(&[a, b, c, d], &CONSTANTS)
        };
        batch.chunks(16).map(pair).collect()
    }

    #[target_feature(enable = "avx512f,avx512ifma")]
    fn map_batch(batch: &[Uniform], digits: &[i8; DIGITS], out: &mut Vec<Encoded>) {
        let products: Vec<_> =
            mapped(batch).iter().flat_map(|pair| multiply_points(pair, digits, &CONSTANTS)).collect();
        encode_doubled(&products, &CONSTANTS, out);
    }

    pub fn multiply(points: &[Encoded], scalar: &Scalar) -> Result<Vec<Encoded>, usize> {
        let digits = half(scalar);
        let mut out = Vec::with_capacity(points.len().next_multiple_of(16));
        for (number, batch) in points.chunks(BATCH).enumerate() {
            let end = out.len() + batch.len();
            // SAFETY: the caller has asked `available`.
            unsafe { multiply_batch(batch, &digits, &mut out) }.map_err(|i| number * BATCH + i)?;
            out.truncate(end);
        }
        Ok(out)
    }

    /// The points of a batch, and of what is missing to a multiple of sixteen; or the first that is none.
    #[target_feature(enable = "avx512f,avx512ifma")]
    fn decoded(batch: &[Encoded]) -> Result<Vec<Points>, usize> {
        let mut decoded: Vec<Points> = Vec::with_capacity(batch.len().next_multiple_of(8 * DECODED) / 8);
        for chunk in batch.chunks(8 * DECODED) {
            let found = decode::<DECODED>(&lanes(chunk.iter().copied()), &CONSTANTS);
            for (points, valid) in found {
                let first = 8 * decoded.len() + valid.trailing_ones() as usize;
                if valid != u8::MAX && first < batch.len() {
                    return Err(first);
                }
                decoded.push(points);
            }
        }
        decoded.truncate(batch.len().div_ceil(16) * 2);
        Ok(decoded)
    }

    #[target_feature(enable = "avx512f,avx512ifma")]
    fn multiply_batch(batch: &[Encoded], digits: &[i8; DIGITS], out: &mut Vec<Encoded>) -> Result<(), usize> {
        let decoded = decoded(batch)?;
        let mut products: Vec<Points> = Vec::with_capacity(decoded.len());
        for pair in decoded.chunks_exact(2) {
            products.extend(multiply_points(&[pair[0], pair[1]], digits, &CONSTANTS));
        }
        encode_doubled(&products, &CONSTANTS, out);
        Ok(())
    }

    /// The table of a valid point, or of its negative.
    pub fn table_of(point: &Encoded, negative: bool) -> Table {
        // SAFETY: the caller has asked `available`.
        unsafe { table_in_lanes(point, negative) }
    }

    #[target_feature(enable = "avx512f,avx512ifma")]
    fn table_in_lanes(point: &Encoded, negative: bool) -> Table {
        let [(points, _)] = decode::<1>(&[[*point; 8]], &CONSTANTS);
        table(&if negative { points.negative() } else { points }, &CONSTANTS)
    }

    pub fn blind(uniform: &[Uniform], blinds: &[Blind]) -> Vec<Encoded> {
        static GENERATOR: OnceLock<Table> = OnceLock::new();
        let table = GENERATOR.get_or_init(|| table_of(&RISTRETTO_BASEPOINT_COMPRESSED.0, false));
        let mut out = Vec::with_capacity(uniform.len().next_multiple_of(16));
        for (batch, blinds) in uniform.chunks(BATCH).zip(blinds.chunks(BATCH)) {
            let end = out.len() + batch.len();
            // SAFETY: the caller has asked `available`.
            unsafe {
                let points = mapped(batch).concat();
                add_and_encode(points, blinds, table, &mut out);
            }
            out.truncate(end);
        }
        out
    }

    pub fn unblind(answers: &[Encoded], blinds: &[Blind], table: &Table) -> Result<Vec<Encoded>, usize> {
        let mut out = Vec::with_capacity(answers.len().next_multiple_of(16));
        for (number, (batch, blinds)) in answers.chunks(BATCH).zip(blinds.chunks(BATCH)).enumerate() {
            let end = out.len() + batch.len();
            // SAFETY: the caller has asked `available`.
            unsafe {
                let points = decoded(batch).map_err(|i| number * BATCH + i)?;
                add_and_encode(points, blinds, table, &mut out);
            }
            out.truncate(end);
        }
        Ok(out)
    }

    #[target_feature(enable = "avx512f,avx512ifma")]
    fn add_and_encode(mut points: Vec<Points>, blinds: &[Blind], table: &Table, out: &mut Vec<Encoded>) {
        let mut scalars = vec![[[0; 32]; 8]; points.len()];
        scalars.as_flattened_mut().iter_mut().zip(blinds).for_each(|(lane, blind)| *lane = *blind);
        add_multiples(&mut points, &scalars, table);
        encode_doubled(&points, &CONSTANTS, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prg::Prg;

    fn uniform(seed: u8, count: usize) -> Vec<Uniform> {
        let mut words = vec![0u64; 8 * count];
        Prg::new(&[seed; 16]).fill(&mut words);
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.chunks_exact(64).map(|chunk| chunk.try_into().unwrap()).collect()
    }

    #[test]
    fn batches_agree_with_one_at_a_time() {
        for (count, seed) in [(0usize, 1u8), (1, 2), (7, 3), (8, 4), (513, 5)] {
            let a = scalar(&uniform(seed, 1)[0]).unwrap();
            let inputs = uniform(seed + 50, count);
            let expected: Vec<Encoded> =
                inputs.iter().map(|bytes| (RistrettoPoint::from_uniform_bytes(bytes) * a).compress().0).collect();
            assert_eq!(map_and_multiply(&inputs, &a), expected);
            assert_eq!(multiply(&expected, &a), multiply_portable(&expected, &a));
        }
    }

    #[test]
    fn hashes_agree_with_one_at_a_time() {
        let data: Vec<u8> = (0..6000u32).map(|i| ((i * i) >> 3) as u8).collect();
        let mut offsets = vec![0i64];
        for length in [0, 1, 7, 8, 300, 31, 32, 33, 111, 127, 128, 129, 5, 5, 5, 5, 5, 700] {
            offsets.push(offsets[offsets.len() - 1] + length);
        }
        for tag in [1usize, 20, 45, 46, 47, 48, 88, 108, 109, 110, 111, 255] {
            for count in 1..=offsets.len() {
                let expected = expand_portable(&[&data[..tag], &[tag as u8]].concat(), &data, &offsets[..count]);
                assert_eq!(expand(&data[..tag], &data, &offsets[..count]), expected);
            }
        }
        assert_eq!(expand(b"tag", &data, &[0, 10, 5]), None);
        assert_eq!(expand(b"tag", &data, &[0, 10, 6001]), None);
        assert_eq!(expand(b"tag", &data, &[-1, 10]), None);
        assert_eq!(expand(b"tag", &data, &[]), None);
        assert_eq!(expand(b"", &data, &[0, 10]), None);
        assert_eq!(expand(&[7; 256], &data, &[0, 10]), None);
    }

    #[test]
    fn scalars_at_the_edges() {
        let points = map_and_multiply(&uniform(9, 3), &Scalar::ONE);
        for a in [Scalar::ONE, Scalar::from(2u8), Scalar::from(15u8), -Scalar::ONE, -Scalar::from(8u8)] {
            assert_eq!(multiply(&points, &a), multiply_portable(&points, &a));
        }
    }

    fn blinds(seed: u8, count: usize) -> Vec<Blind> {
        let mut all: Vec<Blind> = uniform(seed, count).iter().map(|bytes| bytes[..32].try_into().unwrap()).collect();
        let edges = [[0; 32], [0xff; 32], std::array::from_fn(|i| if i == 31 { 8 } else { 0 }), [0x1f; 32]];
        all.iter_mut().zip(edges).for_each(|(blind, edge)| *blind = edge);
        all
    }

    #[test]
    fn blinding_agrees_with_one_at_a_time_and_goes_away() {
        for (count, seed) in [(0usize, 1u8), (1, 2), (7, 3), (8, 4), (17, 5), (530, 6), (1025, 7)] {
            let (inputs, blinds) = (uniform(seed, count), blinds(seed + 90, count));
            let blinded = blind(&inputs, &blinds);
            assert_eq!(blinded, blind_portable(&inputs, &blinds));
            let key = scalar(&uniform(seed + 40, 1)[0]).unwrap();
            let answers = answer(&blinded, &key).unwrap();
            let unblinding = Unblinding::new(&public(&key)).unwrap();
            assert_eq!(unblinding.unblind(&answers, &blinds).unwrap(), map_and_multiply(&inputs, &key));
            assert_eq!(unblinding.unblind_portable(&answers, &blinds), unblinding.unblind(&answers, &blinds));
        }
        assert!(Unblinding::new(&[0; 32]).is_none());
        assert!(Unblinding::new(&[0xff; 32]).is_none());
    }

    #[test]
    fn what_nothing_is_left_of_is_the_identity() {
        // r P - r P, whichever representatives of their classes the two are.
        let (blinds, point) = (blinds(8, 64), map_and_multiply(&uniform(11, 1), &Scalar::ONE)[0]);
        let known = CompressedRistretto(point).decompress().unwrap();
        let answers: Vec<Encoded> = blinds.iter().map(|blind| (known * blind_scalar(blind)).compress().0).collect();
        let unblinding = Unblinding::new(&point).unwrap();
        assert_eq!(unblinding.unblind(&answers, &blinds), Ok(vec![[0; 32]; 64]));
        assert_eq!(unblinding.unblind_portable(&answers, &blinds), Ok(vec![[0; 32]; 64]));
    }

    #[test]
    fn an_answer_that_is_no_point_is_named() {
        let mut points = map_and_multiply(&uniform(9, 600), &Scalar::ONE);
        let unblinding = Unblinding::new(&public(&Scalar::from(5u8))).unwrap();
        for place in [599, 513, 511, 17] {
            points[place] = [0; 32];
            assert_eq!(unblinding.unblind(&points, &blinds(3, 600)), Err(place));
            assert_eq!(unblinding.unblind_portable(&points, &blinds(3, 600)), Err(place));
        }
    }

    #[test]
    fn what_is_no_point_is_named() {
        let mut points = map_and_multiply(&uniform(9, 20), &Scalar::ONE);
        points[17] = [0; 32];
        assert_eq!(multiply(&points, &Scalar::ONE), Err(17));
        assert_eq!(multiply_portable(&points, &Scalar::ONE), Err(17));
        points[11] = [0xff; 32];
        assert_eq!(multiply(&points, &Scalar::ONE), Err(11));
    }
}
