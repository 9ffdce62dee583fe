//! Exported requests in files: one set for each signal, finished files renamed into place.

use std::fs;
use std::io;
use std::io::Seek;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use gophership_otlp::Signal;
use gophership_vault::StoredRecord;

use super::Failure;
use super::args::FileFormat;
use super::args::RecordFormat;
use super::cat::CatForm;
use super::records;

/// Writes requests into a directory.
pub(super) struct Files {
    dir: PathBuf,
    format: FileFormat,
    file_bytes_max: u64,
    /// The file being written of each signal.
    open: [Option<Open>; Signal::ALL.len()],
    finished: Vec<PathBuf>,
    /// Where pieces of requests are put together.
    scratch: Vec<u8>,
}

struct Open {
    out: io::BufWriter<fs::File>,
    temporary: PathBuf,
    path: PathBuf,
    bytes: u64,
}

impl Files {
    /// Takes an empty or new directory; one with anything in it is refused, so that no export is
    /// mixed with another.
    pub(super) fn create(
        dir: &Path,
        format: FileFormat,
        file_bytes_max: u64,
    ) -> Result<Self, Failure> {
        let failure = |what: &str, error: &io::Error| Failure {
            code: crate::exit::IO,
            text: format!("cannot {what} {}: {error}", dir.display()),
        };
        fs::create_dir_all(dir).map_err(|error| failure("make", &error))?;
        let mut entries = fs::read_dir(dir).map_err(|error| failure("read", &error))?;
        if entries.next().is_some() {
            let dir = dir.display();
            return Err(Failure::usage(format!("{dir} is not empty: give a new directory")));
        }
        let open = std::array::from_fn(|_| None);
        let (dir, scratch) = (dir.to_path_buf(), Vec::new());
        Ok(Self { dir, format, file_bytes_max, open, finished: Vec::new(), scratch })
    }

    /// Writes one request; the error says why it cannot be.
    pub(super) fn write(&mut self, record: &StoredRecord) -> io::Result<Result<(), String>> {
        let format = match self.format {
            FileFormat::Json => RecordFormat::Json,
            FileFormat::Protobuf => RecordFormat::Protobuf,
        };
        let form = match CatForm::of(record, format) {
            Ok(form) => form,
            Err(reason) => return Ok(Err(reason)),
        };
        let Some(signal) = records::signal(record) else {
            return Ok(Err("of an unknown signal".to_owned()));
        };
        let slot = usize::from(signal as u8) - 1;
        let is_full = self.open[slot].as_ref().is_some_and(|open| {
            0 < open.bytes && self.file_bytes_max < open.bytes.saturating_add(form.bytes_max())
        });
        if is_full {
            self.finish_one(slot)?;
        }
        if self.open[slot].is_none() {
            self.open[slot] = Some(self.begin(signal, record.seq)?);
        }
        if let Some(open) = &mut self.open[slot] {
            form.write(&mut self.scratch, &mut open.out)?;
            open.bytes = open.out.stream_position()?;
        }
        Ok(Ok(()))
    }

    /// Finishes every file; returns their paths.
    pub(super) fn finish(mut self) -> io::Result<Vec<PathBuf>> {
        for slot in 0..self.open.len() {
            self.finish_one(slot)?;
        }
        fs::File::open(&self.dir)?.sync_all()?;
        self.finished.sort();
        Ok(self.finished)
    }

    /// A file is named after its first seq, so that names sort as requests do.
    fn begin(&self, signal: Signal, seq: u64) -> io::Result<Open> {
        let extension = match self.format {
            FileFormat::Json => "jsonl",
            FileFormat::Protobuf => "pb",
        };
        let name = format!("{signal}-{seq:020}.{extension}");
        let temporary = self.dir.join(format!("{name}.tmp"));
        let file = fs::File::create_new(&temporary)?;
        let out = io::BufWriter::with_capacity(1 << 16, file);
        Ok(Open { out, temporary, path: self.dir.join(name), bytes: 0 })
    }

    fn finish_one(&mut self, slot: usize) -> io::Result<()> {
        let Some(mut open) = self.open[slot].take() else { return Ok(()) };
        open.out.flush()?;
        open.out.get_ref().sync_all()?;
        fs::rename(&open.temporary, &open.path)?;
        self.finished.push(open.path);
        Ok(())
    }
}
