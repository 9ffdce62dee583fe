//! Reads a lookup table from a CSV file.

use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;

use gophership_otlp::Table;
use gophership_otlp::Value;

use crate::component::BuildError;

/// A table is kept in memory, so its file is bounded.
const TABLE_BYTES_MAX: u64 = 64 << 20;

/// Reads the first two columns of a file with a header line.
pub(super) fn load(path: &Path) -> Result<Table, BuildError> {
    read(path).map_err(|source| BuildError::Io {
        operation: "read the lookup table",
        what: path.display().to_string(),
        source,
    })
}

fn read(path: &Path) -> io::Result<Table> {
    let file = File::open(path)?;
    if file.metadata()?.len() > TABLE_BYTES_MAX {
        let message = format!("the file is larger than {TABLE_BYTES_MAX} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    let mut rows =
        csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file.take(TABLE_BYTES_MAX));
    let mut table = Table::new();
    for row in rows.records() {
        let row = row?;
        let (Some(key), Some(value)) = (row.get(0), row.get(1)) else {
            let line = row.position().map_or(0, csv::Position::line);
            return Err(io::Error::other(format!("line {line} has no second column")));
        };
        if table.insert(key.to_owned(), Value::String(value.to_owned())).is_some() {
            let line = row.position().map_or(0, csv::Position::line);
            return Err(io::Error::other(format!(
                "line {line} has a key that is there twice: {key}"
            )));
        }
    }
    Ok(table)
}
