//! Tests of dead letters, on a real store.

use std::sync::mpsc;
use std::time::Duration;

use gophership_vault::AppendError;
use gophership_vault::Completion;
use gophership_vault::NewRecord;
use gophership_vault::Options;
use gophership_vault::Receipt;
use gophership_vault::Writer;

use super::*;
use crate::event::Provenance;
use crate::event::Signal;

struct Stored(mpsc::Sender<Result<Receipt, AppendError>>);

impl Completion for Stored {
    fn complete(self, result: Result<Receipt, AppendError>) {
        self.0.send(result).unwrap();
    }
}

/// A store that is open.
struct OpenStore {
    writer: Writer<Stored>,
    dir: PathBuf,
}

impl Intake for OpenStore {
    fn try_take(&self, batch: Batch) -> Result<(), Full> {
        Err(Full(batch))
    }

    fn fill_permille(&self) -> u32 {
        0
    }

    fn retry_after(&self) -> Duration {
        Duration::ZERO
    }

    fn has_room(&self) -> bool {
        false
    }
}

impl LetterStore for OpenStore {
    fn open_log(&self) -> Result<Arc<Log>, VaultError> {
        Ok(self.writer.log())
    }

    fn dir(&self) -> &Path {
        &self.dir
    }
}

impl OpenStore {
    fn open(dir: &Path) -> Arc<Self> {
        let mut options = Options::new(dir);
        options.segment_bytes = 64 << 10;
        let (writer, _report) = Writer::open(options).unwrap();
        Arc::new(Self { writer, dir: dir.to_owned() })
    }

    /// Stores letters of one record each, the first half of which `a` misses and the others `b`.
    fn fill(&self, letters: u64, payload: &[u8]) {
        let (to, answers) = mpsc::channel();
        for number in 0..letters {
            let sink = if number < letters / 2 { "a" } else { "b" };
            let mut space = crate::event::NoteSpace::default();
            let provenance = Provenance::forever("in").of_letter("no", 5);
            let attrs = provenance.note(1, [sink].into_iter(), &mut space);
            let record = NewRecord { signal: 1, received_unix_ns: 7, attrs, payload };
            assert!(self.writer.try_append(record, Stored(to.clone())).is_ok());
            answers.recv().unwrap().unwrap();
        }
    }
}

fn seqs(letters: &DeadLetters, selection: &LetterSelection) -> Vec<u64> {
    let mut walk = letters.walk(None, selection).unwrap();
    let next = || letters.next(&mut walk).unwrap();
    let all: Vec<Letter> = std::iter::from_fn(next).collect();
    all.iter().filter(|letter| selection.has(letter)).map(|letter| letter.seq).collect()
}

fn missed_by(sink: &str) -> LetterSelection {
    LetterSelection { sink: Some(sink.to_owned()), ..LetterSelection::default() }
}

#[test]
fn what_is_taken_out_is_gone_once_and_stays_gone_when_it_was_saved() {
    let dir = tempfile::tempdir().unwrap();
    let store = OpenStore::open(dir.path());
    store.fill(8, b"x");
    let all = LetterSelection::default();
    let letters = DeadLetters::new(Arc::clone(&store) as Arc<dyn LetterStore>);
    assert!(!letters.take_out(2), "nobody has opened it");
    assert_eq!(letters.open().unwrap(), 8);
    assert!(letters.take_out(2) && !letters.take_out(2));
    letters.save().unwrap();
    assert!(letters.take_out(3));
    assert_eq!(seqs(&letters, &all), [1, 4, 5, 6, 7, 8]);
    // As after a crash: what was not saved is there again.
    let letters = DeadLetters::new(Arc::clone(&store) as Arc<dyn LetterStore>);
    assert_eq!(seqs(&letters, &all), [1, 3, 4, 5, 6, 7, 8]);
    letters.open().unwrap();
    let counted = letters.take_out_all(&missed_by("b")).unwrap();
    assert_eq!((counted.tally, counted.last_seq), (LetterTotals { letters: 4, records: 4 }, 8));
    assert_eq!(counted.booked, [(("in".to_owned(), Signal::Logs), 4)].into());
    let letters = DeadLetters::new(store as Arc<dyn LetterStore>);
    assert_eq!(seqs(&letters, &all), [1, 3, 4]);
    assert_eq!(letters.count(&missed_by("b")).unwrap().tally, LetterTotals::default());
}

#[test]
fn a_walk_goes_on_behind_a_letter_and_stops_behind_the_last_that_can_be_meant() {
    let dir = tempfile::tempdir().unwrap();
    let store = OpenStore::open(dir.path());
    store.fill(40, &[b'x'; 9000].map(|_| fastrand::u8(..)));
    let letters = DeadLetters::new(Arc::clone(&store) as Arc<dyn LetterStore>);
    let all = LetterSelection::default();
    let mut walk = letters.walk(None, &all).unwrap();
    let letter = loop {
        let letter = letters.next(&mut walk).unwrap().unwrap();
        if letter.seq == 20 {
            break letter;
        }
    };
    assert!(1 < letter.segment, "there are several segments");
    assert_eq!((letter.sink_names(), letter.reason.as_str()), ("a".to_owned(), "no"));
    assert_eq!((letter.refused_unix_ms, letter.received_unix_ns), (5, 7));
    let through = LetterSelection { through: Some(23), ..all };
    let mut walk = letters.walk(Some((letter.segment, letter.seq)), &through).unwrap();
    let rest = std::iter::from_fn(|| letters.next(&mut walk).unwrap());
    assert_eq!(rest.map(|letter| letter.seq).collect::<Vec<_>>(), [21, 22, 23]);
}

#[test]
fn segments_of_which_all_is_taken_out_are_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let store = OpenStore::open(dir.path());
    store.fill(40, &[b'x'; 9000].map(|_| fastrand::u8(..)));
    let letters = DeadLetters::new(Arc::clone(&store) as Arc<dyn LetterStore>);
    letters.open().unwrap();
    let before = store.writer.log().segments().len();
    letters.take_out_all(&missed_by("b")).unwrap();
    let is_freed = |left: usize| {
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        while left < store.writer.log().segments().len() && std::time::Instant::now() < deadline {
            store.writer.log().prune().unwrap();
            std::thread::yield_now();
        }
        store.writer.log().segments().len() <= left
    };
    assert!(is_freed(before / 2 + 2), "of {before}");
    assert_eq!(seqs(&letters, &LetterSelection::default()).len(), 20);
    letters.take_out_all(&LetterSelection::default()).unwrap();
    assert!(is_freed(1), "of {before}");
    // The list is short again.
    letters.take_out(40);
    assert_eq!(letters.removed.lock().list.as_ref().unwrap().ranges_len(), 1);
}
