//! An archive in a bucket, as the place that a command is about: `s3://bucket/prefix`.

use std::future::Future;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use clap::Args;
use tokio::runtime::Runtime;

use gophership_archive::Prefix;
use gophership_archive::parse_vault_id;
use gophership_restore::Archive;
use gophership_restore::RestoreError;
use gophership_s3::BucketClient;
use gophership_s3::BucketOptions;

use super::Failure;

const SCHEME: &str = "s3://";
/// Each request is made so often.
const ATTEMPTS: u32 = 5;
/// In front of the id of a vault in keys.
const LAYOUT: &str = "v1";

/// How the bucket of `s3://BUCKET/PREFIX` is reached. Credentials come from the environment
/// (`AWS_ACCESS_KEY_ID`), a profile (`AWS_PROFILE`), web identity or the instance.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct S3Args {
    /// With `s3://`: the URL of an S3-compatible server; by default AWS.
    #[arg(long = "s3-endpoint", value_name = "URL", env = "AWS_ENDPOINT_URL_S3")]
    endpoint: Option<String>,
    /// With `s3://`: the region of the bucket; by default that of the environment or the profile.
    #[arg(long = "s3-region", value_name = "REGION")]
    region: Option<String>,
    /// With `s3://`: put the bucket into the path, as most S3-compatible servers need it.
    #[arg(long = "s3-path-style")]
    path_style: bool,
}

/// An archive, with what is needed to read it.
#[derive(Clone)]
pub(super) struct ArchiveTarget {
    pub(super) archive: Archive,
    /// The one vault that is meant, if the URL has it.
    pub(super) vault_id: Option<u128>,
    runtime: Arc<Runtime>,
    folder: Arc<RestoreFolder>,
}

/// Where one segment at a time is restored; it is gone with its last user.
struct RestoreFolder(PathBuf);

impl Drop for RestoreFolder {
    fn drop(&mut self) {
        // It is below the folder for temporary files, which others clean too.
        let _removed = std::fs::remove_dir_all(&self.0);
    }
}

impl std::fmt::Debug for ArchiveTarget {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.archive.url())
    }
}

/// Whether a path is the URL of an archive.
pub(super) fn is_url(path: &Path) -> bool {
    path.to_str().is_some_and(|path| path.starts_with(SCHEME))
}

/// Bucket, prefix, and the vault if the URL ends with `v1/<id>`.
fn parse(url: &str) -> Result<(String, Prefix, Option<u128>), Failure> {
    let rest = url.strip_prefix(SCHEME).unwrap_or(url);
    let (bucket, rest) = rest.split_once('/').unwrap_or((rest, ""));
    let parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
    let (prefix, vault_id) = match parts.as_slice() {
        [prefix @ .., LAYOUT, id] if parse_vault_id(id).is_some() => (prefix, parse_vault_id(id)),
        [prefix @ .., LAYOUT] | prefix => (prefix, None),
    };
    let prefix = prefix.join("/").parse().map_err(|error| {
        Failure::usage(format!("{url} is not s3://BUCKET/PREFIX of an archive: {error}"))
    })?;
    Ok((bucket.to_owned(), prefix, vault_id))
}

impl ArchiveTarget {
    /// Prepares for reading; no request is made yet.
    pub(super) fn open(url: &Path, args: &S3Args) -> Result<Self, Failure> {
        let (bucket, prefix, vault_id) = parse(url.to_str().unwrap_or_default())?;
        let mut options = BucketOptions::new(bucket);
        options.endpoint.clone_from(&args.endpoint);
        options.region.clone_from(&args.region);
        options.path_style = args.path_style;
        if let Some(problem) = options.problems().first() {
            let (option, reason) = (problem.option, &problem.reason);
            return Err(Failure::usage(format!("the bucket's {option} {reason}")));
        }
        let cannot_start = |error: std::io::Error| Failure {
            code: crate::exit::UNAVAILABLE,
            text: format!("cannot start a thread for the bucket: {error}"),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .map_err(cannot_start)?;
        let bucket = runtime.block_on(BucketClient::connect(&options)).map_err(of_bucket)?;
        let folder = Arc::new(restore_folder()?);
        let archive = Archive::new(bucket, prefix, ATTEMPTS);
        Ok(Self { archive, vault_id, runtime: Arc::new(runtime), folder })
    }

    /// Where segments are restored.
    pub(super) fn folder(&self) -> &Path {
        &self.folder.0
    }

    /// Begins work in the background; what it returns waits for the end. It may be called where other
    /// asynchronous work runs.
    pub(super) fn begin<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, RestoreError>> + Send + 'static,
    ) -> std::sync::mpsc::Receiver<Result<T, RestoreError>> {
        let (tell, told) = sync_channel(1);
        self.runtime.spawn(async move {
            // Whoever no longer waits does not want to know.
            let _told = tell.send(work.await);
        });
        told
    }
}

/// Makes a folder that only this user can read.
fn restore_folder() -> Result<RestoreFolder, Failure> {
    use std::os::unix::fs::DirBuilderExt;

    let name = format!("gophership-restore-{}-{:08x}", std::process::id(), fastrand::u32(..));
    let path = std::env::temp_dir().join(name);
    let made = std::fs::DirBuilder::new().mode(0o700).create(&path);
    made.map_err(|error| Failure {
        code: crate::exit::IO,
        text: format!("cannot make {}: {error}; set TMPDIR", path.display()),
    })?;
    Ok(RestoreFolder(path))
}

pub(super) fn panicked() -> Failure {
    Failure { code: crate::exit::UNAVAILABLE, text: "reading the bucket panicked".to_owned() }
}

fn of_bucket(error: gophership_s3::S3Error) -> Failure {
    failure(&error.into())
}

/// An error of an archive, with the exit code for it.
pub(super) fn failure(error: &RestoreError) -> Failure {
    let code = match error {
        RestoreError::S3(_) | RestoreError::Panicked(_) => crate::exit::UNAVAILABLE,
        RestoreError::Missing { .. } => crate::exit::NO_INPUT,
        RestoreError::TooMany { .. } => crate::exit::USAGE,
        _ => crate::exit::IO,
    };
    Failure { code, text: gophership_http_client::chain(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_bucket_a_prefix_and_perhaps_a_vault() {
        let parsed = |url: &str| {
            let (bucket, prefix, vault_id) = parse(url).unwrap();
            (bucket, prefix.to_string(), vault_id)
        };
        let text = |text: &str| text.to_owned();
        assert_eq!(parsed("s3://archive"), (text("archive"), text(""), None));
        assert_eq!(parsed("s3://archive/a/b/"), (text("archive"), text("a/b"), None));
        assert_eq!(parsed("s3://archive/a/v1"), (text("archive"), text("a"), None));
        let with_vault = "s3://archive/a/v1/0123456789abcdef0123456789abcdef";
        let id = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef;
        assert_eq!(parsed(with_vault), (text("archive"), text("a"), Some(id)));
        assert!(parse("s3://archive/a b").is_err());
    }
}
