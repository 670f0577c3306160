"""Hot kernels in Rust."""
