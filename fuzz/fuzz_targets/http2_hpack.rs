//! Header blocks of one connection, each with its length before it: nothing panics, and a block that is read twice
//! while the table does not change means the same.
#![no_main]

use gophership_http2::hpack::DecodeError;
use gophership_http2::hpack::Decoder;

const TABLE_BYTES: usize = 256;

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

fn read(decoder: &mut Decoder, block: &[u8]) -> (Fields, Result<(), DecodeError>) {
    let (mut fields, mut bytes) = (Vec::new(), 0);
    let result = decoder.decode(block, |name, value| {
        bytes += name.len() + value.len();
        if bytes < 10_000 {
            fields.push((name.to_vec(), value.to_vec()));
        }
    });
    (fields, result)
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut decoder = Decoder::new(TABLE_BYTES);
    let mut rest = bytes;
    while let Some((len, behind)) = rest.split_first() {
        let (block, behind) = behind.split_at(usize::from(*len).min(behind.len()));
        rest = behind;
        let before = decoder.changes();
        let first = read(&mut decoder, block);
        if first.1.is_err() {
            return;
        }
        if decoder.changes() == before {
            assert_eq!(read(&mut decoder, block), first);
            assert_eq!(decoder.changes(), before);
        }
    }
});
