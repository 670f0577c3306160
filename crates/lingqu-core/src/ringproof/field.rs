//! Numbers modulo a prime between 2^50 and 2^51.

pub const BITS: u32 = 51;
const LEAST: u64 = 1 << (BITS - 1);

/// A prime and the factor of Barrett's reduction.
#[derive(Clone, Copy)]
pub struct Field {
    pub prime: u64,
    pub factor: u64,
    /// 2^82 / prime, for whole words.
    pub quick: u64,
    /// The prime's inverse modulo 2^52.
    pub inverse: u64,
    /// 2^64 modulo the prime.
    turn: u64,
}

impl Field {
    /// None unless 2^50 < prime < 2^51 and odd.
    pub fn new(prime: u64) -> Option<Self> {
        // Newton's iteration doubles the bits that are right, of which an odd number's own are three
        let inverse = (0..5).fold(prime, |found, _| found.wrapping_mul(2u64.wrapping_sub(prime.wrapping_mul(found))));
        (prime > LEAST && prime < 2 * LEAST && prime % 2 == 1).then(|| Field {
            prime,
            factor: ((1u128 << (2 * BITS)) / u128::from(prime)) as u64,
            quick: ((1u128 << 82) / u128::from(prime)) as u64,
            inverse: inverse & ((1 << 52) - 1),
            turn: ((1u128 << 64) % u128::from(prime)) as u64,
        })
    }

    /// 2^52 modulo the prime.
    pub fn limb(self) -> u64 {
        self.narrow(1 << 52)
    }

    #[inline(always)]
    fn once(self, value: u64) -> u64 {
        value.min(value.wrapping_sub(self.prime))
    }

    /// value modulo the prime, for value < 2^102.
    #[inline(always)]
    pub fn narrow(self, value: u128) -> u64 {
        let quotient = (u128::from((value >> (BITS - 1)) as u64) * u128::from(self.factor)) >> (BITS + 1);
        let rest = (value as u64).wrapping_sub((quotient as u64).wrapping_mul(self.prime));
        self.once(self.once(rest))
    }

    /// value modulo the prime.
    #[inline(always)]
    pub fn reduce(self, value: u128) -> u64 {
        let high = self.narrow(value >> 64);
        self.narrow(u128::from(high) * u128::from(self.turn) + u128::from(value as u64))
    }

    /// x * y modulo the prime, for x, y below it.
    #[inline(always)]
    pub fn multiply(self, x: u64, y: u64) -> u64 {
        self.narrow(u128::from(x) * u128::from(y))
    }
}

fn power(mut base: u64, mut exponent: u64, modulus: u64) -> u64 {
    let times = |x: u64, y: u64| (u128::from(x) * u128::from(y) % u128::from(modulus)) as u64;
    let mut result = 1;
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = times(result, base);
        }
        base = times(base, base);
        exponent >>= 1;
    }
    result
}

/// Miller and Rabin's test; the first twelve primes as bases decide every number below 2^64 (Sorenson, Webster 2015).
fn is_prime(n: u64) -> bool {
    const BASES: [u64; 12] = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37];
    if n < 2 || BASES.iter().any(|base| n.is_multiple_of(*base)) {
        return BASES.contains(&n);
    }
    let twos = (n - 1).trailing_zeros();
    let odd = (n - 1) >> twos;
    BASES.iter().all(|base| {
        let mut x = power(*base, odd, n);
        if x == 1 || x == n - 1 {
            return true;
        }
        (1..twos).any(|_| {
            x = (u128::from(x) * u128::from(x) % u128::from(n)) as u64;
            x == n - 1
        })
    })
}

/// The first of the candidates, cut to odd numbers between 2^50 and 2^51, that is prime: uniform among the primes there.
pub fn prime_among(candidates: impl Iterator<Item = u64>) -> Option<u64> {
    candidates.map(|word| LEAST | (word & (LEAST - 1)) | 1).find(|candidate| is_prime(*candidate))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRIME: u64 = 0x7_ffff_ffff_ff7b; // 2^51 - 133

    #[test]
    fn primes_are_told_from_composites() {
        let small: Vec<u64> = (0..60).filter(|n| is_prime(*n)).collect();
        assert_eq!(small, [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59]);
        // Strong pseudoprimes to the first bases (OEIS A014233), and neighbours of powers of two.
        assert!([2047, 1373653, 25326001, 3215031751, 3825123056546413051].iter().all(|n| !is_prime(*n)));
        assert!(is_prime((1 << 51) - 129) && is_prime((1 << 61) - 1) && !is_prime((1 << 51) - 1));
    }

    #[test]
    fn reductions_are_exact() {
        for prime in [(1u64 << 50) + 55, (1 << 51) - 129, prime_among([PRIME].into_iter().chain(1..)).unwrap()] {
            let field = Field::new(prime).unwrap();
            let mut x = 1u128;
            for step in 0..20000u128 {
                let edge =
                    [0, 1, u128::MAX, u128::from(prime), u128::from(prime) * u128::from(prime)][step as usize % 5];
                x = x.wrapping_mul(0x2d99787926d46932a4c1f32680f70c55).wrapping_add(step).wrapping_add(edge);
                for value in [x, edge, edge.wrapping_sub(1), x >> 64, x >> 30] {
                    assert_eq!(u128::from(field.reduce(value)), value % u128::from(prime));
                    assert_eq!(u128::from(field.narrow(value >> 26)), (value >> 26) % u128::from(prime));
                }
            }
        }
    }
}
