//! An object becomes the file of a segment again.

use std::path::Path;

use gophership_archive::Manifest;
use gophership_archive::Restorer;
use gophership_vault::SealedSegment;

use crate::archive::Archive;
use crate::error::RestoreError;

/// Goes to another thread together: each hop costs as much as decompressing some KiB.
const PIECE_BYTES: usize = 1 << 20;
/// An object that arrives damaged or in part is read once more, so many times.
const READS_MAX: u32 = 3;

impl Archive {
    /// Restores a segment into a folder, as `seg-<number>.gsv`, and returns what its footer says. Length,
    /// CRC-32 and BLAKE3 of object and file are checked against the manifest before the file gets its
    /// name. It takes the memory of 1 MiB and one window of zstd, however large the segment is.
    ///
    /// `on_bytes` is told how many bytes of the object have come.
    ///
    /// # Errors
    ///
    /// [`RestoreError`]; then no file is left but one that ends in `.tmp`.
    pub async fn restore(
        &self,
        manifest: &Manifest,
        folder: &Path,
        mut on_bytes: impl FnMut(u64),
    ) -> Result<SealedSegment, RestoreError> {
        let mut left = READS_MAX.min(self.attempts.max(1));
        loop {
            left -= 1;
            match self.restore_once(manifest, folder, &mut on_bytes).await {
                Err(RestoreError::S3(error)) if 0 < left && error.is_retryable() => {}
                other => return other,
            }
        }
    }

    async fn restore_once(
        &self,
        manifest: &Manifest,
        folder: &Path,
        on_bytes: &mut impl FnMut(u64),
    ) -> Result<SealedSegment, RestoreError> {
        let mut reader = self.object(manifest).await?;
        let (described, folder) = (manifest.clone(), folder.to_owned());
        let mut restorer = blocking(move || Ok(Restorer::new(&described, &folder)?)).await?;
        let mut piece = Vec::new();
        while let Some(bytes) = reader.next_chunk().await? {
            on_bytes(bytes.len() as u64);
            piece.extend_from_slice(&bytes);
            if PIECE_BYTES <= piece.len() {
                (restorer, piece) = push(restorer, piece).await?;
            }
        }
        (restorer, _) = push(restorer, piece).await?;
        blocking(move || Ok(restorer.finish()?)).await
    }
}

async fn push(mut restorer: Restorer, piece: Vec<u8>) -> Result<(Restorer, Vec<u8>), RestoreError> {
    blocking(move || {
        restorer.push(&piece)?;
        let mut piece = piece;
        piece.clear();
        Ok((restorer, piece))
    })
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RestoreError> + Send + 'static,
) -> Result<T, RestoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| RestoreError::Panicked(error.to_string()))?
}
