//! The place of a drill: a directory of its own beside the data, free ports, and the copy in it.

use std::fs;
use std::fs::DirBuilder;
use std::io::Write;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::net::TcpListener;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;

use gophership::config;
use gophership::config::Config;
use gophership_otlp_client::Protocol;
use gophership_units::ByteSize;

use super::copy;
use super::copy::Places;
use super::peer::PeerProgram;
use super::plan::Plan;
use super::server::ServerProgram;

/// Ports are taken from below the range from which the system gives ports to clients, so that no
/// connection can sit on one while the server is away.
const PORTS_FROM: u16 = 10_000;
const PORTS: u16 = 20_000;
/// The longest path of a unix socket, with some room.
const SOCKET_PATH_BYTES_MAX: usize = 100;

/// A directory that is removed with everything in it, unless it is kept.
pub(super) struct Workspace {
    pub(super) dir: PathBuf,
    /// What is drilled here.
    pub(super) program: ServerProgram,
    /// Of each entry of the plan.
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) is_kept: bool,
    socket: PathBuf,
}

impl Workspace {
    /// Makes the directory on the file system of the data, or, where that is not allowed, among the
    /// system's temporary files, and writes the copy into it.
    pub(super) fn new(
        config: &Config,
        plan: &Plan,
        backends: &[SocketAddr],
        vault_max: Option<ByteSize>,
    ) -> Result<Self, String> {
        let beside = config.data_dir.ancestors().find(|path| path.is_dir());
        let dir = make_dir(beside.unwrap_or(Path::new(".")))?;
        let mut ports = Ports::new();
        let mut socket = dir.join("control.sock");
        if SOCKET_PATH_BYTES_MAX < socket.as_os_str().len() {
            socket = std::env::temp_dir().join(format!("{}.sock", dir_name()));
        }
        let (path, metrics) = (dir.join("gophership.yaml"), ports.free());
        let program = ServerProgram::Own(path.clone(), metrics);
        let mut site = Self { dir, program, addresses: Vec::new(), is_kept: false, socket };
        site.write(config, plan, backends, (&path, metrics), (vault_max, &mut ports))?;
        Ok(site)
    }

    /// Makes the directory for the log of another program, which has its own configuration and data.
    pub(super) fn of_peer(peer: PeerProgram) -> Result<Self, String> {
        let dir = make_dir(Path::new("."))?;
        let (addresses, socket) = (vec![peer.ingest], dir.join("control.sock"));
        let program = ServerProgram::Peer(peer);
        Ok(Self { dir, program, addresses, is_kept: false, socket })
    }

    /// Where its vaults are.
    pub(super) fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// What the server logs.
    pub(super) fn log(&self) -> PathBuf {
        self.dir.join("server.log")
    }

    fn write(
        &mut self,
        config: &Config,
        plan: &Plan,
        backends: &[SocketAddr],
        own: (&Path, SocketAddr),
        (vault_max, ports): (Option<ByteSize>, &mut Ports),
    ) -> Result<(), String> {
        let path = own.0;
        let mut listeners = Vec::new();
        let backend = |id: &str| {
            let idx = plan.sinks.iter().position(|sink| sink == id);
            idx.and_then(|idx| backends.get(idx).copied()).expect("every `otlp` sink has one")
        };
        let mut places = Places {
            dir: &self.dir,
            socket: &self.socket,
            metrics: own.1,
            vault_max,
            listen: &mut |source, protocol| {
                let address = ports.free();
                listeners.push((source.to_owned(), protocol, address));
                address
            },
            backend: &backend,
        };
        let document = copy::document(config, &mut places);
        let text = serde_yaml::to_string(&document).map_err(|error| error.to_string())?;
        // It may hold secrets, as the headers of a sink.
        fs::File::options()
            .mode(0o600)
            .write(true)
            .create_new(true)
            .open(path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        let copied = config::load_file(path, &|_| None)
            .map_err(|errors| format!("the copy of the configuration has problems: {errors}"))?;
        if let Some(what) = copy::difference(config, &copied) {
            return Err(format!("the copy of the configuration differs in {what}"));
        }
        let address = |entry: &super::plan::EntryPoint| {
            let protocol = match entry.protocol {
                Protocol::Grpc => "grpc",
                Protocol::Http => "http",
            };
            let mut found = listeners.iter().filter(|(source, ..)| *source == entry.source);
            let found = found.find(|(_, other, _)| *other == protocol);
            found.expect("every source that is drilled got its listeners").2
        };
        self.addresses = plan.entries.iter().map(address).collect();
        Ok(())
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        // The server has removed it, if it could.
        let _may_be_gone = fs::remove_file(&self.socket);
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            crate::complain(&format!("warning: cannot remove {}: {error}", self.dir.display()));
        }
    }
}

fn dir_name() -> String {
    format!("gophership-drill-{}", std::process::id())
}

/// Makes the drill's directory there, or, where that is not allowed, among the system's temporary files.
fn make_dir(parent: &Path) -> Result<PathBuf, String> {
    let make = |parent: &Path| {
        let dir = parent.join(dir_name());
        DirBuilder::new().mode(0o700).create(&dir).and_then(|()| dir.canonicalize())
    };
    let dir = make(parent).or_else(|_| make(&std::env::temp_dir()));
    dir.map_err(|error| format!("cannot make a directory for the drill: {error}"))
}

/// Addresses of loopback that nobody uses now.
struct Ports(u16);

impl Ports {
    fn new() -> Self {
        Self(fastrand::u16(..PORTS))
    }

    fn free(&mut self) -> SocketAddr {
        loop {
            self.0 = (self.0 + 1) % PORTS;
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORTS_FROM + self.0));
            if TcpListener::bind(address).is_ok() {
                return address;
            }
        }
    }
}
