//! Python's view of the tables of keys that a sort shuffles and compares.
use numpy::{IntoPyArray, PyArray1, PyReadwriteArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::{check_width, order, out_of_range, packed, Indices, Out, OutPair, OutTriple, Prg, Words};

fn keys_of<'a>(table: &'a Words, bits: usize, pairs: &(Indices, Indices)) -> PyResult<order::Keys<'a>> {
    if pairs.0.len()? != pairs.1.len()? || bits == 0 || bits > 1 << 20 {
        return Err(PyValueError::new_err("pairs have two rows each, and a row has bits"));
    }
    Ok(order::Keys { table: table.as_slice()?, bits })
}

#[pyfunction]
pub fn pair_planes<'py>(
    py: Python<'py>,
    table: Words<'py>,
    bits: usize,
    pairs: (Indices<'py>, Indices<'py>),
) -> OutPair<'py> {
    let keys = keys_of(&table, bits, &pairs)?;
    let (left, right) = (pairs.0.as_slice()?, pairs.1.as_slice()?);
    let (first, second) = py.detach(|| order::pair_planes(keys, left, right)).ok_or_else(out_of_range)?;
    Ok((first.into_pyarray(py), second.into_pyarray(py)))
}

#[pyfunction]
pub fn choose_pairs<'py>(
    py: Python<'py>,
    table: Words<'py>,
    bits: usize,
    pairs: (Indices<'py>, Indices<'py>),
    mut mine: PyRefMut<'py, Prg>,
    mut next: PyRefMut<'py, Prg>,
) -> OutTriple<'py> {
    let keys = keys_of(&table, bits, &pairs)?;
    let (left, right) = (pairs.0.as_slice()?, pairs.1.as_slice()?);
    let (mine, next) = (&mut mine.0, &mut next.0);
    let found = py.detach(|| order::choose_pairs(keys, left, right, mine, next));
    let (own, top) = found.ok_or_else(out_of_range)?;
    Ok((own.into_pyarray(py), top.0.into_pyarray(py), top.1.into_pyarray(py)))
}

type OutPlaces<'py> = (Bound<'py, PyArray1<u32>>, Bound<'py, PyArray1<u32>>);

#[pyfunction]
pub fn group_places<'py>(py: Python<'py>, values: Indices<'py>, groups: usize) -> PyResult<OutPlaces<'py>> {
    let values = values.as_slice()?;
    let (places, begins) = py.detach(|| order::group_places(values, groups)).ok_or_else(out_of_range)?;
    Ok((places.into_pyarray(py), begins.into_pyarray(py)))
}

#[pyfunction]
pub fn group_pairs<'py>(
    py: Python<'py>,
    begins: Indices<'py>,
    start: order::Pair,
    count: usize,
) -> PyResult<(OutPlaces<'py>, order::Pair)> {
    let begins = begins.as_slice()?;
    let found = py.detach(|| order::group_pairs(begins, start, count));
    let (left, right, next) = found.ok_or_else(out_of_range)?;
    Ok(((left.into_pyarray(py), right.into_pyarray(py)), next))
}

#[pyfunction]
pub fn pack_rows<'py>(
    py: Python<'py>,
    rows: usize,
    bits: usize,
    numbered: bool,
    keys: Vec<(Words<'py>, Option<Words<'py>>, usize)>,
) -> Out<'py, u64> {
    let mut parts = Vec::with_capacity(keys.len());
    for (words, other, width) in &keys {
        check_width(*width, 64)?;
        let other = other.as_ref().map(|other| other.as_slice()).transpose()?;
        let key = packed::Key { words: words.as_slice()?, other, width: *width };
        if key.words.len() != rows || key.other.is_some_and(|other| other.len() != rows) {
            return Err(PyValueError::new_err("keys of another number of rows"));
        }
        parts.push(key);
    }
    if bits > 64 {
        return Err(PyValueError::new_err("a row's number has at most 64 bits"));
    }
    Ok(py.detach(|| packed::pack_rows(rows, bits, numbered, &parts)).into_pyarray(py))
}

#[pyfunction]
pub fn gather_packed<'py>(
    py: Python<'py>,
    table: Words<'py>,
    origin: Indices<'py>,
    width: usize,
    behind: bool,
) -> Out<'py, u64> {
    let (table, origin) = (table.as_slice()?, origin.as_slice()?);
    let gather = if behind { packed::gather_behind } else { packed::gather_packed };
    Ok(py.detach(|| gather(table, origin, width)).ok_or_else(out_of_range)?.into_pyarray(py))
}

#[pyfunction]
pub fn interleave_within<'py>(
    py: Python<'py>,
    mut table: PyReadwriteArray1<'py, u64>,
    mut drawn: PyRefMut<'py, Prg>,
    rows: usize,
    width: usize,
    own_first: bool,
) -> PyResult<()> {
    let (table, drawn) = (table.as_slice_mut()?, &mut drawn.0);
    let fits = py.detach(|| packed::interleave_within(table, drawn, rows, width, own_first));
    fits.then_some(()).ok_or_else(out_of_range)
}

/// A component of packed rows that is there, or a stream that draws it.
#[derive(FromPyObject)]
pub enum Component<'py> {
    Words(Words<'py>),
    Stream(PyRefMut<'py, Prg>),
}

impl Component<'_> {
    fn source(&mut self) -> PyResult<packed::Source<'_>> {
        Ok(match self {
            Component::Words(words) => packed::Source::Words(words.as_slice()?),
            Component::Stream(stream) => packed::Source::Stream(&mut stream.0),
        })
    }
}

#[pyfunction]
pub fn interleave<'py>(
    py: Python<'py>,
    mut first: Component<'py>,
    mut second: Component<'py>,
    rows: usize,
    width: usize,
) -> Out<'py, u64> {
    let (first, second) = (first.source()?, second.source()?);
    Ok(py.detach(|| packed::interleave(first, second, rows, width)).ok_or_else(out_of_range)?.into_pyarray(py))
}
