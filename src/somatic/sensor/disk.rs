//! How full the file systems are that hold the given folders.

use std::ffi::CString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use rustix::fs::StatVfs;

use super::file::SampleInterval;
use crate::somatic::kind::PressureKind;
use crate::somatic::reading::Place;
use crate::somatic::reading::Readings;
use crate::somatic::reading::Sensor;
use crate::somatic::reading::permille;

/// The file system is asked this often at most; in between the last answer is repeated.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Reads [`PressureKind::Disk`] at the places given: the used share of what a user without privileges may
/// use, as `df` shows it.
///
/// The folders are not kept open, so they can be unmounted. A file system that hangs (a server that
/// is gone) would hold up the look: such a one does not belong in here.
#[derive(Debug)]
pub struct DiskSensor {
    folders: Vec<Folder>,
    pace: SampleInterval,
}

#[derive(Debug)]
struct Folder {
    place: Place,
    /// As the kernel wants it, so that asking needs no memory.
    path: CString,
    /// What is used and what may be used, when it was asked last.
    blocks: Option<(u64, u64)>,
}

impl DiskSensor {
    /// Looks at nothing yet. A folder that does not exist is not sensed while it does not.
    #[must_use]
    pub fn new(folders: impl IntoIterator<Item = (Place, PathBuf)>) -> Self {
        let folder = |(place, path): (Place, PathBuf)| {
            // No file has a name with a zero in it.
            let path = CString::new(path.into_os_string().into_vec()).ok()?;
            Some(Folder { place, path, blocks: None })
        };
        let folders = folders.into_iter().filter_map(folder).collect();
        Self { folders, pace: SampleInterval::new(ASK_EVERY) }
    }
}

impl Sensor for DiskSensor {
    fn read(&mut self, now: Instant, readings: &mut Readings) {
        let is_due = self.pace.is_due(now);
        for folder in &mut self.folders {
            if is_due {
                folder.blocks =
                    rustix::fs::statvfs(folder.path.as_c_str()).ok().as_ref().map(blocks);
            }
            if let Some((used, whole)) = folder.blocks {
                #[expect(clippy::cast_precision_loss, reason = "thousandths need no more")]
                readings.push_share(PressureKind::Disk, &folder.place, used as f64, whole as f64);
            }
        }
    }
}

/// How full the file system of a folder is, in thousandths, as [`DiskSensor`] counts; `None` if it is
/// not there, or does not count. Blocks as long as the file system hangs.
#[must_use]
pub fn used_disk_permille(folder: &Path) -> Option<u32> {
    let (used, whole) = blocks(&rustix::fs::statvfs(folder).ok()?);
    #[expect(clippy::cast_precision_loss, reason = "thousandths need no more")]
    permille(used as f64, whole as f64)
}

/// What is used, and what may be used. What is kept for root counts as neither.
fn blocks(stat: &StatVfs) -> (u64, u64) {
    let used = stat.f_blocks.saturating_sub(stat.f_bfree);
    (used, used.saturating_add(stat.f_bavail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sensor(path: impl Into<PathBuf>) -> DiskSensor {
        DiskSensor::new([(Place::from("vault"), path.into())])
    }

    fn look(sensor: &mut DiskSensor, now: Instant) -> Option<u32> {
        let mut readings = Readings::default();
        sensor.read(now, &mut readings);
        readings.highest(PressureKind::Disk).map(|at| {
            assert_eq!(&*at.place, "vault");
            at.permille
        })
    }

    #[test]
    fn what_is_kept_for_root_counts_neither_as_used_nor_as_free() {
        let mut stat = rustix::fs::statvfs("/").unwrap();
        (stat.f_blocks, stat.f_bfree, stat.f_bavail) = (1000, 300, 250);
        assert_eq!(blocks(&stat), (700, 950));
        // What no file system should say.
        (stat.f_blocks, stat.f_bfree, stat.f_bavail) = (1000, 3000, u64::MAX);
        assert_eq!(blocks(&stat), (0, u64::MAX));
    }

    #[test]
    fn a_folder_is_asked_once_a_second_and_may_come_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vault");
        let (mut sensor, start) = (sensor(&path), Instant::now());
        let mut is_seen =
            |millis| look(&mut sensor, start + Duration::from_millis(millis)).is_some();
        assert!(!is_seen(5000));
        std::fs::create_dir(&path).unwrap();
        assert!(!is_seen(5999));
        assert!(is_seen(6000));
        std::fs::remove_dir(&path).unwrap();
        assert!(is_seen(6999), "the last answer is repeated");
        assert!(!is_seen(7000));
        std::fs::create_dir(&path).unwrap();
        assert!(is_seen(10), "the clock went backward");
    }

    #[test]
    fn a_file_system_without_blocks_and_a_name_that_cannot_be_are_left_out() {
        for path in ["/proc/self", "zero\0inside", ""] {
            assert_eq!(look(&mut sensor(path), Instant::now()), None, "{path:?}");
        }
    }

    #[test]
    fn the_disk_of_this_machine_is_neither_more_than_full_nor_unknown() {
        let used = look(&mut sensor(std::env::temp_dir()), Instant::now()).unwrap();
        assert!(used <= 1000, "{used}");
    }
}
