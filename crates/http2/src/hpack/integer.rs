//! The integers of HPACK.
//!
//! Source: RFC 7541, section 5.1.

/// Reads an integer whose first byte has `prefix_bits` bits for it, and returns what is behind it. `None`: the
/// bytes end too early, or the integer has more than 28 bits beside its prefix.
pub(super) fn read(bytes: &[u8], prefix_bits: u32) -> Option<(usize, &[u8])> {
    let (first, mut rest) = bytes.split_first()?;
    let mask = (1_usize << prefix_bits) - 1;
    let mut value = usize::from(*first) & mask;
    if value < mask {
        return Some((value, rest));
    }
    for shift in [0, 7, 14, 21] {
        let (byte, behind) = rest.split_first()?;
        rest = behind;
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value, rest));
        }
    }
    None
}

/// Appends an integer whose first byte has the bits of `pattern` above `prefix_bits`.
pub(super) fn write(value: usize, prefix_bits: u32, pattern: u8, bytes: &mut Vec<u8>) {
    let mask = (1_usize << prefix_bits) - 1;
    if value < mask {
        bytes.push(pattern | low_bits(value));
        return;
    }
    bytes.push(pattern | low_bits(mask));
    let mut rest = value - mask;
    while 0x80 <= rest {
        bytes.push(0x80 | low_bits(rest & 0x7f));
        rest >>= 7;
    }
    bytes.push(low_bits(rest));
}

#[expect(clippy::cast_possible_truncation, reason = "less than 256")]
const fn low_bits(value: usize) -> u8 {
    value as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_come_back() {
        for prefix_bits in 4..=7 {
            for value in [0, 1, 14, 15, 16, 127, 128, 254, 255, 1337, 65_535, 1 << 20, 1 << 27] {
                let mut bytes = Vec::new();
                write(value, prefix_bits, 0, &mut bytes);
                bytes.push(7);
                assert_eq!(read(&bytes, prefix_bits), Some((value, &[7][..])), "{value}");
            }
        }
    }

    #[test]
    fn the_examples_of_the_standard_are_read() {
        assert_eq!(read(&[0b1110_1010], 5), Some((10, &[][..])), "C.1.1");
        assert_eq!(read(&[0b1111_1111, 0b1001_1010, 0b0000_1010], 5), Some((1337, &[][..])));
        assert_eq!(read(&[42], 8), Some((42, &[][..])), "C.1.3");
    }

    #[test]
    fn what_is_cut_off_or_too_large_is_none() {
        assert_eq!(read(&[], 5), None);
        assert_eq!(read(&[0x1f], 5), None);
        assert_eq!(read(&[0x1f, 0x80], 5), None);
        assert_eq!(read(&[0x1f, 0xff, 0xff, 0xff, 0xff, 0x01], 5), None);
    }
}
