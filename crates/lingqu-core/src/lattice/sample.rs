//! Polynomials drawn from a keyed generator. What is secret is drawn without a branch or an index that depends on it.
use super::field::Prime;
use crate::prg::Prg;

/// Bits on each side of a centred binomial error: variance 21 / 2, deviation 3.24.
const BINOMIAL: u32 = 21;

/// Uniform residues below q < 2^bits, by rejection: for public polynomials only.
pub fn uniform(prg: &mut Prg, q: u64, bits: u32, out: &mut [u64]) {
    prg.fill(out);
    let mask = (1u64 << bits) - 1;
    for x in out {
        *x &= mask;
        while *x >= q {
            let mut again = [0u64];
            prg.fill(&mut again);
            *x = again[0] & mask;
        }
    }
}

/// Uniform over -1, 0, 1, but for a bias below 2^-62.
pub fn ternary(prg: &mut Prg, n: usize) -> Vec<i64> {
    drawn(prg, n, |word| ((u128::from(word) * 3) >> 64) as i64 - 1)
}

/// The error distribution: centred binomial of deviation 3.24, as in the tables of the standard (3.19 or more).
pub fn errors(prg: &mut Prg, n: usize) -> Vec<i64> {
    let low = (1u64 << BINOMIAL) - 1;
    drawn(prg, n, |word| i64::from((word & low).count_ones()) - i64::from((word >> BINOMIAL & low).count_ones()))
}

/// Uniform over -bound .. bound, but for a bias below 2^-46 bound.
pub fn flood(prg: &mut Prg, n: usize, bound: i64) -> Vec<i64> {
    let count = 2 * bound as u128 + 1;
    drawn(prg, n, |word| ((u128::from(word) * count) >> 64) as i64 - bound)
}

fn drawn(prg: &mut Prg, n: usize, turn: impl Fn(u64) -> i64) -> Vec<i64> {
    let mut words = vec![0u64; n];
    prg.fill(&mut words);
    words.into_iter().map(turn).collect()
}

/// A fresh public seed.
pub fn seed(prg: &mut Prg) -> [u8; 16] {
    let mut words = [0u64; 2];
    prg.fill(&mut words);
    let mut out = [0u8; 16];
    out[..8].copy_from_slice(&words[0].to_le_bytes());
    out[8..].copy_from_slice(&words[1].to_le_bytes());
    out
}

/// Small values modulo a prime.
pub fn residues(p: &Prime, small: &[i64], out: &mut [u64]) {
    out.iter_mut().zip(small).for_each(|(out, x)| *out = p.small(*x));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_have_their_moments() {
        let (mut prg, n) = (Prg::new(&[3; 16]), 1 << 16);
        let moments = |x: &[i64]| {
            let mean = x.iter().sum::<i64>() as f64 / x.len() as f64;
            (mean, x.iter().map(|x| (*x as f64 - mean).powi(2)).sum::<f64>() / x.len() as f64)
        };
        let (mean, variance) = moments(&errors(&mut prg, n));
        assert!(mean.abs() < 0.1 && (variance - 10.5).abs() < 0.5, "{mean} {variance}");
        let (mean, variance) = moments(&ternary(&mut prg, n));
        assert!(mean.abs() < 0.03 && (variance - 2.0 / 3.0).abs() < 0.02, "{mean} {variance}");
        let drawn = flood(&mut prg, n, 3);
        assert!((-3..=3).all(|x| drawn.contains(&x)) && drawn.iter().all(|x| x.abs() <= 3));
        let mut words = vec![0; n];
        uniform(&mut prg, 65537, 17, &mut words);
        assert!(words.iter().all(|x| *x < 65537));
    }
}
