//! Integration tests: one binary, one file per promise.
//!
//! | file | what it proves |
//! | --- | --- |
//! | `delivered` | every signal arrives equal over every road in and out, and what each bad request is told |
//! | `red` | in Red the client has its OK, the vault has the bytes, and replay gives them back identical |
//! | `kill` | `kill -9` at random moments loses nothing that was acknowledged |
//! | `overload` | full edges, stalled sinks, Red and a full vault: the source answers, nothing locks up |
//! | `reload` | ten reloads under load, invalid files, moved listeners, a backend that hangs meanwhile |
//! | `shutdown` | `SIGTERM` under load loses nothing, in time; a second one ends the process at once |
//! | `ledger` | the books balance, and every bucket is what the test knows |
//! | `panic` | a component that panics is started again, and its batch goes to the vault |
//! | `allocations` | the hot path and the senses take no memory from the heap |
//! | `socket` | the control socket listens to its owner and to root, to nobody else |
//! | `config/examples` | every example loads without variables, and runs |
//! | `config/hostile` | 10,000 hostile configurations give an error or a running graph, never a panic |
//! | `config/pages` | the website says what the program does: options, metrics, exit codes, examples |
//! | `vault_golden` | vaults of format version 1 are readable for ever |
//! | `vault_ways` | notes beside requests, newest first, limited replay, dropping, the yellow mark, `--strict` |
//! | `vault_tools`, `_mend`, `_live` | `gophership vault` sees, finds, mends and exports what is there, also under load |
//! | `codegen` | committed code is what its generator makes |
//!
//! They share `harness` (the process, a recording backend, clients, the oracle) and `golden`.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do; clippy exempts only the tests themselves"
)]

mod allocations;
mod codegen;
mod config;
mod delivered;
mod golden;
mod harness;
mod kill;
mod ledger;
mod overload;
mod panic;
mod red;
mod reload;
mod shutdown;
mod socket;
mod vault_golden;
mod vault_tools;
mod vault_tools_live;
mod vault_tools_mend;
mod vault_ways;
