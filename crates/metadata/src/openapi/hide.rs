//! An OpenAPI description as consumers get it: without the addresses of the information systems.

use std::collections::BTreeMap;

use super::tree::{Node, Tree};
use super::{METHODS, parse, short};
use crate::description::DescriptionError;

/// Replaces the address of every server by its path, as X-Road does: `https://10.0.0.5/api/v1`
/// becomes `/api/v1`. Addresses with variables (`{…}`) stay, and so do all other bytes.
///
/// X-Road looks at the servers of the document only, and writes the whole document anew; here those
/// of paths and operations are hidden too, since they tell the same.
///
/// # Errors
/// What is neither YAML nor JSON, is of a version other than 3, or has an address that is no URL.
pub fn hide_servers(bytes: &[u8]) -> Result<Vec<u8>, DescriptionError> {
    let (tree, format, mark) = parse(bytes)?;
    let root = tree.root();
    if let Some(version) = root.get("openapi") {
        let version = version.text().unwrap_or_default();
        if !version.starts_with("3.") {
            return Err(DescriptionError::Version(short(version)));
        }
    }
    let mut texts = BTreeMap::new();
    for url in addresses(root) {
        let Some(text) = url.string() else { continue };
        if text.contains('{') && text.contains('}') {
            continue;
        }
        let path = path_of(text.trim())
            .ok_or_else(|| DescriptionError::CannotHide(format!("'{}' is no URL", short(text))))?;
        if path != text {
            texts.insert(url.number(), path.to_owned());
        }
    }
    let texts: Vec<(usize, String)> = texts.into_iter().collect();
    let out = replaced(bytes, mark, &tree, &texts);
    // Read again: what the edit broke must not leave the house.
    match parse(&out) {
        Ok((hidden, same, _)) if same == format && tree.is_but_for(&hidden, &texts) => Ok(out),
        _ => Err(DescriptionError::CannotHide(
            "write each server's url as a plain or quoted text on one line".to_owned(),
        )),
    }
}

/// The addresses of all servers: of the document, its paths and its operations.
fn addresses(root: Node<'_>) -> Vec<Node<'_>> {
    let mut found = Vec::new();
    let mut holders = vec![root];
    let components = root.all("components").flat_map(|c| c.all("pathItems").collect::<Vec<_>>());
    for paths in root.all("paths").chain(components) {
        for (_, item) in paths.entries() {
            holders.push(item);
            let is_method = |key: &Node<'_>| key.text().is_some_and(|k| METHODS.contains(&k));
            holders.extend(item.entries().filter(|(key, _)| is_method(key)).map(|(_, o)| o));
        }
    }
    for holder in holders {
        for server in holder.all("servers").flat_map(Node::items) {
            found.extend(server.all("url"));
        }
    }
    found
}

/// The document with some scalars written anew.
fn replaced(bytes: &[u8], mark: usize, tree: &Tree, texts: &[(usize, String)]) -> Vec<u8> {
    let mut edits: Vec<(std::ops::Range<usize>, &str)> =
        texts.iter().map(|(number, text)| (tree.node(*number).span(), text.as_str())).collect();
    edits.sort_by_key(|(span, _)| span.start);
    let mut out = Vec::with_capacity(bytes.len());
    let mut copied = 0;
    for (span, text) in edits {
        let (start, end) = (span.start + mark, span.end + mark);
        let old = bytes.get(start..end).unwrap_or_default();
        out.extend_from_slice(bytes.get(copied..start).unwrap_or_default());
        // A quoted JSON string is one in YAML too.
        out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
        // A block scalar reaches to the end of its last line.
        let kept = old.iter().rev().take_while(|b| b.is_ascii_whitespace()).count();
        copied = end - kept;
    }
    out.extend_from_slice(bytes.get(copied..).unwrap_or_default());
    out
}

/// The path of a URL or relative reference (RFC 3986 3.3); `None` when it has a character that no
/// URL has.
fn path_of(url: &str) -> Option<&str> {
    let illegal = |c: char| {
        c.is_whitespace()
            || c.is_control()
            || matches!(c, '<' | '>' | '"' | '\\' | '^' | '`' | '{' | '|' | '}')
    };
    if url.contains(illegal) {
        return None;
    }
    let scheme = url.split_once(':').filter(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
    });
    let rest = scheme.map_or(url, |(_, rest)| rest);
    let end = |text: &str, stops: &[char]| text.find(stops).unwrap_or(text.len());
    let path = match rest.strip_prefix("//") {
        Some(authority) => &authority[end(authority, &['/', '?', '#'])..],
        // Without an authority, what a scheme has is no path but an address of another kind.
        None if scheme.is_some() && !rest.starts_with('/') => "",
        None => rest,
    };
    Some(&path[..end(path, &['?', '#'])])
}

#[cfg(test)]
mod tests {
    use super::path_of;

    #[test]
    fn the_path_of_an_address() {
        for (url, expected) in [
            ("http://petstore.swagger.io/v1/cats", Some("/v1/cats")),
            ("https://user@10.0.0.5:8443", Some("")),
            ("https://10.0.0.5/a/b?x=1#y", Some("/a/b")),
            ("https://10.0.0.5?x=/1", Some("")),
            ("//10.0.0.5/a", Some("/a")),
            ("/api", Some("/api")),
            ("api/v1", Some("api/v1")),
            ("", Some("")),
            ("mailto:x@y", Some("")),
            ("http://a b/", None),
            ("http://a/{", None),
        ] {
            assert_eq!(path_of(url), expected, "{url}");
        }
    }
}
