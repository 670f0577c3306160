//! Batches of ristretto255 (RFC 9496): elements hashed to the group and raised to one secret scalar.
#[cfg(target_arch = "x86_64")]
mod expand8;
#[cfg(target_arch = "x86_64")]
mod field8;
mod formulas;
#[cfg(target_arch = "x86_64")]
mod points8;
pub mod weierstrass;

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::IsIdentity;
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
    use super::formulas::{digits, CONSTANTS, DIGITS};
    use super::points8::{decode, encode_doubled, from_uniform, multiply as multiply_points, Points};
    use super::{Encoded, Uniform};
    use curve25519_dalek::scalar::Scalar;

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

    #[target_feature(enable = "avx512f,avx512ifma")]
    fn map_batch(batch: &[Uniform], digits: &[i8; DIGITS], out: &mut Vec<Encoded>) {
        let half = |bytes: &Uniform, from: usize| bytes[from..from + 32].try_into().expect("half of 64 bytes");
        let mut products: Vec<Points> = Vec::with_capacity(batch.len().div_ceil(8) + 1);
        for sixteen in batch.chunks(16) {
            let [a, c] = lanes(sixteen.iter().map(|bytes| half(bytes, 0)));
            let [b, d] = lanes(sixteen.iter().map(|bytes| half(bytes, 32)));
            products.extend(multiply_points(&from_uniform(&[a, b, c, d], &CONSTANTS), digits, &CONSTANTS));
        }
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

    #[target_feature(enable = "avx512f,avx512ifma")]
    fn multiply_batch(batch: &[Encoded], digits: &[i8; DIGITS], out: &mut Vec<Encoded>) -> Result<(), usize> {
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
        let mut products: Vec<Points> = Vec::with_capacity(decoded.len());
        for pair in decoded[..batch.len().div_ceil(16) * 2].chunks_exact(2) {
            products.extend(multiply_points(&[pair[0], pair[1]], digits, &CONSTANTS));
        }
        encode_doubled(&products, &CONSTANTS, out);
        Ok(())
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
