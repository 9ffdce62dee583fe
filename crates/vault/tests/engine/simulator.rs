//! The disk in memory that the other tests stand on keeps what is written.

use std::path::Path;

use gophership_vault_sim::SimFileSystem;

/// Guarantees: bytes come back, what was cut off is zero when the file grows again, and a copy does not
/// change with the original.
#[test]
fn bytes_come_back_and_copies_do_not_change_with_the_original() {
    let (files, path) = (SimFileSystem::default(), Path::new("/file"));
    files.put(path, &[7; 5000]);
    let copy = files.fork();
    assert!(copy.is_same(&files));
    files.poke(path, 4090, &[9; 10]);
    files.set_len(path, 4095);
    files.set_len(path, 9000);
    let mut expected = vec![7; 4090];
    expected.extend([9; 5]);
    expected.resize(9000, 0);
    assert_eq!(files.bytes_of(path), Some(expected));
    assert_eq!(copy.bytes_of(path), Some(vec![7; 5000]));
    assert!(!copy.is_same(&files));
}
