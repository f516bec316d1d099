//! The invented records of the provider systems: two families and a lodger.
//!
//! Personal codes have twelve digits as Vietnam's have, with the province 099, which does not
//! exist: nobody real has any of them. Amounts are in dong (VND).

use serde::Serialize;

/// The year for which the portal asks about income.
pub const INCOME_YEAR: u16 = 2025;

/// A person in the population register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Person {
    /// The personal code.
    #[serde(rename = "personalCode")]
    pub code: &'static str,
    /// Given name.
    #[serde(rename = "givenName")]
    pub given_name: &'static str,
    /// Family name.
    #[serde(rename = "familyName")]
    pub family_name: &'static str,
    /// Date of birth, ISO 8601.
    #[serde(rename = "dateOfBirth")]
    pub born: &'static str,
    /// Place of residence.
    pub residence: &'static str,
    /// Personal codes of the parents.
    #[serde(skip)]
    pub parents: &'static [&'static str],
}

/// A person's income of a year, as the tax authority knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Income {
    /// The personal code.
    #[serde(rename = "personalCode")]
    pub person: &'static str,
    /// The year.
    pub year: u16,
    /// From employment, in dong.
    pub employment: u64,
    /// From own business, in dong.
    pub business: u64,
}

/// The child of the story.
pub const CHILD: &str = "099321000417";

/// A child whose parents earn too much for a benefit.
pub const OTHER_CHILD: &str = "099219000284";

/// Everybody in the population register.
pub const PERSONS: &[Person] = &[
    Person {
        code: CHILD,
        given_name: "Minh Anh",
        family_name: "Nguyễn",
        born: "2021-03-14",
        residence: "12 Lotus Street, Northbridge",
        parents: &["099191000233", "099089000152"],
    },
    Person {
        code: "099191000233",
        given_name: "Thu Hà",
        family_name: "Trần",
        born: "1991-08-02",
        residence: "12 Lotus Street, Northbridge",
        parents: &[],
    },
    Person {
        code: "099089000152",
        given_name: "Đức Long",
        family_name: "Nguyễn",
        born: "1989-11-23",
        residence: "12 Lotus Street, Northbridge",
        parents: &[],
    },
    Person {
        code: OTHER_CHILD,
        given_name: "Elias",
        family_name: "Lind",
        born: "2019-06-30",
        residence: "3 Birch Lane, Southport",
        parents: &["099190000318", "099088000467"],
    },
    Person {
        code: "099190000318",
        given_name: "Maja",
        family_name: "Lind",
        born: "1990-01-17",
        residence: "3 Birch Lane, Southport",
        parents: &[],
    },
    Person {
        code: "099088000467",
        given_name: "Oskar",
        family_name: "Lind",
        born: "1988-04-05",
        residence: "3 Birch Lane, Southport",
        parents: &[],
    },
    Person {
        code: "099062000591",
        given_name: "Văn Bình",
        family_name: "Lê",
        born: "1962-12-09",
        residence: "3 Birch Lane, Southport",
        parents: &[],
    },
];

/// What the tax authority knows.
pub const INCOMES: &[Income] = &[
    Income { person: "099191000233", year: 2025, employment: 168_000_000, business: 0 },
    Income { person: "099089000152", year: 2025, employment: 96_000_000, business: 45_500_000 },
    Income { person: "099190000318", year: 2025, employment: 540_000_000, business: 0 },
    Income { person: "099088000467", year: 2025, employment: 610_000_000, business: 12_000_000 },
    Income { person: "099062000591", year: 2025, employment: 0, business: 71_000_000 },
    Income { person: "099191000233", year: 2024, employment: 151_200_000, business: 0 },
    Income { person: "099089000152", year: 2024, employment: 93_000_000, business: 38_000_000 },
];

/// Finds a person.
pub fn person(code: &str) -> Option<&'static Person> {
    PERSONS.iter().find(|person| person.code == code)
}

/// Finds a person's income of a year.
pub fn income(person: &str, year: u16) -> Option<&'static Income> {
    INCOMES.iter().find(|income| income.person == person && income.year == year)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn records_fit_together() {
        for p in PERSONS {
            assert!(p.code.len() == 12 && p.code.starts_with("099"), "{}", p.code);
            // The fourth digit tells century and sex, the next two the year of birth.
            assert_eq!(&p.code[4..6], &p.born[2..4], "{}", p.code);
            assert_eq!(p.code.as_bytes()[3] >= b'2', p.born.starts_with("20"), "{}", p.code);
            for parent in p.parents {
                assert!(person(parent).is_some());
                assert!(income(parent, INCOME_YEAR).is_some());
            }
        }
        assert_eq!(person(CHILD).unwrap().parents.len(), 2);
    }
}
