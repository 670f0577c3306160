//! The kernels of private lookups as Python sees them.
use super::{cuckoo, lwe, oprf, product, records, BLOCK, SECRET};
use numpy::{IntoPyArray, PyArray1, PyReadonlyArray1, PyReadwriteArray1};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

type Bytes<'py> = PyReadonlyArray1<'py, u8>;
type Offsets<'py> = PyReadonlyArray1<'py, i64>;
type Half<'py> = PyReadonlyArray1<'py, u32>;
type Out<'py, T> = PyResult<Bound<'py, PyArray1<T>>>;

fn bad(what: &'static str) -> PyErr {
    PyValueError::new_err(what)
}

/// Rows of a table of so many columns.
fn rows_of(table: &[u8], columns: usize) -> PyResult<usize> {
    if columns == 0 || !columns.is_multiple_of(BLOCK) || !table.len().is_multiple_of(product::GROUP * columns) {
        return Err(bad("a table has whole groups of rows and whole blocks of columns"));
    }
    Ok(table.len() / columns)
}

#[pyfunction]
pub fn pir_sizes() -> (usize, usize, usize, usize) {
    (SECRET, BLOCK, product::GROUP, records::OVERHEAD)
}

#[pyfunction]
pub fn pir_hint<'py>(
    py: Python<'py>,
    seed: [u8; 16],
    first: usize,
    table: Bytes<'py>,
    columns: usize,
    threads: usize,
) -> Out<'py, u32> {
    let table = table.as_slice()?;
    rows_of(table, columns)?;
    if !first.is_multiple_of(BLOCK) {
        return Err(bad("a table begins with a block"));
    }
    Ok(py.detach(|| product::hint(&seed, first, table, columns, threads)).into_pyarray(py))
}

#[pyfunction]
pub fn pir_answer<'py>(
    py: Python<'py>,
    table: Bytes<'py>,
    columns: usize,
    queries: Half<'py>,
    threads: usize,
) -> Out<'py, u16> {
    let (table, queries) = (table.as_slice()?, queries.as_slice()?);
    rows_of(table, columns)?;
    if !queries.len().is_multiple_of(columns) {
        return Err(bad("queries of another length"));
    }
    let count = queries.len() / columns;
    Ok(py.detach(|| product::answer(table, columns, queries, count, threads)).into_pyarray(py))
}

#[pyfunction]
pub fn pir_patch(
    py: Python<'_>,
    mut hint: PyReadwriteArray1<'_, u32>,
    seed: [u8; 16],
    column: usize,
    first: usize,
    changes: PyReadonlyArray1<'_, i16>,
) -> PyResult<()> {
    let (hint, changes) = (hint.as_slice_mut()?, changes.as_slice()?);
    if first.checked_add(changes.len()).is_none_or(|end| end > hint.len() / SECRET) {
        return Err(bad("changes of rows that are not there"));
    }
    py.detach(|| lwe::patch(hint, &seed, column, first, changes));
    Ok(())
}

/// Masks and products of queries to come; a mask is used once.
#[pyclass(module = "lingqu._core")]
pub struct PirQueries(lwe::Prepared);

#[pymethods]
impl PirQueries {
    #[new]
    fn new(
        py: Python<'_>,
        seed: [u8; 16],
        randomness: [u8; 16],
        columns: usize,
        hints: Vec<Half<'_>>,
        count: usize,
    ) -> PyResult<Self> {
        let hints: Vec<&[u32]> = hints.iter().map(|hint| hint.as_slice()).collect::<Result<_, _>>()?;
        if !columns.is_multiple_of(BLOCK) || hints.iter().any(|hint| !hint.len().is_multiple_of(SECRET)) {
            return Err(bad("hints and columns do not fit each other"));
        }
        Ok(PirQueries(py.detach(|| lwe::Prepared::new(&seed, &randomness, columns, &hints, count))))
    }

    fn __repr__(&self) -> &'static str {
        "PirQueries(<redacted>)"
    }

    fn query<'py>(&mut self, py: Python<'py>, index: usize, columns: [u32; 2]) -> Out<'py, u32> {
        let words = py.detach(|| self.0.query(index, &columns));
        Ok(words.ok_or_else(|| bad("this query was made before, or never prepared"))?.into_pyarray(py))
    }

    fn decode<'py>(&self, py: Python<'py>, index: usize, answer: PyReadonlyArray1<'py, u16>) -> Out<'py, u8> {
        let answer = answer.as_slice()?;
        let bytes = py.detach(|| self.0.decode(index, answer));
        Ok(bytes.ok_or_else(|| bad("an answer of another length"))?.into_pyarray(py))
    }
}

/// Elements under blinds of their own, on their way to the server's key and back.
#[pyclass(module = "lingqu._core", frozen)]
pub struct Blinding(oprf::Blinding);

#[pymethods]
impl Blinding {
    #[new]
    fn new(py: Python<'_>, data: Bytes<'_>, offsets: Offsets<'_>, randomness: Bytes<'_>) -> PyResult<Self> {
        let (data, offsets, randomness) = (data.as_slice()?, offsets.as_slice()?, randomness.as_slice()?);
        py.detach(|| oprf::Blinding::new(data, offsets, randomness))
            .map(Blinding)
            .ok_or_else(|| bad("elements, offsets and randomness do not fit each other"))
    }

    fn __repr__(&self) -> &'static str {
        "Blinding(<redacted>)"
    }

    fn message<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<u8>> {
        self.0.message().to_vec().into_pyarray(py)
    }

    fn unblind<'py>(&self, py: Python<'py>, evaluated: Bytes<'py>) -> Out<'py, u8> {
        let evaluated = evaluated.as_slice()?;
        let points = py.detach(|| self.0.unblind(evaluated));
        Ok(points.map_err(|i| PyValueError::new_err(format!("element {i} is no point")))?.into_pyarray(py))
    }
}

#[pyfunction]
pub fn oprf_tag() -> &'static [u8] {
    oprf::TAG
}

#[pyfunction]
pub fn oprf_finalize<'py>(
    py: Python<'py>,
    data: Bytes<'py>,
    offsets: Offsets<'py>,
    points: Bytes<'py>,
) -> Out<'py, u8> {
    let (data, offsets, points) = (data.as_slice()?, offsets.as_slice()?, points.as_slice()?);
    let found = py.detach(|| oprf::finalize(data, offsets, points));
    Ok(found.ok_or_else(|| bad("elements, offsets and points do not fit each other"))?.into_pyarray(py))
}

#[pyfunction]
pub fn pir_derive<'py>(py: Python<'py>, label: &[u8], outputs: Bytes<'py>) -> Out<'py, u8> {
    let outputs = outputs.as_slice()?;
    if !outputs.len().is_multiple_of(64) {
        return Err(bad("an output has 64 bytes"));
    }
    Ok(py.detach(|| records::derive(label, outputs)).into_pyarray(py))
}

fn derived_of<'a>(derived: &'a Bytes<'_>) -> PyResult<&'a [u8]> {
    let derived = derived.as_slice()?;
    if !derived.len().is_multiple_of(records::DERIVED) {
        return Err(bad("a record's key has 64 bytes"));
    }
    Ok(derived)
}

#[pyfunction]
pub fn pir_columns<'py>(py: Python<'py>, derived: Bytes<'py>, columns: usize) -> Out<'py, u32> {
    let derived = derived_of(&derived)?;
    if columns < 2 {
        return Err(bad("a table has more columns"));
    }
    let both = |record| records::columns_of(record, columns);
    Ok(py.detach(|| derived.chunks_exact(records::DERIVED).flat_map(both).collect::<Vec<_>>()).into_pyarray(py))
}

#[pyfunction]
pub fn pir_place<'py>(
    py: Python<'py>,
    positions: Half<'py>,
    columns: usize,
    cells: usize,
    seed: [u8; 16],
) -> PyResult<Option<Bound<'py, PyArray1<u32>>>> {
    let positions = positions.as_slice()?;
    if !positions.len().is_multiple_of(2) || positions.iter().any(|column| *column as usize >= columns) {
        return Err(bad("positions outside the table"));
    }
    if !(1..=128).contains(&cells) {
        return Err(bad("a column has 1 to 128 cells"));
    }
    Ok(py.detach(|| cuckoo::place(positions, columns, cells, &seed)).map(|held| held.into_pyarray(py)))
}

#[pyfunction]
pub fn pir_fill<'py>(
    py: Python<'py>,
    mut table: PyReadwriteArray1<'py, u8>,
    held: Half<'py>,
    sizes: (usize, usize),
    derived: Bytes<'py>,
    values: (Bytes<'py>, Offsets<'py>, PyReadonlyArray1<'py, bool>),
    seed: [u8; 16],
) -> PyResult<()> {
    let (columns, width) = sizes;
    let (table, held, derived) = (table.as_slice_mut()?, held.as_slice()?, derived_of(&derived)?);
    let rows = rows_of(table, columns)?;
    if width < records::OVERHEAD || !held.len().is_multiple_of(columns) || held.len() / columns * width > rows {
        return Err(bad("cells do not fit the table"));
    }
    let values =
        records::Values { data: values.0.as_slice()?, offsets: values.1.as_slice()?, null: values.2.as_slice()? };
    py.detach(|| records::fill(table, columns, held, width, derived, &values, &seed))
        .ok_or_else(|| bad("records and values do not fit the table"))
}

#[pyfunction]
pub fn pir_seal<'py>(
    py: Python<'py>,
    derived: Bytes<'py>,
    nonce: [u8; 12],
    value: Option<&[u8]>,
    width: usize,
) -> Out<'py, u8> {
    let derived = derived_of(&derived)?;
    let mut cell = vec![0; width];
    if derived.len() != records::DERIVED
        || width < records::OVERHEAD
        || !records::seal(derived, &nonce, value, &mut cell)
    {
        return Err(bad("the value does not fit its cell"));
    }
    Ok(cell.into_pyarray(py))
}

type OpenedBytes<'py> = PyResult<Option<(usize, Option<Vec<u8>>)>>;

#[pyfunction]
pub fn pir_open<'py>(derived: Bytes<'py>, cells: Bytes<'py>, width: usize) -> OpenedBytes<'py> {
    let (derived, cells) = (derived_of(&derived)?, cells.as_slice()?);
    if derived.len() != records::DERIVED || width < records::OVERHEAD || !cells.len().is_multiple_of(width) {
        return Err(bad("cells of another width"));
    }
    records::open(derived, cells, width).map_err(bad)
}
