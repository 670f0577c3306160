//! The plaintext space of `triples`: slots modulo a product of primes T, and the integers below T that they stand for.
use super::basis::{product_but, Basis};
use super::field::{inverse_mod, mul_mod, pow_mod, Factor, Prime};
use super::ntt::Table;
use super::wire;
use std::sync::LazyLock;

/// Slots, which is the degree of the ring.
pub const N: usize = 16384;
/// Primes of T, then the one that replies keep beside T, then those a reply is divided by.
pub const PRIMES: [u64; 10] = [
    70_368_743_587_841,
    70_368_743_489_537,
    70_368_743_292_929,
    140_737_488_125_953,
    65_537,
    140_737_487_306_753,
    140_737_486_716_929,
    140_737_486_553_089,
    140_737_486_520_321,
    281_474_976_546_817,
];
pub const WIDTHS: [u32; 10] = [46, 46, 46, 47, 17, 47, 47, 47, 47, 48];
pub const PLAIN: usize = 4;
pub const KEPT: usize = 5;
pub const ALL: usize = PRIMES.len();
/// Digits of what a slot of a request holds above 64 bits: T is below 2^185.
pub const UPPER: [u32; 3] = [40, 40, 41];

pub struct Ring {
    pub tables: Vec<Table>,
    /// Residues modulo T to those modulo the other primes, and modulo the divisor to what is kept.
    pub lift: Basis,
    pub divide: Basis,
    /// 1 / divisor modulo what is kept.
    pub one_over_divisor: Vec<Factor>,
    /// 1 / P modulo the primes of T, and P 2^64 times the places of the upper digits.
    pub one_over_scale: Vec<Factor>,
    pub above: Vec<[Factor; 3]>,
    /// 1 / 65537 modulo the primes of T.
    pub one_over_kept: Vec<Factor>,
    /// T / t_j and T modulo 2^64, for the way back to words.
    pub words: [u64; PLAIN],
    pub whole: u64,
    /// T / t_j, and 2T and T, in three words.
    pub weights: [[u64; 3]; PLAIN],
    pub multiples: [[u64; 3]; 2],
}

pub static RING: LazyLock<Ring> = LazyLock::new(Ring::new);

impl Ring {
    fn new() -> Self {
        let tables: Vec<Table> = PRIMES.iter().map(|q| Table::new(N, *q)).collect();
        let primes: Vec<Prime> = tables.iter().map(|table| table.p).collect();
        let (plain, divisor) = (&primes[..PLAIN], &primes[KEPT..]);
        let scale = |p: &Prime| product_but(&primes[PLAIN..], ALL, p.q);
        let above = |p: &Prime| {
            let start = mul_mod(scale(p), pow_mod(2, 64, p.q), p.q);
            [0, 40, 80].map(|place| p.factor(mul_mod(start, pow_mod(2, place, p.q), p.q)))
        };
        let but = |i: usize| PRIMES[..PLAIN].iter().enumerate().filter(move |(j, _)| *j != i).map(|(_, q)| *q);
        let weights: [[u64; 3]; PLAIN] = std::array::from_fn(|i| but(i).fold([1, 0, 0], times));
        let whole = PRIMES[..PLAIN].iter().fold([1, 0, 0], |x, q| times(x, *q));
        Ring {
            lift: Basis::new(plain, &primes[PLAIN..]),
            divide: Basis::new(divisor, &primes[..KEPT]),
            one_over_divisor: primes[..KEPT]
                .iter()
                .map(|p| p.factor(inverse_mod(product_but(divisor, ALL, p.q), p.q)))
                .collect(),
            one_over_scale: plain.iter().map(|p| p.factor(inverse_mod(scale(p), p.q))).collect(),
            above: plain.iter().map(above).collect(),
            one_over_kept: plain.iter().map(|p| p.factor(inverse_mod(PRIMES[PLAIN], p.q))).collect(),
            words: weights.map(|weight| weight[0]),
            whole: whole[0],
            weights,
            multiples: [times(whole, 2), whole],
            tables,
        }
    }
}

/// x y for three words x, when the product has no more.
fn times(x: [u64; 3], y: u64) -> [u64; 3] {
    let mut carry = 0;
    x.map(|x| {
        let product = u128::from(x) * u128::from(y) + carry;
        carry = product >> 64;
        product as u64
    })
}

/// x if x < y, else x - y, without a branch.
fn less(x: [u64; 3], y: [u64; 3]) -> [u64; 3] {
    let mut borrow = 0;
    let difference: [u64; 3] = std::array::from_fn(|i| {
        let wide = (1u128 << 64) + u128::from(x[i]) - u128::from(y[i]) - borrow;
        borrow = 1 - (wide >> 64);
        wide as u64
    });
    let keep = (borrow as u64).wrapping_neg();
    std::array::from_fn(|i| (x[i] & keep) | (difference[i] & !keep))
}

/// The integers below T whose slots these are: their words; what is above the words, as signed ones, is packed.
pub fn split(slots: &[Vec<u64>], out: &mut Vec<u8>) -> Vec<u64> {
    let mut upper: [Vec<u64>; 3] = std::array::from_fn(|_| Vec::with_capacity(N));
    let words = (0..N).map(|at| {
        let mut sums = [0u128; 3];
        for (i, slots) in slots.iter().enumerate() {
            let digit = u128::from(RING.lift.digits[i].times(slots[at], PRIMES[i]));
            sums.iter_mut().zip(RING.weights[i]).for_each(|(sum, weight)| *sum += digit * u128::from(weight));
        }
        sums[1] += sums[0] >> 64;
        sums[2] += sums[1] >> 64;
        let [low, middle, high] = RING.multiples.iter().fold(sums.map(|sum| sum as u64), |x, y| less(x, *y));
        let mut above = (u128::from(high) << 64 | u128::from(middle)) + u128::from(low >> 63);
        for (digits, width) in upper.iter_mut().zip(UPPER) {
            digits.push(above as u64 & ((1 << width) - 1));
            above >>= width;
        }
        low
    });
    let words = words.collect();
    upper.iter().zip(UPPER).for_each(|(digits, width)| wire::pack(digits, width, out));
    words
}

/// The integers nearest to zero whose slots are these less their factor 65537, modulo 2^64; how near to half of T the
/// nearest one is, as a part of T.
pub fn nearest(slots: &[Vec<u64>]) -> (Vec<u64>, f64) {
    let mut margin = 1.0f64;
    let words = (0..N).map(|at| {
        let (mut sum, mut quotient) = (0u64, 0.5);
        for (i, slots) in slots.iter().enumerate() {
            let q = PRIMES[i];
            let digit = RING.lift.digits[i].times(RING.one_over_kept[i].times(slots[at], q), q);
            sum = sum.wrapping_add(digit.wrapping_mul(RING.words[i]));
            quotient += digit as f64 * RING.lift.reciprocals[i];
        }
        let below = quotient as u64;
        let place = quotient - below as f64;
        margin = margin.min(place).min(1.0 - place);
        sum.wrapping_sub(below.wrapping_mul(RING.whole))
    });
    (words.collect(), margin)
}

/// Take from c0 modulo prime i of T what its slots hold above their words.
pub fn lowered(i: usize, c0: &mut [u64], upper: &[Vec<u64>; 3]) {
    let p = &RING.tables[i].p;
    for (digits, factor) in upper.iter().zip(RING.above[i]) {
        c0.iter_mut().zip(digits).for_each(|(x, digit)| *x = p.sub(*x, factor.times(*digit, p.q)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_split_at_the_edges() {
        let [twice, whole] = RING.multiples;
        assert_eq!(twice, times(whole, 2));
        let last = less([whole[0] - 1, whole[1], whole[2]], whole);
        let edges = [[0, 0, 0], [1 << 63, 0, 0], [(1 << 63) - 1, 0, 0], [u64::MAX, u64::MAX, 0], [0, 0, 1], last];
        let mut slots = vec![vec![0; N]; PLAIN];
        for (i, row) in slots.iter_mut().enumerate() {
            let (q, step) = (PRIMES[i], pow_mod(2, 64, PRIMES[i]));
            for (x, edge) in row.iter_mut().zip(&edges) {
                *x = edge.iter().rev().fold(0, |sum, word| (mul_mod(sum, step, q) + word % q) % q);
            }
        }
        let mut bytes = Vec::new();
        let words = split(&slots, &mut bytes);
        assert_eq!(bytes.len(), N / 8 * 121);
        let mut rest = &bytes[..];
        let mut digits: [Vec<u64>; 3] = std::array::from_fn(|_| vec![0; N]);
        for (digits, width) in digits.iter_mut().zip(UPPER) {
            wire::unpack(&mut rest, width, 1 << width, digits).unwrap();
        }
        for (at, edge) in edges.iter().enumerate() {
            let above = u128::from(digits[2][at]) << 80 | u128::from(digits[1][at]) << 40 | u128::from(digits[0][at]);
            let expected = (u128::from(edge[2]) << 64 | u128::from(edge[1])) + u128::from(edge[0] >> 63);
            assert_eq!((words[at], above), (edge[0], expected));
        }
    }
}
