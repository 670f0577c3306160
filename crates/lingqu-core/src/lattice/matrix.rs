//! Products of matrices of 64-bit words: one party encrypts the left one, the other multiplies by its right one.
//!
//! Coefficient packing after Cheetah (Huang et al., USENIX Security 2022, section 3.1), plaintext modulus 2^64. The row is
//! the lowest digit of an exponent, so the right matrix lies in a polynomial in X^run: its transform has `deep * wide`
//! different values only, and a product of matrices of ciphertexts and plaintexts is one of numbers for each of them.
use super::basis::product_but;
use super::field::{inverse_mod, pow_mod, Factor, Prime};
use super::ntt::Table;
use super::sample;
use super::sizes::Sizes;
use super::wire;
use crate::prg::Prg;
use std::sync::LazyLock;

/// The degree of the ring.
pub const N: usize = 8192;
/// The primes of q, all just below 2^50.
pub const PRIMES: [u64; 4] =
    [1_125_899_906_826_241, 1_125_899_906_629_633, 1_125_899_905_744_897, 1_125_899_905_351_681];
const WIDTH: u32 = 50;
const ALL: usize = PRIMES.len();
/// Answers are modulo 2^80: a word above 16 bits of noise.
const KEPT: u32 = 80;
const NOISE: u32 = KEPT - 64;
pub const KEPT_BYTES: usize = KEPT as usize / 8;
/// Noise added to an answer, in its last place; with rounding it stays below 2^15.
pub const FLOOD: i64 = 32_000;
/// Bytes of one polynomial modulo q.
pub const FULL_BYTES: usize = N / 8 * 200;
pub const KEY_BYTES: usize = 16 + ALL * wire::packed(N, WIDTH);

struct Ring {
    tables: Vec<Table>,
    /// q modulo 2^64, and -2^-64 modulo the primes: from a word to q / 2^64 of it.
    whole: u64,
    scale: Vec<Factor>,
    /// 1 / (q / q_i) mod q_i, and 2^128 / q_i with 64 bits of fraction.
    digits: Vec<Factor>,
    fractions: Vec<(u128, u64)>,
    /// 2^64 modulo the first two primes, and 1 / q_0 modulo q_1.
    wrap: [Factor; 2],
    one_over_first: Factor,
}

static RING: LazyLock<Ring> = LazyLock::new(|| {
    let tables: Vec<Table> = PRIMES.iter().map(|q| Table::new(N, *q)).collect();
    let primes: Vec<Prime> = tables.iter().map(|table| table.p).collect();
    let two_64 = |p: &Prime| pow_mod(2, 64, p.q);
    let fraction = |q: u64| {
        let (whole, rest) = (u128::MAX / u128::from(q), u128::MAX % u128::from(q) + 1);
        (whole, ((rest << 64) / u128::from(q)) as u64)
    };
    let digit = |i: usize| primes[i].factor(inverse_mod(product_but(&primes, i, PRIMES[i]), PRIMES[i]));
    Ring {
        whole: PRIMES.iter().fold(1, |product, q| product.wrapping_mul(*q)),
        scale: primes.iter().map(|p| p.factor(p.q - inverse_mod(two_64(p), p.q))).collect(),
        digits: (0..ALL).map(digit).collect(),
        fractions: PRIMES.iter().map(|q| fraction(*q)).collect(),
        wrap: [primes[0].factor(two_64(&primes[0])), primes[1].factor(two_64(&primes[1]))],
        one_over_first: primes[1].factor(inverse_mod(PRIMES[0] % PRIMES[1], PRIMES[1])),
        tables,
    }
});

/// The party that encrypts left matrices; the other one is an `Evaluator`.
pub struct KeyHolder {
    prg: Prg,
    /// s (modulo the first two primes) and -s transformed, in Montgomery's form.
    secret: Vec<Vec<u64>>,
    negated: Vec<Vec<u64>>,
    public: Vec<u8>,
}

impl KeyHolder {
    /// A fresh key from a fresh seed.
    pub fn new(seed: &[u8; 16]) -> Self {
        let mut prg = Prg::new(seed);
        let small = sample::ternary(&mut prg, N);
        let (mut secret, mut negated) = (Vec::new(), Vec::new());
        for table in &RING.tables {
            let mut row = vec![0; N];
            sample::residues(&table.p, &small, &mut row);
            table.forward(&mut row);
            row.iter_mut().for_each(|x| *x = table.p.mont.times(*x, table.p.q));
            negated.push(row.iter().map(|x| table.p.sub(0, *x)).collect());
            secret.push(row);
        }
        let mut holder = KeyHolder { prg, secret, negated, public: Vec::with_capacity(KEY_BYTES) };
        let seed = sample::seed(&mut holder.prg);
        let mut public = seed.to_vec();
        holder.encrypt(&[], &mut Prg::new(&seed), &mut public);
        holder.public = public;
        holder
    }

    pub fn public_key(&self) -> &[u8] {
        &self.public
    }

    /// Append c0 of an encryption of the words as coefficients (none: of zero) whose c1 is the generator's next.
    fn encrypt(&mut self, words: &[u64], uniform: &mut Prg, out: &mut Vec<u8>) {
        let errors = sample::errors(&mut self.prg, N);
        let (mut row, mut c1) = (vec![0; N], vec![0; N]);
        for (i, table) in RING.tables.iter().enumerate() {
            let (p, scale) = (&table.p, RING.scale[i]);
            sample::residues(p, &errors, &mut row);
            for (x, word) in row.iter_mut().zip(words) {
                *x = p.add(*x, scale.times(p.signed(word.wrapping_mul(RING.whole)), p.q));
            }
            table.forward(&mut row);
            sample::uniform(uniform, p.q, WIDTH, &mut c1);
            table.add_product(&mut row, &c1, &self.negated[i]);
            wire::pack(&row, WIDTH, out);
        }
    }

    /// Encryptions of a left matrix, rows x inner by rows: `Sizes::request_bytes`.
    pub fn request(&mut self, left: &[u64], sizes: &Sizes) -> Vec<u8> {
        let seed = sample::seed(&mut self.prg);
        let mut uniform = Prg::new(&seed);
        let mut out = Vec::with_capacity(sizes.request_bytes());
        out.extend_from_slice(&seed);
        let mut words = vec![0u64; N];
        for block in 0..sizes.ciphertexts() {
            words.fill(0);
            let (first, end) = (block * sizes.deep, ((block + 1) * sizes.deep).min(sizes.inner));
            for (row, values) in left.chunks_exact(sizes.inner).enumerate() {
                for (digit, value) in values[first..end].iter().enumerate() {
                    words[row + sizes.run * digit] = *value;
                }
            }
            self.encrypt(&words, &mut uniform, &mut out);
        }
        out
    }

    /// This party's words of the product from an answer, by rows of the group's columns; None when it is malformed.
    pub fn finish(&self, answer: &[u8], sizes: &Sizes, group: usize) -> Option<Vec<u64>> {
        if answer.len() != sizes.answer_bytes(group) {
            return None;
        }
        let ((first, end), (from, to)) = (sizes.group(group), sizes.columns_of(group));
        let mut bytes = answer;
        let mut out = vec![0u64; sizes.rows * (to - from)];
        Prg::new(&wire::take_seed(&mut bytes)?).fill(&mut out);
        for block in first..end {
            let (c1, rest) = bytes.split_at(KEPT_BYTES * N);
            bytes = rest;
            let products = self.times_secret(c1);
            for column in block * sizes.wide..((block + 1) * sizes.wide).min(sizes.columns) {
                for row in 0..sizes.rows {
                    let (noise, rest) = bytes.split_first_chunk::<2>()?;
                    bytes = rest;
                    let word = &mut out[row * (to - from) + column - from];
                    let value = u128::from(*word) << NOISE | u128::from(u16::from_le_bytes(*noise));
                    let phase = value.wrapping_add(self.centred(&products, sizes.exponent(row, column)));
                    *word = (phase.wrapping_add(1 << (NOISE - 1)) >> NOISE) as u64;
                }
            }
        }
        Some(out)
    }

    /// c1 s over the integers, by its residues modulo the first two primes.
    fn times_secret(&self, c1: &[u8]) -> [Vec<u64>; 2] {
        std::array::from_fn(|i| {
            let (table, mut row, mut product) = (&RING.tables[i], vec![0; N], vec![0; N]);
            let p = &table.p;
            for (x, bytes) in row.iter_mut().zip(c1.chunks_exact(KEPT_BYTES)) {
                let value = kept(bytes);
                let top = (value >> 64) as i16;
                *x = p.add(p.word(value as u64), RING.wrap[i].times(p.small(top.into()), p.q));
            }
            table.forward(&mut row);
            table.add_product(&mut product, &row, &self.secret[i]);
            table.inverse(&mut product, false);
            product
        })
    }

    /// One coefficient as an integer, modulo 2^128.
    fn centred(&self, residues: &[Vec<u64>; 2], at: usize) -> u128 {
        let (p, modulus) = (&RING.tables[1].p, u128::from(PRIMES[0]) * u128::from(PRIMES[1]));
        let low = residues[0][at];
        let difference = p.sub(residues[1][at], super::field::once(low, p.q));
        let high = RING.one_over_first.times(difference, p.q);
        let value = u128::from(low) + u128::from(PRIMES[0]) * u128::from(high);
        let above = ((modulus / 2).wrapping_sub(value) as i128 >> 127) as u128;
        value.wrapping_sub(modulus & above)
    }
}

/// A value modulo 2^80.
fn kept(bytes: &[u8]) -> u128 {
    let mut wide = [0u8; 16];
    wide[..KEPT_BYTES].copy_from_slice(bytes);
    u128::from_le_bytes(wide)
}

/// The ciphertexts of a request: for each prime, block and part, N values.
pub struct Left {
    pub sizes: Sizes,
    values: Vec<u64>,
}

impl Left {
    /// None when the request is malformed.
    pub fn parse(request: &[u8], sizes: &Sizes) -> Option<Self> {
        if request.len() != sizes.request_bytes() {
            return None;
        }
        let mut bytes = request;
        let mut uniform = Prg::new(&wire::take_seed(&mut bytes)?);
        let count = sizes.ciphertexts();
        let mut values = vec![0; ALL * count * 2 * N];
        for block in 0..count {
            for (i, q) in PRIMES.iter().enumerate() {
                let (c0, c1) = values[(i * count + block) * 2 * N..][..2 * N].split_at_mut(N);
                wire::unpack(&mut bytes, WIDTH, *q, c0)?;
                sample::uniform(&mut uniform, *q, WIDTH, c1);
            }
        }
        Some(Left { sizes: *sizes, values })
    }

    /// `width` values from a place, of one prime and part, of all blocks.
    fn gather(&self, (i, part): (usize, usize), at: usize, width: usize, out: &mut [u64]) {
        let count = self.sizes.ciphertexts();
        for (block, out) in out.chunks_exact_mut(width).enumerate() {
            out.copy_from_slice(&self.values[((i * count + block) * 2 + part) * N + at..][..width]);
        }
    }
}

/// One group of columns of a right matrix, transformed: by primes, values, rows of blocks, columns of blocks.
pub struct Right {
    sizes: Sizes,
    group: usize,
    values: Vec<u64>,
}

impl Right {
    /// right: inner x columns, by rows.
    pub fn new(right: &[u64], sizes: &Sizes, group: usize) -> Self {
        Right { sizes: *sizes, group, values: transformed(right, sizes, group) }
    }

    /// Whether both matrices are laid out for the same product; the left one's rows may be fewer.
    pub fn fits(&self, left: &Left) -> bool {
        let key = |s: &Sizes| (s.inner, s.columns, s.run, s.deep, s.wide);
        key(&self.sizes) == key(&left.sizes)
    }
}

fn transformed(right: &[u64], sizes: &Sizes, group: usize) -> Vec<u64> {
    let (values, count) = (sizes.deep * sizes.wide, sizes.ciphertexts());
    let (first, end) = sizes.group(group);
    let together = end - first;
    let mut out = vec![0u64; ALL * values * count * together];
    let mut short = vec![0u64; values];
    for (i, table) in RING.tables.iter().enumerate() {
        for block in 0..count {
            for j in first..end {
                short.fill(0);
                let columns = j * sizes.wide..((j + 1) * sizes.wide).min(sizes.columns);
                for row in block * sizes.deep..((block + 1) * sizes.deep).min(sizes.inner) {
                    for column in columns.clone() {
                        let place = column % sizes.wide * sizes.deep + sizes.deep - 1 - row % sizes.deep;
                        short[place] = table.p.signed(right[row * sizes.columns + column]);
                    }
                }
                table.forward(&mut short);
                for (value, x) in short.iter().enumerate() {
                    out[((i * values + value) * count + block) * together + j - first] = *x;
                }
            }
        }
    }
    out
}

/// The party that multiplies under the other one's key.
pub struct Evaluator {
    prg: Prg,
    /// The public key times 2^-52, so that a product with it carries 2^-104, as sums of products do.
    key: Vec<[Vec<u64>; 2]>,
}

impl Evaluator {
    /// None when the public key is malformed.
    pub fn new(seed: &[u8; 16], public: &[u8]) -> Option<Self> {
        let mut bytes = public;
        let mut uniform = Prg::new(&wire::take_seed(&mut bytes)?);
        let mut key = Vec::new();
        for table in &RING.tables {
            let mut parts = [vec![0; N], vec![0; N]];
            wire::unpack(&mut bytes, WIDTH, table.p.q, &mut parts[0])?;
            sample::uniform(&mut uniform, table.p.q, WIDTH, &mut parts[1]);
            parts.iter_mut().flatten().for_each(|x| *x = table.p.montgomery(*x, 1));
            key.push(parts);
        }
        bytes.is_empty().then(|| Evaluator { prg: Prg::new(seed), key })
    }

    /// The answer for one group of columns, and this party's words of the product there, by rows.
    pub fn answer(&mut self, left: &Left, right: &Right) -> (Vec<u8>, Vec<u64>) {
        let (sizes, group) = (&left.sizes, right.group);
        let ((first, end), (from, to)) = (sizes.group(group), sizes.columns_of(group));
        let mut products = multiplied(left, right);
        let mut answer = Vec::with_capacity(sizes.answer_bytes(group));
        let seed = sample::seed(&mut self.prg);
        answer.extend_from_slice(&seed);
        // The masks are what makes the words of c0 those of the public seed.
        let mut share = vec![0u64; sizes.rows * (to - from)];
        Prg::new(&seed).fill(&mut share);
        for (block, rows) in (first..end).zip(products.chunks_exact_mut(2 * ALL * N)) {
            self.blind(rows);
            let (c0, c1) = rows.split_at(ALL * N);
            (0..N).for_each(|at| answer.extend_from_slice(&switched(c1, at).to_le_bytes()[..KEPT_BYTES]));
            let columns = block * sizes.wide..((block + 1) * sizes.wide).min(sizes.columns);
            let mut flood = sample::flood(&mut self.prg, columns.len() * sizes.rows, FLOOD).into_iter();
            for column in columns {
                for (row, noise) in (0..sizes.rows).zip(&mut flood) {
                    let value = switched(c0, sizes.exponent(row, column)).wrapping_add(noise as u128);
                    answer.extend_from_slice(&(value as u16).to_le_bytes());
                    let word = &mut share[row * (to - from) + column - from];
                    *word = ((value >> NOISE) as u64).wrapping_sub(*word);
                }
            }
        }
        (answer, share)
    }

    /// Add an encryption of zero to the values of one answer, and turn them to coefficients.
    fn blind(&mut self, rows: &mut [u64]) {
        let small = sample::ternary(&mut self.prg, N);
        let errors = sample::errors(&mut self.prg, N);
        let mut u = vec![0; N];
        for (i, table) in RING.tables.iter().enumerate() {
            sample::residues(&table.p, &small, &mut u);
            table.forward(&mut u);
            for part in 0..2 {
                let row = &mut rows[(part * ALL + i) * N..][..N];
                table.add_product(row, &u, &self.key[i][part]);
                table.inverse(row, true);
                if part == 1 {
                    row.iter_mut().zip(&errors).for_each(|(x, e)| *x = table.p.add(*x, table.p.small(*e)));
                }
            }
        }
    }
}

/// Sums of products of ciphertexts and plaintexts, times 2^-104: for each column of blocks and part, a row a prime.
fn multiplied(left: &Left, right: &Right) -> Vec<u64> {
    let sizes = &left.sizes;
    let (values, count, width) = (sizes.deep * sizes.wide, sizes.ciphertexts(), sizes.run.min(16));
    let (first, end) = sizes.group(right.group);
    let together = end - first;
    let mut out = vec![0u64; together * 2 * ALL * N];
    let (mut rows, mut sums) = (vec![0; count * width], vec![0; together * width]);
    for (i, table) in RING.tables.iter().enumerate() {
        for value in 0..values {
            let scalars = &right.values[(i * values + value) * count * together..][..count * together];
            for at in (value * sizes.run..(value + 1) * sizes.run).step_by(width) {
                for part in 0..2 {
                    left.gather((i, part), at, width, &mut rows);
                    table.gemm(&mut sums, &rows, scalars, width);
                    for (j, sums) in sums.chunks_exact(width).enumerate() {
                        out[((j * 2 + part) * ALL + i) * N + at..][..width].copy_from_slice(sums);
                    }
                }
            }
        }
    }
    out
}

/// One coefficient of all primes, times 2^80 / q, rounded, modulo 2^80.
fn switched(rows: &[u64], at: usize) -> u128 {
    let mut sum = 1u128 << (127 - KEPT);
    for i in 0..ALL {
        let digit = u128::from(RING.digits[i].times(rows[i * N + at], PRIMES[i]));
        let (whole, rest) = RING.fractions[i];
        sum = sum.wrapping_add(whole.wrapping_mul(digit)).wrapping_add((u128::from(rest) * digit) >> 64);
    }
    sum >> (128 - KEPT)
}

#[cfg(test)]
mod tests {
    use super::super::field::mul_mod;
    use super::*;
    use crate::ring;

    const EDGES: [u64; 6] = [0, 1, u64::MAX, 1 << 63, (1 << 63) - 1, 0x5555_5555_5555_5555];

    fn words(key: u8, n: usize) -> Vec<u64> {
        let mut words = vec![0; n];
        Prg::new(&[key; 16]).fill(&mut words);
        words
    }

    fn check(holder: &mut KeyHolder, evaluator: &mut Evaluator, sizes: &Sizes, x: &[u64], y: &[u64]) {
        let request = holder.request(x, sizes);
        assert_eq!(request.len(), sizes.request_bytes());
        let left = Left::parse(&request, sizes).unwrap();
        let all = ring::Sizes { rows: sizes.rows, inner: sizes.inner, columns: sizes.columns, turned: false };
        let expected = ring::matmul(x, y, all);
        for group in 0..sizes.groups() {
            let (answer, share) = evaluator.answer(&left, &Right::new(y, sizes, group));
            assert_eq!(answer.len(), sizes.answer_bytes(group));
            assert!(holder.finish(&answer[1..], sizes, group).is_none());
            let found = holder.finish(&answer, sizes, group).unwrap();
            let (from, to) = sizes.columns_of(group);
            for row in 0..sizes.rows {
                for column in from..to {
                    let at = row * (to - from) + column - from;
                    assert_eq!(found[at].wrapping_add(share[at]), expected[row * sizes.columns + column]);
                }
            }
        }
    }

    #[test]
    fn products_are_exact() {
        let mut holder = KeyHolder::new(&[1; 16]);
        let mut evaluator = Evaluator::new(&[2; 16], holder.public_key()).unwrap();
        assert_eq!(holder.public_key().len(), KEY_BYTES);
        for (rows, inner, columns, run, deep, wide) in [
            (8, 9, 5, 8, 32, 32),
            (1, 1, 1, 8, 1024, 1),
            (60, 40, 3, 64, 16, 8),
            (8192, 3, 2, 8192, 1, 1),
            (1000, 17, 4, 1024, 4, 2),
            (16, 5, 101, 4096, 1, 2),
        ] {
            let sizes = Sizes { rows, inner, columns, run, deep, wide };
            assert!(sizes.valid());
            let (x, y) = (words(5, rows * inner), words(6, inner * columns));
            check(&mut holder, &mut evaluator, &sizes, &x, &y);
            for edge in EDGES {
                check(&mut holder, &mut evaluator, &sizes, &vec![edge; rows * inner], &vec![EDGES[3]; inner * columns]);
            }
        }
    }

    #[test]
    fn noise_keeps_its_bounds() {
        let mut holder = KeyHolder::new(&[1; 16]);
        let mut evaluator = Evaluator::new(&[2; 16], holder.public_key()).unwrap();
        let sizes = Sizes { rows: 64, inner: 4096, columns: 8, run: 64, deep: 16, wide: 8 };
        let (x, y) = (words(5, 64 * 4096), words(6, 4096 * 8));
        let left = Left::parse(&holder.request(&x, &sizes), &sizes).unwrap();
        let (answer, share) = evaluator.answer(&left, &Right::new(&y, &sizes, 0));
        let product = ring::matmul(&x, &y, ring::Sizes { rows: 64, inner: 4096, columns: 8, turned: false });
        let secret = holder.times_secret(&answer[16..16 + KEPT_BYTES * N]);
        let mut drawn = vec![0; 64 * 8];
        Prg::new(answer.first_chunk().unwrap()).fill(&mut drawn);
        let mut most = 0;
        for (at, low) in answer[16 + KEPT_BYTES * N..].chunks_exact(2).enumerate() {
            let (row, column) = (at % 64, at / 64);
            let value = u128::from(drawn[row * 8 + column]) << NOISE | u128::from(low[0]) | u128::from(low[1]) << 8;
            let phase = value.wrapping_add(holder.centred(&secret, sizes.exponent(row, column)));
            let word = product[row * 8 + column].wrapping_sub(share[row * 8 + column]);
            let noise = phase.wrapping_sub(u128::from(word) << NOISE) << (128 - KEPT);
            most = most.max((noise as i128 >> (128 - KEPT)).unsigned_abs());
        }
        // 512 draws come near the flood's bound; rounding adds at most 6.5 deviations of 21, and half a unit is 768 off.
        assert!((FLOOD as u128 - 1500..FLOOD as u128 + 140).contains(&most), "{most}");
    }

    #[test]
    fn malformed_bytes_are_refused() {
        let holder = KeyHolder::new(&[1; 16]);
        let public = holder.public_key();
        assert!(Evaluator::new(&[2; 16], &public[1..]).is_none());
        assert!(Evaluator::new(&[2; 16], &[public, &[0]].concat()).is_none());
        assert!(Evaluator::new(&[2; 16], &vec![0xff; KEY_BYTES]).is_none());
        let sizes = Sizes { rows: 1, inner: 1, columns: 1, run: 8, deep: 1024, wide: 1 };
        assert!(Left::parse(&vec![0xff; sizes.request_bytes()], &sizes).is_none());
        assert!(Left::parse(&vec![0; sizes.request_bytes() + 1], &sizes).is_none());
        assert!(Left::parse(&vec![0; sizes.request_bytes()], &sizes).is_some());
    }

    #[test]
    fn fractions_are_exact_to_a_unit() {
        let zero = vec![0; ALL * N];
        assert_eq!(switched(&zero, 0), 0);
        let mut half = vec![0; ALL * N];
        // q_1 q_2 q_3 / q = 1 / q_0
        half[0] = PRIMES[1..].iter().fold(1, |x, q| mul_mod(x, q % PRIMES[0], PRIMES[0]));
        let expected = ((1u128 << KEPT) + u128::from(PRIMES[0]) / 2) / u128::from(PRIMES[0]);
        assert_eq!(switched(&half, 0), expected);
    }
}
