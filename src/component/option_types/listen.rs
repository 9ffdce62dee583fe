//! The option `listen`: the address and port of a socket.

use std::borrow::Cow;
use std::net::AddrParseError;
use std::net::Ipv4Addr;
use std::net::SocketAddr;

use serde::Deserialize;
use serde::Deserializer;
use serde::de::Error as _;

/// Reads an IP address with a port. The name `localhost` stands for 127.0.0.1; no other name is looked
/// up, as it could have several addresses, or another one tomorrow.
///
/// # Errors
///
/// When the text is neither.
pub fn parse_listen(text: &str) -> Result<SocketAddr, AddrParseError> {
    match text.strip_prefix("localhost:").and_then(|port| port.parse().ok()) {
        Some(port) => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        None => text.parse(),
    }
}

/// Deserializes a field as [`parse_listen`] reads it.
///
/// # Errors
///
/// When it is no such text.
pub fn read_listen<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    parse_listen(&Cow::<str>::deserialize(deserializer)?).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn localhost_is_an_address_and_no_other_name_is() {
        for (text, address) in [
            ("localhost:4317", Some("127.0.0.1:4317")),
            ("0.0.0.0:4317", Some("0.0.0.0:4317")),
            ("[::1]:4317", Some("[::1]:4317")),
            ("localhost", None),
            ("localhost:65536", None),
            ("collector:4317", None),
            (":4317", None),
        ] {
            let parsed = parse_listen(text).ok().map(|address| address.to_string());
            assert_eq!(parsed.as_deref(), address, "{text}");
        }
    }
}
