//! Eight points of ristretto255 at a time, on edwards25519 in extended coordinates.
//!
//! Source: RFC 9496, section 4 (decoding, encoding, the map of 64 uniform bytes); Hisil, Wong, Carter, Dawson, "Twisted
//! Edwards Curves Revisited" (ASIACRYPT 2008) for the point formulas.  Scalars and points may be secret: nothing
//! branches on or indexes by them.  Functions on arrays work on several times eight points, a step of one beside the
//! same step of the next, as the processor finds too little to do at once in one.
use super::field8::*;
use super::formulas::{Constants, DIGITS};
use std::array::from_fn;

/// X, Y, Z, T with x = X / Z, y = Y / Z, x y = T / Z.
#[derive(Clone, Copy)]
pub struct Points {
    x: F,
    y: F,
    z: F,
    t: F,
}

/// The same without T, which doublings do not read.
#[derive(Clone, Copy)]
struct Flat {
    x: F,
    y: F,
    z: F,
}

/// Y + X, Y - X, Z, T: a point to which one is added.
#[derive(Clone, Copy)]
pub struct Augend {
    plus: F,
    minus: F,
    z: F,
    t: F,
}

/// Y + X, Y - X, 2 Z, 2 d T: a point ready to be added.
#[derive(Clone, Copy)]
struct Addend([F; 4]);

/// y + x, y - x, 2 d x y: a point with Z = 1, ready to be added.
#[derive(Clone, Copy)]
pub struct Affine(pub [F; 3]);

/// A sum or a double before its last products: X = e f, Y = g h, Z = f g, T = e h.
#[derive(Clone, Copy)]
pub struct Parts {
    e: F,
    f: F,
    g: F,
    h: F,
}

macro_rules! wide {
    ($($item:item)*) => { $(#[target_feature(enable = "avx512f,avx512ifma")] #[inline] $item)* };
}

wide! {
    /// (was u / v a square, the even root of u / v or of i u / v), N times eight.
    fn square_root_of_ratio<const N: usize>(u: &[F; N], v: &[F; N], k: &Constants) -> [(Lanes, F); N] {
        let v3: [F; N] = from_fn(|i| mul(square(v[i]), v[i]));
        let v7: [F; N] = from_fn(|i| mul(square(v3[i]), v[i]));
        let power: [F; N] = power_58(&from_fn(|i| mul(u[i], v7[i])));
        let sqrt_m1 = constant(&k.sqrt_m1);
        from_fn(|i| {
            let root = mul(mul(u[i], v3[i]), power[i]);
            let check = mul(v[i], square(root));
            let minus_u = neg(u[i]);
            let right = equal(check, u[i]);
            let turned = equal(check, minus_u) | equal(check, mul(minus_u, sqrt_m1));
            (right | equal(check, minus_u), magnitude(select(turned, root, mul(root, sqrt_m1))))
        })
    }

    /// Points from their encodings, and the lanes that hold one; the others hold the identity's or no encoding.
    pub fn decode<const N: usize>(bytes: &[[[u8; 32]; 8]; N], k: &Constants) -> [(Points, Lanes); N] {
        let s: [F; N] = from_fn(|i| load(&bytes[i]));
        let ss: [F; N] = from_fn(|i| square(s[i]));
        let u1: [F; N] = from_fn(|i| sub(one(), ss[i]));
        let u2: [F; N] = from_fn(|i| add(one(), ss[i]));
        let u2_squared: [F; N] = from_fn(|i| square(u2[i]));
        let v: [F; N] = from_fn(|i| sub(neg(mul(constant(&k.d), square(u1[i]))), u2_squared[i]));
        let roots = square_root_of_ratio(&[one(); N], &from_fn(|i| mul(v[i], u2_squared[i])), k);
        from_fn(|i| {
            let (square_found, inverse) = roots[i];
            let den_x = mul(inverse, u2[i]);
            let den_y = mul(mul(inverse, den_x), v[i]);
            let x = magnitude(mul(twice(s[i]), den_x));
            let y = mul(u1[i], den_y);
            let t = mul(x, y);
            let valid = even_and_canonical(&bytes[i], s[i]) & square_found & !is_negative(t) & !is_zero(y) & !is_zero(s[i]);
            (Points { x, y, z: one(), t }, valid)
        })
    }

    /// The lanes whose bytes are the element's own encoding, and even.
    fn even_and_canonical(bytes: &[[u8; 32]; 8], s: F) -> Lanes {
        let mut lanes = 0u8;
        for (lane, (given, kept)) in bytes.iter().zip(store(s)).enumerate() {
            lanes |= u8::from(*given == kept && given[0] & 1 == 0) << lane;
        }
        lanes
    }

    /// The encodings of 2 P for every given P, with one inversion for all.
    ///
    /// Of 2 P all that the encoding needs a root for is a product of squares, so an inversion does (RFC 9496 gives the
    /// same bytes; Hamburg, "Ristretto in batches").
    pub fn encode_doubled(points: &[Points], k: &Constants, out: &mut Vec<[u8; 32]>) {
        let parts: Vec<_> = points.iter().map(|p| halves(p, k)).collect();
        let (mut products, mut nothing) = (Vec::with_capacity(points.len()), Vec::with_capacity(points.len()));
        for h in &parts {
            let product = mul(h.eg, h.fh);
            let none = is_zero(product);
            products.push(select(none, product, one()));
            nothing.push(none);
        }
        for ((h, inverse), none) in parts.into_iter().zip(invert_all(&products)).zip(nothing) {
            // Only the identity's representatives, of order 1 to 4 here, have a product of zero; it encodes as zero.
            out.extend(store(select(none, encode_halves(h, inverse, k), zero())));
        }
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
        let mut product = one();
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

    /// The map of 64 uniform bytes to a point: two halves mapped, and added.  Twice eight points, of low and high halves.
    pub fn from_uniform(halves: &[[[u8; 32]; 8]; 4], k: &Constants) -> [Points; 2] {
        let [a, b, c, d] = map(&from_fn(|i| load(&halves[i])), k);
        [add_points(&a.augend(), &addend(&b, k)).points(), add_points(&c.augend(), &addend(&d, k)).points()]
    }

    fn map<const N: usize>(t: &[F; N], k: &Constants) -> [Points; N] {
        let d = constant(&k.d);
        let r: [F; N] = from_fn(|i| mul(constant(&k.sqrt_m1), square(t[i])));
        let u: [F; N] = from_fn(|i| mul(add(r[i], one()), constant(&k.one_minus_d_squared)));
        let v: [F; N] = from_fn(|i| mul(sub(neg(one()), mul(r[i], d)), add(r[i], d)));
        let roots = square_root_of_ratio(&u, &v, k);
        from_fn(|i| {
            let (found, root) = roots[i];
            let s = select(found, neg(magnitude(mul(root, t[i]))), root);
            let c = select(found, r[i], neg(one()));
            let n = sub(mul(mul(c, sub(r[i], one())), constant(&k.d_minus_one_squared)), v[i]);
            let (w0, w1) = (mul(twice(s), v[i]), mul(n, constant(&k.sqrt_ad_minus_one)));
            let ss = square(s);
            let (w2, w3) = (sub(one(), ss), add(one(), ss));
            Points { x: mul(w0, w3), y: mul(w2, w1), z: mul(w1, w3), t: mul(w0, w2) }
        })
    }

    fn addend(p: &Points, k: &Constants) -> Addend {
        Addend([add(p.y, p.x), sub(p.y, p.x), twice(p.z), mul(p.t, constant(&k.twice_d))])
    }

    fn add_points(p: &Augend, q: &Addend) -> Parts {
        let [q_plus, q_minus, z2, t2d] = q.0;
        let (a, b) = (product(p.minus, q_minus), lifted_product(p.plus, q_plus));
        let (c, d) = (product(p.t, t2d), lifted_product(p.z, z2));
        Parts { e: carry(minus(b, a)), f: carry(minus(d, c)), g: carry(plus(d, c)), h: carry(plus(b, a)) }
    }

    /// The sum with q, or with -q in the given lanes: Y + X and Y - X change places, and so do f and g as T turns.
    fn add_signed(p: &Augend, q: &Addend, negative: Lanes) -> Parts {
        let Parts { e, f, g, h } = add_points(p, &q.turned(negative));
        Parts { e, f: select(negative, f, g), g: select(negative, g, f), h }
    }

    /// -2 P: two doublings give what twice doubling does, and the sign costs nothing this way.
    fn double_negated(p: &Flat) -> Parts {
        let (xx, yy, zz, xy) = (lifted_square(p.x), square_sum(p.y), square_sum(p.z), product(p.x, p.y));
        let g = minus(xx, yy);
        let f = plus(plus(zz, zz), g);
        Parts { e: carry(plus(xy, xy)), f: carry(f), g: carry(g), h: carry(plus(xx, yy)) }
    }

    /// The entry `size` of 1 P .. 8 P, or the identity for 0; every entry is read.
    fn look_up(table: &[Addend; 8], size: u8) -> Addend {
        let mut found = [one(), one(), twice(one()), zero()];
        for (entry, place) in table.iter().zip(1u8..) {
            let here = lanes_if(size == place);
            found.iter_mut().zip(entry.0).for_each(|(kept, other)| *kept = select(here, *kept, other));
        }
        Addend(found)
    }

    fn multiples(p: &Points, k: &Constants) -> [Addend; 8] {
        let mut table = [addend(p, k); 8];
        let mut multiple = *p;
        for i in 1..8 {
            multiple = add_points(&multiple.augend(), &table[0]).points();
            table[i] = addend(&multiple, k);
        }
        table
    }

    /// Every point times one scalar, given by signed digits to the base 16, the least first.
    pub fn multiply(p: &[Points; 2], digits: &[i8; DIGITS], k: &Constants) -> [Points; 2] {
        let tables = [multiples(&p[0], k), multiples(&p[1], k)];
        let (last, others) = digits.split_last().expect("digits");
        let sign = lanes_if(*last < 0);
        let mut sums = [0, 1].map(|i| look_up(&tables[i], last.unsigned_abs()).turned(sign).flat());
        let mut out = *p;
        for (place, digit) in others.iter().enumerate().rev() {
            for _ in 0..3 {
                let parts = [double_negated(&sums[0]), double_negated(&sums[1])];
                sums = [parts[0].flat(), parts[1].flat()];
            }
            let parts = [double_negated(&sums[0]), double_negated(&sums[1])];
            let augends = [parts[0].augend(), parts[1].augend()];
            let (size, sign) = (digit.unsigned_abs(), lanes_if(*digit < 0));
            let addends = [look_up(&tables[0], size), look_up(&tables[1], size)];
            let parts = [0, 1].map(|i| add_signed(&augends[i], &addends[i], sign));
            if place > 0 {
                sums = [parts[0].flat(), parts[1].flat()];
            } else {
                out = [parts[0].points(), parts[1].points()];
            }
        }
        out
    }
}

wide! {
    /// Points ready to be added, with one inversion for all.
    pub fn affine(points: &[Points], k: &Constants) -> Vec<Affine> {
        let inverses = invert_all(&points.iter().map(|p| p.z).collect::<Vec<_>>());
        let scaled = points.iter().zip(inverses).map(|(p, inverse)| {
            let (x, y) = (mul(p.x, inverse), mul(p.y, inverse));
            Affine([add(y, x), sub(y, x), mul(mul(x, y), constant(&k.twice_d))])
        });
        scaled.collect()
    }
}

impl Parts {
    wide! {
        fn flat(&self) -> Flat {
            Flat { x: mul(self.e, self.f), y: mul(self.g, self.h), z: mul(self.f, self.g) }
        }

        pub fn points(&self) -> Points {
            let Flat { x, y, z } = self.flat();
            Points { x, y, z, t: mul(self.e, self.h) }
        }

        pub fn augend(&self) -> Augend {
            let (x, y) = (product(self.e, self.f), lifted_product(self.g, self.h));
            let (z, t) = (mul(self.f, self.g), mul(self.e, self.h));
            Augend { plus: carry(plus(y, x)), minus: carry(minus(y, x)), z, t }
        }
    }
}

impl Points {
    wide! {
        pub fn augend(&self) -> Augend {
            Augend { plus: add(self.y, self.x), minus: sub(self.y, self.x), z: self.z, t: self.t }
        }

        /// The first lane's point in every lane.
        pub fn first(&self) -> Points {
            Points { x: first(self.x), y: first(self.y), z: first(self.z), t: first(self.t) }
        }

        /// Another point in the given lanes.
        pub fn replace(&mut self, lanes: Lanes, other: &Points) {
            self.x = select(lanes, self.x, other.x);
            self.y = select(lanes, self.y, other.y);
            self.z = select(lanes, self.z, other.z);
            self.t = select(lanes, self.t, other.t);
        }

        pub fn negative(&self) -> Points {
            Points { x: neg(self.x), y: self.y, z: self.z, t: neg(self.t) }
        }

        /// 2^count times the point; count: even, not 0, as each doubling turns the sign.
        pub fn times_power_of_two(&self, count: usize) -> Points {
            let mut parts = double_negated(&Flat { x: self.x, y: self.y, z: self.z });
            for _ in 1..count {
                parts = double_negated(&parts.flat());
            }
            parts.points()
        }

        /// 1, 3, 5 .. times the point: so many more in `out`.
        pub fn odd_multiples(&self, count: usize, out: &mut Vec<Points>, k: &Constants) {
            let twice = addend(&add_points(&self.augend(), &addend(self, k)).points(), k);
            let mut multiple = *self;
            for _ in 1..count {
                out.push(multiple);
                multiple = add_points(&multiple.augend(), &twice).points();
            }
            out.push(multiple);
        }
    }
}

impl Augend {
    wide! {
        /// The sum with a point whose Z is 1, or its negative in the given lanes: see `add_signed`.
        pub fn plus_affine(&self, q: &Affine, negative: Lanes) -> Parts {
            let [above, below, t2d] = q.0;
            let (q_plus, q_minus) = (select(negative, above, below), select(negative, below, above));
            let (a, b) = (product(self.minus, q_minus), lifted_product(self.plus, q_plus));
            let (c, z) = (product(self.t, t2d), widen(self.z));
            let d = lifted(plus(z, z));
            let (f, g) = (carry(minus(d, c)), carry(plus(d, c)));
            Parts {
                e: carry(minus(b, a)),
                f: select(negative, f, g),
                g: select(negative, g, f),
                h: carry(plus(b, a)),
            }
        }
    }
}

impl Addend {
    wide! {
        /// The negative of the point in the given lanes, but for T.
        fn turned(self, negative: Lanes) -> Addend {
            let [plus, minus, z2, t2d] = self.0;
            Addend([select(negative, plus, minus), select(negative, minus, plus), z2, t2d])
        }

        /// The point itself, scaled by 2.
        fn flat(&self) -> Flat {
            let [plus, minus, z2, _] = self.0;
            Flat { x: sub(plus, minus), y: add(plus, minus), z: z2 }
        }
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
