//! `gs-ctl certs init`: a private CA, and certificates for the server and its clients.

use std::fs;
use std::fs::DirBuilder;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::SystemTime;

use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::DnType;
use rcgen::ExtendedKeyUsagePurpose;
use rcgen::IsCa;
use rcgen::Issuer;
use rcgen::KeyPair;
use rcgen::KeyUsagePurpose;

use crate::error::CtlError;

const DAY: Duration = Duration::from_hours(24);
const CA_NAME: &str = "GopherShip private CA";
/// Of the CA, in days.
const CA_DAYS: u32 = 3650;
/// Clocks differ.
const EARLIER: Duration = Duration::from_hours(1);
/// No certificate is longer valid than this, in days.
const DAYS_MAX: u32 = 3650;

/// What is to be made.
pub(crate) struct CertificateOptions<'a> {
    /// The folder.
    pub(crate) dir: &'a Path,
    /// The names and addresses of the server.
    pub(crate) hosts: &'a [String],
    /// The common names of clients.
    pub(crate) clients: &'a [String],
    /// How long they are valid.
    pub(crate) days: u32,
    /// Whether files that are there are replaced.
    pub(crate) force: bool,
}

/// What was made.
pub(crate) struct Made {
    /// The certificate of the CA.
    pub(crate) ca: PathBuf,
    /// The certificate of the server.
    pub(crate) server: PathBuf,
    /// The name of each client, and its certificate.
    pub(crate) clients: Vec<(String, PathBuf)>,
}

fn failed(error: rcgen::Error) -> CtlError {
    CtlError::Certificate(error)
}

fn half(dir: &Path, error: &io::Error) -> CtlError {
    let dir = dir.display();
    CtlError::Usage(format!("{dir} has half a CA, ca.pem and ca.key: {error}"))
}

/// Makes them all.
pub(crate) fn init(order: &CertificateOptions<'_>) -> Result<Made, CtlError> {
    check(order)?;
    let dir = order.dir;
    let unwritable = |source| CtlError::Write { path: dir.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(unwritable)?;
    let issuer = authority(dir)?;

    let mut server = dir.join("server.pem");
    if !server.exists() || order.force {
        let mut params = CertificateParams::new(order.hosts).map_err(failed)?;
        let name = order.hosts.first().map_or("gophership", String::as_str);
        leaf(&mut params, name, ExtendedKeyUsagePurpose::ServerAuth, order.days);
        server = sign(order, "server", &params, &issuer)?;
    }
    let mut clients = Vec::new();
    for client in order.clients {
        let mut params = CertificateParams::default();
        leaf(&mut params, client, ExtendedKeyUsagePurpose::ClientAuth, order.days);
        clients.push((client.clone(), sign(order, client, &params, &issuer)?));
    }
    Ok(Made { ca: dir.join("ca.pem"), server, clients })
}

/// Everything that can be wrong with the order, before anything is written.
fn check(order: &CertificateOptions<'_>) -> Result<(), CtlError> {
    if order.days == 0 || DAYS_MAX < order.days {
        return Err(CtlError::Usage(format!("--days must be from 1 to {DAYS_MAX}")));
    }
    for client in order.clients {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
        let is_taken = matches!(client.as_str(), "ca" | "server");
        if client.is_empty() || client.starts_with('.') || !client.chars().all(is_plain) || is_taken
        {
            return Err(CtlError::Usage(format!(
                "{client:?} cannot be the name of a client: use letters, digits, '-', '_', '.' and \
                 '@', and neither ca nor server"
            )));
        }
    }
    for name in order.clients {
        let path = order.dir.join(format!("{name}.pem"));
        if path.exists() && !order.force {
            return Err(CtlError::Usage(format!(
                "{} exists; --force replaces it, and --client NAME makes another one",
                path.display()
            )));
        }
    }
    Ok(())
}

/// The CA in the folder, made if there is none. One that is there was made here, so its key is all that is
/// not known of it.
fn authority(dir: &Path) -> Result<Issuer<'static, KeyPair>, CtlError> {
    let (path, key_path) = (dir.join("ca.pem"), dir.join("ca.key"));
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.distinguished_name.push(DnType::CommonName, CA_NAME);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid_for(&mut params, CA_DAYS);
    if path.exists() || key_path.exists() {
        let pem = fs::read_to_string(&path).and_then(|_| fs::read_to_string(&key_path));
        let pem = pem.map_err(|error| half(dir, &error))?;
        return Ok(Issuer::new(params, KeyPair::from_pem(&pem).map_err(failed)?));
    }
    let key = KeyPair::generate().map_err(failed)?;
    let pem = params.self_signed(&key).map_err(failed)?.pem();
    write(&key_path, &key.serialize_pem(), 0o600)?;
    write(&path, &pem, 0o644)?;
    Ok(Issuer::new(params, key))
}

fn leaf(params: &mut CertificateParams, name: &str, usage: ExtendedKeyUsagePurpose, days: u32) {
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![usage];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    valid_for(params, days);
}

fn valid_for(params: &mut CertificateParams, days: u32) {
    let now = SystemTime::now();
    params.not_before = (now - EARLIER).into();
    params.not_after = (now + DAY * days).into();
}

fn sign(
    order: &CertificateOptions<'_>,
    name: &str,
    params: &CertificateParams,
    issuer: &Issuer<'_, KeyPair>,
) -> Result<PathBuf, CtlError> {
    let key = KeyPair::generate().map_err(failed)?;
    let pem = params.signed_by(&key, issuer).map_err(failed)?.pem();
    let path = order.dir.join(format!("{name}.pem"));
    write(&order.dir.join(format!("{name}.key")), &key.serialize_pem(), 0o600)?;
    write(&path, &pem, 0o644)?;
    Ok(path)
}

/// Writes a file at once.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), CtlError> {
    let write = || -> io::Result<()> {
        let mut fresh = path.as_os_str().to_owned();
        fresh.push(".new");
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(mode).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(fresh, path)
    };
    write().map_err(|source| CtlError::Write { path: path.to_owned(), source })
}
