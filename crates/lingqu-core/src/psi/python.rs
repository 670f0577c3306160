//! The kernels of set intersection as Python sees them: blocks of 128 bits are two words each, the low one first.
use super::unique::Texts;
use super::{cuckoo, hash, okvs, rows, rr22, spread, tags, unique};
use crate::memory;
use crate::prg::Prg;
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::borrow::Cow;

type Bytes<'py> = PyReadonlyArray1<'py, u8>;
type Words<'py> = PyReadonlyArray1<'py, u64>;
type Offsets<'py> = PyReadonlyArray1<'py, i64>;
type Out<'py, T> = PyResult<Bound<'py, PyArray1<T>>>;

/// Words as blocks: in place where their address allows it.
fn blocks(words: &[u64]) -> PyResult<Cow<'_, [u128]>> {
    if !words.len().is_multiple_of(2) {
        return Err(PyValueError::new_err("a block has two words"));
    }
    Ok(memory::blocks(words))
}

/// Words of so many blocks that `work` fills.
fn filled<T>(count: usize, work: impl FnOnce(&mut [u128]) -> T) -> (Vec<u64>, T) {
    let mut words = memory::zeros(2 * count);
    let result = memory::with_blocks(&mut words, work);
    (words, result)
}

fn bad_offsets() -> PyErr {
    PyValueError::new_err("offsets do not fit the data")
}

#[pyfunction]
pub fn element_digests<'py>(py: Python<'py>, salt: [u8; 32], data: Bytes<'py>, offsets: Offsets<'py>) -> Out<'py, u64> {
    let (data, offsets) = (data.as_slice()?, offsets.as_slice()?);
    let (words, found) = py.detach(|| {
        let count = offsets.len().saturating_sub(1);
        filled(count, |keys| hash::digests(&salt, data, offsets, |place, [key, _]| keys[place] = key))
    });
    found.ok_or_else(bad_offsets)?;
    Ok(words.into_pyarray(py))
}

type Two<'py, T> = PyResult<(Bound<'py, PyArray1<T>>, Bound<'py, PyArray1<T>>)>;

#[pyfunction]
pub fn element_hashes<'py>(py: Python<'py>, salt: [u8; 32], data: Bytes<'py>, offsets: Offsets<'py>) -> Two<'py, u64> {
    let (data, offsets) = (data.as_slice()?, offsets.as_slice()?);
    let (keys, (values, found)) = py.detach(|| {
        let count = offsets.len().saturating_sub(1);
        filled(count, |keys| {
            filled(count, |values| {
                hash::digests(&salt, data, offsets, |place, both| (keys[place], values[place]) = (both[0], both[1]))
            })
        })
    });
    found.ok_or_else(bad_offsets)?;
    Ok((keys.into_pyarray(py), values.into_pyarray(py)))
}

type Three<'py> = PyResult<(Bound<'py, PyArray1<u64>>, Bound<'py, PyArray1<u64>>, Bound<'py, PyArray1<u32>>)>;

/// As `element_hashes`, by the lower halves of the keys, and which element each is of.
#[pyfunction]
pub fn sorted_hashes<'py>(py: Python<'py>, salt: [u8; 32], data: Bytes<'py>, offsets: Offsets<'py>) -> Three<'py> {
    let (data, offsets) = (data.as_slice()?, offsets.as_slice()?);
    let found = py.detach(|| {
        let count = offsets.len().saturating_sub(1);
        let (mut keys, mut values) = (spread::blocks(count), spread::blocks(count));
        hash::digests(&salt, data, offsets, |place, both| (keys[place], values[place]) = (both[0], both[1]))?;
        let (sorted, (with, who)) =
            filled(count, |sorted| filled(count, |with| hash::in_order(&keys, &values, [sorted, with])));
        Some((sorted, with, who))
    });
    let (keys, values, who) = found.ok_or_else(bad_offsets)?;
    Ok((keys.into_pyarray(py), values.into_pyarray(py), who.into_pyarray(py)))
}

type Joined<'py> = PyResult<(Bound<'py, PyArray1<u8>>, Bound<'py, PyArray1<i64>>)>;

/// Rows of several columns, each a pair of data and offsets, as one text each.
#[pyfunction]
pub fn join_texts<'py>(py: Python<'py>, columns: Vec<(Bytes<'py>, Offsets<'py>)>) -> Joined<'py> {
    let mut texts = Vec::with_capacity(columns.len());
    for (data, offsets) in &columns {
        texts.push(Texts::new(data.as_slice()?, offsets.as_slice()?).ok_or_else(bad_offsets)?);
    }
    if texts.windows(2).any(|pair| pair[0].len() != pair[1].len()) {
        return Err(PyValueError::new_err("columns differ in length"));
    }
    let joined = py.detach(|| unique::join(&texts));
    let (data, offsets) = joined.ok_or_else(|| PyValueError::new_err("a text has 4 GiB or more"))?;
    Ok((data.into_pyarray(py), offsets.into_pyarray(py)))
}

/// Some rows' texts, in the given order.
#[pyfunction]
pub fn take_texts<'py>(py: Python<'py>, data: Bytes<'py>, offsets: Offsets<'py>, rows: Offsets<'py>) -> Joined<'py> {
    let texts = Texts::new(data.as_slice()?, offsets.as_slice()?).ok_or_else(bad_offsets)?;
    let rows = rows.as_slice()?;
    let taken = py.detach(|| unique::take(&texts, rows));
    let (data, offsets) = taken.ok_or_else(|| PyValueError::new_err("a row is not among the texts"))?;
    Ok((data.into_pyarray(py), offsets.into_pyarray(py)))
}

/// The first row of every different text, and the number of every row's text among them.
#[pyfunction]
pub fn unique_texts<'py>(py: Python<'py>, data: Bytes<'py>, offsets: Offsets<'py>) -> Two<'py, i64> {
    let texts = Texts::new(data.as_slice()?, offsets.as_slice()?).ok_or_else(bad_offsets)?;
    let found = py.detach(|| unique::unique(&texts));
    let (kept, number) = found.ok_or_else(|| PyValueError::new_err("a set has fewer than 2^32 - 1 rows"))?;
    Ok((kept.into_pyarray(py), number.into_pyarray(py)))
}

#[pyfunction]
pub fn okvs_columns(keys: usize) -> usize {
    okvs::columns(keys)
}

#[pyfunction]
pub fn okvs_encode<'py>(
    py: Python<'py>,
    seed: [u8; 16],
    keys: Words<'py>,
    values: Words<'py>,
    columns: usize,
    fill: [u8; 16],
) -> PyResult<Option<Bound<'py, PyArray1<u64>>>> {
    let (keys, values) = (blocks(keys.as_slice()?)?, blocks(values.as_slice()?)?);
    if keys.len() != values.len() || columns < okvs::columns(keys.len()) {
        return Err(PyValueError::new_err("keys, values and columns do not fit each other"));
    }
    let (store, found) =
        py.detach(|| filled(columns, |store| okvs::encode(&seed, &keys, &values, &mut Prg::new(&fill), store)));
    Ok(found.map(|()| store.into_pyarray(py)))
}

#[pyfunction]
pub fn okvs_decode<'py>(py: Python<'py>, seed: [u8; 16], keys: Words<'py>, store: Words<'py>) -> Out<'py, u64> {
    let (keys, store) = (blocks(keys.as_slice()?)?, blocks(store.as_slice()?)?);
    if store.len() < okvs::columns(0) {
        return Err(PyValueError::new_err("a store has more columns"));
    }
    let (found, ()) = py.detach(|| filled(keys.len(), |out| okvs::decode(&seed, &keys, &store, out)));
    Ok(found.into_pyarray(py))
}

/// A store of rows of words; see `rows::encode`.
#[pyfunction]
pub fn rows_encode<'py>(
    py: Python<'py>,
    seed: [u8; 16],
    keys: Words<'py>,
    values: Words<'py>,
    width: usize,
    fill: [u8; 16],
) -> PyResult<Option<Bound<'py, PyArray1<u64>>>> {
    let (keys, values) = (blocks(keys.as_slice()?)?, values.as_slice()?);
    if width == 0 || values.len() != keys.len() * width {
        return Err(PyValueError::new_err("keys and values do not fit each other"));
    }
    let columns = okvs::columns(keys.len());
    let store = py.detach(|| rows::encode(&seed, &keys, values, width, columns, &mut Prg::new(&fill)));
    Ok(store.map(|store| store.into_pyarray(py)))
}

#[pyfunction]
pub fn rows_decode<'py>(
    py: Python<'py>,
    seed: [u8; 16],
    keys: Words<'py>,
    store: Words<'py>,
    width: usize,
) -> Out<'py, u64> {
    let (keys, store) = (blocks(keys.as_slice()?)?, store.as_slice()?);
    if width == 0 || !store.len().is_multiple_of(width) || store.len() / width < rows::LEAST {
        return Err(PyValueError::new_err("a store has more columns"));
    }
    Ok(py.detach(|| rows::decode(&seed, &keys, store, width)).into_pyarray(py))
}

#[pyfunction]
pub fn blocks_under<'py>(py: Python<'py>, key: [u8; 16], keys: Words<'py>) -> Out<'py, u64> {
    let keys = blocks(keys.as_slice()?)?;
    let (found, ()) = py.detach(|| filled(keys.len(), |out| rows::blocks_under(&key, &keys, out)));
    Ok(found.into_pyarray(py))
}

#[pyfunction]
pub fn masks_under<'py>(
    py: Python<'py>,
    key: [u8; 16],
    keys: Words<'py>,
    width: usize,
    forward: bool,
) -> Out<'py, u64> {
    let keys = blocks(keys.as_slice()?)?;
    Ok(py.detach(|| rows::masks_under(&key, &keys, width, forward)).into_pyarray(py))
}

#[pyfunction]
pub fn cuckoo_bins(keys: usize) -> usize {
    cuckoo::bins(keys)
}

/// The bin of every hash, three a key; see `cuckoo::bin`.
#[pyfunction]
pub fn cuckoo_places<'py>(py: Python<'py>, hashes: Words<'py>, bins: usize) -> Out<'py, i64> {
    let hashes = hashes.as_slice()?;
    let places = hashes.iter().enumerate().map(|(at, hash)| cuckoo::bin(*hash, at % 3, bins) as i64);
    Ok(places.collect::<Vec<_>>().into_pyarray(py))
}

/// For every bin three times its key and the third, or -1; None when the keys do not fit.
#[pyfunction]
pub fn cuckoo_table<'py>(
    py: Python<'py>,
    hashes: Words<'py>,
    bins: usize,
    seed: [u8; 16],
) -> PyResult<Option<Bound<'py, PyArray1<i64>>>> {
    let hashes = hashes.as_slice()?;
    if !hashes.len().is_multiple_of(3) || bins < cuckoo::bins(hashes.len() / 3) || bins > cuckoo::FREE as usize {
        return Err(PyValueError::new_err("a key has three hashes, and a table more bins than keys"));
    }
    let table = py.detach(|| cuckoo::place(hashes, bins, &seed));
    let signed = |at: u32| if at == cuckoo::FREE { -1 } else { i64::from(at) };
    Ok(table.map(|table| table.into_iter().map(signed).collect::<Vec<_>>().into_pyarray(py)))
}

/// Tags of elements under a store; see `rr22::tags`.  drawn: what both parties drew, for tags that are random oracles.
#[pyfunction]
#[pyo3(signature = (keyed, hashes, store, delta, drawn=None))]
pub fn rr22_tags<'py>(
    py: Python<'py>,
    keyed: ([u8; 16], usize),
    hashes: (Words<'py>, Words<'py>),
    store: Words<'py>,
    delta: Option<(u64, u64)>,
    drawn: Option<[u8; 16]>,
) -> Out<'py, u8> {
    let (seed, width) = keyed;
    let (keys, values) = (blocks(hashes.0.as_slice()?)?, blocks(hashes.1.as_slice()?)?);
    let store = blocks(store.as_slice()?)?;
    let oracle = drawn.map_or(rr22::Oracle::Block, |drawn| rr22::Oracle::Random(u128::from_le_bytes(drawn)));
    if keys.len() != values.len() || store.len() < okvs::columns(0) || !(1..=oracle.most()).contains(&width) {
        return Err(PyValueError::new_err("keys, values, store and width do not fit each other"));
    }
    let delta = delta.map(|(low, high)| u128::from(low) | u128::from(high) << 64);
    let keyed = rr22::Keyed { seed: &seed, store: &store, delta, oracle, width };
    let tags = py.detach(|| {
        let mut tags = memory::large(vec![0; keys.len() * width]);
        rr22::tags(&keyed, &keys, &values, &mut tags);
        tags
    });
    Ok(tags.into_pyarray(py))
}

fn tags_fit(tags: &[u8], width: usize) -> PyResult<()> {
    if !(1..=32).contains(&width) || !tags.len().is_multiple_of(width) || tags.len() / width >= u32::MAX as usize {
        return Err(PyValueError::new_err("tags have 1 to 32 bytes, and there are whole ones"));
    }
    Ok(())
}

type Ordered<'py> = PyResult<(Bound<'py, PyArray1<u8>>, Bound<'py, PyArray1<u32>>)>;

/// Tags in order; see `tags::sorted`.
#[pyfunction]
pub fn sorted_tags<'py>(py: Python<'py>, tags: Bytes<'py>, width: usize) -> Ordered<'py> {
    let tags = tags.as_slice()?;
    tags_fit(tags, width)?;
    let (tags, order) = py.detach(|| tags::sorted(tags, width));
    Ok((tags.into_pyarray(py), order.into_pyarray(py)))
}

/// This side's tags, which the other's meet as they come; see `tags::Meeting`.
#[pyclass(module = "lingqu._core")]
pub struct TagMeeting {
    meeting: tags::Meeting,
    width: usize,
}

#[pymethods]
impl TagMeeting {
    #[new]
    fn new(py: Python<'_>, tags: Bytes<'_>, width: usize) -> PyResult<Self> {
        let tags = tags.as_slice()?;
        tags_fit(tags, width)?;
        Ok(TagMeeting { meeting: py.detach(|| tags::Meeting::new(tags, width)), width })
    }

    fn __repr__(&self) -> String {
        format!("TagMeeting({} tags of {} bytes)", self.meeting.found().len(), self.width)
    }

    fn meet<'py>(&mut self, py: Python<'py>, tags: Bytes<'py>) -> Out<'py, bool> {
        let tags = tags.as_slice()?;
        tags_fit(tags, self.width)?;
        Ok(py.detach(|| self.meeting.meet(tags)).into_pyarray(py))
    }

    fn found<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<bool>> {
        self.meeting.found().to_vec().into_pyarray(py)
    }
}
