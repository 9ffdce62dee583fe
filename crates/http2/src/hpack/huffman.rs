//! The Huffman code of HPACK: a table of states that takes four bits a step.
//!
//! The code is a binary tree with 256 inner nodes. A state is an inner node; a step follows four edges, and
//! passes at most one leaf, because the shortest code has five bits.
//!
//! Source: RFC 7541, section 5.2.

use super::huffman_lengths::END;
use super::huffman_lengths::LENGTHS;

const NODES: usize = 256;
const BITS_MAX: u8 = 30;
/// A child that is a leaf has the number of its symbol plus this.
const LEAF: u16 = 1 << 10;
/// At the end of a string up to seven bits may be left, all of them 1.
const PADDING_BITS_MAX: usize = 7;

/// What four bits lead to.
#[derive(Clone, Copy)]
struct Step {
    next: u8,
    symbol: u8,
    outcome: Outcome,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Goes,
    Emits,
    /// The code for the end is in the middle of the string.
    Fails,
}

type Tree = [[u16; 2]; NODES];

static STEPS: [[Step; 16]; NODES] = steps(&tree());
static MAY_END: [bool; NODES] = endings(&tree());

/// Appends the decoded string, or says that the code is wrong.
pub(super) fn decode(coded: &[u8], decoded: &mut Vec<u8>) -> Result<(), InvalidCode> {
    decoded.reserve(coded.len() + coded.len() / 2);
    let mut node = 0;
    for byte in coded {
        for bits in [byte >> 4, byte & 15] {
            let step = STEPS[usize::from(node)][usize::from(bits)];
            match step.outcome {
                Outcome::Goes => {}
                Outcome::Emits => decoded.push(step.symbol),
                Outcome::Fails => return Err(InvalidCode),
            }
            node = step.next;
        }
    }
    if MAY_END[usize::from(node)] { Ok(()) } else { Err(InvalidCode) }
}

/// A string is not in the Huffman code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InvalidCode;

/// Makes the tree: codes of one length follow each other in the order of their symbols.
const fn tree() -> Tree {
    let mut tree = [[0; 2]; NODES];
    let mut nodes = 1;
    let mut code: u32 = 0;
    let mut bits: u8 = 1;
    while bits <= BITS_MAX {
        let mut symbol = 0;
        while symbol < LENGTHS.len() {
            if LENGTHS[symbol] == bits {
                let mut node = 0;
                let mut left = bits;
                while 1 < left {
                    left -= 1;
                    let edge = (code >> left & 1) as usize;
                    if tree[node][edge] == 0 {
                        tree[node][edge] = nodes;
                        nodes += 1;
                    }
                    node = tree[node][edge] as usize;
                }
                #[expect(clippy::cast_possible_truncation, reason = "at most 256")]
                let leaf = symbol as u16 + LEAF;
                tree[node][(code & 1) as usize] = leaf;
                code += 1;
            }
            symbol += 1;
        }
        code <<= 1;
        bits += 1;
    }
    tree
}

const fn steps(tree: &Tree) -> [[Step; 16]; NODES] {
    let mut steps = [[Step { next: 0, symbol: 0, outcome: Outcome::Goes }; 16]; NODES];
    let mut from = 0;
    while from < NODES {
        let mut bits = 0;
        while bits < 16 {
            steps[from][bits] = step(tree, from, bits);
            bits += 1;
        }
        from += 1;
    }
    steps
}

#[expect(clippy::cast_possible_truncation, reason = "nodes and symbols are below 256")]
const fn step(tree: &Tree, from: usize, bits: usize) -> Step {
    let mut step = Step { next: 0, symbol: 0, outcome: Outcome::Goes };
    let mut node = from;
    let mut left = 4;
    while 0 < left {
        left -= 1;
        let child = tree[node][bits >> left & 1];
        if child < LEAF {
            node = child as usize;
        } else if child - LEAF == END as u16 {
            step.outcome = Outcome::Fails;
            return step;
        } else {
            step.symbol = (child - LEAF) as u8;
            step.outcome = Outcome::Emits;
            node = 0;
        }
    }
    step.next = node as u8;
    step
}

/// The root, and what up to seven bits of 1 lead to from there.
const fn endings(tree: &Tree) -> [bool; NODES] {
    let mut endings = [false; NODES];
    let mut node = 0;
    let mut bits = 0;
    while bits <= PADDING_BITS_MAX {
        endings[node] = true;
        node = tree[node][1] as usize;
        bits += 1;
    }
    endings
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Encodes as the standard says, bit by bit.
    fn encode(text: &[u8]) -> Vec<u8> {
        let mut codes = [0_u32; 257];
        let mut code = 0_u32;
        for bits in 1..=BITS_MAX {
            for symbol in (0..257).filter(|symbol| LENGTHS[*symbol] == bits) {
                codes[symbol] = code;
                code += 1;
            }
            code <<= 1;
        }
        let (mut text_bits, mut held, mut held_bits) = (Vec::new(), 0_u64, 0);
        for byte in text {
            held = held << LENGTHS[usize::from(*byte)] | u64::from(codes[usize::from(*byte)]);
            held_bits += LENGTHS[usize::from(*byte)];
            while 8 <= held_bits {
                held_bits -= 8;
                text_bits.push(u8::try_from(held >> held_bits & 0xff).unwrap());
            }
        }
        if 0 < held_bits {
            let padded = held << (8 - held_bits) | (0xff >> held_bits);
            text_bits.push(u8::try_from(padded & 0xff).unwrap());
        }
        text_bits
    }

    fn decoded(coded: &[u8]) -> Result<Vec<u8>, InvalidCode> {
        let mut text = Vec::new();
        decode(coded, &mut text).map(|()| text)
    }

    #[test]
    fn every_byte_comes_back() {
        for byte in 0..=u8::MAX {
            for text in [vec![byte], vec![byte; 9], vec![b'a', byte, b'~']] {
                assert_eq!(decoded(&encode(&text)).as_deref(), Ok(&text[..]));
            }
        }
    }

    #[test]
    fn the_examples_of_the_standard_are_read() {
        let coded = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        assert_eq!(decoded(&coded).as_deref(), Ok(&b"www.example.com"[..]));
        assert_eq!(decoded(&[0x64, 0x02]).as_deref(), Ok(&b"302"[..]));
    }

    #[test]
    fn wrong_padding_and_the_end_inside_a_string_are_refused() {
        assert_eq!(decoded(&[0x1f]), Ok(b"a".to_vec()), "three bits of 1");
        assert_eq!(decoded(&[0x18]), Err(InvalidCode), "padding of 0");
        assert_eq!(decoded(&[0x1f, 0xff]), Err(InvalidCode), "eleven bits of 1");
        assert_eq!(decoded(&[0xff]), Err(InvalidCode), "eight bits of 1");
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xfc, 0x1f]), Err(InvalidCode), "the end");
        assert_eq!(decoded(&[]), Ok(Vec::new()));
    }
}
