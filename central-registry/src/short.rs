//! Identifiers in JSON: their short form, `INSTANCE/CLASS/CODE/…`.

use causeway_identifiers::{ClientId, IdentifierError, MemberId, SecurityServerId};
use serde::{Deserialize as _, Deserializer, Serializer};

pub(crate) trait Short: Sized {
    fn write(&self) -> String;
    fn read(text: &str) -> Result<Self, IdentifierError>;
}

macro_rules! short {
    ($($type:ty),*) => {$(
        impl Short for $type {
            fn write(&self) -> String {
                self.to_short()
            }
            fn read(text: &str) -> Result<Self, IdentifierError> {
                Self::parse(text)
            }
        }
    )*};
}
short!(MemberId, ClientId, SecurityServerId);

pub(crate) fn serialize<T: Short, S: Serializer>(id: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&id.write())
}

pub(crate) fn deserialize<'de, T: Short, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    T::read(&text).map_err(serde::de::Error::custom)
}

/// The same for an identifier that may be absent.
pub(crate) mod optional {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::Short;

    pub(crate) fn serialize<T: Short, S: Serializer>(
        id: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match id {
            Some(id) => serializer.serialize_some(&id.write()),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, T: Short, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| T::read(&text).map_err(serde::de::Error::custom)).transpose()
    }
}
