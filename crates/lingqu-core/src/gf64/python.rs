//! Folding in GF(2^64) as Python sees it.
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

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
            let mut out = vec![0; x.len()];
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
            let mut out = vec![0; x.len()];
            super::multiply(&mut out, x, y);
            out
        })
        .into_pyarray(py))
}

#[pyfunction]
pub fn gf_lagrange<'py>(py: Python<'py>, count: usize, at: u64) -> Out<'py> {
    Ok(py.detach(|| super::lagrange(count, at)).into_pyarray(py))
}

#[pyfunction]
pub fn gf_cross<'py>(py: Python<'py>, x: Words<'py>, y: Words<'py>, rows: usize) -> Out<'py> {
    let (x, y) = (x.as_slice()?, y.as_slice()?);
    require(rows > 0 && !x.is_empty() && x.len() == y.len() && x.len() % rows == 0)?;
    Ok(py.detach(|| super::cross(x, y, rows)).into_pyarray(py))
}

#[pyfunction]
pub fn gf_cross_bits<'py>(
    py: Python<'py>,
    pairs: Vec<(Words<'py>, Words<'py>)>,
    t: Words<'py>,
    s: Words<'py>,
) -> Out<'py> {
    let pairs = pairs.iter().map(|(x, y)| Ok((x.as_slice()?, y.as_slice()?))).collect::<PyResult<Vec<_>>>()?;
    let (t, s) = (t.as_slice()?, s.as_slice()?);
    let length = t.len().checked_mul(s.len());
    require(!s.is_empty() && pairs.iter().all(|(x, y)| Some(x.len()) == length && x.len() == y.len()))?;
    Ok(py.detach(|| super::cross_bits(&pairs, t, s)).into_pyarray(py))
}

#[pyfunction]
pub fn gf_fold<'py>(py: Python<'py>, x: Words<'py>, coefficients: Words<'py>) -> Out<'py> {
    let (x, coefficients) = (x.as_slice()?, coefficients.as_slice()?);
    require(!coefficients.is_empty() && x.len() % coefficients.len() == 0)?;
    Ok(py
        .detach(|| {
            let mut out = vec![0; x.len() / coefficients.len()];
            super::fold(&mut out, x, coefficients);
            out
        })
        .into_pyarray(py))
}

#[pyfunction]
#[pyo3(signature = (x, coefficients, t=None))]
pub fn gf_fold_bits<'py>(py: Python<'py>, x: Words<'py>, coefficients: Words<'py>, t: Option<Words<'py>>) -> Out<'py> {
    let (x, coefficients) = (x.as_slice()?, coefficients.as_slice()?);
    let t = t.as_ref().map(|t| t.as_slice()).transpose()?;
    require(!coefficients.is_empty() && x.len() % coefficients.len() == 0)?;
    let columns = x.len() / coefficients.len();
    require(t.is_none_or(|t| t.len() == columns))?;
    Ok(py
        .detach(|| {
            let mut out = vec![0; 64 * columns];
            super::fold_bits(&mut out, x, coefficients);
            if let Some(t) = t {
                super::weigh(&mut out, t);
            }
            out
        })
        .into_pyarray(py))
}

#[pyfunction]
pub fn gf_claim(py: Python<'_>, x: Words<'_>, t: Words<'_>, s: Words<'_>) -> PyResult<u64> {
    let (x, t, s) = (x.as_slice()?, t.as_slice()?, s.as_slice()?);
    require(t.len().checked_mul(s.len()) == Some(x.len()))?;
    Ok(py.detach(|| super::claim(x, t, s)))
}
