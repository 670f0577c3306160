//! Moving rows of words by public or privately drawn permutations.
use crate::memory::zeros;

/// Row i of the result is row `from[i]`; None when an index is out of range.
pub fn gather(table: &[u64], from: &[u32], columns: usize) -> Option<Vec<u64>> {
    let mut out = zeros(from.len() * columns);
    if columns == 1 {
        for (to, index) in out.iter_mut().zip(from) {
            *to = *table.get(*index as usize)?;
        }
    } else if columns > 1 {
        for (row, index) in out.chunks_exact_mut(columns).zip(from) {
            let at = *index as usize * columns;
            row.copy_from_slice(table.get(at..at + columns)?);
        }
    }
    Some(out)
}

/// Row i goes to row `to[i]`; None when an index is out of range. `to` is a permutation, or rows stay zero.
pub fn scatter(table: &[u64], to: &[u32], columns: usize) -> Option<Vec<u64>> {
    let mut out = zeros(table.len());
    if columns == 1 {
        for (value, index) in table.iter().zip(to) {
            *out.get_mut(*index as usize)? = *value;
        }
    } else if columns > 1 {
        for (row, index) in table.chunks_exact(columns).zip(to) {
            let at = *index as usize * columns;
            out.get_mut(at..at + columns)?.copy_from_slice(row);
        }
    }
    Some(out)
}

/// Words as the permutation they must be, or None.
pub fn as_permutation(words: &[u64]) -> Option<Vec<u32>> {
    let mut seen = vec![false; words.len()];
    words
        .iter()
        .map(|word| {
            let mark = seen.get_mut(usize::try_from(*word).ok()?)?;
            let fresh = !std::mem::replace(mark, true);
            fresh.then_some(*word as u32)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scatter_undoes_gather() {
        let table: Vec<u64> = (0..12).collect();
        let order = [2, 0, 3, 1];
        let moved = gather(&table, &order, 3).unwrap();
        assert_eq!(moved[..3], [6, 7, 8]);
        assert_eq!(scatter(&moved, &order, 3).unwrap(), table);
        assert_eq!(gather(&table[..4], &order, 1).unwrap(), [2, 0, 3, 1]);
        assert_eq!(scatter(&[2, 0, 3, 1], &order, 1).unwrap(), [0, 1, 2, 3]);
        assert!(gather(&table, &[4], 3).is_none());
        assert!(scatter(&table[..4], &[0, 1, 2, 4], 1).is_none());
        assert!(gather(&[], &[], 0).unwrap().is_empty());
    }

    #[test]
    fn only_permutations_pass() {
        assert_eq!(as_permutation(&[1, 0, 2]).unwrap(), [1, 0, 2]);
        assert!(as_permutation(&[1, 1, 2]).is_none());
        assert!(as_permutation(&[0, 3, 1]).is_none());
        assert!(as_permutation(&[u64::MAX]).is_none());
    }
}
