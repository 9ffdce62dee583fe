//! Integration tests: one binary, one file per promise.
//!
//! | file | what it proves |
//! | --- | --- |
//! | `delivered` | every signal arrives equal over every road in and out, and what each bad request is told |
//! | `conformance/` | each item of the OTLP specification, over gRPC, HTTP/protobuf and HTTP/JSON, in green and in red |
//! | `refusals` | what each gRPC code and each HTTP status makes of a request, with and without hints |
//! | `denied` | a backend that does not know us, or is broken, is out and costs nothing; what it alone refuses ends |
//! | `given_up` | what a backend puts off for ever, and takes others, ends after a time; an outage ends nothing |
//! | `dead_letters` | `gs-ctl` lists, shows, sends again and drops what is a dead letter, and the ledger knows it |
//! | `strange_answers` | what is no answer of the backend is sent again, and an OK is an OK whatever is around it |
//! | `endpoints` | several endpoints: failover, return, balance, and tokens that are rotated |
//! | `secrets` | credentials go out over TLS or not at all, and no message shows one |
//! | `foreign_texts` | what a backend says is one line of bounded length in the log, status, dead letters and answers |
//! | `switches` | switches and their variables do what they say: log format, threads, file, the time of an override |
//! | `tls` | mutual TLS between a sidecar and a gateway, and what a wrong certificate costs |
//! | `silent` | connections that went silent, and hosts that do not answer, are found out in time |
//! | `concurrency` | `auto` finds the limit at which a backend is busy and round trips are short |
//! | `red` | in Red the client has its OK, the vault has the bytes, and replay gives them back identical |
//! | `kill` | `kill -9` at random moments loses nothing that was acknowledged |
//! | `disk` | what an OK waits for while the disk is slow, and what is said while it fails |
//! | `drill` | the drill passes what survives an outage, and tells what is lost in what does not |
//! | `drill_transforms` | the drill demands what filters, routes and samples let through, and sees what is lost of it |
//! | `fanout` | of two sinks one that is out, slow or removed holds nothing up for the other, and gets alone what it missed |
//! | `overload` | full edges, stalled sinks, Red and a full vault: the source answers, nothing locks up |
//! | `reload` | ten reloads under load, invalid files, moved listeners, a backend that hangs meanwhile |
//! | `rewiring` | whatever a reload changes, every sink that is there gets what is acknowledged; what is left is told |
//! | `rewiring_random`, `_pipeline` | the same in 500 random sequences of reloads, with kills and outages in between |
//! | `shutdown` | `SIGTERM` under load loses nothing, in time; a second one ends the process at once |
//! | `left` | dead letters and spools of sinks that were removed are told, and can be sent or dropped |
//! | `ledger` | the books balance, and every bucket is what the test knows |
//! | `outage_told` | log, status and metrics each say when an outage began, what is where, when it was over, what was lost |
//! | `outputs` | a log or a standard output that blocks or breaks ends nothing and loses nothing; early signals are kept |
//! | `log_lines` | every line of the log as JSON has numbers where quantities are; no kind of line hides another |
//! | `output_files` | a file that vanishes, fills up or is not there yet ends nothing and loses nothing |
//! | `audit` | the ledger over restarts and kills is what clients, vaults and backends know |
//! | `rows` | the ledger by source and by sink, over restarts and kills, is what each client and backend knows |
//! | `memory` | requests are counted from their first byte, half ones are cut off, a full share refuses |
//! | `trickle` | who announces much and sends little is cut off, and keeps nobody out |
//! | `watch_config` | with `--watch-config` a changed configuration is put in force, behind the links of a `ConfigMap` too |
//! | `healthcheck` | `gophership healthcheck` and `/livez` say whether requests are taken, in every zone |
//! | `service_manager` | systemd hears when the process is ready, reloads, stops, and that it is alive |
//! | `watchdog` | nothing moves although there is work: log, metric, status and readiness say so, and when it is over |
//! | `slow_answers` | in Yellow answers wait as the pressure says, never longer than they may, and only if they are told to |
//! | `pressure` | a share of the memory that is used up sheds optional work, then sends to the vault and pauses replay |
//! | `panic` | a component that panics is started again, and its batch goes to the vault |
//! | `allocations` | the hot path and the senses take no memory from the heap |
//! | `kept` | what is kept between requests is bounded |
//! | `hostile/` | silent, greedy, flooding, half and malformed clients are bounded, their connections end, and nobody else notices |
//! | `control/` | the control port lets in who has a valid certificate, only operators change something; the page for people and `gs-ctl status` say what the metrics say; `tap` and `top` show what happens, and hold nothing up |
//! | `control/vaults`, `drain`, `replays`, `archive_replays` | what an operator does with a vault, a drain and a replay of a range or an archive is done, told and booked |
//! | `socket` | the control socket listens to its owner and to root, to nobody else |
//! | `config/alerts` | rules, dashboard and runbooks name metrics that there are, and each alert has a test and a runbook |
//! | `config/driven` | what is sent to an example arrives where the example says |
//! | `config/examples` | every example loads without variables, and runs |
//! | `config/files` | every command takes its configuration file in the same ways |
//! | `config/habits` | what editors, Helm and people write is taken, or refused with what to do |
//! | `config/mutated` | 10,000 hostile configurations give an error or a running graph, never a panic |
//! | `config/pages` | the website says what the program does: options, metrics, exit codes, examples |
//! | `config/snippets` | every configuration on the website loads, and every command there is known |
//! | `vault_golden` | vaults of format version 1 are readable for ever |
//! | `vault_ways` | notes beside requests, newest first, limited replay, dropping, the yellow mark, `--strict` |
//! | `vault_tools`, `_mend`, `_live` | `gophership vault` sees, finds, mends and exports what is there, also under load |
//! | `vault_tools_killed` | a repair that is killed at any of its steps is completed by the next one |
//! | `vault_archive` | `gophership vault` reads an archive in a bucket as it reads the vault that it is of |
//! | `s3_replay` | an archive comes back through the pipeline once, on however many hosts, also when one is killed |
//! | `s3_letters` | what a sink refuses of an archive is a dead letter of that sink, or stays in the bucket, and is told |
//! | `s3_shared` | two hosts share an archive, each segment once, and are 1.8 times as fast as one |
//! | `vault_tools_share` | `gophership vault` gives way to the server beside |
//! | `transforms` | each transform in the running process does what it says, and the books balance |
//! | `joined` | what `batch` joins or divides arrives once, and its senders are told, in an outage and at a stop too |
//! | `route` | every sink gets exactly what is routed there, while another is out, full, replayed, killed or renamed |
//! | `together` | what has to wait for a backend travels in one request, every record once |
//! | `s3_archive`, `s3_objects` | segments of a vault, and requests, are in a bucket once: after kills, outages, reloads, refusals |
//! | `load` | the load generator and the server agree on what was accepted |
//! | `http_servers` | both HTTP/2 servers of the HTTP listener say the same to the same request |
//! | `access` | credentials, web pages and probes at a source, and who is let in |
//! | `ways` | proxies, kinds of TLS, JSON and tenants on the way to a backend |
//! | `compression` | the vault compresses whenever there is time for it |
//! | `codegen` | committed code is what its generator makes |
//!
//! They share `harness` (the process, a recording backend, clients, the oracle), `bare`, `golden` and `tool`.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do; clippy exempts only the tests themselves"
)]

mod access;
mod allocations;
mod audit;
mod bare;
mod codegen;
mod compression;
mod concurrency;
mod config;
mod conformance;
mod control;
mod dead_letters;
mod delivered;
mod denied;
mod disk;
mod drill;
mod drill_transforms;
mod endpoints;
mod fanout;
mod foreign_texts;
mod given_up;
mod golden;
mod harness;
mod healthcheck;
mod heap;
mod hostile;
mod http_servers;
mod joined;
mod kept;
mod kill;
mod ledger;
mod left;
mod lines;
mod load;
mod log_lines;
mod memory;
mod outage;
mod outage_told;
mod output_files;
mod outputs;
mod overload;
mod panic;
mod pressure;
mod red;
mod refusals;
mod reload;
mod rewiring;
mod rewiring_pipeline;
mod rewiring_random;
mod route;
mod rows;
mod s3_archive;
mod s3_letters;
mod s3_objects;
mod s3_replay;
mod s3_shared;
mod secrets;
mod service_manager;
mod shutdown;
mod silent;
mod slow_answers;
mod socket;
mod strange_answers;
mod switches;
mod tls;
mod together;
mod tool;
mod transforms;
mod trickle;
mod vault_archive;
mod vault_golden;
mod vault_gone;
mod vault_tools;
mod vault_tools_killed;
mod vault_tools_live;
mod vault_tools_mend;
mod vault_tools_share;
mod vault_ways;
mod watch_config;
mod watchdog;
mod ways;
