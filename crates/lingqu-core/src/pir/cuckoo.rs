//! Buckets of several cells in two halves of a table; every record has one bucket in each (Dietzfelbinger, Weidling 2007).
use crate::prg::Prg;

/// The mark of a cell that holds no record.
pub const EMPTY: u32 = u32::MAX;
/// Moves after which a record counts as one that does not fit.
const MOVES: usize = 1000;

/// The record of every cell: cell k of bucket b of half h stands at `(h * buckets + b) * cells + k`.
///
/// positions: both buckets of every record.  None when a record finds no place.
pub fn place(positions: &[u32], buckets: usize, cells: usize, seed: &[u8; 16]) -> Option<Vec<u32>> {
    let mut held = vec![EMPTY; 2 * buckets * cells];
    let mut count = vec![0u8; 2 * buckets];
    let mut prg = Prg::new(seed);
    for record in 0..positions.len() / 2 {
        let mut moving = record as u32;
        let mut left = MOVES;
        loop {
            let both: [usize; 2] = std::array::from_fn(|h| h * buckets + positions[2 * moving as usize + h] as usize);
            let fuller = usize::from(count[both[1]] < count[both[0]]);
            let bucket = both[fuller];
            if usize::from(count[bucket]) < cells {
                held[bucket * cells + usize::from(count[bucket])] = moving;
                count[bucket] += 1;
                break;
            }
            left = left.checked_sub(1)?;
            let mut word = [0u64];
            prg.fill(&mut word);
            let chosen = both[(word[0] & 1) as usize] * cells + (word[0] >> 1) as usize % cells;
            std::mem::swap(&mut held[chosen], &mut moving);
        }
    }
    Some(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_stands_in_one_of_its_buckets() {
        let (buckets, cells) = (500usize, 8usize);
        let records = 2 * buckets * cells * 95 / 100;
        let mut words = vec![0u64; 2 * records];
        Prg::new(&[6; 16]).fill(&mut words);
        let positions: Vec<u32> = words.iter().map(|word| (word % buckets as u64) as u32).collect();
        let held = place(&positions, buckets, cells, &[1; 16]).unwrap();
        let mut seen = vec![0; records];
        for (cell, record) in held.iter().enumerate().filter(|(_, record)| **record != EMPTY) {
            let half = cell / cells / buckets;
            assert_eq!(positions[2 * *record as usize + half] as usize, cell / cells % buckets);
            seen[*record as usize] += 1;
        }
        assert!(seen.iter().all(|times| *times == 1));
        assert!(place(&[0; 2 * 17], buckets, cells, &[1; 16]).is_none());
    }
}
