//! The functions of this folder as `lingqu._core` shows them.
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::field::{prime_among, Field};
use super::fold::{self, Bit, Cut, Known, Side};
use super::sums::{self, Products};
use super::COMBINATIONS;

type Words<'py> = PyReadonlyArray1<'py, u64>;
type Pair<'py> = (Words<'py>, Words<'py>);
type Out<'py> = PyResult<Bound<'py, PyArray1<u64>>>;
/// Words, and the bit of each that is read with its value where it is not all of them.
pub type Reading<'py> = (Words<'py>, Option<(u32, u64)>);
/// One reading, or two of whole words that are added, with weights.
type Sides<'py> = Vec<(Vec<Reading<'py>>, Option<Words<'py>>, usize)>;

fn wrong(what: &str) -> PyErr {
    PyValueError::new_err(what.to_owned())
}

fn require(holds: bool, what: &str) -> PyResult<()> {
    if holds {
        return Ok(());
    }
    Err(wrong(what))
}

fn field_of(prime: u64) -> PyResult<Field> {
    Field::new(prime).ok_or_else(|| wrong("a prime lies between 2^50 and 2^51"))
}

fn reading_of<'a>((words, bit): &'a Reading) -> PyResult<sums::Reading<'a>> {
    require(bit.is_none_or(|(at, _)| at < 64), "a word has 64 bits")?;
    Ok(sums::Reading { words: words.as_slice()?, bit: bit.map(|(at, value)| Bit { at, value }) })
}

/// Factors of products that are summed into so many results.
pub fn readings_of<'a>(
    left: &'a [Reading],
    right: &'a [Reading],
    results: usize,
) -> PyResult<(Vec<sums::Reading<'a>>, Vec<sums::Reading<'a>>)> {
    let read = |side: &'a [Reading]| side.iter().map(reading_of).collect::<PyResult<Vec<_>>>();
    let (left, right) = (read(left)?, read(right)?);
    let alike = left.iter().zip(&right).all(|(left, right)| left.words.len() == right.words.len());
    require(left.len() == right.len() && alike, "factors differ in length")?;
    let divides = left.iter().all(|side| side.words.len().is_multiple_of(results.max(1)));
    require(divides, "products do not divide among the results")?;
    Ok((left, right))
}

fn sides_of<'a>(sides: &'a Sides) -> PyResult<Vec<Side<'a>>> {
    let read = |(readings, weights, repeat): &'a (Vec<Reading>, Option<Words>, usize)| {
        let weights = weights.as_ref().map(|weights| weights.as_slice()).transpose()?;
        let readings = readings.iter().map(reading_of).collect::<PyResult<Vec<_>>>()?;
        let (sums::Reading { words, bit }, other) = match readings[..] {
            [one] => (one, None),
            [one, other] => (one, Some(other)),
            _ => return Err(wrong("a side is one reading or two")),
        };
        let alike = other.is_none_or(|other| bit.is_none() && other.bit.is_none() && other.words.len() == words.len());
        let weighed = weights.is_none_or(|weights| !weights.is_empty() || words.is_empty());
        require(*repeat > 0 && weighed && alike, "words without weights, or of two lengths")?;
        Ok(Side { words, other: other.map(|other| other.words), bit, weights, repeat: *repeat })
    };
    sides.iter().map(read).collect()
}

fn check_cut(factor: usize, lanes: usize) -> PyResult<()> {
    require((1..=64).contains(&factor) && (1..=8).contains(&lanes), "a block is 1 to 64 pieces of 1 to 8 entries")
}

fn halves(sums: Vec<i128>) -> Vec<u64> {
    sums.into_iter().flat_map(|sum| [sum as u64, (sum >> 64) as u64]).collect()
}

#[pyfunction]
pub fn ring_prime(words: Words<'_>) -> PyResult<u64> {
    prime_among(words.as_slice()?.iter().copied()).ok_or_else(|| wrong("no prime among these words"))
}

#[pyfunction]
#[pyo3(signature = (x, y, drawn, weights, strided))]
pub fn ring_quotients<'py>(
    py: Python<'py>,
    x: Pair<'py>,
    y: Pair<'py>,
    drawn: Words<'py>,
    weights: Words<'py>,
    strided: bool,
) -> Out<'py> {
    let (drawn, weights) = (drawn.as_slice()?, weights.as_slice()?);
    let (x, y) = ((x.0.as_slice()?, x.1.as_slice()?), (y.0.as_slice()?, y.1.as_slice()?));
    let length = x.0.len();
    require([x.1, y.0, y.1].iter().all(|words| words.len() == length), "factors differ in length")?;
    require(drawn.len() == weights.len(), "outputs and weights differ in length")?;
    require(length.is_multiple_of(drawn.len().max(1)), "products do not divide among the outputs")?;
    Ok(halves(py.detach(|| Products { x, y, drawn }.quotients(weights, strided))).into_pyarray(py))
}

#[pyfunction]
pub fn ring_single_quotients<'py>(
    py: Python<'py>,
    left: Vec<Reading<'py>>,
    right: Vec<Reading<'py>>,
    second: Words<'py>,
    weights: Words<'py>,
) -> Out<'py> {
    let (second, weights) = (second.as_slice()?, weights.as_slice()?);
    let (left, right) = readings_of(&left, &right, second.len())?;
    require(second.len() == weights.len(), "outputs and weights differ in length")?;
    Ok(halves(py.detach(|| sums::single_quotients(&left, &right, second, weights))).into_pyarray(py))
}

#[pyfunction]
pub fn ring_word_quotients<'py>(
    py: Python<'py>,
    words: Words<'py>,
    second: Words<'py>,
    weights: Words<'py>,
) -> Out<'py> {
    let (words, second, weights) = (words.as_slice()?, second.as_slice()?, weights.as_slice()?);
    require(words.len() == second.len() && words.len() == weights.len(), "words and weights differ in length")?;
    Ok(halves(py.detach(|| sums::words_quotients(words, second, weights))).into_pyarray(py))
}

#[pyfunction]
pub fn ring_combine<'py>(py: Python<'py>, table: Words<'py>, weights: Words<'py>, columns: bool) -> Out<'py> {
    let (table, weights) = (table.as_slice()?, weights.as_slice()?);
    require(table.len().is_multiple_of(weights.len().max(1)), "a table and its weights differ in size")?;
    let combine = if columns { sums::combine_columns } else { sums::combine_rows };
    Ok(py.detach(|| combine(table, weights)).into_pyarray(py))
}

#[pyfunction]
pub fn ring_weigh<'py>(py: Python<'py>, prime: u64, words: Words<'py>, challenges: Words<'py>) -> Out<'py> {
    let (field, words, challenges) = (field_of(prime)?, words.as_slice()?, challenges.as_slice()?);
    let one_each: &[u64; COMBINATIONS] = challenges.try_into().map_err(|_| wrong("one challenge a combination"))?;
    require(challenges.iter().all(|challenge| *challenge < prime), "challenges are below the prime")?;
    Ok(py.detach(|| fold::weigh(field, words, one_each)).into_pyarray(py))
}

#[pyfunction]
#[pyo3(signature = (prime, words, weights, less=None, product=None))]
pub fn ring_weighed_sum(
    py: Python<'_>,
    prime: u64,
    words: Words<'_>,
    weights: Words<'_>,
    less: Option<Words<'_>>,
    product: Option<Pair<'_>>,
) -> PyResult<u64> {
    let (field, words, weights) = (field_of(prime)?, words.as_slice()?, weights.as_slice()?);
    let less = less.as_ref().map(|less| less.as_slice()).transpose()?;
    let product = match &product {
        Some((x, y)) => Some((x.as_slice()?, y.as_slice()?)),
        None => None,
    };
    let others = less.into_iter().chain(product.into_iter().flat_map(|(x, y)| [x, y])).chain([weights]);
    require(others.map(<[u64]>::len).all(|length| length == words.len()), "operands differ in length")?;
    require(weights.iter().fold(0, |any, weight| any | weight) < 1 << 51, "weights are below 2^51")?;
    let known = Known { words, less, product };
    Ok(py.detach(|| fold::weighed_sum(field, known, weights)))
}

#[pyfunction]
pub fn ring_sums<'py>(py: Python<'py>, prime: u64, x: Words<'py>, y: Words<'py>) -> Out<'py> {
    let (field, x, y) = (field_of(prime)?, x.as_slice()?, y.as_slice()?);
    require(x.len() == y.len(), "operands differ in length")?;
    require(x.iter().chain(y).fold(0, |any, word| any | word) < 1 << 51, "numbers are below 2^51")?;
    Ok(py.detach(|| fold::sums(field, x, y)).into_pyarray(py))
}

#[pyfunction]
pub fn ring_products<'py>(
    py: Python<'py>,
    prime: u64,
    u: Sides<'py>,
    v: Sides<'py>,
    factor: usize,
    lanes: usize,
) -> Out<'py> {
    let (field, u, v) = (field_of(prime)?, sides_of(&u)?, sides_of(&v)?);
    check_cut(factor, lanes)?;
    let equal = u.len() == v.len() && u.iter().zip(&v).all(|(u, v)| u.words.len() == v.words.len());
    require(equal, "factors differ in length")?;
    Ok(py.detach(|| fold::products(field, &u, &v, Cut { factor, lanes })).into_pyarray(py))
}

#[pyfunction]
pub fn ring_fold<'py>(py: Python<'py>, prime: u64, sides: Sides<'py>, powers: Words<'py>, lanes: usize) -> Out<'py> {
    let (field, sides, powers) = (field_of(prime)?, sides_of(&sides)?, powers.as_slice()?);
    check_cut(powers.len(), lanes)?;
    require(powers.iter().all(|power| *power < prime), "powers are below the prime")?;
    Ok(py.detach(|| fold::fold(field, &sides, powers, lanes)).into_pyarray(py))
}
