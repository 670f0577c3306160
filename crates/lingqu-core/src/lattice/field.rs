//! Arithmetic modulo primes below 2^50, in the 52-bit steps of AVX-512 IFMA; the portable code takes the same steps.

/// Bits of one step.
pub const STEP: u32 = 52;
/// The low 52 bits.
pub const MASK: u64 = (1 << STEP) - 1;

/// x * y mod q with one division: for public constants only, its time depends on the operands.
pub const fn mul_mod(x: u64, y: u64, q: u64) -> u64 {
    (x as u128 * y as u128 % q as u128) as u64
}

/// x^exponent mod q, for public values.
pub const fn pow_mod(x: u64, mut exponent: u64, q: u64) -> u64 {
    let (mut base, mut out) = (x % q, 1);
    while exponent > 0 {
        if exponent & 1 == 1 {
            out = mul_mod(out, base, q);
        }
        base = mul_mod(base, base, q);
        exponent >>= 1;
    }
    out
}

/// 1/x mod a prime q, for public values.
pub const fn inverse_mod(x: u64, q: u64) -> u64 {
    pow_mod(x, q - 2, q)
}

/// x if x < q, else x - q, without a branch; x < 2q.
#[inline(always)]
pub fn once(x: u64, q: u64) -> u64 {
    x.min(x.wrapping_sub(q))
}

/// A public constant to multiply by, with floor(w * 2^52 / q) beside it (Shoup's trick).
#[derive(Clone, Copy, Debug)]
pub struct Factor {
    pub w: u64,
    pub ratio: u64,
}

impl Factor {
    pub const fn new(w: u64, q: u64) -> Self {
        Factor { w, ratio: (((w as u128) << STEP) / q as u128) as u64 }
    }

    /// x * w mod q in [0, 2q), for x < 2^52.
    #[inline(always)]
    pub fn lazy(self, x: u64, q: u64) -> u64 {
        let h = ((u128::from(x) * u128::from(self.ratio)) >> STEP) as u64;
        x.wrapping_mul(self.w).wrapping_sub(h.wrapping_mul(q)) & MASK
    }

    /// x * w mod q, for x < 2^52.
    #[inline(always)]
    pub fn times(self, x: u64, q: u64) -> u64 {
        once(self.lazy(x, q), q)
    }
}

/// A prime with the constants of its reductions.
#[derive(Clone, Copy, Debug)]
pub struct Prime {
    pub q: u64,
    /// 1/q mod 2^52.
    pub inv: u64,
    /// 2^52 mod q: times this, a value is in Montgomery's form.
    pub mont: Factor,
    /// 2^32 mod q and 2^64 mod q, for 64-bit words.
    half: Factor,
    wrap: u64,
}

impl Prime {
    pub const fn new(q: u64) -> Self {
        let mut inv: u64 = q; // correct to 3 bits; each step doubles them
        let mut step = 0;
        while step < 5 {
            inv = inv.wrapping_mul(2u64.wrapping_sub(q.wrapping_mul(inv)));
            step += 1;
        }
        let half = pow_mod(2, 32, q);
        let mont = pow_mod(2, STEP as u64, q);
        Prime {
            q,
            inv: inv & MASK,
            mont: Factor::new(mont, q),
            half: Factor::new(half, q),
            wrap: mul_mod(half, half, q),
        }
    }

    pub const fn factor(&self, w: u64) -> Factor {
        Factor::new(w % self.q, self.q)
    }

    /// sum * 2^-104 mod q for a sum of products below 2^114: two of Montgomery's steps.
    #[inline(always)]
    pub fn fold(&self, sum: u128) -> u64 {
        let once_folded = self.step(sum as u64 & MASK, (sum >> STEP) as u64);
        once(self.step(once_folded & MASK, once_folded >> STEP), self.q)
    }

    #[inline(always)]
    fn step(&self, low: u64, high: u64) -> u64 {
        let m = low.wrapping_mul(self.inv) & MASK;
        high + self.q - ((u128::from(m) * u128::from(self.q)) >> STEP) as u64
    }

    /// x * y * 2^-52 mod q for x < 2^52, y < q.
    #[inline(always)]
    pub fn montgomery(&self, x: u64, y: u64) -> u64 {
        let product = u128::from(x) * u128::from(y);
        once(self.step(product as u64 & MASK, (product >> STEP) as u64), self.q)
    }

    /// An unsigned 64-bit word mod q.
    #[inline(always)]
    pub fn word(&self, x: u64) -> u64 {
        let low = self.half.lazy(x >> 32, self.q) + self.unit(x & 0xffff_ffff);
        once(once(low, 2 * self.q), self.q)
    }

    /// x < 2^32 mod q when q may be smaller than that.
    #[inline(always)]
    fn unit(&self, x: u64) -> u64 {
        once(self.half_unit().lazy(x, self.q), self.q)
    }

    #[inline(always)]
    fn half_unit(&self) -> Factor {
        Factor { w: 1, ratio: (1u64 << STEP) / self.q }
    }

    /// A word read as signed, mod q.
    #[inline(always)]
    pub fn signed(&self, x: u64) -> u64 {
        let borrowed = self.wrap & ((x as i64) >> 63) as u64;
        once(self.word(x) + self.q - borrowed, self.q)
    }

    /// A small signed value, |x| < q, mod q.
    #[inline(always)]
    pub fn small(&self, x: i64) -> u64 {
        (x as u64).wrapping_add(self.q & (x >> 63) as u64)
    }

    /// x + y mod q.
    #[inline(always)]
    pub fn add(&self, x: u64, y: u64) -> u64 {
        once(x + y, self.q)
    }

    /// x - y mod q.
    #[inline(always)]
    pub fn sub(&self, x: u64, y: u64) -> u64 {
        once(x + self.q - y, self.q)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reductions_agree_with_division() {
        for q in [65537u64, (1 << 46) - 22_775_023, 1_125_899_906_826_241] {
            let q = q | 1;
            let p = Prime::new(q);
            let mut x = 1u64;
            for _ in 0..2000 {
                x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let y = x.rotate_left(17) % q;
                assert_eq!(p.word(x), x % q);
                assert_eq!(i128::from(p.signed(x)), i128::from(x as i64).rem_euclid(i128::from(q)));
                assert_eq!(p.factor(y).times(x & MASK, q), mul_mod(x & MASK, y, q));
                let product = p.montgomery(x & MASK, y);
                assert_eq!(mul_mod(product, p.mont.w, q), mul_mod(x & MASK, y, q));
                let sum = u128::from(x) << 49 | u128::from(y);
                assert_eq!(mul_mod(mul_mod(p.fold(sum), p.mont.w, q), p.mont.w, q), (sum % u128::from(q)) as u64);
            }
            for x in [0, 1, u64::MAX, 1 << 63, (1 << 63) - 1] {
                assert_eq!(i128::from(p.signed(x)), i128::from(x as i64).rem_euclid(i128::from(q)));
            }
        }
    }
}
