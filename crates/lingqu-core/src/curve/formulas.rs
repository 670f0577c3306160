//! Constants of RFC 9496, section 4.1, in limbs of 52 bits, and a scalar's signed digits.
use curve25519_dalek::scalar::Scalar;
use subtle::{Choice, ConditionallySelectable};

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
    d: [0xb4dca135978a3, 0x4d4141d8ab75e, 0x779e89800700a, 0xfe738cc740797, 0x052036cee2b6f],
    twice_d: [0x69b9426b2f159, 0x9a8283b156ebd, 0xef3d13000e014, 0xfce7198e80f2e, 0x02406d9dc56df],
    sqrt_m1: [0xe1b274a0ea0b0, 0x06ad2fe478c4e, 0xdfbd7a72f4318, 0xdf0b2b4d00993, 0x02b8324804fc1],
    sqrt_ad_minus_one: [0x7f6a0497b2e1b, 0x0c1b7854bd7e9, 0x1f5d1fdaf9d8e, 0x48ac0f3cfcc93, 0x0376931bf2b83],
    invsqrt_a_minus_d: [0x8fdaa805d40ea, 0x175a4172be99c, 0xe01d8409d2f16, 0xfca216c27b91f, 0x0786c8905cfaf],
    one_minus_d_squared: [0xc09c1945fc176, 0x38cd5e350fe27, 0xe70dfe42c81a1, 0xe0d79994abddb, 0x0029072a8b2b3],
    d_minus_one_squared: [0xd5aaa44ed4d20, 0x2cb01e199931a, 0x29b4eebd29e4a, 0x22414cdcd32f5, 0x05968b37af66c],
};

/// How many digits `digits` gives.
pub const DIGITS: usize = 63;

/// Digits -8 to 8 to the base 16, the least first, of the scalar modulo the group's order.
///
/// Of the scalar and its negative one is at most half the order, below 2^251 + 2^124: its digits are taken, and negated.
pub fn digits(scalar: &Scalar) -> [i8; DIGITS] {
    // Twice a scalar above half the odd order wraps around, and becomes odd.
    let above = (scalar + scalar).as_bytes()[0] & 1;
    let smaller = Scalar::conditional_select(scalar, &-scalar, Choice::from(above));
    let sign = 1 - 2 * above as i8;
    let mut out = [0i8; DIGITS];
    let mut carry = 0;
    for (i, digit) in out.iter_mut().enumerate() {
        let value = (smaller.as_bytes()[i / 2] >> (4 * (i % 2)) & 15) as i8 + carry;
        // The last digit is 8 at most, and then nothing was carried into it.
        carry = if i + 1 < DIGITS { (value + 8) >> 4 } else { 0 };
        *digit = sign * (value - (carry << 4));
    }
    out
}
