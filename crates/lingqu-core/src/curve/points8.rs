//! Eight points of ristretto255 at a time, on edwards25519 in extended coordinates.
//!
//! Source: RFC 9496, section 4 (decoding, encoding, the map of 64 uniform bytes); Hisil, Wong, Carter, Dawson, "Twisted
//! Edwards Curves Revisited" (ASIACRYPT 2008) for the point formulas.  Scalars and points may be secret: nothing
//! branches on or indexes by them.
use super::field8::*;
use super::formulas::Constants;

/// X, Y, Z, T with x = X / Z, y = Y / Z, x y = T / Z.
#[derive(Clone, Copy)]
pub struct Points {
    x: F,
    y: F,
    z: F,
    t: F,
}

/// Y + X, Y - X, 2 Z, 2 d T: a point ready to be added.
#[derive(Clone, Copy)]
struct Addend([F; 4]);

macro_rules! wide {
    ($($item:item)*) => { $(#[target_feature(enable = "avx512f,avx512ifma")] #[inline] $item)* };
}

wide! {
    /// (was u / v a square, the even root of u / v or of i u / v).
    fn square_root_of_ratio(u: F, v: F, k: &Constants) -> (Lanes, F) {
        let v3 = mul(square(v), v);
        let v7 = mul(square(v3), v);
        let root = mul(mul(u, v3), power_58(mul(u, v7)));
        let check = mul(v, square(root));
        let minus_u = neg(u);
        let i = constant(&k.sqrt_m1);
        let right = equal(check, u);
        let turned = equal(check, minus_u) | equal(check, mul(minus_u, i));
        (right | equal(check, minus_u), magnitude(select(turned, root, mul(root, i))))
    }

    /// Points from their encodings, and the lanes that hold one; the others hold the identity's or no encoding.
    pub fn decode(bytes: &[[u8; 32]; 8], k: &Constants) -> (Points, Lanes) {
        let s = load(bytes);
        let mut plain = 0u8;
        for (lane, (given, kept)) in bytes.iter().zip(store(s)).enumerate() {
            plain |= u8::from(*given == kept && given[0] & 1 == 0) << lane;
        }
        let one = constant(&[1, 0, 0, 0, 0]);
        let ss = square(s);
        let (u1, u2) = (sub(one, ss), add(one, ss));
        let u2_squared = square(u2);
        let v = sub(neg(mul(constant(&k.d), square(u1))), u2_squared);
        let (square_found, inverse) = square_root_of_ratio(one, mul(v, u2_squared), k);
        let den_x = mul(inverse, u2);
        let den_y = mul(mul(inverse, den_x), v);
        let x = magnitude(mul(twice(s), den_x));
        let y = mul(u1, den_y);
        let t = mul(x, y);
        let valid = plain & square_found & !is_negative(t) & !is_zero(y) & !is_zero(s);
        (Points { x, y, z: one, t }, valid)
    }

    /// The encodings of 2 P for every given P, with one inversion for all.
    ///
    /// Of 2 P all that the encoding needs a root for is a product of squares, so an inversion does (RFC 9496 gives the
    /// same bytes; Hamburg, "Ristretto in batches").
    pub fn encode_doubled(points: &[Points], k: &Constants, out: &mut Vec<[u8; 32]>) {
        let parts: Vec<_> = points.iter().map(|p| halves(p, k)).collect();
        let inverses = invert_all(&parts.iter().map(|h| select_nonzero(mul(h.eg, h.fh))).collect::<Vec<_>>());
        for (h, inverse) in parts.into_iter().zip(inverses) {
            out.extend(store(encode_halves(h, inverse, k)));
        }
    }

    /// 1 in the lanes that are 0: the identity, which encodes as zero whatever is inverted.
    fn select_nonzero(x: F) -> F {
        select(is_zero(x), x, constant(&[1, 0, 0, 0, 0]))
    }

    fn halves(p: &Points, k: &Constants) -> Halves {
        let (xx, yy, zz) = (square(p.x), square(p.y), square(p.z));
        let dtt = mul(square(p.t), constant(&k.d));
        let e = mul(twice(p.x), p.y);
        let (f, g, h) = (add(zz, dtt), add(yy, xx), sub(zz, dtt));
        Halves { e, f, g, h, eg: mul(e, g), fh: mul(f, h) }
    }

    fn encode_halves(p: Halves, inverse: F, k: &Constants) -> F {
        let z_inverse = mul(p.eg, inverse);
        let t_inverse = mul(p.fh, inverse);
        let i = constant(&k.sqrt_m1);
        let turn = is_negative(mul(p.eg, z_inverse));
        let e = select(turn, p.e, p.g);
        let g = select(turn, p.g, neg(p.e));
        let h = select(turn, p.h, mul(p.f, i));
        let factor = select(turn, constant(&k.invsqrt_a_minus_d), i);
        let g = negate_in(is_negative(mul(mul(h, e), z_inverse)), g);
        magnitude(mul(sub(h, g), mul(factor, mul(g, t_inverse))))
    }

    fn invert_all(values: &[F]) -> Vec<F> {
        let mut before = Vec::with_capacity(values.len());
        let mut product = constant(&[1, 0, 0, 0, 0]);
        for value in values {
            before.push(product);
            product = mul(product, *value);
        }
        let mut inverse = invert(product);
        for (value, front) in values.iter().zip(&mut before).rev() {
            *front = mul(*front, inverse);
            inverse = mul(inverse, *value);
        }
        before
    }

    /// The map of 64 uniform bytes to a point: two halves mapped, and added.
    pub fn from_uniform(low: &[[u8; 32]; 8], high: &[[u8; 32]; 8], k: &Constants) -> Points {
        add_points(&map(load(low), k), &addend(&map(load(high), k), k))
    }

    fn map(t: F, k: &Constants) -> Points {
        let one = constant(&[1, 0, 0, 0, 0]);
        let d = constant(&k.d);
        let r = mul(constant(&k.sqrt_m1), square(t));
        let u = mul(add(r, one), constant(&k.one_minus_d_squared));
        let v = mul(sub(neg(one), mul(r, d)), add(r, d));
        let (found, root) = square_root_of_ratio(u, v, k);
        let s = select(found, neg(magnitude(mul(root, t))), root);
        let c = select(found, r, neg(one));
        let n = sub(mul(mul(c, sub(r, one)), constant(&k.d_minus_one_squared)), v);
        let (w0, w1) = (mul(twice(s), v), mul(n, constant(&k.sqrt_ad_minus_one)));
        let ss = square(s);
        let (w2, w3) = (sub(one, ss), add(one, ss));
        Points { x: mul(w0, w3), y: mul(w2, w1), z: mul(w1, w3), t: mul(w0, w2) }
    }

    fn addend(p: &Points, k: &Constants) -> Addend {
        Addend([add(p.y, p.x), sub(p.y, p.x), twice(p.z), mul(p.t, constant(&k.twice_d))])
    }

    fn add_points(p: &Points, q: &Addend) -> Points {
        let [plus, minus, z2, t2d] = q.0;
        let (a, b) = (mul(sub(p.y, p.x), minus), mul(add(p.y, p.x), plus));
        let (c, d) = (mul(p.t, t2d), mul(p.z, z2));
        let (e, f, g, h) = (sub(b, a), sub(d, c), add(d, c), add(b, a));
        Points { x: mul(e, f), y: mul(g, h), z: mul(f, g), t: mul(e, h) }
    }

    /// 2 P; T is left out when the next step is another doubling, which does not read it.
    fn double(p: &Points, with_t: bool) -> Points {
        let (xx, yy) = (square(p.x), square(p.y));
        let zz2 = twice(square(p.z));
        let h = add(xx, yy);
        let e = sub(h, square(add(p.x, p.y)));
        let g = sub(xx, yy);
        let f = add(zz2, g);
        let t = if with_t { mul(e, h) } else { p.t };
        Points { x: mul(e, f), y: mul(g, h), z: mul(f, g), t }
    }

    /// The entry `digit` of 1 P .. 8 P, or its negative, or the identity; every entry is read.
    fn look_up(table: &[Addend; 8], digit: i8) -> Addend {
        let one = constant(&[1, 0, 0, 0, 0]);
        let zero = constant(&[0; 5]);
        let mut found = [one, one, twice(one), zero];
        let size = digit.unsigned_abs();
        for (entry, place) in table.iter().zip(1u8..) {
            let here = lanes_if(size == place);
            found.iter_mut().zip(entry.0).for_each(|(kept, other)| *kept = select(here, *kept, other));
        }
        let negative = lanes_if(digit < 0);
        let [plus, minus, z2, t2d] = found;
        Addend([select(negative, plus, minus), select(negative, minus, plus), z2, negate_in(negative, t2d)])
    }

    /// Every point times one scalar, given by signed digits to the base 16, the least first.
    pub fn multiply(p: &Points, digits: &[i8; 64], k: &Constants) -> Points {
        let mut table = [addend(p, k); 8];
        let mut multiple = *p;
        for i in 1..8 {
            multiple = add_points(&multiple, &table[0]);
            table[i] = addend(&multiple, k);
        }
        let one = constant(&[1, 0, 0, 0, 0]);
        let zero = constant(&[0; 5]);
        let mut sum = Points { x: zero, y: one, z: one, t: zero };
        for (i, digit) in digits.iter().enumerate().rev() {
            if i < 63 {
                for last in [false, false, false, true] {
                    sum = double(&sum, last);
                }
            }
            sum = add_points(&sum, &look_up(&table, *digit));
        }
        sum
    }
}

/// All lanes or none.
fn lanes_if(condition: bool) -> Lanes {
    u8::from(condition).wrapping_neg()
}

/// Parts of 2 P: e g and f h are Z T and X Y up to squares.
#[derive(Clone, Copy)]
struct Halves {
    e: F,
    f: F,
    g: F,
    h: F,
    eg: F,
    fh: F,
}
