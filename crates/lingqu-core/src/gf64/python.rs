//! Folding in GF(2^64) as Python sees it.
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::words;
use crate::memory::zeros;

type Words<'py> = PyReadonlyArray1<'py, u64>;
type Out<'py> = PyResult<Bound<'py, PyArray1<u64>>>;

fn require(holds: bool) -> PyResult<()> {
    holds.then_some(()).ok_or_else(|| PyValueError::new_err("vectors of lengths that do not fit"))
}

#[pyfunction]
pub fn gf_dot(py: Python<'_>, x: Words<'_>, y: Words<'_>) -> PyResult<u64> {
    let (x, y) = (x.as_slice()?, y.as_slice()?);
    require(x.len() == y.len())?;
    Ok(py.detach(|| super::dot(x, y)))
}

#[pyfunction]
pub fn gf_scale<'py>(py: Python<'py>, x: Words<'py>, factor: u64) -> Out<'py> {
    let x = x.as_slice()?;
    Ok(py
        .detach(|| {
            let mut out = zeros(x.len());
            super::fold(&mut out, x, &[factor]);
            out
        })
        .into_pyarray(py))
}

#[pyfunction]
pub fn gf_multiply<'py>(py: Python<'py>, x: Words<'py>, y: Words<'py>) -> Out<'py> {
    let (x, y) = (x.as_slice()?, y.as_slice()?);
    require(x.len() == y.len())?;
    Ok(py
        .detach(|| {
            let mut out = zeros(x.len());
            super::multiply(&mut out, x, y);
            out
        })
        .into_pyarray(py))
}

#[pyfunction]
pub fn gf_lagrange<'py>(py: Python<'py>, count: usize, at: u64) -> Out<'py> {
    require(count <= super::MOST_POINTS)?;
    Ok(py.detach(|| super::lagrange(count, at)).into_pyarray(py))
}

#[pyfunction]
pub fn gf_cross<'py>(py: Python<'py>, x: Words<'py>, y: Words<'py>, rows: usize) -> Out<'py> {
    let (x, y) = (x.as_slice()?, y.as_slice()?);
    require(rows > 0 && rows <= super::MOST_POINTS / 2 && !x.is_empty() && x.len() == y.len() && x.len() % rows == 0)?;
    Ok(py.detach(|| super::cross(x, y, rows)).into_pyarray(py))
}

type Halves<'py> = Vec<(Words<'py>, Words<'py>)>;

fn segments<'a>(x: &'a Halves) -> PyResult<Vec<[&'a [u64]; 2]>> {
    let of = |(one, two): &'a (Words<'_>, Words<'_>)| {
        let pair = [one.as_slice()?, two.as_slice()?];
        require(pair[0].len() == pair[1].len())?;
        Ok(pair)
    };
    x.iter().map(of).collect()
}

/// Segments of so many shares each.
fn shared<'a, const SHARES: usize>(x: &'a [Vec<Words>]) -> PyResult<Vec<[&'a [u64]; SHARES]>> {
    let of = |shares: &'a Vec<Words<'_>>| {
        let shares = shares.iter().map(|share| Ok(share.as_slice()?)).collect::<PyResult<Vec<_>>>()?;
        require(shares.windows(2).all(|pair| pair[0].len() == pair[1].len()))?;
        shares.try_into().map_err(|_| PyValueError::new_err("segments of another number of shares"))
    };
    x.iter().map(of).collect()
}

/// Whether two vectors are cut alike, with a weight t a column.
fn require_alike(u: &words::Segments<2>, v: &words::Segments<2>, t: &[u64]) -> PyResult<()> {
    let alike = u.len() == v.len() && u.iter().zip(v).all(|(u, v)| u[0].len() == v[0].len());
    require(alike && t.len() == words::columns(u.iter().map(|u| u[0].len())))
}

#[pyfunction]
pub fn gf_first_values<'py>(py: Python<'py>, u: Halves<'py>, v: Halves<'py>, t: Words<'py>, s: Words<'py>) -> Out<'py> {
    let (u, v, t, s) = (segments(&u)?, segments(&v)?, t.as_slice()?, s.as_slice()?);
    require_alike(&u, &v, t)?;
    require(s.len() == words::ROWS)?;
    Ok(py.detach(|| words::first_values(&u, &v, t, s)).into_pyarray(py))
}

#[pyfunction]
pub fn gf_second_values<'py>(
    py: Python<'py>,
    u: Halves<'py>,
    v: Halves<'py>,
    t: Words<'py>,
    left: Words<'py>,
    right: Words<'py>,
) -> Out<'py> {
    let (u, v, t) = (segments(&u)?, segments(&v)?, t.as_slice()?);
    let (left, right) = (left.as_slice()?, right.as_slice()?);
    require_alike(&u, &v, t)?;
    require(left.len() == words::ROWS && right.len() == words::ROWS)?;
    Ok(py.detach(|| words::second_values(&u, &v, t, left, right)).into_pyarray(py))
}

fn fold_words<const SHARES: usize>(
    py: Python<'_>,
    x: &[Vec<Words<'_>>],
    coefficients: &[u64],
    weights: &[u64; 64],
    left: usize,
    t: Option<&[u64]>,
) -> PyResult<Vec<u64>> {
    let x = shared::<SHARES>(x)?;
    let columns = words::columns(x.iter().map(|shares| shares[0].len()));
    require(t.is_none_or(|t| t.len() == columns))?;
    Ok(py.detach(|| {
        let mut out = words::folded(&x, coefficients, weights, left);
        if let Some(t) = t {
            words::weigh(&mut out, t);
        }
        out
    }))
}

#[pyfunction]
#[pyo3(signature = (x, coefficients, weights, left, t=None))]
pub fn gf_fold_words<'py>(
    py: Python<'py>,
    x: Vec<Vec<Words<'py>>>,
    coefficients: Words<'py>,
    weights: Words<'py>,
    left: usize,
    t: Option<Words<'py>>,
) -> Out<'py> {
    let (coefficients, weights) = (coefficients.as_slice()?, weights.as_slice()?);
    let t = t.as_ref().map(|t| t.as_slice()).transpose()?;
    require(coefficients.len() == words::ROWS && [1, words::EIGHT].contains(&left))?;
    let Ok(weights) = <&[u64; 64]>::try_from(weights) else { return Err(PyValueError::new_err("a weight a bit")) };
    let fold = if x.first().is_some_and(|shares| shares.len() == 1) { fold_words::<1> } else { fold_words::<2> };
    Ok(fold(py, &x, coefficients, weights, left, t)?.into_pyarray(py))
}

#[pyfunction]
pub fn gf_fold<'py>(py: Python<'py>, x: Words<'py>, coefficients: Words<'py>) -> Out<'py> {
    let (x, coefficients) = (x.as_slice()?, coefficients.as_slice()?);
    require(!coefficients.is_empty() && x.len() % coefficients.len() == 0)?;
    Ok(py
        .detach(|| {
            let mut out = zeros(x.len() / coefficients.len());
            super::fold(&mut out, x, coefficients);
            out
        })
        .into_pyarray(py))
}

#[pyfunction]
pub fn gf_claim(py: Python<'_>, x: Vec<Words<'_>>, t: Words<'_>, s: Words<'_>) -> PyResult<u64> {
    let x = x.iter().map(|words| Ok(words.as_slice()?)).collect::<PyResult<Vec<_>>>()?;
    let (t, s) = (t.as_slice()?, s.as_slice()?);
    require(s.len() == words::ROWS && t.len() == words::columns(x.iter().map(|words| words.len())))?;
    Ok(py.detach(|| words::claim(&x, t, s)))
}
