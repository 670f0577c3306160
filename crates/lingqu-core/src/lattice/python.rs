//! The lattice machines as Python classes. Bytes travel as arrays of uint8, so that nothing is copied on the way.
use super::matrix;
use super::sizes::Sizes;
use super::triples;
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

type Bytes<'py> = PyReadonlyArray1<'py, u8>;
type Words<'py> = PyReadonlyArray1<'py, u64>;
type OutBytes<'py> = Bound<'py, PyArray1<u8>>;
type OutWords<'py> = Bound<'py, PyArray1<u64>>;
type Groups = Vec<(usize, usize, usize)>;
type Six = (usize, usize, usize, usize, usize, usize);

fn malformed() -> PyErr {
    PyValueError::new_err("malformed lattice message")
}

fn check_slots(rows: &[&[u64]]) -> PyResult<()> {
    if rows.iter().any(|row| row.len() > triples::N) {
        return Err(PyValueError::new_err("more words than slots"));
    }
    Ok(())
}

fn sizes_of(six: Six) -> PyResult<Sizes> {
    let (rows, inner, columns, run, deep, wide) = six;
    let sizes = Sizes { rows, inner, columns, run, deep, wide };
    if !sizes.valid() {
        return Err(PyValueError::new_err("no layout of a matrix product"));
    }
    Ok(sizes)
}

fn check_group(sizes: &Sizes, group: usize) -> PyResult<()> {
    if group >= sizes.groups() {
        return Err(PyValueError::new_err("no such group of columns"));
    }
    Ok(())
}

/// Degree and primes, of triples and of matrix products.
#[pyfunction]
pub fn lattice_parameters() -> [(usize, Vec<u64>); 2] {
    [(triples::N, triples::PRIMES.to_vec()), (matrix::N, matrix::PRIMES.to_vec())]
}

/// Bytes of a public key, a request and an answer for triples, and of a public key for matrix products.
#[pyfunction]
pub fn lattice_bytes() -> (usize, usize, usize, usize) {
    (triples::KEY_BYTES, triples::REQUEST_BYTES, triples::ANSWER_BYTES, matrix::KEY_BYTES)
}

/// Bytes of a request, and for each group of columns the first, one past the last, and the bytes of its answer.
#[pyfunction]
pub fn matrix_layout(sizes: Six) -> PyResult<(usize, Groups)> {
    let sizes = sizes_of(sizes)?;
    let group = |group| {
        let (from, to) = sizes.columns_of(group);
        (from, to, sizes.answer_bytes(group))
    };
    Ok((sizes.request_bytes(), (0..sizes.groups()).map(group).collect()))
}

#[pyclass(module = "lingqu._core")]
pub struct TripleHolder(triples::KeyHolder);

#[pymethods]
impl TripleHolder {
    #[new]
    fn new(py: Python<'_>, seed: [u8; 16]) -> Self {
        TripleHolder(py.detach(|| triples::KeyHolder::new(&seed)))
    }

    fn __repr__(&self) -> &'static str {
        "TripleHolder(<redacted>)"
    }

    fn public_key<'py>(&self, py: Python<'py>) -> OutBytes<'py> {
        self.0.public_key().to_vec().into_pyarray(py)
    }

    fn request<'py>(&mut self, py: Python<'py>) -> (OutBytes<'py>, OutWords<'py>, OutWords<'py>) {
        let holder = &mut self.0;
        let (request, [a, b]) = py.detach(|| holder.request());
        (request.into_pyarray(py), a.into_pyarray(py), b.into_pyarray(py))
    }

    fn finish<'py>(&self, py: Python<'py>, answer: Bytes<'py>, count: usize) -> PyResult<OutWords<'py>> {
        let (answer, holder) = (answer.as_slice()?, &self.0);
        Ok(py.detach(|| holder.finish(answer, count)).ok_or_else(malformed)?.into_pyarray(py))
    }
}

#[pyclass(module = "lingqu._core")]
pub struct TripleEvaluator(triples::Evaluator);

#[pymethods]
impl TripleEvaluator {
    #[new]
    fn new(py: Python<'_>, seed: [u8; 16], public_key: Bytes<'_>) -> PyResult<Self> {
        let public = public_key.as_slice()?;
        py.detach(|| triples::Evaluator::new(&seed, public)).map(TripleEvaluator).ok_or_else(malformed)
    }

    fn __repr__(&self) -> &'static str {
        "TripleEvaluator(<redacted>)"
    }

    fn answer<'py>(
        &mut self,
        py: Python<'py>,
        request: Bytes<'py>,
        a: Words<'py>,
        b: Words<'py>,
    ) -> PyResult<(OutBytes<'py>, OutWords<'py>)> {
        let (request, a, b, evaluator) = (request.as_slice()?, a.as_slice()?, b.as_slice()?, &mut self.0);
        check_slots(&[a, b])?;
        let (answer, mut share) = py.detach(|| evaluator.answer(request, a, b)).ok_or_else(malformed)?;
        share.truncate(a.len().max(b.len()));
        Ok((answer.into_pyarray(py), share.into_pyarray(py)))
    }
}

#[pyclass(module = "lingqu._core")]
pub struct MatrixHolder(matrix::KeyHolder);

#[pymethods]
impl MatrixHolder {
    #[new]
    fn new(py: Python<'_>, seed: [u8; 16]) -> Self {
        MatrixHolder(py.detach(|| matrix::KeyHolder::new(&seed)))
    }

    fn __repr__(&self) -> &'static str {
        "MatrixHolder(<redacted>)"
    }

    fn public_key<'py>(&self, py: Python<'py>) -> OutBytes<'py> {
        self.0.public_key().to_vec().into_pyarray(py)
    }

    fn request<'py>(&mut self, py: Python<'py>, left: Words<'py>, sizes: Six) -> PyResult<OutBytes<'py>> {
        let (left, sizes, holder) = (left.as_slice()?, sizes_of(sizes)?, &mut self.0);
        if sizes.rows.checked_mul(sizes.inner) != Some(left.len()) {
            return Err(PyValueError::new_err("the matrix has other sizes"));
        }
        Ok(py.detach(|| holder.request(left, &sizes)).into_pyarray(py))
    }

    fn finish<'py>(&self, py: Python<'py>, answer: Bytes<'py>, sizes: Six, group: usize) -> PyResult<OutWords<'py>> {
        let (answer, sizes, holder) = (answer.as_slice()?, sizes_of(sizes)?, &self.0);
        check_group(&sizes, group)?;
        Ok(py.detach(|| holder.finish(answer, &sizes, group)).ok_or_else(malformed)?.into_pyarray(py))
    }
}

#[pyclass(module = "lingqu._core", frozen)]
pub struct MatrixLeft(matrix::Left);

#[pymethods]
impl MatrixLeft {
    #[new]
    fn new(py: Python<'_>, request: Bytes<'_>, sizes: Six) -> PyResult<Self> {
        let (request, sizes) = (request.as_slice()?, sizes_of(sizes)?);
        py.detach(|| matrix::Left::parse(request, &sizes)).map(MatrixLeft).ok_or_else(malformed)
    }
}

#[pyclass(module = "lingqu._core", frozen)]
pub struct MatrixRight(matrix::Right);

#[pymethods]
impl MatrixRight {
    #[new]
    fn new(py: Python<'_>, right: Words<'_>, sizes: Six, group: usize) -> PyResult<Self> {
        let (right, sizes) = (right.as_slice()?, sizes_of(sizes)?);
        if sizes.inner.checked_mul(sizes.columns) != Some(right.len()) {
            return Err(PyValueError::new_err("the matrix has other sizes"));
        }
        check_group(&sizes, group)?;
        Ok(MatrixRight(py.detach(|| matrix::Right::new(right, &sizes, group))))
    }

    fn __repr__(&self) -> &'static str {
        "MatrixRight(<redacted>)"
    }
}

#[pyclass(module = "lingqu._core")]
pub struct MatrixEvaluator(matrix::Evaluator);

#[pymethods]
impl MatrixEvaluator {
    #[new]
    fn new(py: Python<'_>, seed: [u8; 16], public_key: Bytes<'_>) -> PyResult<Self> {
        let public = public_key.as_slice()?;
        py.detach(|| matrix::Evaluator::new(&seed, public)).map(MatrixEvaluator).ok_or_else(malformed)
    }

    fn __repr__(&self) -> &'static str {
        "MatrixEvaluator(<redacted>)"
    }

    fn answer<'py>(
        &mut self,
        py: Python<'py>,
        left: &MatrixLeft,
        right: &MatrixRight,
    ) -> PyResult<(OutBytes<'py>, OutWords<'py>)> {
        let (left, right, evaluator) = (&left.0, &right.0, &mut self.0);
        if !right.fits(left) {
            return Err(PyValueError::new_err("the two matrices have different layouts"));
        }
        let (answer, share) = py.detach(|| evaluator.answer(left, right));
        Ok((answer.into_pyarray(py), share.into_pyarray(py)))
    }
}
