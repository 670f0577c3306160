//! Sorting records whose upper halves are spread evenly, as hashes are: by a few of their first bits into parts that the
//! second-level cache holds, there by as many bits as there are records, and the rest by insertion.
use crate::memory;

/// Records of a part, about.
const PART: usize = 1024;
/// The most records with the same bits that are sorted by insertion.
const FEW: usize = 16;

/// The records in order. Any are sorted right; those that are not spread take longer, n log n at most.
pub fn sort(mut records: Vec<u128>) -> Vec<u128> {
    let log = (records.len() / PART).checked_ilog2().unwrap_or(0).min(10);
    let mut parted = blocks(records.len());
    let mut start = 0;
    for end in scatter(&records, &mut parted, 0, log) {
        local(&parted[start..end], &mut records[start..end], log);
        start = end;
    }
    records
}

/// As many zeros, on large pages.
pub fn blocks(count: usize) -> Vec<u128> {
    memory::large(vec![0; count])
}

/// Records by the `bits` bits behind the first `skipped` ones of their upper halves; where every value's records end.
fn scatter(from: &[u128], to: &mut [u128], skipped: u32, bits: u32) -> Vec<usize> {
    let value = |record: &u128| (((record >> 64) as u64) << skipped).checked_shr(64 - bits).unwrap_or(0) as usize;
    let mut ends = vec![0usize; 1 << bits];
    from.iter().for_each(|record| ends[value(record)] += 1);
    let mut total = 0;
    for end in &mut ends {
        (*end, total) = (total, total + *end);
    }
    for record in from {
        let end = &mut ends[value(record)];
        to[*end] = *record;
        *end += 1;
    }
    ends
}

fn local(from: &[u128], to: &mut [u128], skipped: u32) {
    let ends = scatter(from, to, skipped, from.len().checked_ilog2().unwrap_or(0).min(12));
    let mut start = 0;
    for end in ends {
        if end - start > FEW {
            to[start..end].sort_unstable();
        }
        start = end;
    }
    for next in 1..to.len() {
        let (record, mut at) = (to[next], next);
        while at > 0 && to[at - 1] > record {
            to[at] = to[at - 1];
            at -= 1;
        }
        to[at] = record;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prg::Prg;

    #[test]
    fn records_of_every_kind_are_sorted() {
        for count in [0usize, 1, 2, 100, 5000, 40_000] {
            let mut words = vec![0u64; 2 * count];
            Prg::new(&[1; 16]).fill(&mut words);
            let spread = memory::blocks(&words).into_owned();
            let clustered = spread.iter().map(|x| x >> 100 << 40 | x & 0xff).collect();
            let equal = vec![7 << 64; count];
            for records in [spread.clone(), clustered, equal] {
                let mut expected = records.clone();
                expected.sort_unstable();
                assert_eq!(sort(records), expected);
            }
        }
    }
}
