//! Hot kernels of Lingqu, called from Python as `lingqu._core`. The kernels know nothing of Python; this file wraps them.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub mod amx;
pub mod bits;
pub mod checked;
pub mod curve;
pub mod gf64;
pub mod lattice;
pub mod memory;
pub mod order;
pub mod ot;
mod packed;
pub mod pir;
pub mod prg;
pub mod psi;
pub mod ring;
pub mod ringproof;
pub mod rows;
mod sorting;
pub mod truncate;
pub mod turn;
pub mod two;

use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1, PyReadwriteArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use ringproof::python::{readings_of, Reading};

type Words<'py> = PyReadonlyArray1<'py, u64>;
type Indices<'py> = PyReadonlyArray1<'py, u32>;
type Out<'py, T> = PyResult<Bound<'py, PyArray1<T>>>;

fn equal_lengths(slices: &[&[u64]]) -> PyResult<()> {
    if slices.windows(2).any(|pair| pair[0].len() != pair[1].len()) {
        return Err(PyValueError::new_err("share components differ in length"));
    }
    Ok(())
}

fn check_width(width: usize, most: usize) -> PyResult<()> {
    if width == 0 || width > most {
        return Err(PyValueError::new_err("a word has 1 to 64 bits"));
    }
    Ok(())
}

/// AES-128-CTR under one key; both holders of the key draw the same words.
#[pyclass(module = "lingqu._core")]
struct Prg(prg::Prg);

#[pymethods]
impl Prg {
    #[new]
    fn new(key: [u8; 16]) -> Self {
        Prg(prg::Prg::new(&key))
    }

    fn __repr__(&self) -> &'static str {
        "Prg(<redacted>)"
    }

    fn words<'py>(&mut self, py: Python<'py>, n: usize) -> Bound<'py, PyArray1<u64>> {
        let stream = &mut self.0;
        py.detach(|| {
            let mut out = memory::zeros(n);
            stream.fill(&mut out);
            out
        })
        .into_pyarray(py)
    }

    fn mask(&mut self, py: Python<'_>, mut words: PyReadwriteArray1<'_, u64>, width: usize, how: &str) -> PyResult<()> {
        check_width(width, 64)?;
        let combine = match how {
            "add" => prg::Combine::Add,
            "subtract" => prg::Combine::Subtract,
            "xor" => prg::Combine::Xor,
            _ => return Err(PyValueError::new_err("a mask is added, subtracted or XORed")),
        };
        let (words, stream) = (words.as_slice_mut()?, &mut self.0);
        py.detach(|| stream.mask(words, u64::MAX >> (64 - width), combine));
        Ok(())
    }

    /// A generator that draws the same words as this one will.
    fn copy(&self) -> Self {
        Prg(self.0.clone())
    }

    fn permutation<'py>(&mut self, py: Python<'py>, n: u32) -> Bound<'py, PyArray1<u32>> {
        let stream = &mut self.0;
        py.detach(|| stream.permutation(n)).into_pyarray(py)
    }
}

macro_rules! product_of_shares {
    ($name:ident, $kernel:path) => {
        #[pyfunction]
        fn $name<'py>(
            py: Python<'py>,
            x: (Words<'py>, Words<'py>),
            y: (Words<'py>, Words<'py>),
            mut mine: PyRefMut<'py, Prg>,
            mut next: PyRefMut<'py, Prg>,
        ) -> Out<'py, u64> {
            let (x, y) = ((x.0.as_slice()?, x.1.as_slice()?), (y.0.as_slice()?, y.1.as_slice()?));
            equal_lengths(&[x.0, x.1, y.0, y.1])?;
            let (mine, next) = (&mut mine.0, &mut next.0);
            Ok(py.detach(|| $kernel(x, y, mine, next)).into_pyarray(py))
        }
    };
}

product_of_shares!(multiply_shares, ring::multiply);
product_of_shares!(and_shares, ring::and);

fn rows_of<'a>(tables: &'a [Words], length: usize) -> PyResult<ring::Rows<'a>> {
    let tables: Vec<&[u64]> = tables.iter().map(|table| table.as_slice()).collect::<Result<_, _>>()?;
    if length > 0 && tables.iter().any(|table| table.len() % length != 0) {
        return Err(PyValueError::new_err("rows of another length"));
    }
    Ok(ring::Rows::new(tables, length))
}

type OutPair<'py> = PyResult<(Bound<'py, PyArray1<u64>>, Bound<'py, PyArray1<u64>>)>;
type OutTriple<'py> = PyResult<(Bound<'py, PyArray1<u64>>, Bound<'py, PyArray1<u64>>, Bound<'py, PyArray1<u64>>)>;

#[pyfunction]
fn truncate_lead<'py>(
    py: Python<'py>,
    a: Words<'py>,
    bits: usize,
    mut mine: PyRefMut<'py, Prg>,
    mut next: PyRefMut<'py, Prg>,
) -> OutTriple<'py> {
    let a = a.as_slice()?;
    check_width(bits, 62)?;
    let (mine, next) = (&mut mine.0, &mut next.0);
    let (first, second, message) = py.detach(|| truncate::lead(a, bits, mine, next));
    Ok((first.into_pyarray(py), second.into_pyarray(py), message.into_pyarray(py)))
}

#[pyfunction]
fn truncate_helper<'py>(
    py: Python<'py>,
    message: Words<'py>,
    b: Words<'py>,
    bits: usize,
    mut mine: PyRefMut<'py, Prg>,
) -> OutPair<'py> {
    let (message, b) = (message.as_slice()?, b.as_slice()?);
    check_width(bits, 62)?;
    if message.len() != b.len() + bits::packed_len(b.len(), bits) {
        return Err(PyValueError::new_err("a message of another length"));
    }
    let mine = &mut mine.0;
    let (first, part) = py.detach(|| truncate::helper(message, b, bits, mine));
    Ok((first.into_pyarray(py), part.into_pyarray(py)))
}

#[pyfunction]
fn truncate_other<'py>(py: Python<'py>, b: Words<'py>, bits: usize, mut next: PyRefMut<'py, Prg>) -> OutPair<'py> {
    let b = b.as_slice()?;
    check_width(bits, 62)?;
    let next = &mut next.0;
    let (second, part) = py.detach(|| truncate::other(b, bits, next));
    Ok((second.into_pyarray(py), part.into_pyarray(py)))
}

#[pyfunction]
fn truncate_joint<'py>(
    py: Python<'py>,
    b: Words<'py>,
    part: Words<'py>,
    theirs: Words<'py>,
    bits: usize,
) -> Out<'py, u64> {
    let (b, part, theirs) = (b.as_slice()?, part.as_slice()?, theirs.as_slice()?);
    check_width(bits, 62)?;
    equal_lengths(&[b, part])?;
    if theirs.len() != bits::packed_len(b.len(), bits) {
        return Err(PyValueError::new_err("a message of another length"));
    }
    Ok(py.detach(|| truncate::joint(b, part, theirs, bits)).into_pyarray(py))
}

fn check_product(x: &[u64], y: &[u64], sizes: (usize, usize, usize), turned: bool) -> PyResult<ring::Sizes> {
    let (rows, inner, columns) = sizes;
    if rows.checked_mul(inner) != Some(x.len()) || inner.checked_mul(columns) != Some(y.len()) {
        return Err(PyValueError::new_err("matrices do not have these sizes"));
    }
    Ok(ring::Sizes { rows, inner, columns, turned })
}

#[pyfunction]
fn matmul_shares<'py>(
    py: Python<'py>,
    x: (Words<'py>, Words<'py>),
    y: (Words<'py>, Words<'py>),
    sizes: (usize, usize, usize),
    turned: bool,
    mut mine: PyRefMut<'py, Prg>,
    mut next: PyRefMut<'py, Prg>,
) -> Out<'py, u64> {
    let (x, y) = ((x.0.as_slice()?, x.1.as_slice()?), (y.0.as_slice()?, y.1.as_slice()?));
    equal_lengths(&[x.0, x.1])?;
    equal_lengths(&[y.0, y.1])?;
    let sizes = check_product(x.0, y.0, sizes, turned)?;
    let (mine, next) = (&mut mine.0, &mut next.0);
    Ok(py.detach(|| ring::matmul_shares(x, y, sizes, mine, next)).into_pyarray(py))
}

#[pyfunction]
fn matmul<'py>(
    py: Python<'py>,
    x: Words<'py>,
    y: Words<'py>,
    sizes: (usize, usize, usize),
    turned: bool,
) -> Out<'py, u64> {
    let (x, y) = (x.as_slice()?, y.as_slice()?);
    let sizes = check_product(x, y, sizes, turned)?;
    Ok(py.detach(|| ring::matmul(x, y, sizes)).into_pyarray(py))
}

#[pyfunction]
fn pack<'py>(py: Python<'py>, words: Words<'py>, width: usize) -> Out<'py, u64> {
    let words = words.as_slice()?;
    check_width(width, 64)?;
    Ok(py.detach(|| bits::pack(words, width)).into_pyarray(py))
}

#[pyfunction]
fn unpack<'py>(py: Python<'py>, packed: Words<'py>, n: usize, width: usize) -> Out<'py, u64> {
    let packed = packed.as_slice()?;
    check_width(width, 64)?;
    if n.checked_mul(width).is_none_or(|total| packed.len() != total.div_ceil(64)) {
        return Err(PyValueError::new_err("packed bits of another length"));
    }
    Ok(py.detach(|| bits::unpack(packed, n, width)).into_pyarray(py))
}

#[pyfunction]
fn to_planes<'py>(py: Python<'py>, words: Words<'py>, planes: usize) -> Out<'py, u64> {
    let words = words.as_slice()?;
    check_width(planes, 64)?;
    Ok(py.detach(|| bits::to_planes(words, planes)).into_pyarray(py))
}

#[pyfunction]
fn from_planes<'py>(py: Python<'py>, planes: Words<'py>, n: usize) -> Out<'py, u64> {
    let planes = planes.as_slice()?;
    let length = n.div_ceil(64);
    if planes.len() > 64 * length || (length > 0 && planes.len() % length != 0) {
        return Err(PyValueError::new_err("planes of another length"));
    }
    Ok(py.detach(|| bits::from_planes(planes, n)).into_pyarray(py))
}

#[pyfunction]
fn choose_rows<'py>(
    py: Python<'py>,
    x: (Vec<Words<'py>>, Vec<Words<'py>>),
    length: usize,
    choices: Vec<order::Choice>,
    unions: Vec<(u32, u32)>,
    mut mine: PyRefMut<'py, Prg>,
    mut next: PyRefMut<'py, Prg>,
) -> Out<'py, u64> {
    let x = (rows_of(&x.0, length)?, rows_of(&x.1, length)?);
    let (mine, next) = (&mut mine.0, &mut next.0);
    let out = py.detach(|| order::choose_rows((&x.0, &x.1), &choices, &unions, mine, next));
    Ok(out.ok_or_else(out_of_range)?.into_pyarray(py))
}

type Array<'py> = Bound<'py, PyArray1<u64>>;
type ThreeArrays<'py> = (Array<'py>, Array<'py>, Array<'py>);

fn three(py: Python<'_>, arrays: [Vec<u64>; 3]) -> ThreeArrays<'_> {
    arrays.map(|words| words.into_pyarray(py)).into()
}

fn three_masked(py: Python<'_>, masked: checked::Masked) -> ThreeArrays<'_> {
    three(py, [masked.own, masked.first, masked.second])
}

#[pyfunction]
fn and_masked<'py>(
    py: Python<'py>,
    x: (Words<'py>, Words<'py>),
    y: (Words<'py>, Words<'py>),
    mut mine: PyRefMut<'py, Prg>,
    mut next: PyRefMut<'py, Prg>,
) -> PyResult<ThreeArrays<'py>> {
    let (x, y) = ((x.0.as_slice()?, x.1.as_slice()?), (y.0.as_slice()?, y.1.as_slice()?));
    equal_lengths(&[x.0, x.1, y.0, y.1])?;
    let (mine, next) = (&mut mine.0, &mut next.0);
    Ok(three_masked(py, py.detach(|| checked::and(x, y, mine, next))))
}

#[pyfunction]
fn multiply_masked<'py>(
    py: Python<'py>,
    x: (Words<'py>, Words<'py>),
    y: (Words<'py>, Words<'py>),
    mut mine: PyRefMut<'py, Prg>,
    mut next: PyRefMut<'py, Prg>,
) -> PyResult<ThreeArrays<'py>> {
    let (x, y) = ((x.0.as_slice()?, x.1.as_slice()?), (y.0.as_slice()?, y.1.as_slice()?));
    equal_lengths(&[x.0, x.1, y.0, y.1])?;
    let (mine, next) = (&mut mine.0, &mut next.0);
    Ok(three(py, py.detach(|| checked::multiply(x, y, mine, next))))
}

#[pyfunction]
fn dot_masked<'py>(
    py: Python<'py>,
    left: Vec<Reading<'py>>,
    right: Vec<Reading<'py>>,
    drawn: Words<'py>,
) -> Out<'py, u64> {
    let drawn = drawn.as_slice()?;
    let (left, right) = readings_of(&left, &right, drawn.len())?;
    Ok(py.detach(|| checked::dot(&left, &right, drawn)).into_pyarray(py))
}

type ArrayPair<'py> = (Array<'py>, Array<'py>);

#[pyfunction]
fn choose_masked<'py>(
    py: Python<'py>,
    x: (Vec<Words<'py>>, Vec<Words<'py>>),
    length: usize,
    choices: Vec<order::Choice>,
    unions: Vec<(u32, u32)>,
    mut mine: PyRefMut<'py, Prg>,
    mut next: PyRefMut<'py, Prg>,
) -> PyResult<(ArrayPair<'py>, ArrayPair<'py>, ThreeArrays<'py>)> {
    let x = (rows_of(&x.0, length)?, rows_of(&x.1, length)?);
    let (mine, next) = (&mut mine.0, &mut next.0);
    let found = py.detach(|| checked::choose_rows((&x.0, &x.1), &choices, &unions, mine, next));
    let (factors, masked) = found.ok_or_else(out_of_range)?;
    let pair = |pair: (Vec<u64>, Vec<u64>)| (pair.0.into_pyarray(py), pair.1.into_pyarray(py));
    Ok((pair(factors.x), pair(factors.y), three_masked(py, masked)))
}

#[pyfunction]
fn carries<'py>(py: Python<'py>, x: Words<'py>, y: Words<'py>, mask: Words<'py>) -> Out<'py, u64> {
    let (x, y, mask) = (x.as_slice()?, y.as_slice()?, mask.as_slice()?);
    equal_lengths(&[x, y, mask])?;
    Ok(py.detach(|| checked::carries(x, y, mask)).into_pyarray(py))
}

#[pyfunction]
fn carry_part<'py>(py: Python<'py>, x: Words<'py>, c: Words<'py>) -> PyResult<ArrayPair<'py>> {
    let (x, c) = (x.as_slice()?, c.as_slice()?);
    equal_lengths(&[x, c])?;
    Ok(py.detach(|| checked::carry_part(x, c)).map(|words| words.into_pyarray(py)).into())
}

#[pyfunction]
fn carry_known<'py>(py: Python<'py>, c: Words<'py>) -> Out<'py, u64> {
    let c = c.as_slice()?;
    Ok(py.detach(|| checked::carry_known(c)).into_pyarray(py))
}

#[pyfunction]
fn top_part<'py>(py: Python<'py>, u: Words<'py>, product: Words<'py>, bits: usize) -> Out<'py, u64> {
    let (u, product) = (u.as_slice()?, product.as_slice()?);
    equal_lengths(&[u, product])?;
    check_width(bits, 63)?;
    Ok(py.detach(|| checked::top_part(u, product, 64 - bits)).into_pyarray(py))
}

#[pyfunction]
fn truncated_summand<'py>(
    py: Python<'py>,
    x: Words<'py>,
    carries: Words<'py>,
    added: Words<'py>,
    top: Words<'py>,
    wrapped: Words<'py>,
    bits: usize,
) -> Out<'py, u64> {
    let (x, carries, added) = (x.as_slice()?, carries.as_slice()?, added.as_slice()?);
    let (top, wrapped) = (top.as_slice()?, wrapped.as_slice()?);
    equal_lengths(&[x, carries, added, top, wrapped])?;
    check_width(bits, 63)?;
    let summand = checked::Summand { x, carries, added, top, wrapped };
    Ok(py.detach(|| summand.truncated(bits)).into_pyarray(py))
}

#[pyfunction]
fn truncated_known<'py>(
    py: Python<'py>,
    b: Words<'py>,
    one: Words<'py>,
    two: Words<'py>,
    bits: usize,
    offset: u64,
) -> Out<'py, u64> {
    let (b, one, two) = (b.as_slice()?, one.as_slice()?, two.as_slice()?);
    equal_lengths(&[b, one, two])?;
    check_width(bits, 63)?;
    Ok(py.detach(|| checked::truncated_known(b, one, two, bits, offset)).into_pyarray(py))
}

fn out_of_range() -> PyErr {
    PyValueError::new_err("an index is out of range")
}

fn check_rows(table: &[u64], rows: usize, columns: usize) -> PyResult<()> {
    if rows.checked_mul(columns) != Some(table.len()) {
        return Err(PyValueError::new_err("a table and its order differ in rows"));
    }
    Ok(())
}

#[pyfunction]
fn gather<'py>(py: Python<'py>, table: Words<'py>, origin: Indices<'py>, columns: usize) -> Out<'py, u64> {
    let (table, origin) = (table.as_slice()?, origin.as_slice()?);
    check_rows(table, origin.len(), columns)?;
    Ok(py.detach(|| rows::gather(table, origin, columns)).ok_or_else(out_of_range)?.into_pyarray(py))
}

#[pyfunction]
fn scatter<'py>(py: Python<'py>, table: Words<'py>, to: Indices<'py>, columns: usize) -> Out<'py, u64> {
    let (table, to) = (table.as_slice()?, to.as_slice()?);
    check_rows(table, to.len(), columns)?;
    Ok(py.detach(|| rows::scatter(table, to, columns)).ok_or_else(out_of_range)?.into_pyarray(py))
}

#[pyfunction]
fn as_permutation<'py>(py: Python<'py>, words: Words<'py>) -> Out<'py, u32> {
    let words = words.as_slice()?;
    let order = py.detach(|| rows::as_permutation(words));
    Ok(order.ok_or_else(|| PyValueError::new_err("these words are no permutation"))?.into_pyarray(py))
}

#[pymodule]
mod _core {
    #[pymodule_export]
    use super::curve::python::{CurveBlinding, CurveKey, CurveUnblinding, GroupBlinding, GroupKey, GroupUnblinding};
    #[pymodule_export]
    use super::gf64::python::{
        gf_claim, gf_cross, gf_dot, gf_first_values, gf_fold, gf_fold_words, gf_lagrange, gf_multiply, gf_scale,
        gf_second_values,
    };
    #[pymodule_export]
    use super::psi::python::{
        blocks_under, cuckoo_bins, cuckoo_places, cuckoo_table, element_digests, element_hashes, join_texts,
        masks_under, okvs_columns, okvs_decode, okvs_encode, rows_decode, rows_encode, rr22_tags, sorted_hashes,
        sorted_tags, take_texts, unique_texts, TagMeeting,
    };
    #[pymodule_export]
    use super::{
        and_masked, and_shares, as_permutation, carries, carry_known, carry_part, choose_masked, choose_rows,
        dot_masked, from_planes, gather, matmul, matmul_shares, multiply_masked, multiply_shares, pack, scatter,
        to_planes, top_part, truncate_helper, truncate_joint, truncate_lead, truncate_other, truncated_known,
        truncated_summand, unpack, Prg,
    };
    #[pymodule_export]
    use crate::lattice::python::{
        lattice_bytes, lattice_parameters, matrix_layout, MatrixEvaluator, MatrixHolder, MatrixLeft, MatrixRight,
        TripleEvaluator, TripleHolder,
    };
    #[pymodule_export]
    use crate::memory::{keep_memory, release_memory, spare_memory};
    #[pymodule_export]
    use crate::ot::python::{
        cot_sizes, few_answer_bytes, gf128_inner, gf128_scale_add, ot_bytes_send, ot_choices, ot_keys_receive,
        ot_keys_send, vole_hold, vole_receive, vole_send, vole_sizes, CotReceiver, CotRows, CotSender, FewReceiver,
        FewSender,
    };
    #[pymodule_export]
    use crate::pir::python::{
        oprf_finalize, oprf_tag, pir_answer, pir_columns, pir_derive, pir_fill, pir_hint, pir_open, pir_patch,
        pir_place, pir_seal, pir_sizes, Blinding, PirQueries,
    };
    #[pymodule_export]
    use crate::ringproof::python::{
        ring_combine, ring_fold, ring_prime, ring_products, ring_quotients, ring_single_quotients, ring_sums,
        ring_weigh, ring_weighed_sum, ring_word_quotients,
    };
    #[pymodule_export]
    use crate::sorting::{
        choose_pairs, gather_packed, group_pairs, group_places, interleave, interleave_within, pack_rows, pair_planes,
    };
    #[pymodule_export]
    use crate::two::python::{
        lookup_answers, lookup_read, lookups_received, lookups_sent, strings_received, strings_sent, switch_count,
        switch_label, switch_network, switch_route, switch_settle, words_received, words_sent,
    };
}
