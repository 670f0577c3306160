use super::*;
use crate::prg::Prg;

fn drawn(seed: u8, n: usize) -> Vec<u64> {
    let mut words = vec![0; n];
    Prg::new(&[seed; 16]).fill(&mut words);
    words
}

/// The product by its definition, bit by bit.
fn slow(x: u64, y: u64) -> u64 {
    (0..64).rev().fold(0, |sum, bit| doubled(sum) ^ (if y >> bit & 1 == 1 { x } else { 0 }))
}

#[test]
fn products_are_those_of_the_field() {
    let edges = [0, 1, 2, LOW, u64::MAX, 1 << 63, (1 << 63) | 1];
    let mut pairs: Vec<(u64, u64)> = edges.iter().flat_map(|x| edges.iter().map(|y| (*x, *y))).collect();
    pairs.extend(drawn(1, 200).into_iter().zip(drawn(2, 200)));
    for (x, y) in pairs {
        assert_eq!(product(x, y), slow(x, y));
        assert_eq!(portable::dot(&[x], &[y]), slow(x, y));
        if x != 0 {
            assert_eq!(product(x, inverse(x)), 1);
        }
    }
}

#[test]
fn both_ways_agree() {
    for n in [0, 1, 7, 8, 9, 64, 129] {
        let (x, y) = (drawn(1, n), drawn(2, n));
        assert_eq!(dot(&x, &y), portable::dot(&x, &y));
        let (mut one, mut two) = (vec![0; n], vec![1; n]);
        multiply(&mut one, &x, &y);
        portable::multiply(&mut two, &x, &y);
        assert_eq!(one, two);
        let (rows, c) = (drawn(4, 5 * n), drawn(5, 5));
        fold(&mut one, &rows, &c);
        portable::fold(&mut two, &rows, &c);
        assert_eq!(one, two);
    }
}

#[test]
fn folded_products_are_the_values_at_the_point() {
    for (k, n) in [(2, 3), (4, 9), (16, 5)] {
        let (x, y) = (drawn(1, k * n), drawn(2, k * n));
        let at = 0x1234_5678_9abc_def1;
        let values = cross(&x, &y, k);
        assert_eq!(dot(&x, &y), values[..k].iter().fold(0, |sum, value| sum ^ value));
        let (mut u, mut v) = (vec![0; n], vec![0; n]);
        fold(&mut u, &x, &lagrange(k, at));
        fold(&mut v, &y, &lagrange(k, at));
        assert_eq!(dot(&u, &v), dot(&values, &lagrange(2 * k - 1, at)));
    }
}

/// Every bit of a vector in segments as an element of a column: (row, column, bit), those of the shares after each other.
fn bits(x: &words::Segments<2>) -> Vec<(usize, usize, usize)> {
    let mut found = Vec::new();
    let mut start = 0;
    for shares in x {
        for (i, word) in shares.iter().flat_map(|share| share.iter().enumerate()) {
            let (row, column) =
                (i % words::BLOCK / words::LANES, start + i / words::BLOCK * words::LANES + i % words::LANES);
            found.extend((0..64).filter(|b| word >> b & 1 == 1).map(|b| (row, column, b)));
        }
        start += words::columns([shares[0].len()].into_iter());
    }
    found
}

fn dense(x: &words::Segments<2>, n: usize) -> Vec<u64> {
    let mut out = vec![0; words::ROWS * n * 64];
    bits(x).into_iter().for_each(|(row, column, b)| out[(row * n + column) * 64 + b] ^= 1);
    out
}

#[test]
fn folded_words_are_the_values_at_the_points() {
    let lengths = [3usize, words::BLOCK, 17 * words::BLOCK + 200, 0];
    let all: Vec<[Vec<u64>; 4]> = lengths
        .iter()
        .enumerate()
        .map(|(i, length)| std::array::from_fn(|half| drawn(10 * i as u8 + half as u8, *length)))
        .collect();
    let u: Vec<[&[u64]; 2]> = all.iter().map(|x| [&x[0][..], &x[1][..]]).collect();
    let v: Vec<[&[u64]; 2]> = all.iter().map(|x| [&x[2][..], &x[3][..]]).collect();
    let n = words::columns(lengths.into_iter());
    let (t, s) = (drawn(90, n), drawn(91, words::ROWS));
    let both: Vec<Vec<u64>> =
        all.iter().map(|x| (0..x[0].len()).map(|i| (x[0][i] ^ x[1][i]) & (x[2][i] ^ x[3][i])).collect()).collect();
    let both: Vec<&[u64]> = both.iter().map(|words| &words[..]).collect();
    let claim = words::claim(&both, &t, &s);

    let first = words::first_values(&u, &v, &t, &s);
    assert_eq!(claim, first[..words::ROWS].iter().fold(0, |sum, value| sum ^ value));
    let points = [0xfedc_ba98_7654_3217, 0x1234_5678_9abc_def1, 0x0f1e_2d3c_4b5a_6978];
    let right = lagrange(words::ROWS, points[0]);
    let mut left = vec![0; words::ROWS];
    multiply(&mut left, &right, &s);
    let at_first = dot(&first, &lagrange(first.len(), points[0]));
    let second = words::second_values(&u, &v, &t, &left, &right);
    assert_eq!(at_first, second[..words::EIGHT].iter().fold(0, |sum, value| sum ^ value));

    let upper = lagrange(words::EIGHT, points[1]);
    let powers = words::powers();
    let of_left: [u64; 64] = std::array::from_fn(|b| product(powers[b], upper[b / 8]));
    let of_right: [u64; 64] = std::array::from_fn(|b| upper[b / 8]);
    let mut x = words::folded(&u, &left, &of_left, words::EIGHT);
    words::weigh(&mut x, &t);
    let y = words::folded(&v, &right, &of_right, words::EIGHT);
    assert_eq!(dot(&second, &lagrange(second.len(), points[1])), dot(&x, &y));

    let lower = lagrange(words::EIGHT, points[2]);
    let mut last = vec![0; n];
    fold(&mut last, &x, &lower);
    let whole: [u64; 64] = std::array::from_fn(|b| product(of_left[b], lower[b % 8]));
    let mut direct = words::folded(&u, &left, &whole, 1);
    words::weigh(&mut direct, &t);
    assert_eq!(last, direct);

    // a verifier folds its share
    let share = |half: usize| -> Vec<u64> {
        let one: Vec<[&[u64]; 1]> = u.iter().map(|shares| [shares[half]]).collect();
        let mut out = words::folded(&one, &left, &whole, 1);
        words::weigh(&mut out, &t);
        out
    };
    let sums: Vec<u64> = share(0).iter().zip(share(1)).map(|(one, two)| one ^ two).collect();
    assert_eq!(sums, direct);

    // against the definition, bit by bit
    let mut rows = vec![0; 64 * n];
    fold(&mut rows, &dense(&u, n), &left);
    for (j, column) in rows.chunks_exact(64).enumerate() {
        assert_eq!(direct[j], product(t[j], dot(column, &whole)));
    }
}

#[test]
fn words_are_folded_alike_without_vectors() {
    #[cfg(target_arch = "x86_64")]
    if words_wide::available() {
        let [u, v]: [Vec<u64>; 2] = std::array::from_fn(|i| drawn(i as u8, 2 * words::BLOCK));
        let t = drawn(5, 2 * words::LANES);
        let c = words::matrices(&drawn(6, words::ROWS));
        let d = words::matrices(&drawn(8, words::ROWS));
        let weights: [u64; 64] = drawn(7, 64).try_into().unwrap();
        let total = |sums: &[words::Sum]| sums.iter().map(words::total).collect::<Vec<_>>();
        let (mut one, mut two) = (vec![[0; 8]; 1024], vec![[0; 8]; 1024]);
        // SAFETY: the processor has the features.
        unsafe { words_wide::cross_words(&u, &v, &t, &mut one) };
        portable::cross_words(&u, &v, &t, &mut two);
        assert_eq!(total(&one), total(&two));
        let (mut one, mut two) = (vec![[0; 8]; 64], vec![[0; 8]; 64]);
        // SAFETY: the processor has the features.
        unsafe { words_wide::cross_folded((&u, &c), (&v, &d), &t, &mut one) };
        portable::cross_folded((&u, &c), (&v, &d), &t, &mut two);
        assert_eq!(total(&one), total(&two));
        for left in [1, words::EIGHT] {
            let (mut one, mut two) = (vec![0; 16 * left], vec![0; 16 * left]);
            // SAFETY: the processor has the features.
            unsafe { words_wide::fold_words(&u, &c, &weights, left, &mut one, (0, 16)) };
            portable::fold_words(&u, &c, &weights, left, &mut two, (0, 16));
            assert_eq!(one, two);
        }
    }
}
