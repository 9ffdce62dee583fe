//! From options to a client: region, endpoint, credentials, proxy, certificates.

use aws_config::BehaviorVersion;
use aws_config::ConfigLoader;
use aws_config::SdkConfig;
use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::Region;
use aws_sdk_s3::config::RequestChecksumCalculation;
use aws_sdk_s3::config::ResponseChecksumValidation;
use aws_sdk_s3::config::RuntimeComponents;
use aws_sdk_s3::config::SharedHttpClient;
use aws_sdk_s3::config::StalledStreamProtectionConfig;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls;
use aws_smithy_http_client::tls::TlsContext;
use aws_smithy_http_client::tls::TrustStore;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::error::S3Error;
use crate::error::S3ErrorKind;
use crate::options::BucketOptions;

/// Where buckets of other servers are said to be, which hardly any of them looks at.
const OTHER_REGION: &str = "us-east-1";

/// Each of these names an endpoint of S3.
const ENDPOINT_VARIABLES: [&str; 2] = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"];

/// Makes a client. It reads profiles and certificates, and makes no connection.
pub(crate) async fn client(options: &BucketOptions) -> Result<Client, S3Error> {
    let common = common(options).await?;
    let mut config = aws_sdk_s3::config::Builder::from(&common)
        .force_path_style(options.path_style)
        // What is sent has a checksum of ours. The one of the SDK comes behind the body, in frames
        // that many S3-compatible servers do not know.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    if let Some(endpoint) = &options.endpoint {
        config = config.endpoint_url(endpoint);
    }
    if let Some(role) = &options.credentials.assume_role {
        let mut provider = AssumeRoleProvider::builder(&role.arn)
            .session_name(&role.session_name)
            .configure(&common);
        if let Some(id) = &role.external_id {
            provider = provider.external_id(id);
        }
        config = config.credentials_provider(provider.build().await);
    }
    Ok(Client::from_conf(config.build()))
}

/// What S3 and the services that give credentials have in common.
async fn common(options: &BucketOptions) -> Result<SdkConfig, S3Error> {
    let timeouts = TimeoutConfig::builder().connect_timeout(options.connect_timeout.0).build();
    let loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .region(region(options).await?)
        .http_client(http_client(options).await?)
        .timeout_config(timeouts)
        // The caller decides on another attempt, and bounds the time of each.
        .retry_config(RetryConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    Ok(with_credentials(loader, options).load().await)
}

fn with_credentials(loader: ConfigLoader, options: &BucketOptions) -> ConfigLoader {
    let credentials = &options.credentials;
    if let (Some(id), Some(secret)) = (&credentials.access_key_id, &credentials.secret_access_key) {
        let token = credentials.session_token.as_ref().map(|token| token.0.clone());
        return loader.credentials_provider(aws_sdk_s3::config::Credentials::new(
            &id.0,
            &secret.0,
            token,
            None,
            "configuration",
        ));
    }
    match &credentials.profile {
        Some(profile) => loader.profile_name(profile),
        None => loader,
    }
}

/// The region, from options, environment or profile: the instance is not asked, which takes seconds
/// where there is none.
async fn region(options: &BucketOptions) -> Result<Region, S3Error> {
    let mut profile = ProfileFileRegionProvider::builder();
    if let Some(name) = &options.credentials.profile {
        profile = profile.profile_name(name);
    }
    let found = RegionProviderChain::first_try(options.region.clone().map(Region::new))
        .or_else(EnvironmentVariableRegionProvider::new())
        .or_else(profile.build())
        .region()
        .await;
    let is_set = |variable: &&str| std::env::var_os(variable).is_some();
    let has_endpoint = options.endpoint.is_some() || ENDPOINT_VARIABLES.iter().any(is_set);
    match found {
        Some(region) => Ok(region),
        None if has_endpoint => Ok(Region::from_static(OTHER_REGION)),
        None => Err(S3Error::new(
            S3ErrorKind::Invalid,
            format!(
                "the region of bucket {} is not known; set `region` or AWS_REGION",
                options.name
            ),
        )),
    }
}

/// Connections through the proxy of `https_proxy`, `http_proxy` and `no_proxy`, if there is one.
async fn http_client(options: &BucketOptions) -> Result<SharedHttpClient, S3Error> {
    let context = tls_context(options).await?;
    let client = Builder::new().build_with_connector_fn(move |settings, components| {
        let provider = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
        let mut builder = Connector::builder()
            .tls_provider(provider)
            .tls_context(context.clone())
            .proxy_config(ProxyConfig::from_env());
        builder.set_connector_settings(settings.cloned());
        builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        builder.build()
    });
    Ok(client)
}

async fn tls_context(options: &BucketOptions) -> Result<TlsContext, S3Error> {
    let Some(path) = &options.ca_file else { return Ok(TlsContext::default()) };
    let unusable = |reason: String| {
        let message = format!("cannot use the certificates of {}: {reason}", path.display());
        S3Error::new(S3ErrorKind::Invalid, message)
    };
    let pem = tokio::fs::read(path).await.map_err(|error| unusable(error.to_string()))?;
    // The connector would panic at what it cannot use.
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(unusable("the file has no certificate".to_owned()));
    }
    let trusted = TrustStore::empty().with_pem_certificate(pem);
    let context = TlsContext::builder().with_trust_store(trusted).build();
    context.map_err(|error| unusable(error.to_string()))
}
