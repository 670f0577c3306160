//! From residues modulo one set of primes to residues modulo another, of the representative nearest to zero.
//!
//! Source: Halevi, Polyakov, Shoup (CT-RSA 2019), section 2: the quotient by floating point. Near a half it may round
//! the other way, which gives another representative of nearly the same size; callers allow for that.
use super::field::{inverse_mod, mul_mod, once, Factor, Prime};
#[cfg(target_arch = "x86_64")]
use super::ifma;
use super::ntt;

/// At most seven primes on either side, all below 2^50.
pub struct Basis {
    pub from: Vec<Prime>,
    pub to: Vec<Prime>,
    /// 1 / (Q / q_i) mod q_i.
    pub digits: Vec<Factor>,
    /// Q / q_i mod p_j, by j.
    pub weights: Vec<Vec<Factor>>,
    /// -k Q mod p_j for k = 0..7, by j.
    pub minus: Vec<[u64; 8]>,
    pub reciprocals: Vec<f64>,
    simd: bool,
}

/// The product of the primes but one, modulo q.
pub fn product_but(primes: &[Prime], but: usize, q: u64) -> u64 {
    let others = primes.iter().enumerate().filter(|(i, _)| *i != but);
    others.fold(1, |product, (_, prime)| mul_mod(product, prime.q % q, q))
}

impl Basis {
    pub fn new(from: &[Prime], to: &[Prime]) -> Self {
        assert!(from.len() < 8 && to.len() < 8, "at most seven primes");
        let all = from.len();
        let digits =
            (0..all).map(|i| from[i].factor(inverse_mod(product_but(from, i, from[i].q), from[i].q))).collect();
        let weights = to.iter().map(|p| (0..all).map(|i| p.factor(product_but(from, i, p.q))).collect()).collect();
        let minus = to.iter().map(|p| {
            let whole = product_but(from, all, p.q);
            std::array::from_fn(|k| (p.q - mul_mod(whole, k as u64, p.q)) % p.q)
        });
        Basis {
            digits,
            weights,
            minus: minus.collect(),
            reciprocals: from.iter().map(|p| 1.0 / p.q as f64).collect(),
            from: from.to_vec(),
            to: to.to_vec(),
            simd: ntt::simd(),
        }
    }

    #[cfg(test)]
    pub fn portable(mut self) -> Self {
        self.simd = false;
        self
    }

    /// Rows of residues below their primes, to rows below theirs; all of one length, a multiple of 8.
    pub fn convert(&self, from: &[&[u64]], to: &mut [&mut [u64]]) {
        assert!(from.len() == self.from.len() && to.len() == self.to.len(), "one row for each prime");
        #[cfg(target_arch = "x86_64")]
        if self.simd {
            // SAFETY: `simd` is set only when the processor has AVX-512 F, DQ and IFMA.
            unsafe { ifma::convert(self, from, to) };
            return;
        }
        let mut digits = [0u64; 8];
        for at in 0..from[0].len() {
            let mut quotient = 0.0;
            for (i, p) in self.from.iter().enumerate() {
                digits[i] = self.digits[i].times(from[i][at], p.q);
                quotient += digits[i] as f64 * self.reciprocals[i];
            }
            let k = (quotient + 0.5) as usize & 7;
            for (j, p) in self.to.iter().enumerate() {
                let mut sum = (0..8).map(|m| self.minus[j][m] & ((m != k) as u64).wrapping_sub(1)).sum::<u64>();
                for (digit, weight) in digits.iter().zip(&self.weights[j]) {
                    sum += weight.lazy(*digit, p.q);
                }
                to[j][at] = [8, 4, 2, 1].iter().fold(sum, |sum, multiple| once(sum, multiple * p.q));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lattice::triples::PRIMES;

    #[test]
    fn representatives_near_zero_stay_themselves() {
        let primes: Vec<Prime> = PRIMES.iter().map(|q| Prime::new(*q)).collect();
        let values: [i64; 8] = [0, 1, -1, 5, -77, i64::MAX, i64::MIN, 1 << 40];
        let rows = |primes: &[Prime]| -> Vec<Vec<u64>> {
            primes.iter().map(|p| values.iter().map(|x| p.signed(*x as u64)).collect()).collect()
        };
        for basis in [
            Basis::new(&primes[..4], &primes[4..]),
            Basis::new(&primes[..4], &primes[4..]).portable(),
            Basis::new(&primes[5..], &primes[..5]),
            Basis::new(&primes[5..], &primes[..5]).portable(),
        ] {
            let (from, mut to) = (rows(&basis.from), vec![vec![0; 8]; basis.to.len()]);
            let from: Vec<&[u64]> = from.iter().map(|row| &row[..]).collect();
            basis.convert(&from, &mut to.iter_mut().map(|row| &mut row[..]).collect::<Vec<_>>());
            assert_eq!(to, rows(&basis.to));
        }
    }
}
