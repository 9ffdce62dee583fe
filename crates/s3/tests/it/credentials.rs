//! Where credentials come from, each in a process of its own, because the SDK looks at its environment.

use std::io::Read;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::process::Output;
use std::sync::Arc;
use std::sync::Mutex;

use gophership_s3::AssumeRole;
use gophership_s3::BucketClient;
use gophership_s3::BucketOptions;
use gophership_s3_sim::ACCESS_KEY;
use gophership_s3_sim::S3Server;
use gophership_s3_sim::SECRET_KEY;
use gophership_units::HumanDuration;

use crate::fixture::BUCKET;
use crate::fixture::body;
use crate::fixture::if_absent;

/// Names the profile that the child gives, and says that a process is the child.
const CHILD_PROFILE: &str = "GS_TEST_CHILD_PROFILE";
/// Names the role that the child assumes.
const CHILD_ROLE: &str = "GS_TEST_CHILD_ROLE";

/// Not a test: what the child does, an object with the credentials that it finds. The test says how it ends.
#[tokio::test]
async fn child() {
    let Ok(profile) = std::env::var(CHILD_PROFILE) else { return };
    let mut options = BucketOptions::new(BUCKET);
    options.path_style = true;
    options.attempt_timeout = HumanDuration::seconds(20);
    options.credentials.profile = (!profile.is_empty()).then_some(profile);
    options.credentials.assume_role = std::env::var(CHILD_ROLE).ok().map(|arn| AssumeRole {
        arn,
        external_id: Some("external".to_owned()),
        session_name: "a-session".to_owned(),
    });
    let bucket = BucketClient::connect(&options).await.unwrap();
    let said = match bucket.put("a", body("text"), &if_absent()).await {
        Ok(outcome) => format!("outcome {outcome:?}"),
        Err(error) => format!("failed {:?} {error}", error.kind),
    };
    writeln!(std::io::stdout(), "{said}").unwrap();
}

/// A server, and a child with nothing in its environment but what leads there.
fn server() -> (tempfile::TempDir, S3Server) {
    let folder = tempfile::tempdir().unwrap();
    let server = S3Server::start(&folder.path().join("server")).unwrap();
    server.create_bucket(BUCKET).unwrap();
    (folder, server)
}

fn run_child(server: &S3Server, home: &Path, variables: &[(&str, &str)]) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "credentials::child", "--nocapture"]).env_clear();
    child.env(CHILD_PROFILE, "").env("HOME", home).env("AWS_ENDPOINT_URL_S3", server.endpoint());
    child.env("AWS_EC2_METADATA_DISABLED", "true");
    child.envs(variables.iter().copied());
    let Output { stdout, stderr, .. } = child.output().unwrap();
    let text = String::from_utf8(stdout).unwrap();
    let line = text.lines().find(|line| line.contains("outcome ") || line.contains("failed "));
    let line = line.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&stderr)));
    line.to_owned()
}

/// A server that gives credentials: answers each request by its path and body, and keeps both.
pub(crate) struct Giver {
    pub(crate) address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Giver {
    pub(crate) fn start(answer: impl Fn(&str) -> String + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let Some(request) = read_request(&mut stream) else { continue };
                let body = answer(&request);
                kept.lock().unwrap().push(request);
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\
                     x-aws-ec2-metadata-token-ttl-seconds: 21600\r\n\r\n",
                    body.len()
                );
                let _is_sent = stream.write_all((head + &body).as_bytes()).is_ok();
            }
        });
        Self { address, requests }
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// Head and body of a request.
fn read_request(stream: &mut impl Read) -> Option<String> {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
            });
            if length.unwrap_or(0) <= body.len() {
                return Some(text);
            }
        }
        let len = stream.read(&mut buffer).ok().filter(|len| *len != 0)?;
        text.push_str(std::str::from_utf8(&buffer[..len]).ok()?);
    }
}

/// What STS answers: `action` is what was asked for.
fn sts_answer(action: &str, key: &str, secret: &str) -> String {
    format!(
        "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{action}Result>\
         <AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/r/a-session</Arn>\
         <AssumedRoleId>R:a-session</AssumedRoleId></AssumedRoleUser>\
         <Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>\
         <SessionToken>a-token</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>\
         </{action}Result><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>\
         </{action}Response>"
    )
}

/// Scenario: the access key is in the environment.
/// Guarantees: it is used.
#[test]
fn the_environment_gives_credentials() {
    let (home, server) = server();
    let variables = [("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY)];
    let said = run_child(&server, home.path(), &variables);
    assert!(said.contains("Written"), "{said}");
}

/// Scenario: the access key is in a profile, which options name, or else the environment.
/// Guarantees: it is used; another profile is not.
#[test]
fn a_profile_gives_credentials() {
    let (home, server) = server();
    std::fs::create_dir(home.path().join(".aws")).unwrap();
    let text = format!(
        "[archive]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n\
         [default]\naws_access_key_id = other\naws_secret_access_key = other\n"
    );
    std::fs::write(home.path().join(".aws/credentials"), text).unwrap();
    let said = run_child(&server, home.path(), &[(CHILD_PROFILE, "archive")]);
    assert!(said.contains("Written"), "{said}");
    let said = run_child(&server, home.path(), &[("AWS_PROFILE", "archive")]);
    assert!(said.contains("Refused"), "{said}");
    let said = run_child(&server, home.path(), &[]);
    assert!(said.contains("failed Credentials"), "{said}");
}

/// Scenario: as in a pod with IRSA: a role, a file with a token, and STS.
/// Guarantees: the token is exchanged for credentials, which are used.
#[test]
fn web_identity_gives_credentials() {
    let (home, server) = server();
    server.add_key("irsa-key", "irsa-secret");
    let sts = Giver::start(|_| sts_answer("AssumeRoleWithWebIdentity", "irsa-key", "irsa-secret"));
    let token = home.path().join("token");
    std::fs::write(&token, "a.web.token").unwrap();
    let variables = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", token.to_str().unwrap()),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/archive"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL_STS", &sts.address),
    ];
    let said = run_child(&server, home.path(), &variables);
    assert!(said.contains("Written"), "{said}");
    let asked = sts.requests();
    assert_eq!(asked.len(), 1);
    assert!(asked[0].contains("Action=AssumeRoleWithWebIdentity"), "{asked:?}");
    assert!(asked[0].contains("WebIdentityToken=a.web.token"), "{asked:?}");
}

/// Scenario: options name a role, to be assumed with the access key of the environment.
/// Guarantees: STS is asked for it, with the external id and the session name; what it gives is used.
#[test]
fn a_role_is_assumed() {
    let (home, server) = server();
    server.add_key("role-key", "role-secret");
    let sts = Giver::start(|_| sts_answer("AssumeRole", "role-key", "role-secret"));
    let variables = [
        ("AWS_ACCESS_KEY_ID", "sts-only"),
        ("AWS_SECRET_ACCESS_KEY", "sts-only"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL_STS", &sts.address),
        (CHILD_ROLE, "arn:aws:iam::1:role/archive"),
    ];
    let said = run_child(&server, home.path(), &variables);
    assert!(said.contains("Written"), "{said}");
    let asked = sts.requests();
    assert_eq!(asked.len(), 1);
    for part in ["Action=AssumeRole&", "ExternalId=external", "RoleSessionName=a-session"] {
        assert!(asked[0].contains(part), "{part}: {asked:?}");
    }
}

/// Scenario: as on an instance: only its metadata service has credentials.
/// Guarantees: they are fetched with a token, and used.
#[test]
fn the_instance_gives_credentials() {
    let (home, server) = server();
    server.add_key("imds-key", "imds-secret");
    let imds = Giver::start(|request| {
        let path = request.split(' ').nth(1).unwrap_or_default();
        if path.ends_with("/api/token") {
            "a-metadata-token".to_owned()
        } else if path.ends_with("/the-role") {
            r#"{"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "imds-key",
                "SecretAccessKey": "imds-secret", "Token": "a-token", "AccountId": "1",
                "LastUpdated": "2026-01-01T00:00:00Z", "Expiration": "2099-01-01T00:00:00Z"}"#
                .to_owned()
        } else {
            "the-role".to_owned()
        }
    });
    let variables = [
        ("AWS_EC2_METADATA_DISABLED", "false"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds.address.as_str()),
    ];
    let said = run_child(&server, home.path(), &variables);
    assert!(said.contains("Written"), "{said}");
    let asked = imds.requests();
    assert!(asked[0].starts_with("PUT /latest/api/token"), "{asked:?}");
    assert!(asked[1..].iter().all(|it| it.contains("a-metadata-token")), "{asked:?}");
}

/// Scenario: there are no credentials anywhere.
/// Guarantees: an error of credentials, which is retryable and says what to look at.
#[test]
fn no_credentials_are_an_error_that_says_so() {
    let (home, server) = server();
    let said = run_child(&server, home.path(), &[]);
    assert!(said.contains("failed Credentials"), "{said}");
    assert!(said.contains("check the access key, the profile or the role"), "{said}");
}

/// Scenario: the environment names a proxy, and then an exception from it.
/// Guarantees: requests go to the proxy, and past it.
#[test]
fn requests_go_through_the_proxy_of_the_environment() {
    let (home, server) = server();
    let proxy = Giver::start(|_| String::new());
    let mut variables = vec![
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ("http_proxy", proxy.address.as_str()),
    ];
    run_child(&server, home.path(), &variables);
    let asked = proxy.requests();
    assert!(asked[0].starts_with(&format!("PUT {}/archive/a", server.endpoint())), "{asked:?}");
    assert_eq!(server.objects(BUCKET).unwrap().len(), 0);
    variables.push(("no_proxy", "127.0.0.1"));
    let said = run_child(&server, home.path(), &variables);
    assert!(said.contains("Written"), "{said}");
}
