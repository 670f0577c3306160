//! Hot kernels of Lingqu, called from Python as `lingqu._core`.
use pyo3::prelude::*;

#[pymodule]
mod _core {}
