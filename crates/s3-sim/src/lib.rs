//! An S3 server on loopback that fails as told, for tests of whoever embeds the client of a bucket.
//!
//! A real one behind faults: `s3s` speaks the protocol and checks signatures, `s3s-fs` keeps objects as
//! files, `store.rs` is as strict as AWS where `s3s-fs` is not, and [`Faults`] says which request fails
//! and how. A bucket is a folder.
//!
//! ```text
//!  client --TCP--> Line (can be reset) --HTTP--> serve (faults) --> s3s --> Store --> s3s-fs --> files
//! ```
//!
//! The names of files limit keys to 160 bytes, and to 120 for uploads in parts.

mod fault;
mod faults;
mod half;
mod keys;
mod line;
mod serve;
mod store;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use s3s::service::S3ServiceBuilder;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use keys::Keys;
use serve::ServeContext;
use store::ObjectStore;
use store::Uploads;

pub use fault::Fault;
pub use fault::RequestKind;
pub use faults::Faults;
pub use faults::Which;

/// The access key of a new server.
pub const ACCESS_KEY: &str = "test-access-key";
/// The secret of the access key of a new server.
pub const SECRET_KEY: &str = "test-secret-key";

/// A server, with a thread of its own. It ends when it is dropped; its objects stay.
pub struct S3Server {
    address: SocketAddr,
    root: PathBuf,
    faults: Faults,
    keys: Keys,
    uploads: Uploads,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl S3Server {
    /// Serves what is below a folder, on a free port.
    ///
    /// # Errors
    ///
    /// When the folder cannot be used, or there is no port.
    pub fn start(root: &Path) -> io::Result<Self> {
        Self::start_at(root, (Ipv4Addr::LOCALHOST, 0).into())
    }

    /// Serves what is below a folder, at an address: that of a server which was dropped, for example.
    ///
    /// # Errors
    ///
    /// When the folder cannot be used, or the port is taken.
    pub fn start_at(root: &Path, address: SocketAddr) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        let root = root.canonicalize()?;
        let faults = Faults::default();
        let keys = Keys::with(ACCESS_KEY, SECRET_KEY);
        let uploads = Uploads::default();
        let store = ObjectStore::new(&root, uploads.clone())?;
        let mut service = S3ServiceBuilder::new(store);
        service.set_auth(keys.clone());
        let served = ServeContext::new(service.build(), faults.clone(), root.clone());

        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = {
            let _guard = runtime.enter();
            let socket = tokio::net::TcpSocket::new_v4()?;
            socket.set_reuseaddr(true)?;
            socket.bind(address)?;
            socket.listen(1024)?
        };
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("s3-server".to_owned()).spawn(move || {
            runtime.block_on(run(listener, Arc::new(served), stopped));
            runtime.shutdown_background();
        })?;
        let (stop, thread) = (Some(stop), Some(thread));
        Ok(Self { address, root, faults, keys, uploads, stop, thread })
    }

    /// Returns where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns its URL.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns what decides which requests fail, and counts them.
    #[must_use]
    pub const fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Accepts another access key.
    pub fn add_key(&self, access_key: &str, secret_key: &str) {
        self.keys.add(access_key, secret_key);
    }

    /// Makes a bucket.
    ///
    /// # Errors
    ///
    /// When its folder cannot be made.
    pub fn create_bucket(&self, name: &str) -> io::Result<()> {
        fs::create_dir_all(self.root.join(name))
    }

    /// Returns the file of an object.
    #[must_use]
    pub fn object_path(&self, bucket: &str, key: &str) -> PathBuf {
        self.root.join(bucket).join(key)
    }

    /// Returns every object of a bucket: key and length.
    ///
    /// # Errors
    ///
    /// When a folder cannot be read.
    pub fn objects(&self, bucket: &str) -> io::Result<BTreeMap<String, u64>> {
        let bucket = self.root.join(bucket);
        let mut objects = BTreeMap::new();
        let mut folders = vec![bucket.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                let path = entry.path();
                if entry.file_type()?.is_dir() {
                    folders.push(path);
                } else {
                    let key = path.strip_prefix(&bucket).map_err(io::Error::other)?;
                    objects.insert(key.to_string_lossy().into_owned(), entry.metadata()?.len());
                }
            }
        }
        Ok(objects)
    }

    /// Returns how many uploads in parts have neither been completed nor given up.
    #[must_use]
    pub fn open_uploads(&self) -> usize {
        self.uploads.len()
    }

    /// Begins uploads in parts that nobody will complete, as clients do that were killed.
    pub fn abandon_uploads(&self, bucket: &str, count: u32) {
        self.uploads.abandon(bucket, count);
    }

    /// Makes every upload in parts older.
    pub fn age_uploads(&self, by: Duration) {
        self.uploads.age(by);
    }

    /// Returns the variables with which programs that use an AWS SDK find this server.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL_S3", self.endpoint()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ]
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // If it panicked, the test has seen it.
            let _has_ended = thread.join().is_ok();
        }
    }
}

async fn run(listener: TcpListener, served: Arc<ServeContext>, stopped: oneshot::Receiver<()>) {
    let accept = async {
        loop {
            // A connection that breaks is the other side's affair.
            let Ok((stream, _)) = listener.accept().await else { continue };
            let _is_set = stream.set_nodelay(true).is_ok();
            tokio::spawn(serve::connection(stream, Arc::clone(&served)));
        }
    };
    tokio::select! {
        () = accept => {}
        _ = stopped => {}
    }
}
