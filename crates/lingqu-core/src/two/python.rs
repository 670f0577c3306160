//! The kernels of two parties as `lingqu._core` shows them.
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::transfers::{self, Span, Transfers};
use super::{lookup, switch};
use crate::ot::join;
use crate::ot::python::CotRows;
use crate::rows;

type Words<'py> = PyReadonlyArray1<'py, u64>;
type Indices<'py> = PyReadonlyArray1<'py, u32>;
type Out<'py, T> = PyResult<Bound<'py, PyArray1<T>>>;

fn equal_lengths(slices: &[&[u64]]) -> PyResult<()> {
    if slices.windows(2).any(|pair| pair[0].len() != pair[1].len()) {
        return Err(PyValueError::new_err("planes differ in length"));
    }
    Ok(())
}

fn as_block(words: (u64, u64)) -> u128 {
    u128::from(words.0) | u128::from(words.1) << 64
}

/// Rows of an extension from a place on, or blocks of two words.
#[derive(FromPyObject)]
pub enum Taken<'py> {
    Silent(PyRef<'py, CotRows>, usize, usize),
    Given(Words<'py>),
}

/// Transfers whose number `group` divides.
fn transfers_of(taken: Vec<Taken<'_>>, group: usize) -> PyResult<Transfers> {
    let span = |taken| {
        Ok(match taken {
            Taken::Silent(rows, first, count) => {
                if first.checked_add(count).is_none_or(|end| end > rows.0.len()) {
                    return Err(PyValueError::new_err("there are fewer rows"));
                }
                Span::Silent { rows: rows.0.clone(), first, count }
            }
            Taken::Given(words) => Span::Given(join(words.as_slice()?)),
        })
    };
    let transfers = Transfers(taken.into_iter().map(span).collect::<PyResult<_>>()?);
    if !transfers.len().is_multiple_of(group) {
        return Err(PyValueError::new_err("transfers are used 64 together, those of lookups 256"));
    }
    Ok(transfers)
}

fn within(size: usize, most: usize) -> PyResult<()> {
    if size == 0 || size > most {
        return Err(PyValueError::new_err("a width that these transfers do not have"));
    }
    Ok(())
}

type Pair<'py> = PyResult<(Bound<'py, PyArray1<u64>>, Bound<'py, PyArray1<u64>>)>;

fn paired<'py>(py: Python<'py>, work: impl FnOnce() -> (Vec<u64>, Vec<u64>) + Send) -> Pair<'py> {
    let (one, two) = py.detach(work);
    Ok((one.into_pyarray(py), two.into_pyarray(py)))
}

#[pyfunction]
#[pyo3(signature = (rows, delta, columns = 1))]
pub fn words_sent<'py>(py: Python<'py>, rows: Vec<Taken<'py>>, delta: (u64, u64), columns: usize) -> Pair<'py> {
    within(columns, usize::MAX)?;
    let taken = transfers_of(rows, transfers::LANES)?;
    paired(py, || transfers::words_sent(&taken, as_block(delta), columns))
}

#[pyfunction]
#[pyo3(signature = (rows, columns = 1))]
pub fn words_received<'py>(py: Python<'py>, rows: Vec<Taken<'py>>, columns: usize) -> Pair<'py> {
    within(columns, usize::MAX)?;
    let taken = transfers_of(rows, transfers::LANES)?;
    paired(py, || transfers::words_received(&taken, columns))
}

#[pyfunction]
pub fn strings_sent<'py>(py: Python<'py>, rows: Vec<Taken<'py>>, delta: (u64, u64), width: usize) -> Pair<'py> {
    within(width, 64)?;
    let taken = transfers_of(rows, transfers::LANES)?;
    paired(py, || transfers::strings_sent(&taken, as_block(delta), width))
}

#[pyfunction]
pub fn strings_received<'py>(py: Python<'py>, rows: Vec<Taken<'py>>, width: usize) -> Pair<'py> {
    within(width, 64)?;
    let taken = transfers_of(rows, transfers::LANES)?;
    paired(py, || transfers::strings_received(&taken, width))
}

#[pyfunction]
pub fn lookups_sent<'py>(py: Python<'py>, rows: Vec<Taken<'py>>, delta: (u64, u64), bits: usize) -> Out<'py, u64> {
    within(bits, lookup::MOST_BITS)?;
    let taken = transfers_of(rows, transfers::LOOKED)?;
    Ok(py.detach(|| transfers::lookups_sent(&taken, as_block(delta), bits)).into_pyarray(py))
}

#[pyfunction]
pub fn lookups_received<'py>(py: Python<'py>, rows: Vec<Taken<'py>>, bits: usize) -> Pair<'py> {
    within(bits, lookup::MOST_BITS)?;
    let taken = transfers_of(rows, transfers::LOOKED)?;
    paired(py, || transfers::lookups_received(&taken, bits))
}

fn check_planes(digit: &[u64], each: &[&[u64]], all: &[u64], bits: usize) -> PyResult<()> {
    let stride = digit.len() / lookup::DIGIT;
    let fits = |words: &&[u64]| words.len() == bits * stride;
    let whole = digit.len().is_multiple_of(lookup::DIGIT) && bits > 0 && bits <= lookup::MOST_BITS;
    if !whole || !each.iter().all(fits) || all.len() != lookup::CHOICES * bits * stride {
        return Err(PyValueError::new_err("planes of a lookup differ in length"));
    }
    Ok(())
}

#[pyfunction]
pub fn lookup_answers<'py>(
    py: Python<'py>,
    masks: Words<'py>,
    shift: Words<'py>,
    digit: Words<'py>,
    share: Words<'py>,
    table: [u8; 256],
    bits: usize,
) -> Out<'py, u64> {
    let (masks, shift, digit, share) = (masks.as_slice()?, shift.as_slice()?, digit.as_slice()?, share.as_slice()?);
    check_planes(digit, &[share], masks, bits)?;
    equal_lengths(&[shift, digit])?;
    Ok(py.detach(|| lookup::answers(masks, shift, digit, share, &table, bits)).into_pyarray(py))
}

#[pyfunction]
pub fn lookup_read<'py>(
    py: Python<'py>,
    said: Words<'py>,
    digit: Words<'py>,
    masks: Words<'py>,
    bits: usize,
) -> Out<'py, u64> {
    let (said, digit, masks) = (said.as_slice()?, digit.as_slice()?, masks.as_slice()?);
    check_planes(digit, &[masks], said, bits)?;
    Ok(py.detach(|| lookup::read(said, digit, masks, bits)).into_pyarray(py))
}

#[pyfunction]
pub fn switch_count(n: usize) -> usize {
    switch::size(n)
}

#[pyfunction]
pub fn switch_network(py: Python<'_>, n: u32) -> Bound<'_, PyArray1<u32>> {
    py.detach(|| switch::network(n as usize)).into_pyarray(py)
}

#[pyfunction]
pub fn switch_route<'py>(py: Python<'py>, order: Indices<'py>) -> Out<'py, u8> {
    let order = order.as_slice()?;
    let settings = py.detach(|| {
        let words: Vec<u64> = order.iter().map(|to| u64::from(*to)).collect();
        rows::as_permutation(&words).map(|order| switch::route(&order))
    });
    Ok(settings.ok_or_else(|| PyValueError::new_err("this order is no permutation"))?.into_pyarray(py))
}

fn check_switches(table: &[u64], pairs: &[u32], each: &[usize], words: &[&[u64]], columns: usize) -> PyResult<()> {
    let switches = pairs.len() / 2;
    let rows = table.len() / columns.max(1);
    if columns == 0
        || !pairs.len().is_multiple_of(2)
        || !table.len().is_multiple_of(columns)
        || each.iter().any(|count| *count != switches)
        || words.iter().any(|words| words.len() != switches * columns)
        || pairs.iter().any(|position| *position as usize >= rows)
    {
        return Err(PyValueError::new_err("switches and their words differ in number"));
    }
    Ok(())
}

#[pyfunction]
#[allow(clippy::too_many_arguments)]
pub fn switch_label<'py>(
    py: Python<'py>,
    labels: Words<'py>,
    pairs: Indices<'py>,
    zero: Words<'py>,
    one: Words<'py>,
    flips: Words<'py>,
    columns: usize,
    xor: bool,
) -> Pair<'py> {
    let (mut labels, pairs) = (labels.as_slice()?.to_vec(), pairs.as_slice()?);
    let (zero, one, flips) = (zero.as_slice()?, one.as_slice()?, flips.as_slice()?);
    check_switches(&labels, pairs, &[flips.len()], &[zero, one], columns)?;
    let words = switch::Words { columns, xor };
    let said = py.detach(|| switch::label(&mut labels, pairs, zero, one, flips, words));
    Ok((said.into_pyarray(py), labels.into_pyarray(py)))
}

#[pyfunction]
#[allow(clippy::too_many_arguments)]
pub fn switch_settle<'py>(
    py: Python<'py>,
    excess: Words<'py>,
    pairs: Indices<'py>,
    chosen: Words<'py>,
    settings: PyReadonlyArray1<'py, u8>,
    said: Words<'py>,
    columns: usize,
    xor: bool,
) -> Out<'py, u64> {
    let (mut excess, pairs, settings) = (excess.as_slice()?.to_vec(), pairs.as_slice()?, settings.as_slice()?);
    let (chosen, said) = (chosen.as_slice()?, said.as_slice()?);
    check_switches(&excess, pairs, &[settings.len()], &[chosen, said], columns)?;
    let words = switch::Words { columns, xor };
    py.detach(|| switch::settle(&mut excess, pairs, chosen, settings, said, words));
    Ok(excess.into_pyarray(py))
}
