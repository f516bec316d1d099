//! Which fields of a record a query asks for, and how a value is shown.

use std::borrow::Cow;

pub use crate::record::Field;

/// A value of a field, as a payload shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown<'a> {
    /// A JSON string.
    Text(&'a str),
    /// A JSON number.
    Number(u64),
    /// `true` or `false`.
    Truth(bool),
}

/// What the types of a record's fields have in common.
pub(crate) trait ShownAs {
    fn shown(&self) -> Option<Shown<'_>>;

    /// Cuts a text to so many characters.
    fn shorten(&mut self, _chars: usize) {}

    fn is_absent(&self) -> bool {
        self.shown().is_none()
    }
}

impl ShownAs for u64 {
    fn shown(&self) -> Option<Shown<'_>> {
        Some(Shown::Number(*self))
    }
}

impl ShownAs for Option<u64> {
    fn shown(&self) -> Option<Shown<'_>> {
        self.map(Shown::Number)
    }
}

impl ShownAs for bool {
    fn shown(&self) -> Option<Shown<'_>> {
        Some(Shown::Truth(*self))
    }
}

impl ShownAs for Option<String> {
    fn shown(&self) -> Option<Shown<'_>> {
        self.as_deref().map(Shown::Text)
    }

    fn shorten(&mut self, chars: usize) {
        let Some(text) = self else { return };
        // No text has more characters than bytes: the usual case costs a comparison.
        if text.len() <= chars {
            return;
        }
        if let Some((end, _)) = text.char_indices().nth(chars) {
            text.truncate(end);
            text.shrink_to_fit();
        }
    }
}

/// A set of fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fields(u64);

impl Fields {
    /// No field.
    pub const NONE: Self = Self(0);

    /// Every field.
    pub fn all() -> Self {
        Field::ALL.iter().fold(Self::NONE, |set, field| set.with(*field))
    }

    /// The set and this field.
    #[must_use]
    pub fn with(self, field: Field) -> Self {
        Self(self.0 | 1 << field as u8)
    }

    /// The set but this field.
    #[must_use]
    pub fn without(self, field: Field) -> Self {
        Self(self.0 & !(1 << field as u8))
    }

    /// Whether the field is in the set.
    pub fn has(self, field: Field) -> bool {
        self.0 & 1 << field as u8 != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The fields, in the payload's order.
    pub fn iter(self) -> impl Iterator<Item = Field> {
        Field::ALL.iter().copied().filter(move |field| self.has(*field))
    }
}

impl FromIterator<Field> for Fields {
    fn from_iter<I: IntoIterator<Item = Field>>(fields: I) -> Self {
        fields.into_iter().fold(Self::NONE, Self::with)
    }
}

/// A name as an error repeats it: not longer than it need be to be recognized.
pub(crate) fn repeated(name: &str) -> Cow<'_, str> {
    const MOST: usize = 80;
    match name.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &name[..end]).into(),
        None => name.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_its_own_place_and_name() {
        assert!(Field::ALL.len() <= 64);
        for field in Field::ALL {
            assert_eq!(Field::of_name(field.name()), Some(*field));
            assert!(Fields::NONE.with(*field).has(*field));
            assert!(!Fields::all().without(*field).has(*field));
        }
        assert_eq!(Field::of_name("id"), None);
        assert_eq!(Fields::all().iter().count(), Field::ALL.len());
    }
}
