//! Where an archive is that a component of the configuration writes or reads.

use gophership_archive::Prefix;
use gophership_s3::BucketOptions;

/// An archive of vault segments in a bucket, and how the bucket is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveLocation {
    /// The bucket, with its credentials.
    pub bucket: BucketOptions,
    /// The first part of all keys.
    pub prefix: Prefix,
}

impl ArchiveLocation {
    /// Returns how operators name it: `s3://bucket/prefix`.
    #[must_use]
    pub fn url(&self) -> String {
        let Self { bucket, prefix } = self;
        format!("s3://{}/{prefix}", bucket.name)
    }

    /// Whether an operator means this archive; a slash at the end means nothing.
    #[must_use]
    pub fn is_at(&self, url: &str) -> bool {
        self.url().trim_end_matches('/') == url.trim_end_matches('/')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_named_by_bucket_and_prefix() {
        let bucket = BucketOptions::new("logs");
        let archive = ArchiveLocation { bucket, prefix: "prod/eu".parse().unwrap() };
        assert_eq!(archive.url(), "s3://logs/prod/eu");
        assert!(archive.is_at("s3://logs/prod/eu/"));
        assert!(!archive.is_at("s3://logs/prod"));
        let whole = ArchiveLocation { prefix: Prefix::default(), ..archive };
        assert!(whole.is_at("s3://logs"));
    }
}
