//! Reads header blocks.
//!
//! Source: RFC 7541, section 6.

use super::dynamic_table::DynamicTable;
use super::huffman;
use super::integer;
use super::static_table;

/// What both sides begin with.
pub const TABLE_BYTES_DEFAULT: u32 = 4096;
/// Longer room for decoded strings is given back after each block.
const SCRATCH_BYTES_MAX: usize = 1 << 10;

/// Reads the header blocks of one direction of one connection, in their order.
#[derive(Debug)]
pub struct Decoder {
    table: DynamicTable,
    /// What we allow the table to have; the peer chooses less if it likes.
    allowed_bytes: usize,
    name: Vec<u8>,
    value: Vec<u8>,
}

/// A header block breaks the rules of HPACK. The table is then not what the peer believes, so the connection
/// must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// The block ends in the middle of a field, or a number in it is too large.
    Truncated,
    /// There is no field with this index.
    Index,
    /// A string is not in the Huffman code.
    Huffman,
    /// The table is resized to more than we allow, at the wrong place, or not resized when we allow less.
    TableSize,
}

impl Decoder {
    /// Makes one whose table may have so many bytes.
    #[must_use]
    pub const fn new(table_bytes: usize) -> Self {
        Self {
            table: DynamicTable::new(table_bytes),
            allowed_bytes: table_bytes,
            name: Vec::new(),
            value: Vec::new(),
        }
    }

    /// Changes what we allow the table to have. If the table has more, the next block must begin by making it
    /// smaller.
    pub const fn allow(&mut self, table_bytes: usize) {
        self.allowed_bytes = table_bytes;
    }

    /// A number that is different after everything that may change the meaning of a block: two equal blocks
    /// mean the same as long as it is the same.
    #[must_use]
    pub const fn changes(&self) -> u64 {
        self.table.changes()
    }

    /// Reads a whole block, and passes each field on: name and value.
    ///
    /// # Errors
    ///
    /// See [`DecodeError`].
    pub fn decode(
        &mut self,
        block: &[u8],
        mut field: impl FnMut(&[u8], &[u8]),
    ) -> Result<(), DecodeError> {
        let mut rest = self.resize(block)?;
        while let Some(first) = rest.first() {
            rest = match first {
                0x80.. => {
                    let (idx, behind) = integer::read(rest, 7).ok_or(DecodeError::Truncated)?;
                    let (name, value) = self.entry(idx)?;
                    field(name, value);
                    behind
                }
                0x40..0x80 => self.literal(rest, 6, true, &mut field)?,
                0x20..0x40 => return Err(DecodeError::TableSize),
                _ => self.literal(rest, 4, false, &mut field)?,
            };
        }
        for scratch in [&mut self.name, &mut self.value] {
            if SCRATCH_BYTES_MAX < scratch.capacity() {
                *scratch = Vec::new();
            }
        }
        Ok(())
    }

    /// Reads the changes of the size of the table, which come first.
    fn resize<'b>(&mut self, block: &'b [u8]) -> Result<&'b [u8], DecodeError> {
        let mut rest = block;
        while let Some(0x20..0x40) = rest.first() {
            let (bytes, behind) = integer::read(rest, 5).ok_or(DecodeError::Truncated)?;
            if self.allowed_bytes < bytes {
                return Err(DecodeError::TableSize);
            }
            self.table.resize(bytes);
            rest = behind;
        }
        if self.allowed_bytes < self.table.bytes_max() {
            return Err(DecodeError::TableSize);
        }
        Ok(rest)
    }

    /// Reads a field that is not in a table, but for its name perhaps.
    fn literal<'b>(
        &mut self,
        bytes: &'b [u8],
        prefix_bits: u32,
        is_kept: bool,
        field: &mut impl FnMut(&[u8], &[u8]),
    ) -> Result<&'b [u8], DecodeError> {
        let (idx, rest) = integer::read(bytes, prefix_bits).ok_or(DecodeError::Truncated)?;
        let (name, rest): (&[u8], _) = match idx.checked_sub(1) {
            None => string(rest, &mut self.name)?,
            Some(from_zero) => {
                if let Some((name, _)) = static_table::ENTRIES.get(from_zero) {
                    (name, rest)
                } else {
                    // Copied: it may go when this field is added to the table.
                    self.name.clear();
                    self.name.extend_from_slice(entry(&self.table, idx)?.0);
                    (&self.name, rest)
                }
            }
        };
        let (value, rest) = string(rest, &mut self.value)?;
        field(name, value);
        if is_kept {
            self.table.insert(name, value);
        }
        Ok(rest)
    }

    fn entry(&self, idx: usize) -> Result<(&[u8], &[u8]), DecodeError> {
        entry(&self.table, idx)
    }
}

/// The entry with this index in both tables, the static one first.
fn entry(table: &DynamicTable, idx: usize) -> Result<(&[u8], &[u8]), DecodeError> {
    let Some(from_zero) = idx.checked_sub(1) else { return Err(DecodeError::Index) };
    match static_table::ENTRIES.get(from_zero) {
        Some(entry) => Ok(*entry),
        None => table.get(from_zero - static_table::LEN).ok_or(DecodeError::Index),
    }
}

/// Reads a string: as it stands in the block, or decoded into `scratch`.
fn string<'b: 's, 's>(
    bytes: &'b [u8],
    scratch: &'s mut Vec<u8>,
) -> Result<(&'s [u8], &'b [u8]), DecodeError> {
    let first = bytes.first().ok_or(DecodeError::Truncated)?;
    let (len, rest) = integer::read(bytes, 7).ok_or(DecodeError::Truncated)?;
    let (text, rest) = rest.split_at_checked(len).ok_or(DecodeError::Truncated)?;
    if first & 0x80 == 0 {
        return Ok((text, rest));
    }
    scratch.clear();
    huffman::decode(text, scratch).map_err(|_| DecodeError::Huffman)?;
    Ok((scratch, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
    }

    /// Reads a block, and returns its fields, a line each, and the size of the table behind it.
    fn read(decoder: &mut Decoder, block: &[u8]) -> Result<(String, usize), DecodeError> {
        let mut text = String::new();
        decoder.decode(block, |name, value| {
            let [name, value] = [name, value].map(|bytes| std::str::from_utf8(bytes).unwrap());
            text.extend([name, ": ", value, "\n"]);
        })?;
        Ok((text, decoder.table.bytes()))
    }

    /// Blocks of one connection, in hexadecimal digits, with their fields and the size of the table.
    fn check(table_bytes: usize, blocks: &[(&str, &str, usize)]) {
        let mut decoder = Decoder::new(table_bytes);
        for (block, fields, table) in blocks {
            let (text, bytes) = read(&mut decoder, &bytes(block)).unwrap();
            let expected: String = fields.split('|').flat_map(|field| [field, "\n"]).collect();
            assert_eq!((text, bytes), (expected, *table), "{block}");
        }
    }

    #[test]
    fn appendix_c_2_single_fields() {
        let custom = "400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572";
        check(4096, &[(custom, "custom-key: custom-header", 55)]);
        check(4096, &[("040c 2f73 616d 706c 652f 7061 7468", ":path: /sample/path", 0)]);
        let never = "1008 7061 7373 776f 7264 0673 6563 7265 74";
        check(4096, &[(never, "password: secret", 0)]);
        check(4096, &[("82", ":method: GET", 0)]);
    }

    const GETS: [(&str, usize); 3] = [
        (":method: GET|:scheme: http|:path: /|:authority: www.example.com", 57),
        (
            ":method: GET|:scheme: http|:path: /|:authority: www.example.com|cache-control: no-cache",
            110,
        ),
        (
            ":method: GET|:scheme: https|:path: /index.html|:authority: www.example.com\
             |custom-key: custom-value",
            164,
        ),
    ];

    #[test]
    fn appendix_c_3_requests_without_huffman_code() {
        let blocks = [
            "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "8286 84be 5808 6e6f 2d63 6163 6865",
            "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
        ];
        let mut idx = 0..;
        check(4096, &GETS.map(|(fields, table)| (blocks[idx.next().unwrap()], fields, table)));
    }

    #[test]
    fn appendix_c_4_requests_with_huffman_code() {
        let blocks = [
            "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
            "8286 84be 5886 a8eb 1064 9cbf",
            "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
        ];
        let mut idx = 0..;
        check(4096, &GETS.map(|(fields, table)| (blocks[idx.next().unwrap()], fields, table)));
    }

    const ANSWERS: [(&str, usize); 3] = [
        (
            ":status: 302|cache-control: private|date: Mon, 21 Oct 2013 20:13:21 GMT\
             |location: https://www.example.com",
            222,
        ),
        (
            ":status: 307|cache-control: private|date: Mon, 21 Oct 2013 20:13:21 GMT\
             |location: https://www.example.com",
            222,
        ),
        (
            ":status: 200|cache-control: private|date: Mon, 21 Oct 2013 20:13:22 GMT\
             |location: https://www.example.com|content-encoding: gzip\
             |set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
            215,
        ),
    ];

    #[test]
    fn appendix_c_5_answers_without_huffman_code() {
        let blocks = [
            "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a \
             3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "4803 3330 37c1 c0bf",
            "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 \
             677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 \
             553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31",
        ];
        let mut idx = 0..;
        check(256, &ANSWERS.map(|(fields, table)| (blocks[idx.next().unwrap()], fields, table)));
    }

    #[test]
    fn appendix_c_6_answers_with_huffman_code() {
        let blocks = [
            "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e \
             919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
            "4883 640e ffc1 c0bf",
            "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 \
             821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed \
             4ee5 b106 3d50 07",
        ];
        let mut idx = 0..;
        check(256, &ANSWERS.map(|(fields, table)| (blocks[idx.next().unwrap()], fields, table)));
    }

    #[test]
    fn broken_blocks_are_refused() {
        for (block, expected) in [
            ("80", DecodeError::Index),
            ("be", DecodeError::Index),
            ("7e 00", DecodeError::Index),
            ("ff 80", DecodeError::Truncated),
            ("ff ffff ffff 7f", DecodeError::Truncated),
            ("40", DecodeError::Truncated),
            ("40 05 61", DecodeError::Truncated),
            ("40 01 61", DecodeError::Truncated),
            ("40 81 18 00", DecodeError::Huffman),
            ("3f e2 1f", DecodeError::TableSize),
            ("82 20", DecodeError::TableSize),
        ] {
            assert_eq!(read(&mut Decoder::new(4096), &bytes(block)), Err(expected), "{block}");
        }
    }

    #[test]
    fn the_table_is_made_smaller_as_the_peer_says_and_as_we_ask() {
        let mut decoder = Decoder::new(4096);
        read(&mut decoder, &bytes("4101 61")).unwrap();
        let before = decoder.changes();
        assert_eq!(read(&mut decoder, &bytes("be")).unwrap(), (":authority: a\n".to_owned(), 43));
        assert_eq!(decoder.changes(), before, "nothing was added");
        assert_eq!(
            read(&mut decoder, &bytes("20 3f e1 1f 82")).unwrap().1,
            0,
            "emptied, and restored"
        );
        assert_ne!(decoder.changes(), before);
        decoder.allow(64);
        assert_eq!(read(&mut decoder, &bytes("82")), Err(DecodeError::TableSize));
        assert!(read(&mut decoder, &bytes("3f 21 82")).is_ok());
    }
}
