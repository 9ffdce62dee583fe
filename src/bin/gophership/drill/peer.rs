//! Another program under drill: it has a configuration of its own, and its addresses are given.

use std::net::SocketAddr;
use std::process::Command;

use clap::Args;
use clap::ValueEnum;

use gophership_otlp_client::Protocol;
use gophership_testbed::Intact;

use super::plan::EntryPoint;
use super::plan::Plan;

/// What the report calls the sink of a program whose configuration nobody here can read.
const SINK: &str = "backend";

/// Over what clients send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum IngestProtocol {
    /// OTLP over gRPC.
    #[default]
    Grpc,
    /// OTLP over HTTP, in protobuf.
    Http,
}

/// A program to drill instead of this one.
#[derive(Clone, Debug, Args)]
pub(crate) struct PeerArgs {
    /// Test another OTLP program, with the same clients, backend and verdict: its command line, which a
    /// shell reads. The program must listen on --ingest and send to --backend.
    #[arg(
        long,
        value_name = "COMMAND",
        requires = "ingest",
        conflicts_with_all = ["config", "path", "two_sinks", "sinks", "hard", "corrupt", "fill_vault", "backlog_min"]
    )]
    command: Option<String>,
    /// Where the program of --command takes OTLP.
    #[arg(long, value_name = "ADDRESS", requires = "command")]
    ingest: Option<SocketAddr>,
    /// The protocol of --ingest.
    #[arg(long, value_enum, default_value = "grpc", requires = "command")]
    ingest_protocol: IngestProtocol,
    /// Where the built-in backend listens, for gRPC and HTTP, when --command is given.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:14317", requires = "command")]
    backend: SocketAddr,
}

/// A program, and where its ends are.
#[derive(Clone, Debug)]
pub(super) struct PeerProgram {
    command: String,
    pub(super) ingest: SocketAddr,
    pub(super) backend: SocketAddr,
    protocol: Protocol,
}

impl PeerArgs {
    /// The program, if one is to be drilled.
    pub(super) fn peer(&self) -> Option<PeerProgram> {
        let protocol = match self.ingest_protocol {
            IngestProtocol::Grpc => Protocol::Grpc,
            IngestProtocol::Http => Protocol::Http,
        };
        let (command, ingest) = (self.command.clone()?, self.ingest?);
        Some(PeerProgram { command, ingest, backend: self.backend, protocol })
    }
}

impl PeerProgram {
    /// What the report calls it.
    pub(super) fn name(&self) -> String {
        format!("`{}`", self.command)
    }

    /// Starts it in place of the shell that reads the command, so that memory and death are its own.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(format!("exec {}", self.command));
        command
    }

    /// Records come in at one place and go to one backend. Programs that read requests write them anew, so
    /// what must come is what a record says, and not how it is written.
    pub(super) fn plan(&self) -> Plan {
        let entry =
            EntryPoint { source: "ingest".to_owned(), protocol: self.protocol, sinks: vec![0] };
        Plan {
            entries: vec![entry],
            sinks: vec![SINK.to_owned()],
            is_out: vec![true],
            is_judged: vec![true],
            intact: Intact::Content,
            notes: Vec::new(),
        }
    }
}
