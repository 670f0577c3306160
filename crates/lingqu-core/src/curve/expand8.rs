//! expand_message_xmd with SHA-512 (RFC 9380, section 5.3.1), eight messages at a time in the lanes of AVX-512.
//!
//! Nothing branches on or indexes by what is hashed; its length is no secret.
use super::Uniform;
use std::arch::x86_64::*;

type V = __m512i;
type State = [V; 8];
const BLOCK: usize = 128;

const START: [u64; 8] = [
    0x6a09e667f3bcc908,
    0xbb67ae8584caa73b,
    0x3c6ef372fe94f82b,
    0xa54ff53a5f1d36f1,
    0x510e527fade682d1,
    0x9b05688c2b3e6c1f,
    0x1f83d9abfb41bd6b,
    0x5be0cd19137e2179,
];

const ROUNDS: [u64; 80] = [
    0x428a2f98d728ae22,
    0x7137449123ef65cd,
    0xb5c0fbcfec4d3b2f,
    0xe9b5dba58189dbbc,
    0x3956c25bf348b538,
    0x59f111f1b605d019,
    0x923f82a4af194f9b,
    0xab1c5ed5da6d8118,
    0xd807aa98a3030242,
    0x12835b0145706fbe,
    0x243185be4ee4b28c,
    0x550c7dc3d5ffb4e2,
    0x72be5d74f27b896f,
    0x80deb1fe3b1696b1,
    0x9bdc06a725c71235,
    0xc19bf174cf692694,
    0xe49b69c19ef14ad2,
    0xefbe4786384f25e3,
    0x0fc19dc68b8cd5b5,
    0x240ca1cc77ac9c65,
    0x2de92c6f592b0275,
    0x4a7484aa6ea6e483,
    0x5cb0a9dcbd41fbd4,
    0x76f988da831153b5,
    0x983e5152ee66dfab,
    0xa831c66d2db43210,
    0xb00327c898fb213f,
    0xbf597fc7beef0ee4,
    0xc6e00bf33da88fc2,
    0xd5a79147930aa725,
    0x06ca6351e003826f,
    0x142929670a0e6e70,
    0x27b70a8546d22ffc,
    0x2e1b21385c26c926,
    0x4d2c6dfc5ac42aed,
    0x53380d139d95b3df,
    0x650a73548baf63de,
    0x766a0abb3c77b2a8,
    0x81c2c92e47edaee6,
    0x92722c851482353b,
    0xa2bfe8a14cf10364,
    0xa81a664bbc423001,
    0xc24b8b70d0f89791,
    0xc76c51a30654be30,
    0xd192e819d6ef5218,
    0xd69906245565a910,
    0xf40e35855771202a,
    0x106aa07032bbd1b8,
    0x19a4c116b8d2d0c8,
    0x1e376c085141ab53,
    0x2748774cdf8eeb99,
    0x34b0bcb5e19b48a8,
    0x391c0cb3c5c95a63,
    0x4ed8aa4ae3418acb,
    0x5b9cca4f7763e373,
    0x682e6ff3d6b2b8a3,
    0x748f82ee5defb2fc,
    0x78a5636f43172f60,
    0x84c87814a1f0ab72,
    0x8cc702081a6439ec,
    0x90befffa23631e28,
    0xa4506cebde82bde9,
    0xbef9a3f7b2c67915,
    0xc67178f2e372532b,
    0xca273eceea26619c,
    0xd186b8c721c0c207,
    0xeada7dd6cde0eb1e,
    0xf57d4f7fee6ed178,
    0x06f067aa72176fba,
    0x0a637dc5a2c898a6,
    0x113f9804bef90dae,
    0x1b710b35131c471b,
    0x28db77f523047d84,
    0x32caab7b40c72493,
    0x3c9ebe0a15c9bebc,
    0x431d67c49c100d4c,
    0x4cc5d4becb3e42b6,
    0x597f299cfc657e2a,
    0x5fcb6fab3ad6faec,
    0x6c44198c4a475817,
];

/// The uniform bytes of every element, which ends at its offset; None when an offset is not in the data.
#[target_feature(enable = "avx512f")]
pub fn expand(suffix: &[u8], data: &[u8], offsets: &[i64]) -> Option<Vec<Uniform>> {
    let mut start = usize::try_from(*offsets.first()?).ok()?;
    let mut zero_block = START.map(|word| splat(word));
    compress(&mut zero_block, &[splat(0); 16]);
    let mut ending = Vec::new();
    fill(&mut ending, [&[], &[1], suffix], 64);
    let second = words(&ending);
    let mut out = Vec::with_capacity((offsets.len() - 1).next_multiple_of(8));
    let mut messages: [Vec<u8>; 8] = Default::default();
    for ends in offsets[1..].chunks(8) {
        for (message, end) in messages.iter_mut().zip(ends) {
            let end = usize::try_from(*end).ok()?;
            fill(message, [data.get(start..end)?, &[0, 64, 0], suffix], BLOCK);
            start = end;
        }
        let mut first = zero_block;
        absorb(&mut first, &messages);
        let mut state = START.map(|word| splat(word));
        let mut block = [splat(0); 16];
        block[..8].copy_from_slice(&first);
        for (i, word) in second.iter().enumerate() {
            block[(i + 8) % 16] = splat(*word);
            if (i + 8) % 16 == 15 {
                compress(&mut state, &block);
            }
        }
        out.extend(bytes(&state));
    }
    out.truncate(offsets.len() - 1);
    Some(out)
}

/// The parts as one message that ends a SHA-512 whose first `before` bytes came earlier, with its padding.
fn fill(message: &mut Vec<u8>, parts: [&[u8]; 3], before: usize) {
    message.clear();
    parts.iter().for_each(|part| message.extend_from_slice(part));
    let total = before + message.len();
    message.push(0x80);
    message.resize((total + 1 + 16).next_multiple_of(BLOCK) - before - 8, 0);
    message.extend_from_slice(&(8 * total as u64).to_be_bytes());
}

fn words(bytes: &[u8]) -> Vec<u64> {
    bytes.chunks_exact(8).map(|word| u64::from_be_bytes(word.try_into().expect("eight bytes"))).collect()
}

macro_rules! wide {
    ($($item:item)*) => { $(#[target_feature(enable = "avx512f")] #[inline] $item)* };
}

wide! {
    fn splat(word: u64) -> V {
        _mm512_set1_epi64(word as i64)
    }

    fn add(x: V, y: V) -> V {
        _mm512_add_epi64(x, y)
    }

    /// Whole blocks of every lane's message; a shorter one leaves its lane as it is in the end.
    fn absorb(state: &mut State, messages: &[Vec<u8>; 8]) {
        let longest = messages.iter().map(Vec::len).max().unwrap_or(0);
        for at in (0..longest).step_by(BLOCK) {
            let mut turned = [[0u64; 8]; 16];
            let mut lanes = 0u8;
            for (lane, message) in messages.iter().enumerate() {
                let Some(block) = message.get(at..at + BLOCK) else { continue };
                lanes |= 1 << lane;
                for (row, word) in turned.iter_mut().zip(block.chunks_exact(8)) {
                    row[lane] = u64::from_be_bytes(word.try_into().expect("eight bytes"));
                }
            }
            let mut next = *state;
            // SAFETY: every row has 64 bytes.
            compress(&mut next, &turned.map(|row| unsafe { _mm512_loadu_si512(row.as_ptr().cast()) }));
            state.iter_mut().zip(next).for_each(|(kept, new)| *kept = _mm512_mask_blend_epi64(lanes, *kept, new));
        }
    }

    fn compress(state: &mut State, block: &[V; 16]) {
        let mut w = *block;
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
        for (sixteen, constants) in ROUNDS.chunks_exact(16).enumerate() {
            for i in 0..16 {
                if sixteen > 0 {
                    let (early, late) = (w[(i + 1) % 16], w[(i + 14) % 16]);
                    let small0 = xor(_mm512_ror_epi64::<1>(early), _mm512_ror_epi64::<8>(early), _mm512_srli_epi64::<7>(early));
                    let small1 = xor(_mm512_ror_epi64::<19>(late), _mm512_ror_epi64::<61>(late), _mm512_srli_epi64::<6>(late));
                    w[i] = add(add(w[i], small0), add(w[(i + 9) % 16], small1));
                }
                let big1 = xor(_mm512_ror_epi64::<14>(e), _mm512_ror_epi64::<18>(e), _mm512_ror_epi64::<41>(e));
                let big0 = xor(_mm512_ror_epi64::<28>(a), _mm512_ror_epi64::<34>(a), _mm512_ror_epi64::<39>(a));
                // e ? f : g, and the majority of a, b, c.
                let chosen = _mm512_ternarylogic_epi64::<0xca>(e, f, g);
                let majority = _mm512_ternarylogic_epi64::<0xe8>(a, b, c);
                let t = add(add(add(h, w[i]), splat(constants[i])), add(big1, chosen));
                (h, g, f, e) = (g, f, e, add(d, t));
                (d, c, b, a) = (c, b, a, add(t, add(big0, majority)));
            }
        }
        state.iter_mut().zip([a, b, c, d, e, f, g, h]).for_each(|(kept, new)| *kept = add(*kept, new));
    }

    fn xor(x: V, y: V, z: V) -> V {
        _mm512_ternarylogic_epi64::<0x96>(x, y, z)
    }

    /// The digest of every lane.
    fn bytes(state: &State) -> [Uniform; 8] {
        let mut out = [[0u8; 64]; 8];
        for (i, word) in state.iter().enumerate() {
            let mut row = [0u64; 8];
            // SAFETY: the row has 64 bytes.
            unsafe { _mm512_storeu_si512(row.as_mut_ptr().cast(), *word) };
            for (digest, word) in out.iter_mut().zip(row) {
                digest[8 * i..8 * i + 8].copy_from_slice(&word.to_be_bytes());
            }
        }
        out
    }
}
