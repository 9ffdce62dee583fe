//! How full the file system of a vault is, for the controller, if the process does not sense it anyway.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::somatic::Gauges;
use crate::somatic::PressureGauge;
use crate::somatic::PressureKind;
use crate::somatic::used_disk_permille;

/// Looks from time to time, on a thread where it may hang as long as the file system does.
pub(super) struct DiskWatch {
    dir: PathBuf,
    gauge: Arc<PressureGauge>,
    under_way: Option<JoinHandle<()>>,
}

impl DiskWatch {
    pub(super) fn new(gauges: &Gauges, vault: &str, dir: PathBuf) -> Self {
        let gauge = Arc::new(gauges.register(PressureKind::Disk, vault));
        Self { dir, gauge, under_way: None }
    }

    pub(super) fn look(&mut self) {
        if self.under_way.as_ref().is_some_and(|look| !look.is_finished()) {
            return;
        }
        let (dir, gauge) = (self.dir.clone(), Arc::clone(&self.gauge));
        self.under_way =
            Some(tokio::task::spawn_blocking(move || match used_disk_permille(&dir) {
                Some(permille) => gauge.set(permille),
                None => gauge.forget(),
            }));
    }
}

/// Whether two folders lie on different file systems, as far as can be told. Blocks.
pub(super) fn is_elsewhere(one: &Path, other: &Path) -> bool {
    let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
    device(one) != device(other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::somatic::Readings;
    use crate::somatic::Sensor as _;

    #[tokio::test]
    async fn it_tells_how_full_it_is_and_forgets_it_when_nobody_knows() {
        let dir = tempfile::tempdir().unwrap();
        let gauges = Arc::new(Gauges::default());
        let mut watch = DiskWatch::new(&gauges, "vault", dir.path().to_owned());
        let mut sensor = gauges.sensor();
        let mut seen = async || {
            watch.look();
            watch.under_way.take().unwrap().await.unwrap();
            let mut readings = Readings::default();
            sensor.read(std::time::Instant::now(), &mut readings);
            readings.highest(PressureKind::Disk).map(|at| (at.place.to_string(), at.permille))
        };
        let (place, permille) = seen().await.unwrap();
        assert_eq!(place, "vault");
        assert!((1..=1000).contains(&permille), "{permille}");
        drop(dir);
        assert_eq!(seen().await, None);
    }

    #[test]
    fn a_mount_is_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("inside");
        fs::create_dir(&inside).unwrap();
        assert!(!is_elsewhere(dir.path(), &inside));
        assert!(is_elsewhere(dir.path(), Path::new("/proc")));
    }
}
