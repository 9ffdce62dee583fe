//! Headers of requests: from the configuration, and from files that somebody rotates.
//!
//! A file is read when the sink is built, and looked at again every `LOOK_EVERY`; requests only
//! load what was read last. One that is gone, or holds no header value, leaves the last value in
//! force, and the log says so. Values are never shown. Those that are credentials are told apart from
//! others, so that they are not sent in plain text by mistake.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::header::AUTHORIZATION;

/// How often files are read again.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// No token is longer.
const VALUE_BYTES_MAX: u64 = 64 << 10;
const BEARER: &str = "Bearer ";
/// Parts of the names of headers that carry credentials, at backends and their gateways.
const CREDENTIAL_NAMES: [&str; 13] = [
    "auth",
    "token",
    "secret",
    "password",
    "passwd",
    "cookie",
    "credential",
    "key",
    "signature",
    "session",
    "license",
    "dsn",
    "x-honeycomb-team",
];
/// Beginnings of values that are credentials under any name.
const CREDENTIAL_VALUES: [&str; 3] = ["bearer ", "basic ", "digest "];

/// The headers of a sink. Cheap to clone; what files say is shared.
#[derive(Clone)]
pub struct Headers(Arc<Shared>);

struct Shared {
    sink: String,
    fixed: HeaderMap,
    files: Vec<FromFile>,
    current: ArcSwap<HeaderMap>,
}

/// A header whose value is in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FromFile {
    name: HeaderName,
    before: &'static str,
    path: PathBuf,
}

/// A header that is not one: the option at fault, and why.
pub type HeaderFault = (String, String);

/// Where headers come from, checked.
#[derive(Clone, Debug, Default)]
pub struct HeaderSources {
    fixed: HeaderMap,
    files: Vec<FromFile>,
}

impl HeaderSources {
    /// Checks names and values; reads no file.
    ///
    /// # Errors
    ///
    /// The option at fault below `headers`, `headers_from` or `bearer_token_file`, and the reason.
    pub fn new<'t>(
        texts: impl IntoIterator<Item = (&'t str, &'t str)>,
        files: &BTreeMap<String, PathBuf>,
        bearer_token: Option<&Path>,
    ) -> Result<Self, HeaderFault> {
        let mut sources = Self::default();
        for (name, text) in texts {
            let option = format!("headers.{name}");
            let key = header_name(name).map_err(|reason| (option.clone(), reason))?;
            let value = header_value(text)
                .ok_or_else(|| (option, format!("the value of {name:?} is not a header value")))?;
            sources.fixed.insert(key, value);
        }
        for (name, path) in files {
            let option = format!("headers_from.{name}");
            let key = header_name(name).map_err(|reason| (option.clone(), reason))?;
            sources.add(&option, FromFile { name: key, before: "", path: path.clone() })?;
        }
        if let Some(path) = bearer_token {
            let path = path.to_owned();
            let file = FromFile { name: AUTHORIZATION, before: BEARER, path };
            sources.add("bearer_token_file", file)?;
        }
        Ok(sources)
    }

    fn add(&mut self, option: &str, file: FromFile) -> Result<(), HeaderFault> {
        let is_given = self.fixed.contains_key(&file.name)
            || self.files.iter().any(|other| other.name == file.name);
        if is_given {
            return Err((option.to_owned(), format!("{:?} is given twice", file.name.as_str())));
        }
        self.files.push(file);
        Ok(())
    }

    /// The option of a header that carries a credential, if there is one: what is in a file is one.
    #[must_use]
    pub fn credential(&self) -> Option<String> {
        let option = |file: &FromFile| match file.before {
            BEARER => "bearer_token_file".to_owned(),
            _ => format!("headers_from.{}", file.name),
        };
        let fixed = self.fixed.iter().find(|(name, value)| is_credential(name, value));
        let fixed = || fixed.map(|(name, _)| format!("headers.{name}"));
        self.files.first().map(option).or_else(fixed)
    }

    /// Reads every file.
    ///
    /// # Errors
    ///
    /// The first file that cannot be read, or holds no header value.
    pub fn load(self, sink: &str) -> Result<Headers, (PathBuf, io::Error)> {
        let Self { fixed, files } = self;
        let mut current = fixed.clone();
        for file in &files {
            let value = file.read().map_err(|error| (file.path.clone(), error))?;
            current.insert(file.name.clone(), value);
        }
        let current = ArcSwap::from_pointee(current);
        Ok(Headers(Arc::new(Shared { sink: sink.to_owned(), fixed, files, current })))
    }
}

impl FromFile {
    /// Reads the value; blanks and line ends around it are not part of it.
    fn read(&self) -> io::Result<HeaderValue> {
        let mut text = String::new();
        File::open(&self.path)?.take(VALUE_BYTES_MAX + 1).read_to_string(&mut text)?;
        let fault = |reason| io::Error::new(io::ErrorKind::InvalidData, reason);
        if VALUE_BYTES_MAX < text.len() as u64 {
            return Err(fault("it is longer than 64KiB"));
        }
        let text = text.trim();
        if text.is_empty() {
            return Err(fault("it is empty"));
        }
        header_value(&format!("{}{text}", self.before))
            .ok_or_else(|| fault("the file contains no valid header value"))
    }
}

impl Headers {
    /// The headers of the next request.
    #[must_use]
    pub fn current(&self) -> Arc<HeaderMap> {
        self.0.current.load_full()
    }

    /// Follows the files, for ever. May be dropped at any time.
    pub async fn follow(&self) {
        if self.0.files.is_empty() {
            return std::future::pending().await;
        }
        let mut failing = vec![false; self.0.files.len()];
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let shared = Arc::clone(&self.0);
            let read = move || shared.files.iter().map(FromFile::read).collect();
            // A read that panics has told nothing; the next one may.
            let Ok(values) = tokio::task::spawn_blocking(read).await else { continue };
            self.0.take_over(values, &mut failing);
        }
    }
}

impl Shared {
    fn take_over(&self, values: Vec<io::Result<HeaderValue>>, failing: &mut [bool]) {
        let current = self.current.load_full();
        let mut next = self.fixed.clone();
        for ((file, value), is_failing) in self.files.iter().zip(values).zip(failing) {
            let (sink, path) = (&self.sink, file.path.display());
            let last = current.get(&file.name);
            let value = match value {
                Ok(value) => {
                    if std::mem::take(is_failing) {
                        tracing::info!(%sink, %path, "Header file is readable again.");
                    }
                    if last != Some(&value) {
                        tracing::info!(
                            %sink, %path,
                            "Header file has changed; the sink uses the new value."
                        );
                    }
                    Some(value)
                }
                Err(error) => {
                    if !std::mem::replace(is_failing, true) {
                        tracing::warn!(
                            %sink, %path, %error,
                            "Cannot read the header file; the sink keeps the last value."
                        );
                    }
                    last.cloned()
                }
            };
            if let Some(value) = value {
                next.insert(file.name.clone(), value);
            }
        }
        if next != *current {
            self.current.store(Arc::new(next));
        }
    }
}

/// Whether a header carries what nobody else may read, by its name or by how its value begins.
#[must_use]
pub fn is_credential(name: &HeaderName, value: &HeaderValue) -> bool {
    let begins = |word: &&str| {
        let start = value.as_bytes().get(..word.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
    };
    CREDENTIAL_NAMES.iter().any(|part| name.as_str().contains(part))
        || CREDENTIAL_VALUES.iter().any(begins)
}

fn header_name(name: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("{name:?} is not a header name"))
}

fn header_value(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn texts(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    fn pairs(texts: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
        texts.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }

    fn paths(pairs: &[(&str, &str)]) -> BTreeMap<String, PathBuf> {
        pairs.iter().map(|(name, path)| ((*name).to_owned(), PathBuf::from(path))).collect()
    }

    #[test]
    fn faults_name_the_option() {
        let none = BTreeMap::new();
        let fault = |texts: &BTreeMap<_, _>, files: &BTreeMap<_, _>, token: Option<&str>| {
            HeaderSources::new(pairs(texts), files, token.map(Path::new)).unwrap_err()
        };
        assert_eq!(fault(&texts(&[("a b", "c")]), &none_paths(), None).0, "headers.a b");
        assert_eq!(fault(&texts(&[("a", "b\nc")]), &none_paths(), None).0, "headers.a");
        assert_eq!(fault(&none, &paths(&[("a b", "/c")]), None).0, "headers_from.a b");
        let twice = fault(&texts(&[("x-key", "b")]), &paths(&[("X-Key", "/c")]), None);
        assert_eq!(twice, ("headers_from.X-Key".to_owned(), "\"x-key\" is given twice".to_owned()));
        let twice = fault(&texts(&[("Authorization", "b")]), &none_paths(), Some("/c"));
        assert_eq!(twice.0, "bearer_token_file");
    }

    fn none_paths() -> BTreeMap<String, PathBuf> {
        BTreeMap::new()
    }

    #[test]
    fn credentials_are_told_from_other_headers() {
        let credential = |texts: &[(&str, &str)], files: &[(&str, &str)], token: Option<&str>| {
            let sources =
                HeaderSources::new(texts.iter().copied(), &paths(files), token.map(Path::new));
            sources.unwrap().credential()
        };
        let option = |name: &str| Some(name.to_owned());
        assert_eq!(credential(&[], &[], Some("/t")), option("bearer_token_file"));
        assert_eq!(credential(&[], &[("x-tenant", "/t")], None), option("headers_from.x-tenant"));
        for name in
            ["authorization", "api-key", "x-api-key", "dd-api-key", "x-honeycomb-team", "cookie"]
        {
            assert_eq!(credential(&[(name, "v")], &[], None), option(&format!("headers.{name}")));
        }
        assert_eq!(credential(&[("x", "Basic YTpi")], &[], None), option("headers.x"));
        assert_eq!(credential(&[("x-scope-orgid", "a"), ("user-agent", "b")], &[], None), None);
    }

    #[test]
    fn a_file_is_followed_and_what_cannot_be_read_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let sources = HeaderSources::new([("x", "1")], &none_paths(), Some(&path)).unwrap();
        let missing = sources.clone().load("backend").err().unwrap();
        assert_eq!((missing.0, missing.1.kind()), (path.clone(), io::ErrorKind::NotFound));
        fs::write(&path, "first\n").unwrap();
        let headers = sources.load("backend").unwrap();
        let mut failing = vec![false];
        let mut look = || {
            let values = headers.0.files.iter().map(FromFile::read).collect();
            headers.0.take_over(values, &mut failing);
            (headers.current()["authorization"].clone(), failing[0])
        };
        assert_eq!(look(), (HeaderValue::from_static("Bearer first"), false));
        fs::write(&path, " second ").unwrap();
        assert_eq!(look(), (HeaderValue::from_static("Bearer second"), false));
        for content in ["", "\n", "two\nlines"] {
            fs::write(&path, content).unwrap();
            assert_eq!(look(), (HeaderValue::from_static("Bearer second"), true), "{content:?}");
        }
        fs::write(&path, vec![b'x'; 65 << 10]).unwrap();
        assert!(look().1);
        fs::remove_file(&path).unwrap();
        assert_eq!(look(), (HeaderValue::from_static("Bearer second"), true));
        fs::write(&path, "third").unwrap();
        assert_eq!(look(), (HeaderValue::from_static("Bearer third"), false));
        let current = headers.current();
        assert_eq!(current["x"], "1");
        assert!(current.values().all(HeaderValue::is_sensitive));
        assert!(!format!("{current:?}").contains("third"));
    }
}
