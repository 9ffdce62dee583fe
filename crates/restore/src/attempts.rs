//! Makes a request again that may succeed later.

use std::pin::Pin;
use std::time::Duration;

use gophership_s3::S3Error;

/// The pause before the second attempt; it doubles, and a random part of it is waited.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// One attempt.
pub(crate) type Attempt<'f, T> = Pin<Box<dyn Future<Output = Result<T, S3Error>> + Send + 'f>>;

/// Makes a request up to `attempts` times.
pub(crate) async fn repeat<'f, T>(
    attempts: u32,
    mut request: impl FnMut() -> Attempt<'f, T>,
) -> Result<T, S3Error> {
    let mut pause = PAUSE_MIN;
    let mut left = attempts.max(1);
    loop {
        left -= 1;
        match request().await {
            // What needs an operator is told at once.
            Err(error) if 0 < left && error.is_retryable() && !error.kind.needs_operator() => {
                tokio::time::sleep(pause.mul_f64(fastrand::f64())).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
            other => return other,
        }
    }
}
