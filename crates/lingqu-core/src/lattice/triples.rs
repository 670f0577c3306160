//! Products of 64-bit words: one party encrypts a and b, the other returns a b' + b a' + r under encryption.
//!
//! BFV (Fan, Vercauteren 2012) with one word a slot. The plaintext modulus T is a product of four primes, and they are
//! primes of the ciphertext modulus q = T P as well, so a message is scaled by P and its slots are those of the transform.
//! The integer a b' + b a' + r never leaves the range of T. docs/protocols/lattice-products.md has the bounds.
use super::basis::{product_but, Basis};
use super::field::{inverse_mod, mul_mod, Factor, Prime};
use super::ntt::Table;
use super::sample;
use super::wire;
use crate::prg::Prg;
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
const WIDTHS: [u32; 10] = [46, 46, 46, 47, 17, 47, 47, 47, 47, 48];
const PLAIN: usize = 4;
const KEPT: usize = 5;
const ALL: usize = PRIMES.len();
/// Noise added to a reply, in units of what is left after the division; together with rounding it stays below 65537 / 2.
pub const FLOOD: i64 = 32_000;
/// The mask r is uniform over 0 .. MASK_TOP 2^128 less half of that; 2^128 MASK_TOP is 0.99 T.
const MASK_TOP: u128 = 142_674_064_000_000_000;
/// Bytes of one polynomial modulo q, and modulo what replies keep.
const FULL_BYTES: usize = N / 8 * 438;
const REPLY_BYTES: usize = 2 * (N / 8 * 202);
pub const KEY_BYTES: usize = 16 + FULL_BYTES;
pub const REQUEST_BYTES: usize = 16 + 2 * FULL_BYTES;
pub const ANSWER_BYTES: usize = REPLY_BYTES;

struct Ring {
    tables: Vec<Table>,
    /// Residues modulo T to those modulo the other primes, and modulo the divisor to what is kept.
    lift: Basis,
    divide: Basis,
    /// 1 / divisor modulo what is kept.
    one_over_divisor: Vec<Factor>,
    /// P, and P 2^-104, modulo the primes of T.
    scale: Vec<Factor>,
    scale_folded: Vec<Factor>,
    /// 1 / 65537 modulo the primes of T.
    one_over_kept: Vec<Factor>,
    /// 2^128 modulo the primes of T, less the middle of the mask's range.
    top: Vec<Factor>,
    middle: Vec<u64>,
    /// T / t_j and T modulo 2^64, for the way back to words.
    words: [u64; PLAIN],
    whole: u64,
}

static RING: LazyLock<Ring> = LazyLock::new(Ring::new);

impl Ring {
    fn new() -> Self {
        let tables: Vec<Table> = PRIMES.iter().map(|q| Table::new(N, *q)).collect();
        let primes: Vec<Prime> = tables.iter().map(|table| table.p).collect();
        let (plain, divisor) = (&primes[..PLAIN], &primes[KEPT..]);
        let scale = |p: &Prime| product_but(&primes[PLAIN..], ALL, p.q);
        let folded = |p: &Prime| {
            let once = inverse_mod(p.mont.w, p.q);
            mul_mod(scale(p), mul_mod(once, once, p.q), p.q)
        };
        let top = |p: &Prime| (0..4).fold(1, |product, _| mul_mod(product, (1u64 << 32) % p.q, p.q));
        let middle = |p: &Prime| mul_mod(top(p), (MASK_TOP / 2) as u64 % p.q, p.q);
        let words = std::array::from_fn(|i| {
            (0..PLAIN).filter(|j| *j != i).fold(1u64, |product, j| product.wrapping_mul(PRIMES[j]))
        });
        Ring {
            lift: Basis::new(plain, &primes[PLAIN..]),
            divide: Basis::new(divisor, &primes[..KEPT]),
            one_over_divisor: primes[..KEPT]
                .iter()
                .map(|p| p.factor(inverse_mod(product_but(divisor, ALL, p.q), p.q)))
                .collect(),
            scale: plain.iter().map(|p| p.factor(scale(p))).collect(),
            scale_folded: plain.iter().map(|p| p.factor(folded(p))).collect(),
            one_over_kept: plain.iter().map(|p| p.factor(inverse_mod(PRIMES[PLAIN], p.q))).collect(),
            top: plain.iter().map(|p| p.factor(top(p))).collect(),
            middle: plain.iter().map(middle).collect(),
            words,
            whole: PRIMES[..PLAIN].iter().fold(1, |product, q| product.wrapping_mul(*q)),
            tables,
        }
    }
}

/// The party that holds the secret key; the other one is an `Evaluator`.
pub struct KeyHolder {
    prg: Prg,
    /// s and -s transformed, in Montgomery's form.
    secret: Vec<Vec<u64>>,
    negated: Vec<Vec<u64>>,
    public: Vec<u8>,
}

impl KeyHolder {
    /// A fresh key from a fresh seed.
    pub fn new(seed: &[u8; 16]) -> Self {
        let mut prg = Prg::new(seed);
        let (mut secret, mut negated): (Vec<Vec<u64>>, Vec<Vec<u64>>) = (Vec::new(), Vec::new());
        // The key must be invertible modulo the divisor, which fails once in 2^30 draws.
        while secret.is_empty() || secret[KEPT..].iter().flatten().any(|x| *x == 0) {
            let small = sample::ternary(&mut prg, N);
            (secret, negated) = RING.tables.iter().map(|table| transformed_key(table, &small)).unzip();
        }
        let mut holder = KeyHolder { prg, secret, negated, public: Vec::with_capacity(KEY_BYTES) };
        let seed = sample::seed(&mut holder.prg);
        holder.public.extend_from_slice(&seed);
        let (mut uniform, errors) = (Prg::new(&seed), sample::errors(&mut holder.prg, N));
        for (i, width) in WIDTHS.iter().enumerate() {
            let row = holder.encryption(i, &mut uniform, &errors);
            wire::pack(&row, *width, &mut holder.public);
        }
        holder
    }

    pub fn public_key(&self) -> &[u8] {
        &self.public
    }

    /// e - c1 s modulo prime i, transformed, for the next c1 of a public generator.
    fn encryption(&self, i: usize, uniform: &mut Prg, errors: &[i64]) -> Vec<u64> {
        let (table, mut row, mut c1) = (&RING.tables[i], vec![0; N], vec![0; N]);
        sample::uniform(uniform, table.p.q, WIDTHS[i], &mut c1);
        sample::residues(&table.p, errors, &mut row);
        table.forward(&mut row);
        table.add_product(&mut row, &c1, &self.negated[i]);
        row
    }

    /// Encryptions of at most N words each, the rest zero: REQUEST_BYTES.
    pub fn request(&mut self, a: &[u64], b: &[u64]) -> Vec<u8> {
        let seed = sample::seed(&mut self.prg);
        let errors = [sample::errors(&mut self.prg, N), sample::errors(&mut self.prg, N)];
        let mut uniform = Prg::new(&seed);
        let mut out = Vec::with_capacity(REQUEST_BYTES);
        out.extend_from_slice(&seed);
        for (i, width) in WIDTHS.iter().enumerate() {
            for (words, errors) in [a, b].iter().zip(&errors) {
                let mut row = self.encryption(i, &mut uniform, errors);
                if i < PLAIN {
                    let (p, scale) = (&RING.tables[i].p, RING.scale[i]);
                    for (x, word) in row.iter_mut().zip(*words) {
                        *x = p.add(*x, scale.times(p.signed(*word), p.q));
                    }
                }
                wire::pack(&row, *width, &mut out);
            }
        }
        out
    }

    /// The words a b' + b a' + r of an answer; None when it is malformed.
    pub fn finish(&self, answer: &[u8], count: usize) -> Option<Vec<u64>> {
        let mut bytes = answer;
        let mut parts = [Vec::new(), Vec::new()];
        for part in &mut parts {
            for i in 0..KEPT {
                let mut row = vec![0; N];
                wire::unpack(&mut bytes, WIDTHS[i], PRIMES[i], &mut row)?;
                part.push(row);
            }
        }
        if !bytes.is_empty() || count > N {
            return None;
        }
        let [mut c0, mut c1] = parts;
        let small = self.noise(&c0[PLAIN], &mut c1[PLAIN]);
        for i in 0..PLAIN {
            let (table, p) = (&RING.tables[i], &RING.tables[i].p);
            c0[i].iter_mut().zip(&small).for_each(|(x, e)| *x = p.sub(*x, p.small(*e)));
            table.forward(&mut c0[i]);
            table.forward(&mut c1[i]);
            table.add_product(&mut c0[i], &c1[i], &self.secret[i]);
        }
        Some((0..count).map(|at| word(&c0[..PLAIN], at)).collect())
    }

    /// What the kept prime says of the noise, nearest to zero.
    fn noise(&self, c0: &[u64], c1: &mut [u64]) -> Vec<i64> {
        let table = &RING.tables[PLAIN];
        table.forward(c1);
        let mut phase = vec![0; N];
        table.add_product(&mut phase, c1, &self.secret[PLAIN]);
        table.inverse(&mut phase, false);
        let (q, half) = (table.p.q as i64, table.p.q as i64 / 2);
        let centred = |x: u64| x as i64 - (q & (half - x as i64) >> 63);
        phase.iter().zip(c0).map(|(x, y)| centred(table.p.add(*x, *y))).collect()
    }
}

/// s and -s transformed, in Montgomery's form.
fn transformed_key(table: &Table, small: &[i64]) -> (Vec<u64>, Vec<u64>) {
    let mut row = vec![0; N];
    sample::residues(&table.p, small, &mut row);
    table.forward(&mut row);
    let secret: Vec<u64> = row.iter().map(|x| table.p.mont.times(*x, table.p.q)).collect();
    let negated = secret.iter().map(|x| table.p.sub(0, *x)).collect();
    (secret, negated)
}

/// The integer nearest to zero whose slots modulo the primes of T these are, modulo 2^64.
fn word(slots: &[Vec<u64>], at: usize) -> u64 {
    let (mut sum, mut quotient) = (0u64, 0.0);
    for (i, slots) in slots.iter().enumerate() {
        let p = &RING.tables[i].p;
        // The slot holds 65537 times the message.
        let digit = RING.lift.digits[i].times(RING.one_over_kept[i].times(slots[at], p.q), p.q);
        sum = sum.wrapping_add(digit.wrapping_mul(RING.words[i]));
        quotient += digit as f64 * RING.lift.reciprocals[i];
    }
    sum.wrapping_sub(((quotient + 0.5) as u64).wrapping_mul(RING.whole))
}

/// The party that multiplies under the other one's key.
pub struct Evaluator {
    prg: Prg,
    key: Vec<[Vec<u64>; 2]>,
}

impl Evaluator {
    /// None when the public key is malformed.
    pub fn new(seed: &[u8; 16], public: &[u8]) -> Option<Self> {
        let mut bytes = public;
        let mut uniform = Prg::new(&wire::take_seed(&mut bytes)?);
        let mut key = Vec::new();
        for i in 0..ALL {
            let (mut c0, mut c1) = (vec![0; N], vec![0; N]);
            wire::unpack(&mut bytes, WIDTHS[i], PRIMES[i], &mut c0)?;
            sample::uniform(&mut uniform, PRIMES[i], WIDTHS[i], &mut c1);
            key.push([c0, c1]);
        }
        bytes.is_empty().then(|| Evaluator { prg: Prg::new(seed), key })
    }

    /// The answer to a request, ANSWER_BYTES, and -r, N words; None when the request is malformed.
    pub fn answer(&mut self, request: &[u8], a: &[u64], b: &[u64]) -> Option<(Vec<u8>, Vec<u64>)> {
        let mut bytes = request;
        let mut uniform = Prg::new(&wire::take_seed(&mut bytes)?);
        let (lifted_a, lifted_b) = (lifted(a), lifted(b));
        let mask = Mask::new(&mut self.prg);
        let blind = sample::ternary(&mut self.prg, N);
        let mut out = [Vec::new(), Vec::new()];
        let mut rows: [Vec<u64>; 5] = std::array::from_fn(|_| vec![0; N]);
        for (i, table) in RING.tables.iter().enumerate() {
            let [a0, a1, b0, b1, u] = &mut rows;
            for (c0, c1) in [(&mut *a0, a1), (&mut *b0, b1)] {
                wire::unpack(&mut bytes, WIDTHS[i], PRIMES[i], c0)?;
                sample::uniform(&mut uniform, PRIMES[i], WIDTHS[i], c1);
            }
            sample::residues(&table.p, &blind, u);
            table.forward(u);
            let [a0, a1, b0, b1, u] = &rows;
            for (part, (ours, theirs)) in [(a0, b0), (a1, b1)].into_iter().enumerate() {
                let mut sum = vec![0; N];
                let terms = [(&ours[..], &lifted_b[i][..]), (theirs, &lifted_a[i]), (u, &self.key[i][part])];
                table.three_products(&mut sum, terms);
                if part == 0 && i < PLAIN {
                    mask.add(i, &mut sum);
                }
                table.inverse(&mut sum, true);
                out[part].push(sum);
            }
        }
        if !bytes.is_empty() {
            return None;
        }
        let errors = sample::errors(&mut self.prg, N);
        for (row, table) in out[1].iter_mut().zip(&RING.tables) {
            row.iter_mut().zip(&errors).for_each(|(x, e)| *x = table.p.add(*x, table.p.small(*e)));
        }
        let flood = sample::flood(&mut self.prg, N, FLOOD);
        let mut answer = Vec::with_capacity(ANSWER_BYTES);
        divided(&out[0], Some(&flood), &mut answer);
        divided(&out[1], None, &mut answer);
        Some((answer, mask.low.iter().map(|x| x.wrapping_neg()).collect()))
    }
}

/// A row of words as slots, transformed modulo every prime: the same integer polynomial everywhere.
fn lifted(words: &[u64]) -> Vec<Vec<u64>> {
    let mut slots: Vec<Vec<u64>> = Vec::with_capacity(ALL);
    for table in &RING.tables[..PLAIN] {
        let mut row = vec![0; N];
        row.iter_mut().zip(words).for_each(|(x, word)| *x = table.p.signed(*word));
        slots.push(row);
    }
    let mut coefficients = slots.clone();
    for (row, table) in coefficients.iter_mut().zip(&RING.tables) {
        table.inverse(row, false);
    }
    let mut rest = vec![vec![0; N]; ALL - PLAIN];
    convert(&RING.lift, &coefficients, &mut rest);
    for (row, table) in rest.iter_mut().zip(&RING.tables[PLAIN..]) {
        table.forward(row);
    }
    slots.append(&mut rest);
    slots
}

fn convert(basis: &Basis, from: &[Vec<u64>], to: &mut [Vec<u64>]) {
    let from: Vec<&[u64]> = from.iter().map(|row| &row[..]).collect();
    let mut to: Vec<&mut [u64]> = to.iter_mut().map(|row| &mut row[..]).collect();
    basis.convert(&from, &mut to);
}

/// Coefficients divided by the divisor and rounded, flooded, packed.
fn divided(rows: &[Vec<u64>], flood: Option<&[i64]>, out: &mut Vec<u8>) {
    let mut remainder = vec![vec![0; N]; KEPT];
    convert(&RING.divide, &rows[KEPT..], &mut remainder);
    for i in 0..KEPT {
        let (p, factor) = (&RING.tables[i].p, RING.one_over_divisor[i]);
        for (r, x) in remainder[i].iter_mut().zip(&rows[i]) {
            *r = factor.times(p.sub(*x, *r), p.q);
        }
        if let Some(flood) = flood {
            remainder[i].iter_mut().zip(flood).for_each(|(x, g)| *x = p.add(*x, p.small(*g)));
        }
        wire::pack(&remainder[i], WIDTHS[i], out);
    }
}

/// r for every slot: low and middle words, and the top one below MASK_TOP; the middle of the range is subtracted.
struct Mask {
    low: Vec<u64>,
    middle: Vec<u64>,
    top: Vec<u64>,
}

impl Mask {
    fn new(prg: &mut Prg) -> Self {
        let mut words: [Vec<u64>; 4] = std::array::from_fn(|_| vec![0; N]);
        words.iter_mut().for_each(|row| prg.fill(row));
        let [low, middle, one, two] = words;
        // floor(wide * MASK_TOP / 2^128) of a 128-bit word: bias below 2^-70.
        let top = one.iter().zip(&two).map(|(one, two)| {
            let upper = u128::from(*two) * MASK_TOP;
            let lower = u128::from(*one) * MASK_TOP;
            ((upper + (lower >> 64)) >> 64) as u64
        });
        Mask { low, middle, top: top.collect() }
    }

    /// Add P r 2^-104 to the slots modulo prime i of T.
    fn add(&self, i: usize, slots: &mut [u64]) {
        let (p, scale, top) = (&RING.tables[i].p, RING.scale_folded[i], RING.top[i]);
        let wrap = p.factor(mul_mod((1 << 32) % p.q, (1 << 32) % p.q, p.q));
        for (at, slot) in slots.iter_mut().enumerate() {
            let upper = p.add(wrap.times(p.word(self.middle[at]), p.q), top.times(p.word(self.top[at]), p.q));
            let r = p.sub(p.add(upper, p.word(self.low[at])), RING.middle[i]);
            *slot = p.add(*slot, scale.times(r, p.q));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EDGES: [u64; 6] = [0, 1, u64::MAX, 1 << 63, (1 << 63) - 1, 0x5555_5555_5555_5555];

    fn words(key: u8) -> Vec<u64> {
        let mut words = vec![0; N];
        Prg::new(&[key; 16]).fill(&mut words);
        words
    }

    #[test]
    fn products_are_exact_at_random_and_at_the_edges() {
        let mut holder = KeyHolder::new(&[1; 16]);
        assert_eq!(holder.public_key().len(), KEY_BYTES);
        let mut evaluator = Evaluator::new(&[2; 16], holder.public_key()).unwrap();
        let mut sides: [Vec<u64>; 4] = std::array::from_fn(|i| words(10 + i as u8));
        for at in 0..EDGES.len().pow(4) {
            for (i, side) in sides.iter_mut().enumerate() {
                side[at] = EDGES[at / EDGES.len().pow(i as u32) % EDGES.len()];
            }
        }
        let constant: [Vec<u64>; 4] = std::array::from_fn(|_| vec![1 << 63; N]);
        for [a, b, c, d] in [&sides, &constant] {
            let request = holder.request(a, b);
            assert_eq!(request.len(), REQUEST_BYTES);
            let (answer, share) = evaluator.answer(&request, c, d).unwrap();
            assert_eq!(answer.len(), ANSWER_BYTES);
            let found = holder.finish(&answer, N).unwrap();
            for at in 0..N {
                let expected = a[at].wrapping_mul(d[at]).wrapping_add(b[at].wrapping_mul(c[at]));
                assert_eq!(found[at].wrapping_add(share[at]), expected, "slot {at}");
            }
        }
    }

    #[test]
    fn noise_keeps_its_bounds() {
        let mut holder = KeyHolder::new(&[1; 16]);
        let mut evaluator = Evaluator::new(&[2; 16], holder.public_key()).unwrap();
        let request = holder.request(&words(3), &words(4));
        let answer = evaluator.answer(&request, &words(5), &words(6)).unwrap().0;
        let mut bytes = &answer[..];
        let mut kept = [vec![0; N], vec![0; N]];
        for part in &mut kept {
            for i in 0..KEPT {
                wire::unpack(&mut bytes, WIDTHS[i], PRIMES[i], part).unwrap();
            }
        }
        let [c0, mut c1] = kept;
        let most = holder.noise(&c0, &mut c1).into_iter().map(i64::abs).max().unwrap();
        // Rounding adds at most 6.5 deviations of 30; half the kept prime is 768 above the flood.
        assert!((FLOOD - 200..FLOOD + 200).contains(&most), "{most}");
    }

    #[test]
    fn malformed_bytes_are_refused() {
        let mut holder = KeyHolder::new(&[1; 16]);
        let public = holder.public_key().to_vec();
        let mut evaluator = Evaluator::new(&[2; 16], &public).unwrap();
        let request = holder.request(&[1], &[2]);
        let answer = evaluator.answer(&request, &[3], &[4]).unwrap().0;
        let longer = |bytes: &[u8]| [bytes, &[0]].concat();
        let full = |bytes: &[u8], at: usize| {
            let mut bytes = bytes.to_vec();
            bytes[at..at + 6].fill(0xff);
            bytes
        };
        for bad in [longer(&public), public[1..].to_vec(), full(&public, 16), full(&public, KEY_BYTES - 6)] {
            assert!(Evaluator::new(&[2; 16], &bad).is_none());
        }
        for bad in [longer(&request), request[1..].to_vec(), full(&request, REQUEST_BYTES - 6)] {
            assert!(evaluator.answer(&bad, &[3], &[4]).is_none());
        }
        for bad in [longer(&answer), answer[1..].to_vec(), full(&answer, 0), full(&answer, ANSWER_BYTES - 6)] {
            assert!(holder.finish(&bad, 1).is_none());
        }
    }
}
