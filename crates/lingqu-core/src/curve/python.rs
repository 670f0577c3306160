//! The groups as Python sees them: keys, blinding and unblinding; points, blinds and elements lie one after the other.
use super::weierstrass;
use crate::curve;
use curve25519_dalek::scalar::Scalar;
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

type Bytes<'py> = PyReadonlyArray1<'py, u8>;
type Offsets<'py> = PyReadonlyArray1<'py, i64>;
type Out<'py, T> = PyResult<Bound<'py, PyArray1<T>>>;

fn bad_offsets() -> PyErr {
    PyValueError::new_err("offsets do not fit the data")
}

fn unknown_curve() -> PyErr {
    PyValueError::new_err("the curves are p256 and sm2")
}

fn no_point(index: usize) -> PyErr {
    PyValueError::new_err(format!("element {index} is no point"))
}

/// Bytes in rows of N; what a row is called stands in the error.
fn rows_of<'a, const N: usize>(bytes: &'a [u8], name: &str) -> PyResult<&'a [[u8; N]]> {
    let (rows, rest) = bytes.as_chunks();
    if !rest.is_empty() {
        return Err(PyValueError::new_err(format!("a {name} has {N} bytes")));
    }
    Ok(rows)
}

fn as_many(answers: usize, blinds: usize) -> PyResult<()> {
    if answers != blinds {
        return Err(PyValueError::new_err("answers and blinds differ in number"));
    }
    Ok(())
}

/// One secret scalar of ristretto255; points go in and out as 32 bytes each.
#[pyclass(module = "lingqu._core", frozen)]
pub struct GroupKey(Scalar);

#[pymethods]
impl GroupKey {
    #[new]
    fn new(uniform: [u8; 64]) -> PyResult<Self> {
        curve::scalar(&uniform).map(GroupKey).ok_or_else(|| PyValueError::new_err("the scalar is zero"))
    }

    fn __repr__(&self) -> &'static str {
        "GroupKey(<redacted>)"
    }

    fn map<'py>(&self, py: Python<'py>, tag: &[u8], data: Bytes<'py>, offsets: Offsets<'py>) -> Out<'py, u8> {
        let (data, offsets) = (data.as_slice()?, offsets.as_slice()?);
        let points = py.detach(|| {
            curve::expand(tag, data, offsets).map(|uniform| curve::map_and_multiply(&uniform, &self.0).concat())
        });
        Ok(points.ok_or_else(bad_offsets)?.into_pyarray(py))
    }

    fn multiply<'py>(&self, py: Python<'py>, points: Bytes<'py>) -> Out<'py, u8> {
        let points = points.as_slice()?;
        let points = rows_of(points, "point")?;
        let products = py.detach(|| curve::multiply(points, &self.0).map(|points| points.concat()));
        Ok(products.map_err(no_point)?.into_pyarray(py))
    }

    fn public<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &curve::public(&self.0))
    }

    fn answer<'py>(&self, py: Python<'py>, points: Bytes<'py>) -> Out<'py, u8> {
        let points = points.as_slice()?;
        let points = rows_of(points, "point")?;
        let answers = py.detach(|| curve::answer(points, &self.0).map(|points| points.concat()));
        Ok(answers.map_err(no_point)?.into_pyarray(py))
    }
}

/// Hides elements' points of ristretto255 behind multiples of the generator.
#[pyclass(module = "lingqu._core", frozen)]
pub struct GroupBlinding;

#[pymethods]
impl GroupBlinding {
    #[new]
    fn new() -> Self {
        GroupBlinding
    }

    fn blind<'py>(
        &self,
        py: Python<'py>,
        tag: &[u8],
        data: Bytes<'py>,
        offsets: Offsets<'py>,
        blinds: Bytes<'py>,
    ) -> Out<'py, u8> {
        let (data, offsets, blinds) = (data.as_slice()?, offsets.as_slice()?, blinds.as_slice()?);
        let blinds = rows_of(blinds, "blind")?;
        let points = py.detach(|| {
            let uniform = curve::expand(tag, data, offsets).filter(|uniform| uniform.len() == blinds.len())?;
            Some(curve::blind(&uniform, blinds).concat())
        });
        Ok(points.ok_or_else(bad_offsets)?.into_pyarray(py))
    }
}

/// Takes blinds away from answers of ristretto255.
#[pyclass(module = "lingqu._core", frozen)]
pub struct GroupUnblinding(curve::Unblinding);

#[pymethods]
impl GroupUnblinding {
    #[new]
    fn new(public: [u8; 32]) -> PyResult<Self> {
        curve::Unblinding::new(&public).map(GroupUnblinding).ok_or_else(|| no_point(0))
    }

    fn unblind<'py>(&self, py: Python<'py>, answers: Bytes<'py>, blinds: Bytes<'py>) -> Out<'py, u8> {
        let (answers, blinds) = (answers.as_slice()?, blinds.as_slice()?);
        let (answers, blinds) = (rows_of(answers, "point")?, rows_of(blinds, "blind")?);
        as_many(answers.len(), blinds.len())?;
        let found = py.detach(|| self.0.unblind(answers, blinds).map(|points| points.concat()));
        Ok(found.map_err(no_point)?.into_pyarray(py))
    }
}

enum Curve {
    P256(weierstrass::Key<p256::NistP256>),
    Sm2(weierstrass::Key<sm2::Sm2>),
}

/// One secret scalar of P-256 or SM2's curve; points go in and out compressed, 33 bytes each.
#[pyclass(module = "lingqu._core", frozen)]
pub struct CurveKey(Curve);

#[pymethods]
impl CurveKey {
    #[new]
    fn new(curve: &str, uniform: [u8; 64]) -> PyResult<Self> {
        let key = match curve {
            "p256" => weierstrass::Key::new(&uniform).map(Curve::P256),
            "sm2" => weierstrass::Key::new(&uniform).map(Curve::Sm2),
            _ => return Err(unknown_curve()),
        };
        key.map(CurveKey).ok_or_else(|| PyValueError::new_err("the scalar is zero"))
    }

    fn __repr__(&self) -> &'static str {
        "CurveKey(<redacted>)"
    }

    fn map<'py>(&self, py: Python<'py>, tag: &[u8], data: Bytes<'py>, offsets: Offsets<'py>) -> Out<'py, u8> {
        let (data, offsets) = (data.as_slice()?, offsets.as_slice()?);
        let points = py.detach(|| match &self.0 {
            Curve::P256(key) => key.map(tag, data, offsets),
            Curve::Sm2(key) => key.map(tag, data, offsets),
        });
        Ok(points.ok_or_else(bad_offsets)?.into_pyarray(py))
    }

    fn multiply<'py>(&self, py: Python<'py>, points: Bytes<'py>) -> Out<'py, u8> {
        let points = points.as_slice()?;
        let points = rows_of(points, "point")?;
        let products = py.detach(|| match &self.0 {
            Curve::P256(key) => key.multiply(points),
            Curve::Sm2(key) => key.multiply(points),
        });
        Ok(products.map_err(no_point)?.into_pyarray(py))
    }

    fn public<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(
            py,
            &match &self.0 {
                Curve::P256(key) => key.public(),
                Curve::Sm2(key) => key.public(),
            },
        )
    }

    fn answer<'py>(&self, py: Python<'py>, points: Bytes<'py>) -> Out<'py, u8> {
        self.multiply(py, points)
    }
}

enum Hiding {
    P256(weierstrass::Blinding<p256::NistP256>),
    Sm2(weierstrass::Blinding<sm2::Sm2>),
}

/// Hides elements' points of P-256 or SM2's curve behind multiples of the generator.
#[pyclass(module = "lingqu._core", frozen)]
pub struct CurveBlinding(Hiding);

#[pymethods]
impl CurveBlinding {
    #[new]
    fn new(curve: &str) -> PyResult<Self> {
        match curve {
            "p256" => Ok(CurveBlinding(Hiding::P256(weierstrass::Blinding::new()))),
            "sm2" => Ok(CurveBlinding(Hiding::Sm2(weierstrass::Blinding::new()))),
            _ => Err(unknown_curve()),
        }
    }

    fn blind<'py>(
        &self,
        py: Python<'py>,
        tag: &[u8],
        data: Bytes<'py>,
        offsets: Offsets<'py>,
        blinds: Bytes<'py>,
    ) -> Out<'py, u8> {
        let (data, offsets, blinds) = (data.as_slice()?, offsets.as_slice()?, blinds.as_slice()?);
        let blinds = rows_of(blinds, "blind")?;
        let points = py.detach(|| match &self.0 {
            Hiding::P256(blinding) => blinding.blind(tag, data, offsets, blinds),
            Hiding::Sm2(blinding) => blinding.blind(tag, data, offsets, blinds),
        });
        Ok(points.ok_or_else(bad_offsets)?.into_pyarray(py))
    }
}

enum Showing {
    P256(weierstrass::Unblinding<p256::NistP256>),
    Sm2(weierstrass::Unblinding<sm2::Sm2>),
}

/// Takes blinds away from answers of P-256 or SM2's curve.
#[pyclass(module = "lingqu._core", frozen)]
pub struct CurveUnblinding(Showing);

#[pymethods]
impl CurveUnblinding {
    #[new]
    fn new(curve: &str, public: [u8; weierstrass::POINT]) -> PyResult<Self> {
        let unblinding = match curve {
            "p256" => weierstrass::Unblinding::new(&public).map(Showing::P256),
            "sm2" => weierstrass::Unblinding::new(&public).map(Showing::Sm2),
            _ => return Err(unknown_curve()),
        };
        unblinding.map(CurveUnblinding).ok_or_else(|| no_point(0))
    }

    fn unblind<'py>(&self, py: Python<'py>, answers: Bytes<'py>, blinds: Bytes<'py>) -> Out<'py, u8> {
        let (answers, blinds) = (answers.as_slice()?, blinds.as_slice()?);
        let (answers, blinds) = (rows_of(answers, "point")?, rows_of(blinds, "blind")?);
        as_many(answers.len(), blinds.len())?;
        let found = py.detach(|| match &self.0 {
            Showing::P256(unblinding) => unblinding.unblind(answers, blinds),
            Showing::Sm2(unblinding) => unblinding.unblind(answers, blinds),
        });
        Ok(found.map_err(no_point)?.into_pyarray(py))
    }
}
