//! Lists in pages, as X-Road's API gives them.

use causeway_admin::http::{Call, Parameter, Problem};
use serde_json::{Value, json};

/// The most items of a page.
const MOST: usize = 1000;

/// The parameters of a paged list.
pub(super) const PARAMETERS: [Parameter; 4] = [
    Parameter { name: "sort", description: "name of the value to sort by", kind: "string" },
    Parameter { name: "desc", description: "sort descending", kind: "boolean" },
    Parameter { name: "limit", description: "items of a page; 25 if not said", kind: "integer" },
    Parameter { name: "offset", description: "number of the page, from 0", kind: "integer" },
];

/// Sorts a list and takes the page that is asked for; gives the items and `paging_metadata`. An item's
/// value of a sort name is found by `value`; a name that it does not know is refused.
pub(super) fn page<T>(
    call: &Call,
    mut items: Vec<T>,
    value: impl Fn(&T, &str) -> Option<String>,
) -> Result<(Vec<T>, Value), Problem> {
    let number = |name: &str, otherwise: usize| match call.query(name) {
        None | Some("") => Ok(otherwise),
        Some(text) => text.parse().map_err(|_| {
            Problem::bad("invalid_pagination_properties", format!("{name} is not a number"))
        }),
    };
    let (limit, offset) = (number("limit", 25)?.min(MOST), number("offset", 0)?);
    let total = items.len();
    if let Some(sort) = call.query("sort").filter(|sort| !sort.is_empty()) {
        if items.first().is_some_and(|item| value(item, sort).is_none()) {
            return Err(Problem::bad("invalid_sort_properties", "cannot sort by this").about(sort));
        }
        items.sort_by_cached_key(|item| value(item, sort).unwrap_or_default().to_lowercase());
        if call.query("desc") == Some("true") {
            items.reverse();
        }
    }
    let begin = offset.saturating_mul(limit).min(total);
    let page: Vec<T> = items.into_iter().skip(begin).take(limit).collect();
    let metadata =
        json!({ "total_items": total, "items": page.len(), "limit": limit, "offset": offset });
    Ok((page, metadata))
}

/// Whether one of the values has the text in it, in whatever case; no text is in everything.
pub(super) fn matches(query: Option<&str>, values: &[&str]) -> bool {
    let wanted = query.unwrap_or_default().to_lowercase();
    wanted.is_empty() || values.iter().any(|value| value.to_lowercase().contains(&wanted))
}
