//! Residues packed into bytes, each in as many bits as its prime has.

/// Bytes of `count` values of `width` bits, count a multiple of 8.
pub const fn packed(count: usize, width: u32) -> usize {
    count / 8 * width as usize
}

/// Append values below 2^width, width at most 57; the count is a multiple of 8.
pub fn pack(values: &[u64], width: u32, out: &mut Vec<u8>) {
    for eight in values.chunks_exact(8) {
        let (mut word, mut fill) = (0u64, 0);
        for value in eight {
            word |= value << fill;
            fill += width;
            if fill >= 64 {
                out.extend_from_slice(&word.to_le_bytes());
                fill -= 64;
                word = (value >> 1) >> (width - fill - 1);
            }
        }
        out.extend_from_slice(&word.to_le_bytes()[..fill as usize / 8]);
    }
}

/// The inverse of `pack` from the front of `bytes`; None when bytes are missing or a value is not below `bound`.
pub fn unpack(bytes: &mut &[u8], width: u32, bound: u64, out: &mut [u64]) -> Option<()> {
    let (now, rest) = bytes.split_at_checked(packed(out.len(), width))?;
    *bytes = rest;
    let mask = (1u64 << width) - 1;
    let mut bad = false;
    for (eight, group) in out.chunks_exact_mut(8).zip(now.chunks_exact(width as usize)) {
        let mut padded = [0u8; 64];
        padded[..width as usize].copy_from_slice(group);
        for (i, value) in eight.iter_mut().enumerate() {
            let bit = i * width as usize;
            let word: [u8; 8] = padded[bit / 8..][..8].try_into().expect("eight bytes");
            *value = u64::from_le_bytes(word) >> (bit % 8) & mask;
            bad |= *value >= bound;
        }
    }
    (!bad).then_some(())
}

/// A 16-byte seed from the front.
pub fn take_seed(bytes: &mut &[u8]) -> Option<[u8; 16]> {
    let (seed, rest) = bytes.split_first_chunk::<16>()?;
    *bytes = rest;
    Some(*seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpack_is_the_inverse_and_strict() {
        for width in [17u32, 46, 47, 48, 50, 56] {
            let mask = (1u64 << width) - 1;
            let values: Vec<u64> = (0..64u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) & mask).collect();
            let mut bytes = Vec::new();
            pack(&values, width, &mut bytes);
            assert_eq!(bytes.len(), packed(64, width));
            let mut back = vec![0; 64];
            let mut rest = &bytes[..];
            assert!(unpack(&mut rest, width, 1 << width, &mut back).is_some() && rest.is_empty());
            assert_eq!(back, values);
            let most = *values.iter().max().unwrap();
            assert!(unpack(&mut &bytes[..], width, most, &mut back).is_none());
            assert!(unpack(&mut &bytes[1..], width, 1 << width, &mut back).is_none());
        }
    }
}
