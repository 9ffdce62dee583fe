//! Makes the program smaller: where the linker can (1.3 MB of 20), and the schema that is in it.

use std::env;
use std::fs;
use std::path::Path;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    link_small();
    // gs-ctl is linked in the same way.
    if env::var("CARGO_PKG_NAME").is_ok_and(|name| name == "gophership") {
        embed_schema();
    }
}

/// Writes the schema as the program has it, without indentation: a third of the file.
fn embed_schema() {
    const SCHEMA: &str = "website/gophership.schema.json";
    println!("cargo::rerun-if-changed={SCHEMA}");
    let root = env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where the package is");
    let text = fs::read_to_string(Path::new(&root).join(SCHEMA)).expect("the schema is committed");
    let small: String = text.lines().map(str::trim_start).collect();
    let out = env::var_os("OUT_DIR").expect("cargo says where to write");
    fs::write(Path::new(&out).join("schema.json"), small).expect("cargo made the folder");
}

fn link_small() {
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found == value);
    let is_optimized = is("PROFILE", "release");
    // There rustc links with its own lld, which knows both.
    let is_linked_by_lld = is("TARGET", "x86_64-unknown-linux-gnu");
    if is_optimized && is_linked_by_lld {
        // Functions that became the same to the byte are kept once.
        println!("cargo::rustc-link-arg-bins=-Wl,--icf=all");
        // Relative relocations take bits instead of 24 bytes each; glibc knows them since 2.36.
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
