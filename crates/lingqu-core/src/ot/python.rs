//! The classes and functions of this folder as `lingqu._core` shows them.
use std::sync::Arc;

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::aes::Block;
use super::rows::Rows;
use super::{cot, direct, gf128, join, keys, split, vole, Fault};
use crate::memory;

type Words<'py> = PyReadonlyArray1<'py, u64>;
type Out<'py, T> = PyResult<Bound<'py, PyArray1<T>>>;

impl From<Fault> for PyErr {
    fn from(fault: Fault) -> PyErr {
        PyValueError::new_err(fault.0)
    }
}

fn words_of(blocks: &[Block]) -> Vec<u64> {
    let mut words = vec![0; 2 * blocks.len()];
    split(blocks, &mut words);
    words
}

fn block_of(words: (u64, u64)) -> Block {
    Block::from(words.0) | Block::from(words.1) << 64
}

fn rows_of(words: &[u64], log: usize) -> PyResult<Vec<Block>> {
    if log == 0 || log > 8 || !words.len().is_multiple_of(2 * log) {
        return Err(PyValueError::new_err("rows are pairs of words, and log of them, 1 to 8, make one key"));
    }
    Ok(join(words))
}

/// The holder of delta in silent correlated transfers.
#[pyclass(module = "lingqu._core")]
pub struct CotSender(cot::Sender);

#[pymethods]
impl CotSender {
    #[new]
    fn new(py: Python<'_>, seed: [u8; 32], label: [u8; 32]) -> Self {
        CotSender(py.detach(|| cot::Sender::new(&seed, &label)))
    }

    fn __repr__(&self) -> &'static str {
        "CotSender(<redacted>)"
    }

    #[getter]
    fn delta(&self) -> (u64, u64) {
        (self.0.delta as u64, (self.0.delta >> 64) as u64)
    }

    fn base_message<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.base_message())
    }

    fn setup<'py>(
        &mut self,
        py: Python<'py>,
        sent: &[u8],
        answer: &[u8],
        key: [u8; 16],
    ) -> PyResult<Bound<'py, PyBytes>> {
        let message = py.detach(|| self.0.setup(sent, answer, &key))?;
        Ok(PyBytes::new(py, &message))
    }

    fn extend<'py>(
        &mut self,
        py: Python<'py>,
        trees: usize,
        key: [u8; 16],
    ) -> PyResult<(Bound<'py, PyBytes>, CotRows)> {
        let (message, rows) = py.detach(|| self.0.extend(trees, &key))?;
        Ok((PyBytes::new(py, &message), CotRows(rows)))
    }
}

/// The holder of choice bits in silent correlated transfers.
#[pyclass(module = "lingqu._core")]
pub struct CotReceiver(cot::Receiver);

#[pymethods]
impl CotReceiver {
    #[new]
    fn new(py: Python<'_>, seed: [u8; 32], label: [u8; 32]) -> Self {
        CotReceiver(py.detach(|| cot::Receiver::new(&seed, &label)))
    }

    fn __repr__(&self) -> &'static str {
        "CotReceiver(<redacted>)"
    }

    fn base_message<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.base_message())
    }

    fn setup<'py>(&mut self, py: Python<'py>, points: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let answer = py.detach(|| self.0.setup(points))?;
        Ok(PyBytes::new(py, &answer))
    }

    fn begin(&mut self, py: Python<'_>, message: &[u8]) -> PyResult<()> {
        Ok(py.detach(|| self.0.begin(message))?)
    }

    fn extend(&mut self, py: Python<'_>, trees: usize, message: &[u8]) -> PyResult<CotRows> {
        Ok(CotRows(py.detach(|| self.0.extend(trees, message))?))
    }
}

/// The correlations of one extension, computed when they are asked for.
#[pyclass(module = "lingqu._core", frozen)]
pub struct CotRows(pub Arc<Rows>);

#[pymethods]
impl CotRows {
    fn __repr__(&self) -> &'static str {
        "CotRows(<redacted>)"
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    fn words<'py>(&self, py: Python<'py>, first: usize, count: usize) -> Out<'py, u64> {
        if first.checked_add(count).is_none_or(|end| end > self.0.len()) {
            return Err(PyValueError::new_err("there are fewer rows"));
        }
        Ok(py.detach(|| self.0.words(first, count)).into_pyarray(py))
    }

    fn state<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.state())
    }

    #[staticmethod]
    fn restore(state: &[u8]) -> PyResult<Self> {
        Ok(CotRows(Arc::new(Rows::restore(cot::MAIN, state)?)))
    }
}

/// The holder of delta in transfers that come straight from the base transfers.
#[pyclass(module = "lingqu._core", frozen)]
pub struct FewSender(direct::Sender);

#[pymethods]
impl FewSender {
    #[new]
    fn new(py: Python<'_>, seed: [u8; 32], label: [u8; 32]) -> Self {
        FewSender(py.detach(|| direct::Sender::new(&seed, &label)))
    }

    fn __repr__(&self) -> &'static str {
        "FewSender(<redacted>)"
    }

    #[getter]
    fn delta(&self) -> (u64, u64) {
        (self.0.delta as u64, (self.0.delta >> 64) as u64)
    }

    fn base_message<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.base_message())
    }

    fn rows<'py>(&self, py: Python<'py>, sent: &[u8], answer: &[u8], count: usize, checked: bool) -> Out<'py, u64> {
        let rows = py.detach(|| self.0.rows(sent, answer, count, checked).map(|rows| words_of(&rows)))?;
        Ok(rows.into_pyarray(py))
    }
}

/// The holder of choice bits in transfers that come straight from the base transfers.
#[pyclass(module = "lingqu._core", frozen)]
pub struct FewReceiver(direct::Receiver);

#[pymethods]
impl FewReceiver {
    #[new]
    fn new(py: Python<'_>, seed: [u8; 32], label: [u8; 32]) -> Self {
        FewReceiver(py.detach(|| direct::Receiver::new(&seed, &label)))
    }

    fn __repr__(&self) -> &'static str {
        "FewReceiver(<redacted>)"
    }

    fn base_message<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.base_message())
    }

    fn rows<'py>(&self, py: Python<'py>, points: &[u8], count: usize, checked: bool) -> PyResult<Sent<'py>> {
        let (answer, rows) = py.detach(|| {
            let (answer, rows) = self.0.rows(points, count, checked)?;
            Ok::<_, Fault>((answer, words_of(&rows)))
        })?;
        Ok((PyBytes::new(py, &answer), rows.into_pyarray(py)))
    }
}

/// Bytes of the receiver's answer for so many transfers.
#[pyfunction]
pub fn few_answer_bytes(count: usize, checked: bool) -> usize {
    direct::answer_bytes(count, checked)
}

/// Sizes of the silent extension, as the Python side declares its costs by them.
#[pyfunction]
pub fn cot_sizes() -> (usize, usize, usize, usize, usize, usize) {
    (cot::SETUP, cot::FIRST_MESSAGE, cot::extend_bytes(1), cot::MAIN.trees, cot::MAIN.makes(1), cot::RESERVE)
}

#[pyfunction]
pub fn ot_keys_send<'py>(
    py: Python<'py>,
    rows: Words<'py>,
    delta: (u64, u64),
    log: usize,
    tweak: u64,
) -> Out<'py, u64> {
    let rows = rows_of(rows.as_slice()?, log)?;
    Ok(py
        .detach(|| {
            let mut out = Vec::with_capacity((rows.len() / log) << (log + 1));
            keys::send(&rows, block_of(delta), log, tweak, |part| out.extend(words_of(part)));
            out
        })
        .into_pyarray(py))
}

#[pyfunction]
pub fn ot_bytes_send<'py>(
    py: Python<'py>,
    rows: Words<'py>,
    delta: (u64, u64),
    log: usize,
    tweak: u64,
) -> Out<'py, u8> {
    let rows = rows_of(rows.as_slice()?, log)?;
    Ok(py
        .detach(|| {
            let mut out = Vec::with_capacity((rows.len() / log) << log);
            keys::send(&rows, block_of(delta), log, tweak, |part| out.extend(part.iter().map(|key| *key as u8)));
            out
        })
        .into_pyarray(py))
}

#[pyfunction]
pub fn ot_keys_receive<'py>(py: Python<'py>, rows: Words<'py>, log: usize, tweak: u64) -> Out<'py, u64> {
    let rows = rows_of(rows.as_slice()?, log)?;
    Ok(py.detach(|| words_of(&keys::receive(&rows, log, tweak))).into_pyarray(py))
}

#[pyfunction]
pub fn ot_choices<'py>(py: Python<'py>, rows: Words<'py>, log: usize) -> Out<'py, u8> {
    let rows = rows_of(rows.as_slice()?, log)?;
    Ok(py.detach(|| keys::choices(&rows, log)).into_pyarray(py))
}

fn shape_of(count: usize) -> PyResult<vole::Shape> {
    vole::Shape::of(count).ok_or_else(|| PyValueError::new_err("more correlations than one run makes"))
}

/// Transfers and bytes of the message that `count` correlations over GF(2^128) take.
#[pyfunction]
pub fn vole_sizes(count: usize) -> PyResult<(usize, usize)> {
    shape_of(count).map(|shape| (shape.transfers(), shape.message()))
}

fn transfers_of(shape: vole::Shape, words: &[u64]) -> PyResult<Vec<Block>> {
    if words.len() != 2 * shape.transfers() {
        return Err(PyValueError::new_err("another number of transfers than these correlations take"));
    }
    Ok(join(words))
}

type Sent<'py> = (Bound<'py, PyBytes>, Bound<'py, PyArray1<u64>>);

#[pyfunction]
pub fn vole_send<'py>(
    py: Python<'py>,
    rows: Words<'py>,
    delta: (u64, u64),
    count: usize,
    code: [u8; 16],
    key: [u8; 16],
) -> PyResult<Sent<'py>> {
    let shape = shape_of(count)?;
    let rows = transfers_of(shape, rows.as_slice()?)?;
    let (b, message) =
        py.detach(|| made(shape, |b| vole::send(shape, block_of(delta), &rows, Block::from_le_bytes(code), &key, b)));
    Ok((PyBytes::new(py, &message), b.into_pyarray(py)))
}

/// Words of the correlations of a shape, which `work` writes as blocks.
fn made<T>(shape: vole::Shape, work: impl FnOnce(&mut [Block]) -> T) -> (Vec<u64>, T) {
    let mut words = memory::zeros(2 * shape.room());
    let result = memory::with_blocks(&mut words, work);
    words.truncate(2 * shape.count());
    (words, result)
}

#[pyfunction]
pub fn vole_hold<'py>(py: Python<'py>, rows: Words<'py>, count: usize, code: [u8; 16]) -> Out<'py, u64> {
    let shape = shape_of(count)?;
    let rows = transfers_of(shape, rows.as_slice()?)?;
    let (a, ()) = py.detach(|| made(shape, |a| vole::hold(shape, &rows, Block::from_le_bytes(code), a)));
    Ok(a.into_pyarray(py))
}

#[pyfunction]
pub fn vole_receive<'py>(
    py: Python<'py>,
    rows: Words<'py>,
    count: usize,
    code: [u8; 16],
    message: &[u8],
) -> Out<'py, u64> {
    let shape = shape_of(count)?;
    let rows = transfers_of(shape, rows.as_slice()?)?;
    let (c, fault) = py.detach(|| made(shape, |c| vole::receive(shape, &rows, Block::from_le_bytes(code), message, c)));
    fault?;
    Ok(c.into_pyarray(py))
}

/// factor * x + y in GF(2^128), blocks of two words.
#[pyfunction]
pub fn gf128_scale_add<'py>(py: Python<'py>, factor: (u64, u64), x: Words<'py>, y: Words<'py>) -> Out<'py, u64> {
    let (x, y) = (x.as_slice()?, y.as_slice()?);
    if x.len() != y.len() || !x.len().is_multiple_of(2) {
        return Err(PyValueError::new_err("blocks have two words, and there are as many of both"));
    }
    let scaled = py.detach(|| {
        let mut words = x.to_vec();
        memory::with_blocks(&mut words, |blocks| gf128::scale_add(block_of(factor), blocks, &memory::blocks(y)));
        words
    });
    Ok(scaled.into_pyarray(py))
}

/// The sum of blocks of two words times the random elements of GF(2^128) that a seed gives.
#[pyfunction]
pub fn gf128_inner(py: Python<'_>, seed: [u8; 16], x: Words<'_>) -> PyResult<(u64, u64)> {
    let x = x.as_slice()?;
    if !x.len().is_multiple_of(2) {
        return Err(PyValueError::new_err("blocks have two words"));
    }
    let sum = py.detach(|| gf128::inner(&seed, &join(x)));
    Ok((sum as u64, (sum >> 64) as u64))
}
