//! Large vectors on large pages, where the system has them: touching new memory page by page takes longer than filling it.

/// Words from which a vector is worth large pages; smaller ones come from memory that is used again.
#[cfg(target_os = "linux")]
const LARGE: usize = 1 << 19;

/// As many zeros.
pub fn zeros(count: usize) -> Vec<u64> {
    let words = vec![0u64; count];
    #[cfg(target_os = "linux")]
    if count >= LARGE {
        const PAGE: usize = 4096;
        let start = (words.as_ptr() as usize).next_multiple_of(PAGE);
        let end = (words.as_ptr() as usize + 8 * count) / PAGE * PAGE;
        // SAFETY: the range lies within the vector, and the advice changes no content; where it is refused, nothing happens.
        unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_HUGEPAGE) };
    }
    words
}

/// Have the C library keep memory that is freed, up to its limit for single vectors, until `malloc_trim` is called.
pub fn keep() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the C library's own function; where it refuses a value, nothing happens.
    unsafe {
        const LARGEST: libc::c_int = 32 << 20;
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGEST);
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn vectors_of_every_size_are_zero() {
        for count in [0, 1, super::LARGE - 1, super::LARGE, super::LARGE + 5] {
            assert_eq!(super::zeros(count), vec![0; count]);
        }
    }
}
