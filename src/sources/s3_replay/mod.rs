//! The `s3_replay` source: sends what an archive in a bucket holds through the pipeline, and ends. Hosts
//! with the same selection share the work.
//!
//! ```text
//!   manifests --selection--> segment --claim--> restore --> window --> pipeline --all delivered--> claim done
//!                               ^                 | taken by another host: later
//!                               +-----------------+ lease over: taken again
//! ```
//!
//! What a sink refuses for good goes into the dead-letter store of a vault, if options name one; without
//! room there it stays in the bucket, and the replay goes on.
//!
//! At least once: a host that is killed has sent a part of its segments, and another sends them whole.

mod delivery;
mod letters;
mod options;
mod progress;
mod refusal_log;
mod replay;
mod segment;

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use gophership_restore::Archive;
use gophership_restore::Claims;
use gophership_s3::BucketClient;

use crate::component::ArchiveLocation;
use crate::component::BuildError;
use crate::component::ComponentInfo;
use crate::component::Context;
use crate::component::NamedFile;
use crate::component::OptionProblem;
use crate::component::Resource;
use crate::component::RunError;
use crate::component::Site;
use crate::component::Source;
use crate::component::SourceConfig;
use crate::component::Stop;
use crate::flow::Output;

use delivery::ReplaySender;
use options::S3ReplayConfig;
use progress::SegmentStates;
use replay::Replay;

/// Each request to the bucket is made so often before the segment is put off.
const ATTEMPTS: u32 = 4;
/// To restore a segment takes a window of zstd, the piece that came, and what stands between.
const RESTORE_BYTES: u64 = 10 << 20;
/// Holds the name of this host in claims, which it has also after a restart.
const OWNER_FILE: &str = "owner";

inventory::submit! {
    ComponentInfo::source::<S3ReplayConfig>(
        "s3_replay",
        "Replays archived vault segments from an S3 bucket, shared among hosts.",
    )
}

#[async_trait]
impl SourceConfig for S3ReplayConfig {
    fn resources(&self, site: &Site<'_>) -> Vec<Resource> {
        vec![Resource::Directory(folder(site.id, site.data_dir))]
    }

    fn beside_budget_bytes(&self) -> u64 {
        u64::from(self.concurrency) * RESTORE_BYTES
    }

    fn archive(&self) -> Option<ArchiveLocation> {
        Some(ArchiveLocation { bucket: self.bucket.clone(), prefix: self.prefix() })
    }

    fn files(&self) -> Vec<NamedFile> {
        let ca = self.bucket.ca_file.iter();
        ca.map(|path| NamedFile::new("bucket.ca_file", path)).collect()
    }

    fn dead_letters(&self) -> Option<&str> {
        self.dead_letters.as_deref()
    }

    fn problems(&self) -> Vec<OptionProblem> {
        self.option_problems()
    }

    fn warnings(&self) -> Vec<OptionProblem> {
        self.option_warnings()
    }

    async fn build(&self, context: &Context) -> Result<Box<dyn Source>, BuildError> {
        let folder = folder(context.id.as_str(), &context.data_dir);
        let owner = prepare(&folder).await.map_err(|source| BuildError::Io {
            operation: "prepare",
            what: folder.display().to_string(),
            source,
        })?;
        let bucket = BucketClient::connect(&self.bucket).await;
        let bucket = bucket.map_err(|error| BuildError::Option(error.to_string()))?;
        let archive = Archive::new(bucket, self.prefix(), ATTEMPTS);
        let claims = Claims::new(archive.clone(), &self.replay_id(), &owner, self.lease());
        Ok(Box::new(S3Replay {
            config: self.clone(),
            context: context.clone(),
            archive,
            claims,
            owner,
            folder,
        }))
    }
}

/// Where a source keeps its name, and restores segments.
fn folder(id: &str, data_dir: &Path) -> PathBuf {
    data_dir.join("s3_replay").join(id)
}

/// Makes the folder, removes what an earlier run left, and returns the name of this host in claims.
async fn prepare(folder: &Path) -> std::io::Result<String> {
    let folder = folder.to_owned();
    let prepared = tokio::task::spawn_blocking(move || {
        std::fs::create_dir_all(&folder)?;
        let file = folder.join(OWNER_FILE);
        for entry in std::fs::read_dir(&folder)? {
            let path = entry?.path();
            if path == file {
                continue;
            }
            // Each segment has a folder of its own.
            if path.is_dir() { std::fs::remove_dir_all(path)? } else { std::fs::remove_file(path)? }
        }
        match std::fs::read_to_string(&file) {
            Ok(owner) if !owner.is_empty() => Ok(owner),
            Ok(_) => new_owner(&file),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => new_owner(&file),
            Err(error) => Err(error),
        }
    });
    prepared.await.map_err(std::io::Error::other)?
}

fn new_owner(file: &Path) -> std::io::Result<String> {
    let name = rustix::system::uname();
    let host: String = name.nodename().to_string_lossy().chars().take(64).collect();
    let owner = format!("{host}-{:016x}", fastrand::u64(..));
    std::fs::write(file, &owner)?;
    Ok(owner)
}

struct S3Replay {
    config: S3ReplayConfig,
    context: Context,
    archive: Archive,
    claims: Claims,
    owner: String,
    folder: PathBuf,
}

#[async_trait]
impl Source for S3Replay {
    async fn run(self: Box<Self>, output: Output, stop: Stop) -> Result<(), RunError> {
        let Self { config, context, archive, claims, owner, folder } = *self;
        let delivery = Arc::new(ReplaySender::new(&config, &context, output, stop.clone()));
        let progress = SegmentStates::new(context.metrics.s3_replay(context.id.as_str()));
        let replay = Replay { config, archive, claims, owner, folder, delivery, progress, stop };
        let replay = Arc::new(replay);
        let ended = Arc::clone(&replay).run().await;
        if replay.stop.is_cancelled() {
            replay.progress.forget();
        }
        ended
    }
}
