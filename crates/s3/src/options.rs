//! The options of a bucket: where it is, who reads and writes it, how objects are kept, and what bounds
//! a request.

use std::collections::BTreeMap;
use std::path::PathBuf;

use gophership_units::HumanDuration;
use gophership_units::Secret;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// S3 keeps no more tags on an object.
const TAGS_MAX: usize = 10;

/// An S3 bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BucketOptions {
    /// The name of the bucket.
    pub name: String,
    /// The region of the bucket. By default `AWS_REGION`, `AWS_DEFAULT_REGION` or the profile; with an
    /// endpoint of your own, `us-east-1`.
    #[serde(default)]
    pub region: Option<String>,
    /// The URL of an S3-compatible server, such as `https://minio.example:9000`. By default
    /// `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL`, and else AWS.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Put the bucket into the path (`https://host/bucket/key`) instead of the host name
    /// (`https://bucket.host/key`). Most S3-compatible servers need it.
    #[serde(default)]
    pub path_style: bool,
    /// A PEM file with the certificates to trust for `https`. By default GopherShip trusts those of the
    /// system.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Where the credentials come from.
    #[serde(default)]
    pub credentials: Credentials,
    /// The storage class of new objects, such as `STANDARD_IA` or `GLACIER_IR`. By default the bucket
    /// decides.
    #[serde(default)]
    pub storage_class: Option<String>,
    /// How the bucket encrypts new objects.
    #[serde(default)]
    pub encryption: Encryption,
    /// The id or ARN of the KMS key for `encryption: sse-kms`. By default the AWS managed key.
    #[serde(default)]
    pub kms_key_id: Option<String>,
    /// Tags of new objects, at most 10.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Whether uploads carry a CRC-32, with which the bucket checks what it received.
    #[serde(default)]
    pub request_checksums: RequestChecksums,
    /// The longest time to open a connection.
    #[serde(default = "connect_timeout")]
    pub connect_timeout: HumanDuration,
    /// The longest time of a request without content; each MiB that the request sends adds one second.
    #[serde(default = "attempt_timeout")]
    pub attempt_timeout: HumanDuration,
    /// The longest time of any request, whatever its size.
    #[serde(default = "timeout")]
    pub timeout: HumanDuration,
}

fn connect_timeout() -> HumanDuration {
    HumanDuration::seconds(3)
}

fn attempt_timeout() -> HumanDuration {
    HumanDuration::seconds(30)
}

fn timeout() -> HumanDuration {
    HumanDuration::seconds(120)
}

/// Where the credentials come from. By default the first of: the environment (`AWS_ACCESS_KEY_ID`), the
/// profile, web identity (IRSA: `AWS_WEB_IDENTITY_TOKEN_FILE`), ECS, and the instance (IMDS).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Credentials {
    /// The access key, such as `${S3_ACCESS_KEY}`. It needs `secret_access_key`.
    pub access_key_id: Option<Secret>,
    /// The secret of the access key, such as `${S3_SECRET_KEY}`.
    pub secret_access_key: Option<Secret>,
    /// The token of temporary credentials.
    pub session_token: Option<Secret>,
    /// A profile of `~/.aws/config`. By default `AWS_PROFILE`.
    pub profile: Option<String>,
    /// A role that GopherShip assumes with these credentials.
    pub assume_role: Option<AssumeRole>,
}

/// A role that GopherShip assumes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AssumeRole {
    /// The ARN of the role.
    pub arn: String,
    /// The external id that the role demands.
    #[serde(default)]
    pub external_id: Option<String>,
    /// The name of the session, which audit logs show.
    #[serde(default = "session_name")]
    pub session_name: String,
}

fn session_name() -> String {
    "gophership".to_owned()
}

/// How the bucket encrypts objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Encryption {
    /// As the bucket is set up.
    #[default]
    None,
    /// With keys of S3 (AES256).
    SseS3,
    /// With a key of KMS.
    SseKms,
}

/// When uploads carry a CRC-32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestChecksums {
    /// Always.
    #[default]
    WhenSupported,
    /// Never, for servers that refuse the header.
    WhenRequired,
}

/// Something wrong with the options, or worth a warning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionFault {
    /// The option, with the options it is in: `credentials.profile`.
    pub option: &'static str,
    /// What is wrong with it, to follow its name.
    pub reason: String,
}

impl BucketOptions {
    /// Returns options with everything but the name at its default.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            region: None,
            endpoint: None,
            path_style: false,
            ca_file: None,
            credentials: Credentials::default(),
            storage_class: None,
            encryption: Encryption::default(),
            kms_key_id: None,
            tags: BTreeMap::new(),
            request_checksums: RequestChecksums::default(),
            connect_timeout: connect_timeout(),
            attempt_timeout: attempt_timeout(),
            timeout: timeout(),
        }
    }

    /// Returns what is wrong with the options beyond their types.
    #[must_use]
    pub fn problems(&self) -> Vec<OptionFault> {
        let mut problems = Vec::new();
        let mut demand = |is_right: bool, option: &'static str, reason: &str| {
            if !is_right {
                problems.push(OptionFault { option, reason: reason.to_owned() });
            }
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || ".-_:/".contains(c);
        demand(
            !self.name.is_empty() && self.name.chars().all(is_name),
            "name",
            "must be the name of a bucket: letters, digits, dots and hyphens",
        );
        let is_url = |url: &String| host(url).is_some_and(|host| !host.is_empty());
        demand(
            self.endpoint.as_ref().is_none_or(is_url),
            "endpoint",
            "must be a URL such as https://minio.example:9000",
        );
        let credentials = &self.credentials;
        demand(
            credentials.access_key_id.is_some() == credentials.secret_access_key.is_some(),
            "credentials",
            "needs `access_key_id` and `secret_access_key` together",
        );
        demand(
            credentials.session_token.is_none() || credentials.access_key_id.is_some(),
            "credentials.session_token",
            "needs `access_key_id` and `secret_access_key`",
        );
        demand(
            credentials.profile.is_none() || credentials.access_key_id.is_none(),
            "credentials.profile",
            "cannot be given together with `access_key_id`",
        );
        demand(
            self.kms_key_id.is_none() || self.encryption == Encryption::SseKms,
            "kms_key_id",
            "needs `encryption: sse-kms`",
        );
        demand(self.tags.len() <= TAGS_MAX, "tags", "must be at most 10");
        for (option, time) in [
            ("connect_timeout", self.connect_timeout),
            ("attempt_timeout", self.attempt_timeout),
            ("timeout", self.timeout),
        ] {
            demand(!time.0.is_zero(), option, "must be more than 0");
        }
        problems
    }

    /// Returns what is allowed, and should be known.
    #[must_use]
    pub fn warnings(&self) -> Vec<OptionFault> {
        let endpoint = self.endpoint.as_deref().unwrap_or_default();
        let is_plain = endpoint.starts_with("http://");
        let is_loopback = host(endpoint).is_some_and(is_loopback);
        let warning = OptionFault {
            option: "endpoint",
            reason: "uses plain text: anyone on the network path can read the objects".to_owned(),
        };
        if is_plain && !is_loopback { vec![warning] } else { Vec::new() }
    }
}

/// The host of an HTTP URL, with neither user nor port.
fn host(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let authority = rest.split(['/', '?', '#']).next()?;
    match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map(|(host, _)| host),
        None => authority.split(':').next(),
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(change: impl FnOnce(&mut BucketOptions)) -> Vec<&'static str> {
        let mut options = BucketOptions::new("archive");
        change(&mut options);
        options.problems().into_iter().map(|fault| fault.option).collect()
    }

    #[test]
    fn options_that_contradict_each_other_are_reported() {
        let secret = || Some(Secret("s".to_owned()));
        assert_eq!(faults(|_| {}), [""; 0]);
        assert_eq!(faults(|it| it.name.clear()), ["name"]);
        assert_eq!(faults(|it| it.endpoint = Some("minio:9000".to_owned())), ["endpoint"]);
        assert_eq!(faults(|it| it.credentials.access_key_id = secret()), ["credentials"]);
        assert_eq!(
            faults(|it| it.credentials.session_token = secret()),
            ["credentials.session_token"]
        );
        assert_eq!(faults(|it| it.kms_key_id = Some("key".to_owned())), ["kms_key_id"]);
        assert_eq!(faults(|it| it.timeout = HumanDuration::seconds(0)), ["timeout"]);
    }

    #[test]
    fn plain_text_is_warned_about_unless_it_stays_on_the_machine() {
        let warns = |endpoint: &str| {
            let endpoint = Some(endpoint.to_owned());
            !BucketOptions { endpoint, ..BucketOptions::new("archive") }.warnings().is_empty()
        };
        assert!(warns("http://minio:9000"));
        assert!(!warns("https://minio:9000"));
        assert!(!warns("http://127.0.0.1:9000/") && !warns("http://[::1]:9000"));
    }
}
