//! The committed code of the control service is what its proto file says.

use std::path::Path;

use prost::Message;

use crate::golden;

/// Scenario: the proto file is compiled anew.
/// Guarantees: the committed code is exactly that; `UPDATE_GOLDEN=1` writes it.
#[test]
fn the_control_protocol_is_generated_from_its_proto_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let proto = root.join("crates/control/proto");
    let files = protox::compile([proto.join("control.proto")], [proto]).unwrap();
    let mut described = files.clone();
    for file in &mut described.file {
        // Places and comments are for generators.
        file.source_code_info = None;
    }
    golden::check_bytes("crates/control/src/descriptors.bin", &described.encode_to_vec());
    let out = tempfile::tempdir().unwrap();
    tonic_prost_build::configure()
        .build_server(true)
        .build_client(true)
        .out_dir(out.path())
        .compile_fds(files)
        .unwrap();
    let generated = std::fs::read_to_string(out.path().join("gophership.control.v1.rs")).unwrap();
    golden::check("crates/control/src/proto.rs", &generated);
}
