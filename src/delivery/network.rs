//! The options that network sinks share: where the backend is, who may read along, what bounds requests;
//! what can be wrong with them, and the sink that they make.
//!
//! A network sink has these options among its own, with the same names and defaults, lends them as
//! [`NetworkOptions`], and adds a [`Transport`]: it makes requests and judges answers, and nothing else.

use std::collections::BTreeMap;
use std::path::Path;
use std::path::PathBuf;

use async_trait::async_trait;
use gophership_http_client::ConnectOptions;
use gophership_http_client::Proxies;
use gophership_units::ByteSize;
use gophership_units::HumanDuration;

use super::concurrency::Concurrency;
use super::endpoint::Endpoint;
use super::endpoint::EndpointError;
use super::endpoint::EndpointProtocol;
use super::endpoint_set::ENDPOINTS_MAX;
use super::engine::Engine;
use super::forwarded;
use super::headers::HeaderFault;
use super::headers::HeaderSources;
use super::headers::Headers;
use super::limits::DeliveryLimits;
use super::option_groups::KeepaliveConfig;
use super::option_groups::RetryConfig;
use super::options::ConcurrencyOption;
use super::slots::Balance;
use super::transport::Transport;
use crate::component::BuildError;
use crate::component::Context;
use crate::component::NamedFile;
use crate::component::OptionProblem;
use crate::component::RunError;
use crate::component::Secret;
use crate::component::Sink;
use crate::component::Stop;
use crate::flow::EdgeReceiver;
use crate::metrics::ShownCertificate;
use crate::tls::ClientTls;

/// Neither the environment nor anything else names a proxy.
const OFF: &str = "off";
/// More requests on their way help no backend.
const CONCURRENCY_MAX: u32 = 1024;

/// What a network sink's own options lend; each field has the name of its option.
#[expect(
    missing_docs,
    reason = "a field is what its option is, which is documented where it is read"
)]
pub struct NetworkOptions<'o> {
    /// The `type` of the sink, for messages.
    pub kind: &'static str,
    pub endpoint: Option<&'o String>,
    pub endpoints: &'o [String],
    /// What is spoken to them.
    pub protocol: EndpointProtocol,
    pub balance: Balance,
    pub headers: &'o BTreeMap<String, Secret>,
    pub headers_from: &'o BTreeMap<String, PathBuf>,
    pub bearer_token_file: Option<&'o Path>,
    pub allow_credentials_in_plain_text: bool,
    pub connect_timeout: HumanDuration,
    pub timeout: HumanDuration,
    pub keepalive: &'o KeepaliveConfig,
    pub concurrency: ConcurrencyOption,
    pub concurrency_max: u32,
    pub in_flight_max: ByteSize,
    pub batch_max_bytes: ByteSize,
    pub retry: &'o RetryConfig,
    pub tls: Option<&'o ClientTls>,
    pub proxy: Option<&'o Secret>,
    /// Headers of requests that are sent on to the backend.
    pub forward_headers: &'o [String],
}

impl NetworkOptions<'_> {
    /// The files that they name.
    #[must_use]
    pub fn files(&self) -> Vec<NamedFile> {
        let header = |(name, path): (&String, &PathBuf)| {
            NamedFile::followed(format!("headers_from.{name}"), path)
        };
        let token = |path| NamedFile::followed("bearer_token_file", path);
        let tls = self.tls.map_or_else(Vec::new, |tls| NamedFile::all_inside("tls", tls.files()));
        let followed = self.headers_from.iter().map(header);
        tls.into_iter().chain(followed).chain(self.bearer_token_file.map(token)).collect()
    }

    /// The endpoints, in their order.
    fn endpoints(&self) -> Result<Vec<Endpoint>, Vec<OptionProblem>> {
        let fault = |option: &str, reason: String| Err(vec![OptionProblem::new(option, reason)]);
        let texts = match (self.endpoint, self.endpoints) {
            (Some(one), []) => std::slice::from_ref(one),
            (None, []) => {
                let kind = self.kind;
                let reason =
                    format!("an `{kind}` sink needs an `endpoint`, or several `endpoints`");
                return fault("endpoint", reason);
            }
            (Some(_), _) => {
                let reason = "give either `endpoint` or `endpoints`";
                return fault("endpoints", reason.to_owned());
            }
            (None, several) => several,
        };
        if ENDPOINTS_MAX < texts.len() {
            return fault("endpoints", format!("must be at most {ENDPOINTS_MAX}"));
        }
        let (mut endpoints, mut problems): (Vec<Endpoint>, _) = (Vec::new(), Vec::new());
        for (idx, text) in texts.iter().enumerate() {
            match Endpoint::parse(text, self.protocol) {
                Ok(endpoint) if endpoints.contains(&endpoint) => {
                    let reason = format!("{} is there twice", endpoint.name());
                    problems.push(OptionProblem::new(self.endpoint_option(idx), reason));
                }
                Ok(endpoint) => endpoints.push(endpoint),
                Err(error) => problems.push(self.endpoint_problem(idx, error)),
            }
        }
        if problems.is_empty() { Ok(endpoints) } else { Err(problems) }
    }

    /// The option that holds an endpoint.
    fn endpoint_option(&self, idx: usize) -> String {
        match self.endpoint {
            Some(_) => "endpoint".to_owned(),
            None => format!("endpoints.{idx}"),
        }
    }

    fn endpoint_problem(&self, idx: usize, error: EndpointError) -> OptionProblem {
        OptionProblem::new(self.endpoint_option(idx), error.problem).with_help(error.help)
    }

    /// Where headers come from.
    fn header_sources(&self) -> Result<HeaderSources, HeaderFault> {
        let texts = self.headers.iter().map(|(name, Secret(text))| (name.as_str(), text.as_str()));
        HeaderSources::new(texts, self.headers_from, self.bearer_token_file)
    }

    /// What could be read on its way, or is meant for TLS and does not get it: errors, and warnings.
    fn exposures(&self) -> (Vec<OptionProblem>, Vec<OptionProblem>) {
        let (mut problems, mut warnings) = (Vec::new(), Vec::new());
        let endpoints = self.endpoints().unwrap_or_default();
        let credential = self.header_sources().ok().and_then(|sources| sources.credential());
        let credential = credential.or_else(|| forwarded::credential(self.forward_headers));
        for (idx, endpoint) in endpoints.iter().enumerate() {
            if self.tls.is_some()
                && let Err(error) = endpoint.check_tls_options("`tls`")
            {
                problems.push(self.endpoint_problem(idx, error));
                continue;
            }
            let Some(credential) = &credential else { continue };
            let checked = endpoint.check_credential(
                &format!("`{credential}`"),
                "`allow_credentials_in_plain_text: true`",
                self.allow_credentials_in_plain_text,
            );
            match checked {
                Ok(None) => {}
                Ok(Some(warning)) => warnings.push(self.endpoint_problem(idx, warning)),
                Err(error) => problems.push(self.endpoint_problem(idx, error)),
            }
        }
        (problems, warnings)
    }

    /// What is allowed, and should be known.
    #[must_use]
    pub fn warnings(&self) -> Vec<OptionProblem> {
        let mut warnings = self.exposures().1;
        if self.tls.is_some_and(ClientTls::is_unverified) {
            let reason = "the sink accepts any certificate: anyone on the network path can read and \
                          change what it sends";
            warnings.push(OptionProblem::new("tls.insecure_skip_verify", reason));
        }
        warnings
    }

    /// Which backends are reached through a proxy.
    fn proxies(&self) -> Result<Proxies, &'static str> {
        match self.proxy {
            None => Ok(Proxies::from_environment()),
            Some(Secret(url)) if url == OFF => Ok(Proxies::default()),
            Some(Secret(url)) => Proxies::fixed(url),
        }
    }

    /// What is wrong with the options beyond their types.
    #[must_use]
    pub fn problems(&self) -> Vec<OptionProblem> {
        let mut problems = self.endpoints().err().unwrap_or_default();
        let fault = self.header_sources().err();
        problems.extend(fault.map(|(option, reason)| OptionProblem::new(option, reason)));
        problems.extend(self.exposures().0);
        let mut demand = |is_right: bool, option: &str, message: &str| {
            if !is_right {
                problems.push(OptionProblem::new(option, message));
            }
        };
        let is_count = |number: u32| (1..=CONCURRENCY_MAX).contains(&number);
        let is_concurrency = match self.concurrency {
            ConcurrencyOption::Auto => true,
            ConcurrencyOption::Fixed(number) => is_count(number),
        };
        demand(is_concurrency, "concurrency", "must be `auto`, or from 1 to 1024");
        demand(is_count(self.concurrency_max), "concurrency_max", "must be from 1 to 1024");
        for (option, time) in [
            ("connect_timeout", self.connect_timeout),
            ("timeout", self.timeout),
            ("keepalive.interval", self.keepalive.interval),
            ("keepalive.timeout", self.keepalive.timeout),
            ("retry.give_up_after", self.retry.give_up_after),
        ] {
            demand(!time.0.is_zero(), option, "must be more than 0");
        }
        demand(self.in_flight_max.0 != 0, "in_flight_max", "must be more than 0");
        if let Err(reason) = self.proxies() {
            demand(false, "proxy", reason);
        }
        let is_name = self.tls.is_none_or(|tls| tls.server_name().is_ok());
        demand(is_name, "tls.server_name", "is neither a name nor an address");
        let is_retry = !self.retry.min.0.is_zero() && self.retry.min <= self.retry.max;
        demand(is_retry, "retry", "needs 0 < min <= max");
        demand(
            !self.tls.is_some_and(ClientTls::is_half),
            "tls",
            "`cert` and `key` must be given together",
        );
        problems.extend(forwarded::problems(self.forward_headers));
        problems
    }

    /// How many connections the sink opens at most: over gRPC one to each endpoint and one while that is
    /// replaced, over HTTP one for each request on its way.
    #[must_use]
    pub fn connections_max(&self) -> u64 {
        let endpoints = self.endpoints.len().max(1) as u64;
        let requests = match self.concurrency {
            ConcurrencyOption::Auto => self.concurrency_max,
            ConcurrencyOption::Fixed(requests) => requests,
        };
        match self.protocol {
            EndpointProtocol::Grpc => 2 * endpoints,
            EndpointProtocol::Http => u64::from(requests) + endpoints,
        }
    }

    /// Makes the sink; `transport` makes what sends its requests, and is given how to connect, the
    /// endpoints, and the headers of every request.
    ///
    /// # Errors
    ///
    /// When options are wrong, a file cannot be read, or TLS cannot be set up.
    pub fn build<C: Transport>(
        &self,
        context: &Context,
        transport: impl FnOnce(ConnectOptions, &[Endpoint], Headers) -> C,
    ) -> Result<Box<dyn Sink>, BuildError> {
        let id = context.id.as_str();
        let sources = self.header_sources().map_err(|(_, reason)| BuildError::Option(reason))?;
        let headers = sources.load(id).map_err(|(path, source)| BuildError::Io {
            operation: "read",
            what: path.display().to_string(),
            source,
        })?;
        let endpoints = self.endpoints().map_err(|problems| {
            let reasons = problems.into_iter().map(|it| format!("`{}` {}", it.path, it.message));
            BuildError::Option(reasons.collect::<Vec<_>>().join(", "))
        })?;
        let transport = transport(self.connect_options(&endpoints)?, &endpoints, headers.clone());
        let limits = self.limits(&endpoints);
        let is_unverified = self.tls.is_some_and(ClientTls::is_unverified);
        context.metrics.sink(id).unverified.set(i64::from(is_unverified));
        let engine = Engine::new(id, transport, limits, &context.gauges, &context.metrics);
        let certificate = self.tls.and_then(|tls| context.show_certificate("tls", tls.files()));
        Ok(Box::new(NetworkSink { engine, headers, certificate }))
    }

    fn connect_options(&self, endpoints: &[Endpoint]) -> Result<ConnectOptions, BuildError> {
        let option = |reason: &str| BuildError::Option(reason.to_owned());
        let name = self.tls.map(ClientTls::server_name).transpose();
        let name =
            name.map_err(|_| option("`tls.server_name` is neither a name nor an address"))?;
        Ok(ConnectOptions {
            server_name: name.flatten(),
            proxies: self.proxies().map_err(option)?,
            tls: Some(self.tls.map_or_else(|| ClientTls::default().load(), ClientTls::load)?),
            // Whatever a request says: nothing goes out in plain text unless an endpoint is.
            https_only: endpoints.iter().all(Endpoint::is_tls),
            connect_timeout: self.connect_timeout.0,
            keepalive_interval: self.keepalive.interval.0,
            keepalive_timeout: self.keepalive.timeout.0,
            ..ConnectOptions::default()
        })
    }

    /// What bounds the engine.
    fn limits(&self, endpoints: &[Endpoint]) -> DeliveryLimits {
        DeliveryLimits {
            endpoints: endpoints.iter().map(Endpoint::name).collect(),
            balance: self.balance,
            concurrency: match self.concurrency {
                ConcurrencyOption::Auto => Concurrency::Auto(self.concurrency_max),
                ConcurrencyOption::Fixed(requests) => Concurrency::Fixed(requests),
            },
            in_flight_bytes: self.in_flight_max.0,
            batch_max_bytes: self.batch_max_bytes.0,
            same_headers_only: !self.forward_headers.is_empty(),
            timeout: self.timeout.0,
            retry_min: self.retry.min.0,
            retry_max: self.retry.max.0,
            give_up_after: self.retry.give_up_after.0,
        }
    }
}

/// A running network sink.
struct NetworkSink<C> {
    engine: Engine<C>,
    headers: Headers,
    /// Its certificate, in the metrics.
    certificate: Option<ShownCertificate>,
}

#[async_trait]
impl<C: Transport> Sink for NetworkSink<C> {
    async fn run(self: Box<Self>, input: EdgeReceiver, stop: Stop) -> Result<(), RunError> {
        let Self { engine, headers, certificate: _shown } = *self;
        tokio::select! {
            () = engine.run(input, stop) => {}
            () = headers.follow() => {}
        }
        Ok(())
    }
}
