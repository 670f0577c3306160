//! A cuckoo table with three places a key, one in each third of the table, and no stash.
//!
//! Source: Pinkas, Schneider, Segev, Zohner (USENIX Security 2015); three hash functions and 1.27 bins a key as in
//! Pinkas, Schneider, Zohner (TOPS 2018).
use crate::prg::Prg;

/// Marks a bin without a key.
pub const FREE: u32 = u32::MAX;

/// Bins of a table of `keys` keys, a multiple of three. The room beyond 1.27 a key keeps small sets from failing.
pub const fn bins(keys: usize) -> usize {
    (keys + keys * 27 / 100 + 256).next_multiple_of(3)
}

/// The bin of a hash in one third of a table.
pub fn bin(hash: u64, third: usize, bins: usize) -> usize {
    let third_bins = bins / 3;
    third * third_bins + ((u128::from(hash) * third_bins as u128) >> 64) as usize
}

/// Which of a key's places is in each bin: three times the key and the third; None when the keys do not fit.
///
/// hashes: three a key. The walk is random, from `seed`, so that the time of one table says little of the next.
pub fn place(hashes: &[u64], bins: usize, seed: &[u8; 16]) -> Option<Vec<u32>> {
    let count = hashes.len() / 3;
    let mut table = vec![FREE; bins];
    let mut stream = Prg::new(seed);
    let mut draws = [0u64; 64];
    let mut used = draws.len();
    let most = 200 + 20 * (usize::BITS - count.leading_zeros()) as usize;
    for key in 0..count {
        let mut homeless = (3 * key) as u32;
        let mut steps = 0;
        loop {
            let first = homeless - homeless % 3;
            let free = (first..first + 3).find(|&at| table[bin(hashes[at as usize], at as usize % 3, bins)] == FREE);
            if let Some(at) = free {
                table[bin(hashes[at as usize], at as usize % 3, bins)] = at;
                break;
            }
            if steps == most * 50 {
                return None;
            }
            steps += 1;
            if used == draws.len() {
                stream.fill(&mut draws);
                used = 0;
            }
            // Not back to the place that it was put out of.
            let turn = 1 + (draws[used] >> 63) as u32;
            used += 1;
            let at = if steps == 1 { first + (draws[used - 1] % 3) as u32 } else { first + (homeless % 3 + turn) % 3 };
            let slot = &mut table[bin(hashes[at as usize], at as usize % 3, bins)];
            homeless = std::mem::replace(slot, at);
        }
    }
    Some(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_one_of_its_bins() {
        for count in [0usize, 1, 2, 3, 100, 5000, 100_000] {
            let mut hashes = vec![0u64; 3 * count];
            Prg::new(&[1; 16]).fill(&mut hashes);
            let size = bins(count);
            let table = place(&hashes, size, &[2; 16]).unwrap();
            let mut found: Vec<u32> = table.iter().filter(|at| **at != FREE).map(|at| at / 3).collect();
            found.sort_unstable();
            assert_eq!(found, (0..count as u32).collect::<Vec<_>>());
            for (place, at) in table.iter().enumerate().filter(|(_, at)| **at != FREE) {
                assert_eq!(place, bin(hashes[*at as usize], *at as usize % 3, size));
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(place(&[7; 12], 3 * 86, &[2; 16]).is_none());
    }
}
