//! Messages that are proved later: products together with what their proofs need (see share/rep3/malicious).
use crate::memory::zeros;
use crate::order::Choice;
use crate::prg::{Prg, CHUNK};
use crate::ring::{cross_add_fast, widened, Pair, Rows};
use crate::ringproof::sums::Reading;

/// A party's component of a product and what it knows of the claims on it: as first verifier, but for the component that
/// it is to receive, and as second verifier, which is what it drew under its own key and the product of what it alone of
/// the two verifiers knows.
pub struct Masked {
    pub own: Vec<u64>,
    pub first: Vec<u64>,
    pub second: Vec<u64>,
}

impl Masked {
    fn new(length: usize) -> Self {
        let [own, first, second] = [length; 3].map(zeros);
        Masked { own, first, second }
    }
}

#[inline(always)]
fn and_rows(x: Pair, y: Pair, out: Three, minus: &[u64]) {
    let (own, first, second) = out;
    let n = own.len();
    let (x0, x1, y0, y1, minus) = (&x.0[..n], &x.1[..n], &y.0[..n], &y.1[..n], &minus[..n]);
    let (first, second) = (&mut first[..n], &mut second[..n]);
    for i in 0..n {
        second[i] ^= x0[i] & y0[i];
        own[i] ^= (x0[i] & y1[i]) ^ (x1[i] & y0[i]) ^ second[i] ^ minus[i];
        first[i] ^= minus[i];
    }
}
type Three<'a> = (&'a mut [u64], &'a mut [u64], &'a mut [u64]);
widened!(and_rows_fast, and_rows, x: Pair, y: Pair, out: Three, minus: &[u64]);

/// x & y, added to what `out` holds.
fn and_into(x: Pair, y: Pair, out: &mut Masked, keys: (&mut Prg, &mut Prg)) {
    let mut minus = [0u64; CHUNK];
    for start in (0..x.0.len()).step_by(CHUNK) {
        let at = start..x.0.len().min(start + CHUNK);
        let minus = &mut minus[..at.len()];
        keys.0.fill(&mut out.second[at.clone()]);
        keys.1.fill(minus);
        and_rows_fast(
            (&x.0[at.clone()], &x.1[at.clone()]),
            (&y.0[at.clone()], &y.1[at.clone()]),
            (&mut out.own[at.clone()], &mut out.first[at.clone()], &mut out.second[at.clone()]),
            minus,
        );
    }
}

/// x & y on words.
pub fn and(x: Pair, y: Pair, mine: &mut Prg, next: &mut Prg) -> Masked {
    let mut out = Masked::new(x.0.len());
    and_into(x, y, &mut out, (mine, next));
    out
}

/// Both components of the factors of a conjunction.
pub struct Factors {
    pub x: (Vec<u64>, Vec<u64>),
    pub y: (Vec<u64>, Vec<u64>),
}

/// As `order::choose_rows`, with the conjunctions that it makes: by & (upper ^ lower) and one & other.
pub fn choose_rows(
    x: (&Rows, &Rows),
    choices: &[Choice],
    unions: &[(u32, u32)],
    mine: &mut Prg,
    next: &mut Prg,
) -> Option<(Factors, Masked)> {
    let (length, count) = (x.0.length(), choices.len() + unions.len());
    let mut out = Masked::new(count * length);
    if out.own.is_empty() {
        return Some((Factors { x: Default::default(), y: Default::default() }, out));
    }
    let halves = (conjuncts(x.0, choices, unions)?, conjuncts(x.1, choices, unions)?);
    let [mut x0, mut x1, mut y0, mut y1] = [count * length; 4].map(zeros);
    let mut minus = [0u64; CHUNK];
    for (row, (one, two)) in halves.0.iter().zip(&halves.1).enumerate() {
        for at in at_most_chunk(length) {
            let place = row * length + at.start..row * length + at.end;
            let minus = &mut minus[..at.len()];
            let (own, first) = (&mut out.own[place.clone()], &mut out.first[place.clone()]);
            one.write(at.clone(), &mut x0[place.clone()], &mut y0[place.clone()], own);
            two.write(at, &mut x1[place.clone()], &mut y1[place.clone()], first);
            mine.fill(&mut out.second[place.clone()]);
            next.fill(minus);
            let (x, y) = ((&x0[place.clone()], &x1[place.clone()]), (&y0[place.clone()], &y1[place.clone()]));
            and_rows_fast(x, y, (own, first, &mut out.second[place]), minus);
        }
    }
    Some((Factors { x: (x0, x1), y: (y0, y1) }, out))
}

/// One component of the rows of one conjunction and of what is linear in it, each a row or the sum of two.
struct Conjunct<'a> {
    left: &'a [u64],
    right: (&'a [u64], Option<&'a [u64]>),
    linear: (&'a [u64], Option<&'a [u64]>),
}

fn conjuncts<'a>(rows: &Rows<'a>, choices: &[Choice], unions: &[(u32, u32)]) -> Option<Vec<Conjunct<'a>>> {
    let row = |number: u32| rows.row(number as usize);
    let choices = choices.iter().map(|(by, upper, lower)| {
        let (left, upper, lower) = (row(*by)?, row(*upper)?, row(*lower)?);
        Some(Conjunct { left, right: (upper, Some(lower)), linear: (lower, None) })
    });
    let unions = unions.iter().map(|(one, other)| {
        let (one, other) = (row(*one)?, row(*other)?);
        Some(Conjunct { left: one, right: (other, None), linear: (one, Some(other)) })
    });
    choices.chain(unions).collect()
}

impl Conjunct<'_> {
    fn write(&self, at: std::ops::Range<usize>, left: &mut [u64], right: &mut [u64], linear: &mut [u64]) {
        left.copy_from_slice(&self.left[at.clone()]);
        for (out, (one, other)) in [(right, self.right), (linear, self.linear)] {
            let one = &one[at.clone()];
            match other {
                None => out.copy_from_slice(one),
                Some(other) => {
                    let words = one.iter().zip(&other[at.clone()]);
                    out.iter_mut().zip(words).for_each(|(out, (one, other))| *out = one ^ other);
                }
            }
        }
    }
}

#[inline(always)]
fn carry_rows(x: &[u64], y: &[u64], mask: &[u64], out: &mut [u64]) {
    for (((out, x), y), mask) in out.iter_mut().zip(x).zip(y).zip(mask) {
        *out = ((x & y) | ((x | y) & !x.wrapping_add(*y))) ^ mask;
    }
}
widened!(carry_rows_fast, carry_rows, x: &[u64], y: &[u64], mask: &[u64], out: &mut [u64]);

/// Bit i: the carry out of bit i of x + y, masked.
pub fn carries(x: &[u64], y: &[u64], mask: &[u64]) -> Vec<u64> {
    let mut out = zeros(x.len());
    carry_rows_fast(x, y, mask, &mut out);
    out
}

#[inline(always)]
fn part_rows(x: &[u64], c: &[u64], out: (&mut [u64], &mut [u64])) {
    for ((sum, into), (x, c)) in out.0.iter_mut().zip(out.1).zip(x.iter().zip(c)) {
        *into = c << 1;
        *sum = x ^ *into;
    }
}
widened!(part_rows_fast, part_rows, x: &[u64], c: &[u64], out: (&mut [u64], &mut [u64]));

/// One of two summands x and its share c of the carries: (its share of the sum's bits, the share of the carries into each
/// bit).
pub fn carry_part(x: &[u64], c: &[u64]) -> [Vec<u64>; 2] {
    let [mut sum, mut into] = [x.len(); 2].map(zeros);
    part_rows_fast(x, c, (&mut sum, &mut into));
    [sum, into]
}

#[inline(always)]
fn known_rows(c: &[u64], out: &mut [u64]) {
    for (out, c) in out.iter_mut().zip(c) {
        *out = c ^ (c << 1);
    }
}
widened!(known_rows_fast, known_rows, c: &[u64], out: &mut [u64]);

/// A share's summand of the claim that the carries, of which c is the share, are those of a sum.
pub fn carry_known(c: &[u64]) -> Vec<u64> {
    let mut out = zeros(c.len());
    known_rows_fast(c, &mut out);
    out
}

#[inline(always)]
fn top_rows(u: &[u64], product: &[u64], turn: usize, out: &mut [u64]) {
    for ((out, u), product) in out.iter_mut().zip(u).zip(product) {
        *out = ((u >> 63) << turn).wrapping_sub(product << 1);
    }
}
widened!(top_rows_fast, top_rows, u: &[u64], product: &[u64], turn: usize, out: &mut [u64]);

/// Bit 63 of u times 2^turn, less twice the product's share: one of two shares of the XOR of two top bits, as an integer.
pub fn top_part(u: &[u64], product: &[u64], turn: usize) -> Vec<u64> {
    let mut out = zeros(u.len());
    top_rows_fast(u, product, turn, &mut out);
    out
}

/// A summand of a sum with what belongs to it: its share of the carries, of the products of both shares' bits, of the
/// sum's top bit, and of that top bit's product with the third component's.
pub struct Summand<'a> {
    pub x: &'a [u64],
    pub carries: &'a [u64],
    pub added: &'a [u64],
    pub top: &'a [u64],
    pub wrapped: &'a [u64],
}

#[inline(always)]
fn summand_rows(s: &Summand, f: usize, out: &mut [u64]) {
    let n = out.len();
    let (x, c, added, top, wrapped) = (&s.x[..n], &s.carries[..n], &s.added[..n], &s.top[..n], &s.wrapped[..n]);
    for i in 0..n {
        let plain = (x[i] >> f).wrapping_add(c[i] >> (f - 1) & 1).wrapping_sub((c[i] >> 63) << (64 - f));
        out[i] = plain.wrapping_add(added[i]).wrapping_sub(top[i]).wrapping_add(wrapped[i]);
    }
}
widened!(summand_rows_fast, summand_rows, s: &Summand, f: usize, out: &mut [u64]);

impl Summand<'_> {
    /// Its component of the sum's quotient by 2^f.
    pub fn truncated(&self, f: usize) -> Vec<u64> {
        let mut out = zeros(self.x.len());
        summand_rows_fast(self, f, &mut out);
        out
    }
}

#[inline(always)]
fn known_part_rows(words: [&[u64]; 3], f: usize, offset: u64, out: &mut [u64]) {
    let n = out.len();
    let [b, one, two] = words.map(|words| &words[..n]);
    for i in 0..n {
        let plain = (b[i] >> f).wrapping_sub((b[i] >> 63) << (64 - f)).wrapping_sub(offset >> f);
        out[i] = plain.wrapping_add(one[i]).wrapping_add(two[i]);
    }
}
widened!(known_part_fast, known_part_rows, words: [&[u64]; 3], f: usize, offset: u64, out: &mut [u64]);

/// The third component b's part: its quotient less its top bit's wrap and an offset's quotient, and two summands.
pub fn truncated_known(b: &[u64], one: &[u64], two: &[u64], f: usize, offset: u64) -> Vec<u64> {
    let mut out = zeros(b.len());
    known_part_fast([b, one, two], f, offset, &mut out);
    out
}

fn at_most_chunk(length: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    (0..length).step_by(CHUNK).map(move |start| start..length.min(start + CHUNK))
}

/// x * y: the own component, and what was drawn under both keys.
pub fn multiply(x: Pair, y: Pair, mine: &mut Prg, next: &mut Prg) -> [Vec<u64>; 3] {
    let [mut own, mut plus, mut minus] = [x.0.len(); 3].map(zeros);
    for at in at_most_chunk(x.0.len()) {
        mine.fill(&mut plus[at.clone()]);
        next.fill(&mut minus[at.clone()]);
        let (x, y) = ((&x.0[at.clone()], &x.1[at.clone()]), (&y.0[at.clone()], &y.1[at.clone()]));
        cross_add_fast(&mut own[at.clone()], x, y, &plus[at.clone()], &minus[at]);
    }
    [own, plus, minus]
}

#[inline(always)]
fn dot_rows(left: &[u64], right: &[u64], out: &mut [u64]) {
    for ((out, left), right) in out.iter_mut().zip(left).zip(right) {
        *out = out.wrapping_add(left.wrapping_mul(*right));
    }
}
widened!(dot_rows_fast, dot_rows, left: &[u64], right: &[u64], out: &mut [u64]);

/// Sums of products of readings, terms a vector of results after the other, less `drawn`.
pub fn dot(left: &[Reading], right: &[Reading], drawn: &[u64]) -> Vec<u64> {
    let mut out = zeros(drawn.len());
    let [mut one, mut other] = [[0u64; CHUNK]; 2];
    for at in at_most_chunk(drawn.len()) {
        let out = &mut out[at.clone()];
        out.iter_mut().zip(&drawn[at.clone()]).for_each(|(out, drawn)| *out = drawn.wrapping_neg());
        for (left, right) in left.iter().zip(right) {
            for term in (0..left.words.len()).step_by(drawn.len()) {
                let place = term + at.start..term + at.end;
                let (x, y) = (left.read(place.clone(), &mut one), right.read(place, &mut other));
                dot_rows_fast(x, y, out);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ringproof::fold::Bit;

    fn drawn(seed: u8, n: usize) -> Vec<u64> {
        let mut words = vec![0; n];
        Prg::new(&[seed; 16]).fill(&mut words);
        words[..6.min(n)].copy_from_slice(&[0, u64::MAX, 1, 1 << 63, (1 << 63) - 1, 1 << 20][..6.min(n)]);
        words
    }

    #[test]
    fn choices_come_with_the_conjunctions_they_are() {
        let length = 70;
        let (one, two) = (drawn(1, 4 * length), drawn(2, 4 * length));
        let rows = (Rows::new(vec![&one], length), Rows::new(vec![&two], length));
        let keys = || (Prg::new(&[3; 16]), Prg::new(&[4; 16]));
        let (choices, unions) = ([(0, 1, 2), (3, 2, 1)], [(0, 3)]);
        let (mut mine, mut next) = keys();
        let (factors, masked) = choose_rows((&rows.0, &rows.1), &choices, &unions, &mut mine, &mut next).unwrap();
        let (mut mine, mut next) = keys();
        let plain = crate::order::choose_rows((&rows.0, &rows.1), &choices, &unions, &mut mine, &mut next).unwrap();
        assert_eq!(masked.own, plain);
        let (x, y) = ((&factors.x.0[..], &factors.x.1[..]), (&factors.y.0[..], &factors.y.1[..]));
        let (mut mine, mut next) = keys();
        let bare = and(x, y, &mut mine, &mut next);
        assert_eq!(bare.second, masked.second);
        // what is linear stands in both: by the own components and by the next ones
        for i in 0..length {
            assert_eq!(bare.own[i] ^ masked.own[i], one[2 * length + i]);
            assert_eq!(bare.first[i] ^ masked.first[i], two[2 * length + i]);
            let end = 2 * length + i;
            assert_eq!(bare.first[end] ^ masked.first[end], two[i] ^ two[3 * length + i]);
        }
    }

    #[test]
    fn terms_stand_a_vector_of_results_after_the_other() {
        let (left, right, drawn) = (drawn(1, 2100), drawn(2, 2100), drawn(3, 700));
        let whole = |words| Reading { words, bit: None };
        for (t, sum) in dot(&[whole(&left)], &[whole(&right)], &drawn).into_iter().enumerate() {
            let terms = (0..3).map(|l| left[700 * l + t].wrapping_mul(right[700 * l + t]));
            assert_eq!(sum.wrapping_add(drawn[t]), terms.fold(0, |sum: u64, term| sum.wrapping_add(term)));
        }
        assert!(dot(&[], &[], &[]).is_empty());
    }

    #[test]
    fn a_sum_is_split_into_shares_that_satisfy_the_claim() {
        let (x, y, mask) = (drawn(1, 300), drawn(2, 300), drawn(3, 300));
        let (c, other) = (carries(&x, &y, &[0; 300]), carries(&x, &y, &mask));
        let ([u, s], [v, t]) = (carry_part(&x, &mask), carry_part(&y, &other));
        let (first, second) = (carry_known(&mask), carry_known(&other));
        for i in 0..300 {
            assert_eq!(u128::from(c[i] >> 63), (u128::from(x[i]) + u128::from(y[i])) >> 64);
            assert_eq!(u[i] ^ v[i], x[i].wrapping_add(y[i]));
            assert_eq!((u[i] ^ t[i]) & (s[i] ^ v[i]), first[i] ^ second[i]);
        }
        for f in [1, 20, 62] {
            let bit = |words, at, value| Reading { words, bit: Some(Bit { at, value }) };
            let (place, turn) = (f as u32 - 1, 64 - f);
            let wraps = if f > 1 { 1 << (turn + 1) } else { 0 };
            let zero = vec![0; 300];
            let lefts = [bit(&mask, place, 1), bit(&mask, 63, 1)];
            let added = dot(&lefts, &[bit(&other, place, u64::MAX - 1), bit(&other, 63, wraps)], &first);
            let top = dot(&[bit(&u, 63, 1 << turn)], &[bit(&v, 63, 1)], &second);
            let (h, k) = (top_part(&u, &second, turn), top_part(&v, &top, turn));
            let part = |x, carries, added| Summand { x, carries, added, top: &zero, wrapped: &zero }.truncated(f);
            let (one, two) = (part(&x, &mask, &first), part(&y, &other, &added));
            for i in 0..300 {
                assert_eq!(one[i].wrapping_add(two[i]), x[i].wrapping_add(y[i]) >> f);
                assert_eq!(h[i].wrapping_add(k[i]), (x[i].wrapping_add(y[i]) >> 63) << turn);
            }
        }
    }
}
