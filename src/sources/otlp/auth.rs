//! Who may send: bearer tokens and users with passwords, from files that are read again when they change.
//!
//! Credentials are kept as keyed hashes with a key of this process, and compared in constant time: neither
//! how many characters fit nor how long they are is told by the time that an answer takes.

use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::GeneralPurpose;
use base64::engine::GeneralPurposeConfig;
use http::HeaderMap;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use super::answer::RefusedRequest;
use crate::component::BuildError;
use crate::component::ComponentId;
use crate::component::NamedFile;
use crate::component::OptionProblem;

/// How often files are read again.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// No file is longer.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Each request is compared with every credential.
const CREDENTIALS_MAX: usize = 1000;
const BEARER: &str = "bearer";
const BASIC: &str = "basic";
/// Senders may leave the padding out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The source accepts only requests with one of these credentials, and answers all others with 401 or
/// `UNAUTHENTICATED`. Health checks over gRPC and CORS preflights need none. GopherShip reads the
/// files every 2 seconds; if a read fails, it keeps the last credentials.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AuthConfig {
    /// A file with one token per line. The sender has to send one of them as `Authorization: Bearer
    /// TOKEN`. To replace a token, add the new one, change the senders, and remove the old one.
    bearer_token_file: Option<PathBuf>,
    /// A file with one `USER:PASSWORD` per line, for `Authorization: Basic`.
    basic_auth_file: Option<PathBuf>,
    /// Allow credentials on listeners without TLS, where anyone on the network path can read them.
    /// By default such a listener must be on loopback.
    allow_plain_text: bool,
}

impl AuthConfig {
    /// The files that it names.
    pub(super) fn files(&self) -> Vec<NamedFile> {
        let both = [
            ("auth.bearer_token_file", &self.bearer_token_file),
            ("auth.basic_auth_file", &self.basic_auth_file),
        ];
        let named = both.into_iter().filter_map(|(option, path)| Some((option, path.as_ref()?)));
        named.map(|(option, path)| NamedFile::followed(option, path)).collect()
    }

    /// What is wrong with the options; `is_readable` says whether a listener sends credentials in plain
    /// text over a network.
    pub(super) fn problems(&self, is_readable: bool) -> Vec<OptionProblem> {
        let mut problems = Vec::new();
        if self.bearer_token_file.is_none() && self.basic_auth_file.is_none() {
            let message = "needs a `bearer_token_file`, a `basic_auth_file`, or both";
            problems.push(OptionProblem::new("auth", message));
        }
        if is_readable && !self.allow_plain_text {
            let message = "credentials reach a listener without `tls` in plain text";
            let help = "add `tls` to the listener, or set `allow_plain_text: true` if the network \
                        between the senders and this listener is safe";
            problems.push(OptionProblem::new("auth", message).with_help(help));
        }
        problems
    }

    /// Reads the files.
    ///
    /// # Errors
    ///
    /// The file that cannot be read, or contains no credential.
    pub(super) fn load(&self) -> Result<Auth, BuildError> {
        let mut key = [0; 32];
        let random = rustls::crypto::ring::default_provider().secure_random;
        let random = random.fill(&mut key);
        random.map_err(|_| BuildError::Option("the system gives no random numbers".to_owned()))?;
        let (bearer, basic) = (self.bearer_token_file.clone(), self.basic_auth_file.clone());
        let files = Files { bearer, basic };
        let read = files.read(&key);
        let accepted = read.map_err(|(path, source)| BuildError::Io {
            operation: "read",
            what: path.display().to_string(),
            source,
        })?;
        let challenge = match (&files.bearer, &files.basic) {
            (_, None) => HeaderValue::from_static("Bearer"),
            (None, _) => HeaderValue::from_static("Basic realm=\"GopherShip\""),
            _ => HeaderValue::from_static("Bearer, Basic realm=\"GopherShip\""),
        };
        let accepted = ArcSwap::from_pointee(accepted);
        Ok(Auth(Arc::new(Shared { key, files, challenge, accepted })))
    }
}

/// The files with credentials.
struct Files {
    bearer: Option<PathBuf>,
    basic: Option<PathBuf>,
}

/// The hashes of all that is accepted.
type Accepted = Vec<blake3::Hash>;

/// Checks credentials. Cheap to clone.
#[derive(Clone)]
pub(super) struct Auth(Arc<Shared>);

struct Shared {
    key: [u8; 32],
    files: Files,
    challenge: HeaderValue,
    accepted: ArcSwap<Accepted>,
}

impl Auth {
    /// Refuses a request whose headers have no credential that is accepted.
    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), RefusedRequest> {
        let presented =
            headers.get(AUTHORIZATION).and_then(|value| self.0.hash_of(value.as_bytes()));
        let accepted = self.0.accepted.load();
        // All of them are looked at, whichever fits; comparing two hashes takes constant time.
        let fits =
            |fits: bool, one: &blake3::Hash| fits | presented.is_some_and(|hash| hash == *one);
        if accepted.iter().fold(false, fits) {
            return Ok(());
        }
        Err(RefusedRequest::Unauthenticated { challenge: self.0.challenge.clone() })
    }

    /// Follows the files, for ever. May be dropped at any time.
    pub(super) async fn follow(&self, source: &ComponentId) {
        let mut is_failing = false;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let shared = Arc::clone(&self.0);
            let read = tokio::task::spawn_blocking(move || shared.files.read(&shared.key));
            // A read that panics has told nothing; the next one may.
            let Ok(read) = read.await else { continue };
            match read {
                Ok(accepted) => {
                    is_failing = false;
                    if accepted != **self.0.accepted.load() {
                        tracing::info!(
                            %source, credentials = accepted.len(),
                            "The files of `auth` have changed; the source uses the new credentials."
                        );
                        self.0.accepted.store(Arc::new(accepted));
                    }
                }
                Err((path, error)) => {
                    if !std::mem::replace(&mut is_failing, true) {
                        let path = path.display();
                        tracing::warn!(
                            %source, %path, %error,
                            "Cannot read a file of `auth`; the source keeps the last credentials."
                        );
                    }
                }
            }
        }
    }
}

impl Shared {
    /// The hash of what a header says, if that is a credential.
    fn hash_of(&self, header: &[u8]) -> Option<blake3::Hash> {
        let space = header.iter().position(|byte| *byte == b' ')?;
        let (scheme, rest) = header.split_at(space);
        let credential = rest.trim_ascii();
        if scheme.eq_ignore_ascii_case(BEARER.as_bytes()) {
            return Some(hash(&self.key, BEARER, credential));
        }
        if scheme.eq_ignore_ascii_case(BASIC.as_bytes()) {
            let decoded = BASE64.decode(credential).ok()?;
            return Some(hash(&self.key, BASIC, &decoded));
        }
        None
    }
}

fn hash(key: &[u8; 32], scheme: &str, credential: &[u8]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(scheme.as_bytes()).update(b" ").update(credential);
    hasher.finalize()
}

impl Files {
    /// Reads all credentials.
    fn read(&self, key: &[u8; 32]) -> Result<Accepted, (PathBuf, io::Error)> {
        let mut accepted = Vec::new();
        for (scheme, path) in [(BEARER, &self.bearer), (BASIC, &self.basic)] {
            let Some(path) = path else { continue };
            let add = read_file(path, scheme, key, &mut accepted);
            add.map_err(|error| (path.clone(), error))?;
        }
        Ok(accepted)
    }
}

/// Reads one file. What is in it is in no error.
fn read_file(path: &Path, scheme: &str, key: &[u8; 32], accepted: &mut Accepted) -> io::Result<()> {
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    let fault = |reason: String| Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    if FILE_BYTES_MAX < text.len() as u64 {
        return fault("it is longer than 1MiB".to_owned());
    }
    let before = accepted.len();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if scheme == BASIC && !line.contains(':') {
            return fault(format!("line {number} is not USER:PASSWORD"));
        }
        accepted.push(hash(key, scheme, line.as_bytes()));
    }
    match accepted.len() - before {
        0 => fault("it contains no credential".to_owned()),
        1..=CREDENTIALS_MAX => Ok(()),
        more => fault(format!("it has {more} lines; the limit is {CREDENTIALS_MAX}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(bearer: Option<&str>, basic: Option<&str>) -> (tempfile::TempDir, AuthConfig) {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let config = AuthConfig {
            bearer_token_file: bearer.map(|text| write("bearer", text)),
            basic_auth_file: basic.map(|text| write("basic", text)),
            allow_plain_text: false,
        };
        (dir, config)
    }

    #[test]
    fn one_of_the_credentials_is_needed_and_enough() {
        let (_dir, config) =
            loaded(Some("# old and new\n  one\ntwo \n\n"), Some("shop:pa:ss\nother:x\n"));
        let auth = config.load().ok().unwrap();
        let accepts = |header: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_str(header).unwrap());
            auth.check(&headers).is_ok()
        };
        let basic = |text: &str| format!("Basic {}", BASE64.encode(text));
        let unpadded = basic("shop:pa:ss").trim_end_matches('=').to_owned();
        for right in ["Bearer one", "bearer two", "BEARER  two ", &basic("shop:pa:ss"), &unpadded] {
            assert!(accepts(right), "{right}");
        }
        for wrong in [
            "Bearer on",
            "Bearer one1",
            "Bearer",
            "Bearer ",
            "one",
            "Basic one",
            "Bearer shop:pa:ss",
            &basic("one"),
            &basic("shop:pa"),
            "Bearer # old and new",
        ] {
            assert!(!accepts(wrong), "{wrong}");
        }
        assert!(auth.check(&HeaderMap::new()).is_err());
    }

    #[test]
    fn a_file_without_credentials_is_an_error_that_shows_none() {
        for (bearer, basic, words) in [
            (Some("\n# nothing\n"), None, "no credential"),
            (None, Some("a:b\nhunter2\n"), "line 2 is not"),
        ] {
            let (_dir, config) = loaded(bearer, basic);
            let error = config.load().err().unwrap();
            let text = gophership_http_client::chain(&error);
            assert!(text.contains(words) && !text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn plain_text_over_a_network_must_be_allowed() {
        let (_dir, config) = loaded(Some("x"), None);
        assert_eq!((config.problems(false).len(), config.problems(true).len()), (0, 1));
        let config = AuthConfig { allow_plain_text: true, ..config };
        assert_eq!(config.problems(true), []);
        assert_eq!(AuthConfig::default().problems(false).len(), 1);
    }
}
