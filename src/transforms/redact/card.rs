//! Finds card numbers in texts.

use std::ops::Range;

const DIGITS_MIN: usize = 12;
const DIGITS_MAX: usize = 19;
/// No digest in hexadecimal digits is longer.
const HEX_LOOK_MAX: usize = 128;

/// Calls `found` with the place of each card number: digits in one, or in groups with one separator
/// between them each, a space of any kind, a hyphen or a dash; or in three groups and more, of three
/// digits to seven, with dots. A number ends where a group ends; of several that begin at the same
/// group the longest counts. What is a part of a hexadecimal number is none.
pub(super) fn find(text: &[u8], mut found: impl FnMut(Range<usize>)) {
    let mut at = 0;
    while let Some(start) = text.get(at..).and_then(|rest| rest.iter().position(u8::is_ascii_digit))
    {
        let start = at + start;
        at = match number_at(text, start) {
            Some(end) if !is_fraction(text, start) && !is_hexadecimal(text, start, end) => {
                found(start..end);
                end
            }
            _ => group_end(text, start),
        };
    }
}

/// The end of the longest card number that begins at `start`.
fn number_at(text: &[u8], start: usize) -> Option<usize> {
    let mut digits = [0; DIGITS_MAX];
    let mut len = 0;
    let mut end = None;
    let mut at = start;
    let (mut group, mut dots) = (0, Dots::default());
    while let Some(byte) = text.get(at) {
        if !byte.is_ascii_digit() {
            let separator = separator_len(text, at);
            if separator == 0 || !text.get(at + separator).is_some_and(u8::is_ascii_digit) {
                break;
            }
            dots.end_group(group, *byte == b'.');
            group = 0;
            at += separator;
            continue;
        }
        if len == DIGITS_MAX {
            break;
        }
        digits[len] = byte - b'0';
        len += 1;
        group += 1;
        at += 1;
        let is_group_end = !text.get(at).is_some_and(u8::is_ascii_digit);
        if is_group_end && dots.allow(group) && is_card(&digits[..len]) {
            end = Some(at);
        }
    }
    end
}

/// Whether dots between groups are those of a card number, and not that of a decimal fraction.
#[derive(Default)]
struct Dots {
    count: usize,
    has_others: bool,
    has_odd_group: bool,
}

impl Dots {
    fn end_group(&mut self, digits: usize, is_dot: bool) {
        self.count += usize::from(is_dot);
        self.has_others |= !is_dot;
        self.has_odd_group |= !(3..=7).contains(&digits);
    }

    fn allow(&self, last_group: usize) -> bool {
        let is_usual = !self.has_odd_group && (3..=7).contains(&last_group);
        self.count == 0 || (2 <= self.count && !self.has_others && is_usual)
    }
}

/// The bytes of the separator at a place; 0 if there is none.
fn separator_len(text: &[u8], at: usize) -> usize {
    match text.get(at..).unwrap_or_default() {
        [b' ' | b'-' | b'.' | b'\t', ..] => 1,
        // No-break space, soft hyphen.
        [0xc2, 0xa0 | 0xad, ..] => 2,
        // Spaces and dashes of typography, narrow and word-joining ones included.
        [0xe2, 0x80, 0x80..=0x95 | 0xaf, ..]
        | [0xe2, 0x81, 0x9f | 0xa0, ..]
        // Minus, ideographic space, zero-width no-break space.
        | [0xe2, 0x88, 0x92, ..]
        | [0xe3, 0x80, 0x80, ..]
        | [0xef, 0xbb, 0xbf, ..] => 3,
        _ => 0,
    }
}

/// Whether the number stands in a word of hexadecimal digits with a letter among them, as a digest does.
fn is_hexadecimal(text: &[u8], start: usize, end: usize) -> bool {
    let of_words = |byte: &u8| byte.is_ascii_alphanumeric();
    let before = text.get(..start).unwrap_or_default();
    let before = before.iter().rev().take(HEX_LOOK_MAX).take_while(|byte| of_words(byte));
    let after = text.get(end..).unwrap_or_default();
    let after = after.iter().take(HEX_LOOK_MAX).take_while(|byte| of_words(byte));
    let mut around = before.chain(after);
    let mut has_letter = false;
    let is_hex = around.all(|byte| {
        has_letter |= byte.is_ascii_alphabetic();
        byte.is_ascii_hexdigit()
    });
    is_hex && has_letter
}

fn group_end(text: &[u8], start: usize) -> usize {
    let rest = text.get(start..).unwrap_or_default();
    start + rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len())
}

/// Whether the digits at `start` are those behind the point of a number.
fn is_fraction(text: &[u8], start: usize) -> bool {
    let before = text.get(..start).unwrap_or_default();
    matches!(before, [.., digit, b'.'] if digit.is_ascii_digit())
}

/// Whether the number begins like one of an issuer, is as long, and has the right check digit.
fn is_card(digits: &[u8]) -> bool {
    let len = digits.len();
    if !(DIGITS_MIN..=DIGITS_MAX).contains(&len) {
        return false;
    }
    let prefix = digits.iter().take(4).fold(0, |sum: u32, digit| sum * 10 + u32::from(*digit));
    let is_issued = match prefix {
        // American Express.
        3400..=3499 | 3700..=3799 => len == 15,
        // Diners Club.
        3000..=3059 | 3095 | 3600..=3699 | 3800..=3999 => (14..=19).contains(&len),
        // Visa.
        4000..=4999 => matches!(len, 13 | 16 | 19),
        // Mastercard.
        5100..=5599 | 2221..=2720 => len == 16,
        // Maestro.
        5000..=5099 | 5600..=5899 | 6300..=6399 | 6700..=6799 => true,
        // Discover, JCB, Mir, RuPay, UnionPay.
        2200..=2204 | 3528..=3589 | 6000..=6099 | 6200..=6299 | 6440..=6599 | 8100..=8199 => {
            len >= 16
        }
        _ => false,
    };
    is_issued && has_check_digit(digits)
}

/// The algorithm of Luhn.
fn has_check_digit(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(idx, digit)| {
            let digit = u32::from(*digit);
            if idx % 2 == 0 { digit } else { digit * 2 / 10 + digit * 2 % 10 }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let mut places = Vec::new();
        find(text.as_bytes(), |place| places.push(place));
        places.into_iter().map(|place| text.get(place).unwrap()).collect()
    }

    #[test]
    fn numbers_of_issuers_are_found_in_any_usual_form() {
        let cards = [
            "4111111111111111",
            "4111 1111 1111 1111",
            "5555-5555-5555-4444",
            "378282246310005",
            "3782 822463 10005",
            "6011111111111117",
            "30569309025904",
            "3530111333300000",
            "2223003122003222",
            "6759649826438453",
        ];
        for card in cards {
            assert_eq!(found(card), [card]);
            assert_eq!(found(&format!("paid: {card}, thanks")), [card]);
            assert_eq!(found(&format!("order 12 {card} 7")), [card], "among other numbers");
            assert_eq!(found(&format!("id{card}x")), [card]);
            for separator in
                [".", "\u{a0}", "\u{2007}", "\u{2009}", "\u{202f}", "\u{2011}", "\u{2013}"]
            {
                let other = card.replace([' ', '-'], separator);
                assert_eq!(found(&format!("paid: {other}.")), [other.as_str()]);
            }
        }
        assert_eq!(found("4111111111111111,5555555555554444").len(), 2);
    }

    #[test]
    fn a_wrong_digit_a_longer_number_and_other_numbers_are_left() {
        let others = [
            "4111111111111112",
            "41111111111111111111",
            "1767225600000000000",
            "0.4111111111111111",
            "12.4111111111111111",
            "4111  1111 1111 1111",
            "4111111111111111aa",
            "sha256:4111111111111111aa",
            "aa4111111111111111",
            "4111111111.111111",
            "411111.1111111111",
            "41.11.11.11.11.11.11.11",
            "0000000000000000",
            "9999 9999 9999 9995",
            "",
        ];
        for other in others {
            assert!(found(other).is_empty(), "{other}");
        }
    }

    #[test]
    fn each_changed_digit_is_noticed() {
        let card = *b"4012888888881881";
        assert!(found("4012888888881881").len() == 1);
        for idx in 0..card.len() {
            for digit in (b'0'..=b'9').filter(|digit| *digit != card[idx]) {
                let mut other = card;
                other[idx] = digit;
                assert!(found(std::str::from_utf8(&other).unwrap()).is_empty());
            }
        }
    }
}
