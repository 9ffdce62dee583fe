//! The certificates of the control port: read at start, on `SIGHUP`, and when the files change.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::ServerConfig;

use crate::component::FileStamp;
use crate::component::Stop;
use crate::der;
use crate::metrics::Metrics;
use crate::metrics::ShownCertificate;
use crate::tls::MutualTls;
use crate::tls::TlsError;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Of a file that could not be looked at, none.
type Stamp = Option<FileStamp>;

/// Certificates in force.
pub(super) struct LoadedCertificates {
    /// What a handshake needs.
    pub(super) config: Arc<ServerConfig>,
    /// When its own certificate expires, in seconds since 1970.
    expires: Option<i64>,
    /// Cancelled when others are in force: connections that these let in must prove themselves again.
    pub(super) retired: Stop,
}

impl LoadedCertificates {
    fn read(options: &MutualTls) -> Result<Arc<Self>, TlsError> {
        let config = options.load()?;
        let expires = der::first_expiry(options.cert());
        Ok(Arc::new(Self { config, expires, retired: Stop::new() }))
    }

    /// The same, for connections that are still to come.
    fn again(&self) -> Arc<Self> {
        let (config, expires) = (Arc::clone(&self.config), self.expires);
        Arc::new(Self { config, expires, retired: Stop::new() })
    }
}

/// The options, and the files as they were when they were read last.
struct Read {
    options: MutualTls,
    stamps: Vec<Stamp>,
    /// They could not be used then.
    has_failed: bool,
}

/// Certificates that follow their files.
pub(super) struct Certificates {
    loaded: ArcSwap<LoadedCertificates>,
    read: Mutex<Read>,
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// [`TlsError`] that names the file at fault.
    pub(super) fn load(options: MutualTls) -> Result<Self, TlsError> {
        // Looked at first: a file that changes while it is read is read again.
        let stamps = stamps(&options);
        let loaded = LoadedCertificates::read(&options)?;
        let read = Mutex::new(Read { options, stamps, has_failed: false });
        Ok(Self { loaded: ArcSwap::new(loaded), read })
    }

    /// Those in force.
    pub(super) fn current(&self) -> Arc<LoadedCertificates> {
        self.loaded.load_full()
    }

    /// Whether both read the same files.
    pub(super) fn has_options_of(&self, other: &Self) -> bool {
        let options = other.read.lock().options.clone();
        self.read.lock().options == options
    }

    /// Takes over what another has read, and asks the connections to come again.
    pub(super) fn replace(&self, other: &Self) {
        let taken = other.read.lock();
        let (options, stamps) = (taken.options.clone(), taken.stamps.clone());
        *self.read.lock() = Read { options, stamps, has_failed: false };
        self.put_in_force(other.current().again());
    }

    /// Reads the files again if one of them changed, or if `is_asked` and they could not be used before.
    /// What cannot be used is told of in the log, and changes nothing.
    pub(super) fn refresh(&self, is_asked: bool) {
        let mut read = self.read.lock();
        let stamps = stamps(&read.options);
        if stamps == read.stamps && !(is_asked && read.has_failed) {
            return;
        }
        read.stamps = stamps;
        let loaded = LoadedCertificates::read(&read.options);
        read.has_failed = loaded.is_err();
        match loaded {
            Ok(loaded) => {
                self.put_in_force(loaded);
                tracing::info!("Reloaded the certificates of control.tls.");
            }
            Err(error) => tracing::warn!(
                %error,
                "Cannot reload the certificates of control.tls; GopherShip keeps the old ones."
            ),
        }
    }

    fn put_in_force(&self, loaded: Arc<LoadedCertificates>) {
        self.loaded.swap(loaded).retired.cancel();
    }

    /// Looks at the files again and again until stopped, and shows when the certificate in force expires.
    pub(super) async fn follow(self: Arc<Self>, metrics: Arc<Metrics>, stop: Stop) {
        let mut shown: Option<(i64, ShownCertificate)> = None;
        loop {
            let expires = self.current().expires;
            if shown.as_ref().map(|(expires, _)| *expires) != expires {
                let show = |expires| (expires, metrics.certificate("control", "tls.cert", expires));
                shown = expires.map(show);
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stop.cancelled() => return,
            }
            let this = Arc::clone(&self);
            // A panic in it has been logged.
            let _looked = tokio::task::spawn_blocking(move || this.refresh(false)).await;
        }
    }
}

fn stamps(options: &MutualTls) -> Vec<Stamp> {
    options.files().map(FileStamp::of).collect()
}
