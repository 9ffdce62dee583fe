//! The access keys of a server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;

use s3s::S3Result;
use s3s::auth::S3Auth;
use s3s::auth::SecretKey;
use s3s::s3_error;

/// Access keys with their secrets. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Keys(Arc<RwLock<BTreeMap<String, String>>>);

impl Keys {
    /// The keys of a server with one.
    pub(crate) fn with(access_key: &str, secret_key: &str) -> Self {
        let keys = Self::default();
        keys.add(access_key, secret_key);
        keys
    }

    /// Accepts one more.
    pub(crate) fn add(&self, access_key: &str, secret_key: &str) {
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        keys.insert(access_key.to_owned(), secret_key.to_owned());
    }
}

#[async_trait::async_trait]
impl S3Auth for Keys {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let secret = keys.get(access_key).map(|secret| SecretKey::from(secret.clone()));
        secret.ok_or_else(|| s3_error!(InvalidAccessKeyId))
    }
}
