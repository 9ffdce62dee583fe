//! The command line.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::Parser;
use clap::ValueEnum;
use gophership_http_client::Compression;
use gophership_load::Load;
use gophership_load::LoadTarget;
use gophership_load::SendSchedule;
use gophership_otlp::Signal;
use gophership_otlp_client::Encoding;
use gophership_otlp_client::Protocol;
use gophership_units::HumanDuration;
use http::HeaderName;
use http::HeaderValue;
use http::Uri;

/// What a connection of HTTP/2 carries at the same time; servers allow about so many.
const STREAMS: u32 = 100;

const URL_HELP: &str = "The target, such as http://127.0.0.1:4317, or https://host.example:4318 with `--protocol http`";
const AFTER_HELP: &str = "\
Requests are due at fixed times, whatever became of those before. The latency `since due` counts from then, so a \
target that is slow for a while is seen to be slow for every request that was due meanwhile. Nothing is sent again.

Before the start the generator sends an empty request over each connection, to open it.

Exit codes: 0, every record was accepted; 1, some were not; 64, the command line is wrong; 69, the target does not \
answer, or its CA certificates cannot be used; 74, the output failed; 130, interrupted before the start.";

/// Put a load of logs, traces or metrics on any OTLP endpoint, and measure what it accepts and how long it takes.
#[derive(Debug, Parser)]
#[command(name = "gophership-load", version, after_help = AFTER_HELP)]
pub(crate) struct LoadArgs {
    #[arg(value_name = "URL", value_parser = url, help = URL_HELP)]
    url: Uri,
    /// The protocol.
    #[arg(long, value_enum, default_value = "grpc")]
    protocol: ProtocolArg,
    /// The form of requests; `json` needs `--protocol http`. The generator writes each request as JSON when it sends
    /// it, which takes processor time.
    #[arg(long, value_enum, default_value = "protobuf")]
    encoding: EncodingArg,
    /// The compression of requests. The generator compresses each request when it sends it, which takes processor
    /// time.
    #[arg(long, value_enum, default_value = "none")]
    compression: CompressionArg,
    /// What the records are: log records, spans or data points.
    #[arg(long, value_enum, default_value = "logs")]
    signal: SignalArg,
    /// Records a second, of all connections together.
    #[arg(long, value_name = "NUMBER", default_value = "20000")]
    rate: NonZeroU32,
    /// Records in a request; log records have about 250 bytes each.
    #[arg(long, value_name = "NUMBER", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    records: u32,
    /// How long requests become due, such as 30s or 5m.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    duration: HumanDuration,
    /// Connections to the target.
    #[arg(long, value_name = "NUMBER", default_value = "4", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    connections: u32,
    /// Requests that a connection carries at the same time; a request waits until one of them is answered. By default
    /// 100 over gRPC, and 1 over HTTP. HTTP/1.1 carries one at a time.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    streams: Option<u32>,
    /// Requests that are due and not answered yet, those that wait in the generator included. If there are so many, the
    /// next one is not sent, and counts as not sent.
    #[arg(long, value_name = "NUMBER", default_value = "10000", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    in_flight_max: u32,
    /// How long the generator waits for the answer to a request, and for all answers after the last request.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration)]
    timeout: HumanDuration,
    /// A header of each request; may be repeated.
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// PEM file with the CA certificates to verify an https target; by default those of the system.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// The output format.
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: ReportFormat,
    /// Show no progress. Without a terminal there is none.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ProtocolArg {
    /// OTLP/gRPC.
    Grpc,
    /// OTLP/HTTP.
    Http,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum EncodingArg {
    Protobuf,
    Json,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum CompressionArg {
    None,
    Gzip,
    Zstd,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SignalArg {
    Logs,
    Traces,
    Metrics,
}

/// How the report is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// Tables for people.
    Table,
    /// One document.
    Json,
}

impl LoadArgs {
    /// What load this is.
    ///
    /// # Errors
    ///
    /// In words, which arguments do not fit together.
    pub(crate) fn load(&self) -> Result<Load, String> {
        let is_tls = self.url.scheme_str() == Some("https");
        let is_http1 = self.protocol == ProtocolArg::Http && !is_tls;
        if self.encoding == EncodingArg::Json && self.protocol == ProtocolArg::Grpc {
            return Err("--encoding json needs --protocol http: OTLP/gRPC has no JSON".to_owned());
        }
        if is_http1 && self.streams.is_some_and(|streams| 1 < streams) {
            return Err("--streams must be 1 over http:// with --protocol http, which is HTTP/1.1: raise --connections instead".to_owned());
        }
        if self.in_flight_max < self.connections {
            return Err(format!(
                "--in-flight-max must be at least --connections, {}",
                self.connections
            ));
        }
        if self.ca_file.is_some() && !is_tls {
            return Err(format!("--ca-file needs a target with https, not {}", self.url));
        }
        let streams = match self.protocol {
            ProtocolArg::Grpc => STREAMS,
            ProtocolArg::Http => 1,
        };
        let records = NonZeroU32::new(self.records).unwrap_or(NonZeroU32::MIN);
        Ok(Load {
            target: self.target(),
            schedule: SendSchedule { rate: self.rate, records, lasts: self.duration.0 },
            connections: len(self.connections),
            streams: len(self.streams.unwrap_or(streams)),
            in_flight_max: len(self.in_flight_max),
            timeout: self.timeout.0,
        })
    }

    fn target(&self) -> LoadTarget {
        LoadTarget {
            url: self.url.clone(),
            protocol: match self.protocol {
                ProtocolArg::Grpc => Protocol::Grpc,
                ProtocolArg::Http => Protocol::Http,
            },
            encoding: match self.encoding {
                EncodingArg::Protobuf => Encoding::Protobuf,
                EncodingArg::Json => Encoding::Json,
            },
            compression: match self.compression {
                CompressionArg::None => Compression::None,
                CompressionArg::Gzip => Compression::Gzip,
                CompressionArg::Zstd => Compression::Zstd,
            },
            signal: match self.signal {
                SignalArg::Logs => Signal::Logs,
                SignalArg::Traces => Signal::Traces,
                SignalArg::Metrics => Signal::Metrics,
            },
            headers: self.headers.iter().cloned().collect(),
            ca_file: self.ca_file.clone(),
        }
    }
}

fn len(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn url(text: &str) -> Result<Uri, String> {
    let url: Uri = text.parse().map_err(|error: http::uri::InvalidUri| error.to_string())?;
    let is_known = matches!(url.scheme_str(), Some("http" | "https")) && url.host().is_some();
    if !is_known {
        return Err("write http:// or https:// and the host, like http://127.0.0.1:4317".to_owned());
    }
    if url.query().is_some() {
        return Err("it must have no query".to_owned());
    }
    let path = url.path().trim_end_matches('/');
    match Signal::ALL.iter().find(|signal| path.ends_with(signal.http_path())) {
        Some(signal) => Err(format!("leave {} out: the generator adds it", signal.http_path())),
        None => Ok(url),
    }
}

fn duration(text: &str) -> Result<HumanDuration, String> {
    let duration: HumanDuration =
        text.parse().map_err(|error: gophership_units::UnitError| error.reason.to_owned())?;
    if duration.0.is_zero() { Err("it must be longer than 0s".to_owned()) } else { Ok(duration) }
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let wanted = "write NAME=VALUE, like authorization=\"Bearer TOKEN\"";
    let (name, value) = text.split_once('=').ok_or(wanted)?;
    let name: HeaderName =
        name.trim().parse().map_err(|_| format!("not a header name; {wanted}"))?;
    // The value may be a secret, so no message shows it.
    let mut value = HeaderValue::from_str(value.trim())
        .map_err(|_| "the value has characters that no header may have".to_owned())?;
    value.set_sensitive(true);
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    const URL: &str = "http://127.0.0.1:4317";

    fn load(arguments: &[&str]) -> Result<Load, String> {
        let arguments = ["gophership-load"].iter().chain(arguments);
        LoadArgs::try_parse_from(arguments).map_err(|error| error.to_string())?.load()
    }

    #[test]
    fn the_command_line_is_sound() {
        LoadArgs::command().debug_assert();
    }

    #[test]
    fn a_url_is_enough() {
        let load = load(&[URL]).unwrap();
        assert_eq!((load.schedule.requests(), load.connections, load.streams), (6_000, 4, 100));
        assert_eq!(load.target.protocol_name(), "OTLP/gRPC");
    }

    #[test]
    fn http_carries_one_request_a_connection() {
        let http = ["--protocol", "http"];
        assert_eq!(load(&[&[URL], &http[..]].concat()).unwrap().streams, 1);
        let error = load(&[&[URL, "--streams", "2"], &http[..]].concat()).unwrap_err();
        assert!(error.contains("raise --connections"), "{error}");
        let https = ["https://host.example", "--streams", "9"];
        assert_eq!(load(&[&https, &http[..]].concat()).unwrap().streams, 9);
    }

    #[test]
    fn what_cannot_be_is_told_with_what_can() {
        for (arguments, told) in [
            (&["127.0.0.1:4317"][..], "like http://127.0.0.1:4317"),
            (&["ftp://host"], "write http:// or https://"),
            (&["http://host/v1/logs"], "leave /v1/logs out"),
            (&[URL, "--encoding", "json"], "needs --protocol http"),
            (&[URL, "--ca-file", "ca.pem"], "needs a target with https"),
            (&[URL, "--duration", "30"], "a number needs a unit"),
            (&[URL, "--duration", "0s"], "longer than 0s"),
            (&[URL, "--rate", "0"], "--rate"),
            (&[URL, "--records", "0"], "--records"),
            (&[URL, "--in-flight-max", "0"], "--in-flight-max"),
            (&[URL, "--in-flight-max", "3"], "at least --connections, 4"),
        ] {
            let error = load(arguments).unwrap_err();
            assert!(error.contains(told), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn headers_are_sent_and_never_shown() {
        let load =
            load(&[URL, "--header", "authorization=Bearer a=b", "--header", "x-a=1"]).unwrap();
        assert_eq!(load.target.headers["authorization"], "Bearer a=b");
        assert!(!format!("{load:?}").contains("Bearer"));
        let error = self::load(&[URL, "--header", "authorization: secret"]).unwrap_err();
        assert!(error.contains("write NAME=VALUE"), "{error}");
    }

    /// Scenario: every command of the generator on a page.
    /// Guarantees: its arguments are known.
    #[test]
    fn the_commands_in_the_documentation_are_known() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for page in ["benches/README.md", "website/benchmarks.md"] {
            let text = std::fs::read_to_string(root.join(page)).unwrap();
            let start = "$ cargo run --release -p gophership-load -- ";
            let commands: Vec<&str> =
                text.lines().filter_map(|line| line.strip_prefix(start)).collect();
            assert!(!commands.is_empty(), "{page} has no command");
            for command in commands {
                let arguments: Vec<&str> = command.split_whitespace().collect();
                assert!(load(&arguments).is_ok(), "{page}: {command}");
            }
        }
    }
}
