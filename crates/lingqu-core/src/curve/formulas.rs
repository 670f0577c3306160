//! Constants of RFC 9496, section 4.1, in limbs of 51 bits, and a scalar's signed digits.
use curve25519_dalek::scalar::Scalar;

type Limbs = [u64; 5];

/// The field constants that decoding, encoding and the map use.
pub struct Constants {
    pub d: Limbs,
    pub twice_d: Limbs,
    pub sqrt_m1: Limbs,
    pub sqrt_ad_minus_one: Limbs,
    pub invsqrt_a_minus_d: Limbs,
    pub one_minus_d_squared: Limbs,
    pub d_minus_one_squared: Limbs,
}

pub const CONSTANTS: Constants = Constants {
    d: [0x34dca135978a3, 0x1a8283b156ebd, 0x5e7a26001c029, 0x739c663a03cbb, 0x52036cee2b6ff],
    twice_d: [0x69b9426b2f159, 0x35050762add7a, 0x3cf44c0038052, 0x6738cc7407977, 0x2406d9dc56dff],
    sqrt_m1: [0x61b274a0ea0b0, 0x0d5a5fc8f189d, 0x7ef5e9cbd0c60, 0x78595a6804c9e, 0x2b8324804fc1d],
    sqrt_ad_minus_one: [0x7f6a0497b2e1b, 0x1836f0a97afd2, 0x7d747f6be7638, 0x456079e7e6498, 0x376931bf2b834],
    invsqrt_a_minus_d: [0x0fdaa805d40ea, 0x2eb482e57d339, 0x007610274bc58, 0x6510b613dc8ff, 0x786c8905cfaff],
    one_minus_d_squared: [0x409c1945fc176, 0x719abc6a1fc4f, 0x1c37f90b20684, 0x06bccca55eedf, 0x029072a8b2b3e],
    d_minus_one_squared: [0x55aaa44ed4d20, 0x59603c3332635, 0x26d3baf4a7928, 0x120a66e6997a9, 0x5968b37af66c2],
};

/// Digits -8 to 8 to the base 16, the least first; a scalar is below 2^253.
pub fn digits(scalar: &Scalar) -> [i8; 64] {
    let mut out = [0i8; 64];
    let mut carry = 0;
    for (pair, byte) in out.chunks_exact_mut(2).zip(scalar.as_bytes()) {
        for (digit, nibble) in pair.iter_mut().zip([byte & 15, byte >> 4]) {
            let value = nibble as i8 + carry;
            carry = (value + 8) >> 4;
            *digit = value - (carry << 4);
        }
    }
    out
}
