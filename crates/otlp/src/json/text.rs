//! Bytes as text: hexadecimal for ids, base64 for everything else; and text with its escapes.

const HEX: &[u8; 16] = b"0123456789abcdef";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// What may not stand in a text of JSON as it is.
const IS_ESCAPED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table
};

/// Appends bytes in hexadecimal.
pub(super) fn put_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        out.push(HEX[usize::from(byte >> 4)]);
        out.push(HEX[usize::from(byte & 15)]);
    }
}

/// Appends text, or a part of one, with its escapes; those of `serde_json`.
pub(super) fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| IS_ESCAPED[usize::from(*byte)]) {
        let (plain, from) = rest.split_at(at);
        out.extend_from_slice(plain);
        let byte = from[0];
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0x08 => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            _ => {
                out.extend_from_slice(b"\\u00");
                put_hex(out, &[byte]);
            }
        }
        rest = &from[1..];
    }
    out.extend_from_slice(rest);
}

/// Reads hexadecimal of either case.
pub(super) fn read_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |pair: &[u8; 2]| Some(digit(pair[0])? << 4 | digit(pair[1])?);
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

/// Appends bytes in base64 with padding.
pub(super) fn put_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.chunks(3) {
        let mut block = [0; 4];
        block[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(block);
        for place in 0..4 {
            let six = (bits >> (18 - 6 * place)) & 63;
            out.push(if place <= chunk.len() { BASE64[six as usize] } else { b'=' });
        }
    }
}

/// Reads base64, of the standard or the URL alphabet, with or without padding.
pub(super) fn read_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=').as_bytes();
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    for chunk in text.chunks(4) {
        let mut bits = 0_u32;
        for place in 0..4 {
            bits = bits << 6 | chunk.get(place).map_or(Some(0), |&byte| six_bits(byte))?;
        }
        let bytes = bits.to_be_bytes();
        // Two characters hold one byte, three hold two, four hold three; one holds none.
        let len = chunk.len().checked_sub(1).filter(|&len| len > 0)?;
        out.extend_from_slice(&bytes[1..=len]);
    }
    Some(out)
}

fn six_bits(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_both_alphabets() {
        for len in 0..70_u8 {
            let bytes: Vec<u8> = (0..len).map(|byte| byte.wrapping_mul(37) ^ 0xfb).collect();
            let (mut hex, mut base64) = (Vec::new(), Vec::new());
            put_hex(&mut hex, &bytes);
            put_base64(&mut base64, &bytes);
            let base64 = String::from_utf8(base64).unwrap();
            assert_eq!(read_hex(std::str::from_utf8(&hex).unwrap()), Some(bytes.clone()));
            assert_eq!(read_base64(&base64), Some(bytes.clone()));
            let url = base64.replace('+', "-").replace('/', "_").replace('=', "");
            assert_eq!(read_base64(&url), Some(bytes));
        }
    }

    #[test]
    fn texts_are_escaped_as_serde_json_has_them() {
        for code in (0..0x250).chain([0x2028, 0xfffd, 0x1_f600]).filter_map(char::from_u32) {
            let text = format!("a{code}{code}\"z");
            let mut out = vec![b'"'];
            put_text(&mut out, text.as_bytes());
            out.push(b'"');
            assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&text).unwrap());
        }
    }

    #[test]
    fn known_texts_read_as_known_bytes() {
        let mut base64 = Vec::new();
        put_base64(&mut base64, b"any carnal pleas");
        assert_eq!(base64, b"YW55IGNhcm5hbCBwbGVhcw==");
        assert_eq!(read_hex("5B8eFf"), Some(vec![0x5b, 0x8e, 0xff]));
        assert_eq!(read_hex(""), Some(vec![]));
        for wrong in ["5", "5g", "+1", "0x"] {
            assert_eq!(read_hex(wrong), None, "{wrong}");
        }
        for wrong in ["A", "AAAAA", "AA A", "A=AA"] {
            assert_eq!(read_base64(wrong), None, "{wrong}");
        }
    }
}
