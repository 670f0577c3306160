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
        let (x, y, t) = (drawn(1, n), drawn(2, n), drawn(3, n));
        assert_eq!(dot(&x, &y), portable::dot(&x, &y));
        assert_eq!(dot_bits(&x, &y, &t), portable::dot_bits(&x, &y, &t));
        let (mut one, mut two) = (vec![0; n], vec![1; n]);
        multiply(&mut one, &x, &y);
        portable::multiply(&mut two, &x, &y);
        assert_eq!(one, two);
        let (rows, c) = (drawn(4, 5 * n), drawn(5, 5));
        fold(&mut one, &rows, &c);
        portable::fold(&mut two, &rows, &c);
        assert_eq!(one, two);
        let (mut one, mut two) = (vec![0; 64 * n], vec![1; 64 * n]);
        fold_bits(&mut one, &rows, &c);
        portable::fold_bits(&mut two, &rows, &c);
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

#[test]
fn folded_bits_are_the_values_at_the_point() {
    let (k, n, at) = (8, 5, 0xfedc_ba98_7654_3217);
    let (x, y, t, s) = (drawn(1, k * n), drawn(2, k * n), drawn(3, n), drawn(4, k));
    let both: Vec<u64> = x.iter().zip(&y).map(|(x, y)| x & y).collect();
    let values = cross_bits(&[(&x, &y)], &t, &s);
    assert_eq!(claim(&both, &t, &s), values[..k].iter().fold(0, |sum, value| sum ^ value));
    let coefficients = lagrange(k, at);
    let mut weighed = vec![0; k];
    multiply(&mut weighed, &coefficients, &s);
    let (mut u, mut v) = (vec![0; 64 * n], vec![0; 64 * n]);
    fold_bits(&mut u, &x, &weighed);
    weigh(&mut u, &t);
    fold_bits(&mut v, &y, &coefficients);
    assert_eq!(dot(&u, &v), dot(&values, &lagrange(2 * k - 1, at)));
}
