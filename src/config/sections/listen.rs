//! The address of a listener of GopherShip itself, or `off`.

use std::fmt;
use std::net::SocketAddr;

use serde::Deserialize;
use serde::Deserializer;
use serde::Serializer;

use crate::component::parse_listen;

/// Writes the address, or `off`.
#[expect(clippy::ref_option, reason = "serde hands the field over by reference")]
pub(super) fn write<S: Serializer>(
    listen: &Option<SocketAddr>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match listen {
        Some(address) => serializer.collect_str(address),
        None => serializer.serialize_str("off"),
    }
}

/// Reads an address, or `off`.
pub(super) fn read<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    struct AddressOrOff;

    impl serde::de::Visitor<'_> for AddressOrOff {
        type Value = Option<SocketAddr>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an address with a port, like 127.0.0.1:9091, or `off`")
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
            if ["off", "false", "no"].contains(&text) {
                return Ok(None);
            }
            let unexpected = serde::de::Unexpected::Str(text);
            parse_listen(text).map(Some).map_err(|_| E::invalid_value(unexpected, &self))
        }
    }

    deserializer.deserialize_str(AddressOrOff)
}

/// Reads an address, `off`, or nothing, which means `off`.
pub(super) fn read_optional<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    #[derive(Deserialize)]
    struct Listen(#[serde(deserialize_with = "read")] Option<SocketAddr>);

    let listen = Option::<Listen>::deserialize(deserializer)?;
    Ok(listen.and_then(|Listen(address)| address))
}
