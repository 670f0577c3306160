//! Products of 64-bit words: one party encrypts random a and b, the other returns a b' + b a' + r under encryption.
//!
//! BFV (Fan, Vercauteren 2012) with one word a slot. The plaintext modulus T is a product of four primes, and they are
//! primes of the ciphertext modulus q = T P as well, so a message is scaled by P and its slots are those of the transform.
//! The integer a b' + b a' + r never leaves the range of T. docs/protocols/lattice-products.md has the bounds.
//!
//! What is random anyway is drawn from public seeds: modulo T, the ciphertexts of a request hold whatever integers the
//! drawn residues say, of which the holder tells what is above 64 bits; and r is what makes an answer's residues the drawn
//! ones.
use super::basis::Basis;
use super::ntt::Table;
use super::sample;
use super::slots::{lowered, nearest, split, ALL, KEPT, PLAIN, RING, UPPER, WIDTHS};
pub use super::slots::{N, PRIMES};
use super::wire;
use crate::prg::Prg;

/// Noise added to a reply, in units of what is left after the division; together with rounding it stays below 65537 / 2.
pub const FLOOD: i64 = 32_000;
/// How near to half of T, as a part of it, a mask may not be.
const MARGIN: f64 = 1.0 / (1u64 << 40) as f64;
/// Bytes of one polynomial modulo q, and modulo P; of the upper digits; of one modulo what replies keep.
const FULL_BYTES: usize = N / 8 * 438;
const REST_BYTES: usize = N / 8 * 253;
const UPPER_BYTES: usize = N / 8 * 121;
const REPLY_BYTES: usize = N / 8 * 202;
pub const KEY_BYTES: usize = 16 + FULL_BYTES;
pub const REQUEST_BYTES: usize = 16 + 2 * (UPPER_BYTES + REST_BYTES);
pub const ANSWER_BYTES: usize = 16 + N / 8 * 17 + REPLY_BYTES;

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

    /// Encryptions of N random words each, REQUEST_BYTES, and the words.
    pub fn request(&mut self) -> (Vec<u8>, [Vec<u64>; 2]) {
        let seed = sample::seed(&mut self.prg);
        let errors = [sample::errors(&mut self.prg, N), sample::errors(&mut self.prg, N)];
        let mut uniform = Prg::new(&seed);
        let (mut rest, mut slots) = (Vec::with_capacity(2 * REST_BYTES), [Vec::new(), Vec::new()]);
        for (i, width) in WIDTHS.iter().enumerate() {
            for (slots, errors) in slots.iter_mut().zip(&errors) {
                let mut row = self.encryption(i, &mut uniform, errors);
                if i < PLAIN {
                    let (p, mut c0) = (&RING.tables[i].p, vec![0; N]);
                    sample::uniform(&mut uniform, p.q, *width, &mut c0);
                    for (x, c0) in row.iter_mut().zip(&c0) {
                        *x = RING.one_over_scale[i].times(p.sub(*c0, *x), p.q);
                    }
                    slots.push(row);
                } else {
                    wire::pack(&row, *width, &mut rest);
                }
            }
        }
        let mut out = Vec::with_capacity(REQUEST_BYTES);
        out.extend_from_slice(&seed);
        let words = slots.map(|slots| split(&slots, &mut out));
        out.append(&mut rest);
        (out, words)
    }

    /// The words a b' + b a' + r of an answer; None when it is malformed.
    pub fn finish(&self, answer: &[u8], count: usize) -> Option<Vec<u64>> {
        let mut bytes = answer;
        let mut uniform = Prg::new(&wire::take_seed(&mut bytes)?);
        let (mut c0, mut c1) = (vec![0; N], vec![vec![0; N]; KEPT]);
        wire::unpack(&mut bytes, WIDTHS[PLAIN], PRIMES[PLAIN], &mut c0)?;
        for (i, row) in c1.iter_mut().enumerate() {
            wire::unpack(&mut bytes, WIDTHS[i], PRIMES[i], row)?;
        }
        if !bytes.is_empty() || count > N {
            return None;
        }
        let small = self.noise(&c0, &mut c1[PLAIN]);
        let mut slots = vec![vec![0; N]; PLAIN];
        for (i, row) in slots.iter_mut().enumerate() {
            let (table, p) = (&RING.tables[i], &RING.tables[i].p);
            sample::uniform(&mut uniform, p.q, WIDTHS[i], row);
            sample::residues(p, &small, &mut c0);
            table.forward(&mut c0);
            row.iter_mut().zip(&c0).for_each(|(x, e)| *x = p.sub(*x, *e));
            table.forward(&mut c1[i]);
            table.add_product(row, &c1[i], &self.secret[i]);
        }
        let mut words = nearest(&slots).0;
        words.truncate(count);
        Some(words)
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
        let mut upper: [[Vec<u64>; 3]; 2] = std::array::from_fn(|_| std::array::from_fn(|_| vec![0; N]));
        for (digits, width) in upper.iter_mut().flat_map(|digits| digits.iter_mut().zip(UPPER)) {
            wire::unpack(&mut bytes, width, 1 << width, digits)?;
        }
        let (lifted_a, lifted_b) = (lifted(a), lifted(b));
        let blind = sample::ternary(&mut self.prg, N);
        let mut out = [Vec::new(), Vec::new()];
        let mut rows: [Vec<u64>; 5] = std::array::from_fn(|_| vec![0; N]);
        for (i, table) in RING.tables.iter().enumerate() {
            let [a0, a1, b0, b1, u] = &mut rows;
            for ((c0, c1), upper) in [(&mut *a0, a1), (&mut *b0, b1)].into_iter().zip(&upper) {
                sample::uniform(&mut uniform, PRIMES[i], WIDTHS[i], c1);
                if i < PLAIN {
                    sample::uniform(&mut uniform, PRIMES[i], WIDTHS[i], c0);
                    lowered(i, c0, upper);
                } else {
                    wire::unpack(&mut bytes, WIDTHS[i], PRIMES[i], c0)?;
                }
            }
            sample::residues(&table.p, &blind, u);
            table.forward(u);
            let [a0, a1, b0, b1, u] = &rows;
            for (part, (ours, theirs)) in [(a0, b0), (a1, b1)].into_iter().enumerate() {
                let mut sum = vec![0; N];
                let terms = [(&ours[..], &lifted_b[i][..]), (theirs, &lifted_a[i]), (u, &self.key[i][part])];
                table.three_products(&mut sum, terms);
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
        Some(self.masked(divided(&out[0], Some(&flood)), &divided(&out[1], None)))
    }

    /// The answer with a mask r that makes c0 modulo T what a public seed says, and -r.
    fn masked(&mut self, mut c0: Vec<Vec<u64>>, c1: &[Vec<u64>]) -> (Vec<u8>, Vec<u64>) {
        RING.tables[..PLAIN].iter().zip(&mut c0).for_each(|(table, row)| table.forward(row));
        let (mut seed, mut words, mut margin) = ([0; 16], Vec::new(), 0.0);
        let mut slots = vec![vec![0; N]; PLAIN];
        // A mask so near to the ends of its range that a product could pass them comes once in 2^24 answers.
        while margin < MARGIN {
            seed = sample::seed(&mut self.prg);
            let mut uniform = Prg::new(&seed);
            for (i, row) in slots.iter_mut().enumerate() {
                let p = &RING.tables[i].p;
                sample::uniform(&mut uniform, p.q, WIDTHS[i], row);
                row.iter_mut().zip(&c0[i]).for_each(|(x, y)| *x = p.sub(*x, *y));
            }
            (words, margin) = nearest(&slots);
        }
        let mut answer = Vec::with_capacity(ANSWER_BYTES);
        answer.extend_from_slice(&seed);
        wire::pack(&c0[PLAIN], WIDTHS[PLAIN], &mut answer);
        c1.iter().zip(WIDTHS).for_each(|(row, width)| wire::pack(row, width, &mut answer));
        words.iter_mut().for_each(|word| *word = word.wrapping_neg());
        (answer, words)
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

/// Coefficients divided by the divisor, rounded, flooded.
fn divided(rows: &[Vec<u64>], flood: Option<&[i64]>) -> Vec<Vec<u64>> {
    let mut kept = vec![vec![0; N]; KEPT];
    convert(&RING.divide, &rows[KEPT..], &mut kept);
    for (i, row) in kept.iter_mut().enumerate() {
        let (p, factor) = (&RING.tables[i].p, RING.one_over_divisor[i]);
        for (r, x) in row.iter_mut().zip(&rows[i]) {
            *r = factor.times(p.sub(*x, *r), p.q);
        }
        if let Some(flood) = flood {
            row.iter_mut().zip(flood).for_each(|(x, g)| *x = p.add(*x, p.small(*g)));
        }
    }
    kept
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
        let mut sides: [Vec<u64>; 2] = std::array::from_fn(|i| words(10 + i as u8));
        for at in 0..EDGES.len().pow(2) {
            for (i, side) in sides.iter_mut().enumerate() {
                side[at] = EDGES[at / EDGES.len().pow(i as u32) % EDGES.len()];
            }
        }
        let constant: [Vec<u64>; 2] = std::array::from_fn(|_| vec![1 << 63; N]);
        for [c, d] in [&sides, &constant] {
            let (request, [a, b]) = holder.request();
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
        let answer = evaluator.answer(&holder.request().0, &words(5), &words(6)).unwrap().0;
        let mut bytes = &answer[16..];
        let (mut c0, mut c1) = (vec![0; N], vec![0; N]);
        wire::unpack(&mut bytes, WIDTHS[PLAIN], PRIMES[PLAIN], &mut c0).unwrap();
        for i in 0..KEPT {
            wire::unpack(&mut bytes, WIDTHS[i], PRIMES[i], &mut c1).unwrap();
        }
        let most = holder.noise(&c0, &mut c1).into_iter().map(i64::abs).max().unwrap();
        // Rounding adds at most 6.5 deviations of 30; half the kept prime is 768 above the flood.
        assert!((FLOOD - 200..FLOOD + 200).contains(&most), "{most}");
    }

    #[test]
    fn malformed_bytes_are_refused() {
        let mut holder = KeyHolder::new(&[1; 16]);
        let public = holder.public_key().to_vec();
        let mut evaluator = Evaluator::new(&[2; 16], &public).unwrap();
        let request = holder.request().0;
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
        for bad in [longer(&answer), answer[1..].to_vec(), full(&answer, 16), full(&answer, ANSWER_BYTES - 6)] {
            assert!(holder.finish(&bad, 1).is_none());
        }
    }
}
