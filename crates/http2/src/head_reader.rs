//! From header blocks to heads, with the last heads remembered: a client sends the same one again and again.

use std::sync::Arc;

use crate::head::BadHead;
use crate::head::HeadBuilder;
use crate::head::HeadLimits;
use crate::head::HeaderBlockKind;
use crate::head::RequestHead;
use crate::hpack::DecodeError;
use crate::hpack::Decoder;

/// One for each method that a client calls, and some.
const KNOWN_LEN_MAX: usize = 4;
/// A block that says more in full is not worth remembering.
const KNOWN_BLOCK_BYTES_MAX: usize = 512;
/// Nor is a head that is much longer than those of our senders.
const KNOWN_HEAD_BYTES_MAX: usize = 2 << 10;

/// Reads the header blocks of one connection.
#[derive(Debug)]
pub(crate) struct HeadReader {
    decoder: Decoder,
    builder: HeadBuilder,
    limits: HeadLimits,
    known: Vec<Known>,
    /// Which one is replaced next.
    oldest: usize,
}

/// A block, and what it means as long as the dynamic table does not change.
#[derive(Debug)]
struct Known {
    block: Vec<u8>,
    changes: u64,
    head: Arc<RequestHead>,
}

/// What a header block says.
#[derive(Debug)]
pub(crate) struct Head {
    /// `None` for trailers.
    pub(crate) head: Result<Option<Arc<RequestHead>>, BadHead>,
    pub(crate) is_known: bool,
}

impl HeadReader {
    pub(crate) fn new(table_bytes: usize, limits: HeadLimits) -> Self {
        Self {
            decoder: Decoder::new(table_bytes),
            builder: HeadBuilder::default(),
            limits,
            known: Vec::new(),
            oldest: 0,
        }
    }

    /// Changes what we allow the dynamic table to have.
    pub(crate) const fn allow(&mut self, table_bytes: usize) {
        self.decoder.allow(table_bytes);
    }

    /// Reads the head of a request or trailers.
    pub(crate) fn read(
        &mut self,
        block: &[u8],
        role: HeaderBlockKind,
    ) -> Result<Head, DecodeError> {
        let before = self.decoder.changes();
        if role == HeaderBlockKind::Request {
            let known =
                self.known.iter().find(|known| known.changes == before && known.block == block);
            if let Some(known) = known {
                return Ok(Head { head: Ok(Some(Arc::clone(&known.head))), is_known: true });
            }
        }
        self.builder.clear();
        let (builder, limits) = (&mut self.builder, self.limits);
        self.decoder.decode(block, |name, value| builder.push(name, value, role, limits))?;
        let head = self.builder.finish(role, limits);
        if let Ok(Some(head)) = &head
            && self.decoder.changes() == before
            && block.len() <= KNOWN_BLOCK_BYTES_MAX
            && head.bytes() <= KNOWN_HEAD_BYTES_MAX
        {
            self.remember(block, Arc::clone(head));
        }
        Ok(Head { head, is_known: false })
    }

    fn remember(&mut self, block: &[u8], head: Arc<RequestHead>) {
        let changes = self.decoder.changes();
        if self.known.len() < KNOWN_LEN_MAX {
            self.known.push(Known { block: block.to_vec(), changes, head });
            return;
        }
        let oldest = &mut self.known[self.oldest];
        oldest.block.clear();
        oldest.block.extend_from_slice(block);
        (oldest.changes, oldest.head) = (changes, head);
        self.oldest = (self.oldest + 1) % KNOWN_LEN_MAX;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hpack::HeaderBlock;

    const LIMITS: HeadLimits = HeadLimits { list_bytes: 400, fields: 8 };

    /// A block of these fields, nothing of it in a table.
    fn block(fields: &[(&str, &str)]) -> Vec<u8> {
        let mut block = Vec::new();
        for (name, value) in fields {
            block.push(0);
            for text in [name, value] {
                block.push(u8::try_from(text.len()).unwrap());
                block.extend_from_slice(text.as_bytes());
            }
        }
        block
    }

    const POST: [(&str, &str); 3] = [(":method", "POST"), (":scheme", "http"), (":path", "/a")];

    fn read(
        fields: &[(&str, &str)],
        role: HeaderBlockKind,
    ) -> Result<Option<Arc<RequestHead>>, BadHead> {
        HeadReader::new(4096, LIMITS).read(&block(fields), role).unwrap().head
    }

    fn with(more: &[(&str, &str)]) -> Result<Option<Arc<RequestHead>>, BadHead> {
        read(&[&POST, more].concat(), HeaderBlockKind::Request)
    }

    #[test]
    fn a_request_has_its_fields_in_order() {
        let more = [("te", "trailers"), ("content-length", "7"), ("x", "1"), ("x", "\u{e9} \t2")];
        let head = with(&more).unwrap().unwrap();
        assert_eq!((head.method(), head.path(), head.scheme()), ("POST", "/a", "http"));
        assert_eq!((head.authority(), head.content_length()), ("", Some(7)));
        assert_eq!(head.get("x"), Some(&b"1"[..]));
        assert_eq!(head.get("y"), None);
        assert_eq!(head.fields().last(), Some((&b"x"[..], "\u{e9} \t2".as_bytes())));
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for more in [
            [("Upper", "1")],
            [("", "1")],
            [("a b", "1")],
            [("a:b", "1")],
            [(":method", "POST")],
            [(":status", "200")],
            [(":unknown", "1")],
            [("connection", "close")],
            [("keep-alive", "1")],
            [("proxy-connection", "1")],
            [("transfer-encoding", "chunked")],
            [("upgrade", "h2c")],
            [("te", "gzip")],
            [("content-length", "a")],
            [("content-length", "")],
            [("x", " v")],
            [("x", "v\t")],
            [("x", "a\rb")],
            [("x", "a\nb")],
            [("x", "a\0b")],
            [("x", "\u{7f}")],
        ] {
            assert_eq!(with(&more), Err(BadHead::Malformed), "{more:?}");
        }
        assert_eq!(
            with(&[("content-length", "1"), ("content-length", "2")]),
            Err(BadHead::Malformed)
        );
        assert!(with(&[("content-length", "1"), ("content-length", "1")]).is_ok());
        let late = [("x", "1"), (":authority", "a")];
        assert_eq!(with(&late), Err(BadHead::Malformed), "a pseudo-header behind a field");
    }

    #[test]
    fn a_request_needs_its_pseudo_headers() {
        for missing in 0..3 {
            let fields: Vec<_> =
                (0..3).filter(|idx| *idx != missing).map(|idx| POST[idx]).collect();
            assert_eq!(
                read(&fields, HeaderBlockKind::Request),
                Err(BadHead::Malformed),
                "{fields:?}"
            );
        }
        let of = |method, path| {
            let fields = [(":method", method), (":scheme", "http"), (":path", path)];
            read(&fields, HeaderBlockKind::Request).is_ok()
        };
        assert!(!of("GET", "") && !of("GET", "a") && !of("GET", "*") && !of("", "/"));
        assert!(of("OPTIONS", "*") && of("GET", "/a?b"));
        let connect = [(":method", "CONNECT"), (":authority", "a:1")];
        assert!(read(&connect, HeaderBlockKind::Request).is_ok());
        assert!(
            read(&[&connect[..], &[(":path", "/")]].concat(), HeaderBlockKind::Request).is_err()
        );
    }

    #[test]
    fn trailers_have_no_pseudo_headers() {
        assert_eq!(read(&[("x", "1")], HeaderBlockKind::Trailers), Ok(None));
        assert_eq!(read(&[(":path", "/")], HeaderBlockKind::Trailers), Err(BadHead::Malformed));
        assert_eq!(read(&[("X", "1")], HeaderBlockKind::Trailers), Err(BadHead::Malformed));
    }

    #[test]
    fn a_head_above_the_limits_is_too_large() {
        let long = "v".repeat(120);
        assert_eq!(with(&[("x", &long), ("y", &long)]), Err(BadHead::TooLarge));
        assert!(with(&[("x", "v"); 5]).is_ok());
        assert_eq!(with(&[("x", "v"); 6]), Err(BadHead::TooLarge), "nine fields");
    }

    #[test]
    fn an_equal_block_is_known_until_the_table_changes() {
        let mut reader = HeadReader::new(4096, LIMITS);
        let mut head = HeaderBlock::of_trailers();
        head.push("user-agent", b"test").unwrap();
        // POST, http, and the path as a new entry of the dynamic table.
        let adding = [0x83, 0x86, 0x44, 2, b'/', b'a'];
        let indexed = [0x83, 0x86, 0xbe];
        let mut read = |block: &[u8]| {
            let read = reader.read(block, HeaderBlockKind::Request).unwrap();
            (read.is_known, read.head.unwrap().unwrap())
        };
        assert!(!read(&adding).0 && !read(&adding).0, "a block that adds an entry is never known");
        let (is_known, first) = read(&indexed);
        assert!(!is_known);
        let (is_known, second) = read(&indexed);
        assert!(is_known && Arc::ptr_eq(&first, &second));
        read(&[0x83, 0x86, 0x44, 2, b'/', b'b']);
        let (is_known, third) = read(&indexed);
        assert!(!is_known && third.path() == "/b", "the same bytes mean something else now");
        assert_eq!(first.path(), "/a");
    }
}
