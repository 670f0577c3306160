//! Large vectors on large pages, where the system has them: touching new memory page by page takes longer than filling it.
use pyo3::prelude::*;
use std::borrow::Cow;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Bytes from which a vector is worth large pages; smaller ones come from memory that is used again.
#[cfg(target_os = "linux")]
const LARGE: usize = 1 << 22;
/// Bytes of the largest vector that is kept once it is freed, where `keep_memory` was called; the C library takes no more.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const KEPT: libc::c_int = 32 << 20;
/// The same while memory is spared: what a chunk of rows takes is kept, a long column is not.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const SPARED: libc::c_int = 3 << 20;
/// Whether `keep_memory` was called.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
static KEEPS: AtomicBool = AtomicBool::new(false);
/// How many are under way that want memory spared.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
static SPARING: AtomicUsize = AtomicUsize::new(0);

/// As many zeros.
pub fn zeros(count: usize) -> Vec<u64> {
    large(vec![0u64; count])
}

/// The vector, which nobody has touched yet, on large pages if it is worth them.
pub fn large<T>(vector: Vec<T>) -> Vec<T> {
    #[cfg(target_os = "linux")]
    if size_of_val(&vector[..]) >= LARGE {
        const PAGE: usize = 4096;
        let start = (vector.as_ptr() as usize).next_multiple_of(PAGE);
        let end = (vector.as_ptr() as usize + size_of_val(&vector[..])) / PAGE * PAGE;
        // SAFETY: the range lies within the vector, and the advice changes no content; where it is refused, nothing happens.
        unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE) };
    }
    vector
}

/// Blocks of 128 bits as words, the low one first: in place where their address allows it.
pub fn blocks(words: &[u64]) -> Cow<'_, [u128]> {
    // SAFETY: every two words are a block of 128 bits, and on a little-endian machine the low one is first.
    let (before, whole, after) = unsafe { words.align_to::<u128>() };
    if cfg!(target_endian = "little") && before.is_empty() && after.is_empty() {
        return Cow::Borrowed(whole);
    }
    words.chunks_exact(2).map(|pair| u128::from(pair[0]) | u128::from(pair[1]) << 64).collect()
}

/// Tell the caches that a place will be read soon.
#[inline(always)]
pub fn prefetch<T>(place: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint, of the address of something that is there.
    unsafe {
        use std::arch::x86_64::{_mm_prefetch, _MM_HINT_T0};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(place).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// Let `work` change such words as blocks, in place where their address allows it.
pub fn with_blocks<T>(words: &mut [u64], work: impl FnOnce(&mut [u128]) -> T) -> T {
    // SAFETY: as for `blocks`; every pattern of bits is a word and a block.
    let (before, whole, after) = unsafe { words.align_to_mut::<u128>() };
    if cfg!(target_endian = "little") && before.is_empty() && after.is_empty() {
        return work(whole);
    }
    let mut copied = blocks(words).into_owned();
    let result = work(&mut copied);
    for (pair, block) in words.chunks_exact_mut(2).zip(copied) {
        (pair[0], pair[1]) = (block as u64, (block >> 64) as u64);
    }
    result
}

/// Keep memory that is freed, in vectors of up to KEPT bytes, for what is asked for next, until `release_memory`: new memory
/// costs as much as a pass over it.  All threads share what is kept.  For a process of its own.
#[pyfunction]
pub fn keep_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        KEEPS.store(true, Ordering::Relaxed);
        // SAFETY: the C library's own function; where it refuses a value, nothing happens.
        unsafe {
            libc::mallopt(libc::M_ARENA_MAX, 1);
            libc::mallopt(libc::M_MMAP_THRESHOLD, KEPT);
            libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
        }
    }
}

/// Where memory is kept, let go of vectors of more than SPARED bytes as soon as they are freed; as often as this is begun it
/// must be ended.
#[pyfunction]
pub fn spare_memory(begin: bool) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let others =
            if begin { SPARING.fetch_add(1, Ordering::Relaxed) } else { SPARING.fetch_sub(1, Ordering::Relaxed) - 1 };
        if others == 0 && KEEPS.load(Ordering::Relaxed) {
            // SAFETY: as in `keep_memory`.
            unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, if begin { SPARED } else { KEPT }) };
        }
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let _ = begin;
}

/// Give memory that was freed back to the system; the C library keeps it otherwise.
#[pyfunction]
pub fn release_memory(py: Python<'_>) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the C library's own function, safe to call from any thread at any time.
    py.detach(|| unsafe { libc::malloc_trim(0) });
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let _ = py;
}

#[cfg(test)]
mod tests {
    #[test]
    fn blocks_are_words_wherever_they_lie() {
        let words: Vec<u64> = (0..9).collect();
        for start in [0, 1] {
            let whole: Vec<u128> = (0..4).map(|i| (2 * i + start) | ((2 * i + start + 1) << 64)).collect();
            let mut part = words[start as usize..start as usize + 8].to_vec();
            assert_eq!(super::blocks(&words[start as usize..][..8])[..], whole);
            super::with_blocks(&mut part, |blocks| blocks.reverse());
            let mut odd = words.clone();
            super::with_blocks(&mut odd[start as usize..][..8], |blocks| blocks.reverse());
            assert_eq!(odd[start as usize..][..8], part);
            assert_eq!((part[0], part[1]), (6 + start as u64, 7 + start as u64));
        }
    }

    #[test]
    fn vectors_of_every_size_are_zero() {
        for count in [0, 1, super::LARGE / 8 - 1, super::LARGE / 8, super::LARGE / 8 + 5] {
            assert_eq!(super::zeros(count), vec![0; count]);
        }
    }
}
