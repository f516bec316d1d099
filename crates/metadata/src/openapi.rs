//! OpenAPI 3.0 and 3.1, as YAML or JSON: the endpoints that a document describes (X-Road
//! `OpenApiParser`), and the document as consumers get it (`getOpenAPI`: `Openapi3Anonymiser`).
//!
//! References to other documents are not followed. YAML aliases are, each to the one node that it
//! names, so that nothing is expanded; merge keys (`<<`) are not part of OpenAPI and are not.

mod hide;
mod json;
mod tree;
mod yaml;

use std::collections::HashSet;

use crate::description::{DescriptionError, Endpoint, MAX_DESCRIPTION_BYTES};
use tree::{Node, Tree};

pub use hide::hide_servers;

/// The most endpoints of one description.
const MAX_ENDPOINTS: usize = 10_000;
/// The longest path of an endpoint, in bytes; also the longest server address.
const MAX_PATH: usize = 2048;
/// The most warnings that are told.
const MAX_WARNINGS: usize = 50;
/// The operations of a path item (OpenAPI 4.8.9), as keys.
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// How a description is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

impl Format {
    /// The media type for it, where the provider tells none.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
        }
    }
}

/// What an OpenAPI description describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenApi {
    /// The version of OpenAPI, such as `3.0.3`.
    pub version: String,
    /// The title of the API.
    pub title: Option<String>,
    /// The version of the API.
    pub api_version: Option<String>,
    /// The addresses of its servers, as written: absolute, relative to the document, or with variables.
    pub servers: Vec<String>,
    /// The endpoints, in the document's order, each once.
    pub endpoints: Vec<Endpoint>,
    /// What is doubtful, each in a sentence.
    pub warnings: Vec<String>,
    /// How it is written.
    pub format: Format,
}

impl OpenApi {
    /// Reads a description.
    ///
    /// # Errors
    /// What is neither YAML nor JSON or no OpenAPI; versions other than 3.0 and 3.1; what exceeds
    /// the bounds: 10 MiB, 128 levels, 500,000 nodes, 10,000 endpoints.
    pub fn read(bytes: &[u8]) -> Result<Self, DescriptionError> {
        let (tree, format, _) = parse(bytes)?;
        let root = tree.root();
        if !root.is_mapping() {
            return Err(DescriptionError::NotOpenApi("it is not a table of keys and values"));
        }
        let version = version(root)?;
        let mut warnings = Warnings::default();
        let info = root.get("info");
        let of_info = |key: &str| info.and_then(|i| i.get(key)).and_then(Node::text).map(short);
        let (title, api_version) = (of_info("title"), of_info("version"));
        for (key, value) in [("title", &title), ("version", &api_version)] {
            if value.is_none() {
                warnings.add(format!("info.{key} is missing"));
            }
        }
        let servers =
            root.get("servers").map(|s| s.items().collect::<Vec<_>>()).unwrap_or_default();
        let servers = servers
            .into_iter()
            .filter_map(|server| server.get("url").and_then(Node::string))
            .filter(|url| url.len() <= MAX_PATH)
            .take(100)
            .map(str::to_owned)
            .collect();
        let endpoints = match root.get("paths") {
            Some(paths) => endpoints(paths, &mut warnings)?,
            None => {
                warnings.add("paths is missing, so there are no endpoints".to_owned());
                Vec::new()
            }
        };
        Ok(Self { version, title, api_version, servers, endpoints, warnings: warnings.0, format })
    }

    /// The address of the first server, as written; it is what X-Road calls.
    pub fn base(&self) -> Option<&str> {
        self.servers.first().map(String::as_str)
    }
}

/// Parses a document: its tree, its format, and the length of its byte order mark.
fn parse(bytes: &[u8]) -> Result<(Tree, Format, usize), DescriptionError> {
    if bytes.len() > MAX_DESCRIPTION_BYTES {
        return Err(DescriptionError::TooLong);
    }
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let before = &bytes[..e.valid_up_to()];
        let line = before.iter().filter(|b| **b == b'\n').count() + 1;
        DescriptionError::Syntax { text: "it is not UTF-8".to_owned(), line }
    })?;
    let plain = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mark = text.len() - plain.len();
    if plain.trim_start().starts_with('{') {
        // A YAML flow mapping begins like JSON.
        return match json::parse(plain) {
            Ok(tree) => Ok((tree, Format::Json, mark)),
            Err(error @ DescriptionError::Syntax { .. }) => match yaml::parse(plain) {
                Ok(tree) => Ok((tree, Format::Yaml, mark)),
                Err(_) => Err(error),
            },
            Err(error) => Err(error),
        };
    }
    Ok((yaml::parse(plain)?, Format::Yaml, mark))
}

/// The version, when it is one that is read here: 3.0 and 3.1 with any patch level. X-Road 7.8 takes
/// of 3.1 only 3.1.0; the patch levels since then only clarify.
fn version(root: Node<'_>) -> Result<String, DescriptionError> {
    let Some(version) = root.get("openapi") else {
        return Err(match root.get("swagger").and_then(Node::text) {
            Some(version) => DescriptionError::Version(format!("{} (Swagger)", short(version))),
            None => DescriptionError::NotOpenApi("it has no key 'openapi' with a version"),
        });
    };
    let text = version.text().unwrap_or_default();
    let supported = ["3.0", "3.1"].iter().any(|minor| {
        text.strip_prefix(minor).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    });
    if supported { Ok(short(text)) } else { Err(DescriptionError::Version(short(text))) }
}

fn endpoints(paths: Node<'_>, warnings: &mut Warnings) -> Result<Vec<Endpoint>, DescriptionError> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    for (key, item) in paths.entries() {
        let Some(path) = key.text().filter(|path| !path.starts_with("x-")) else { continue };
        if !path.starts_with('/') || path.len() > MAX_PATH {
            let why = if path.len() > MAX_PATH { "is too long" } else { "does not begin with '/'" };
            warnings.add(format!("the path '{}' {why} and is left out", short(path)));
            continue;
        }
        if item.get("$ref").is_some() || item.get("<<").is_some() {
            warnings.add(format!(
                "the path '{}' refers to another place, which is not read; add its endpoints by hand",
                short(path)
            ));
        }
        let path = without_parameters(path);
        for (key, operation) in item.entries() {
            let Some(method) = key.text().filter(|method| METHODS.contains(method)) else {
                continue;
            };
            if !operation.is_mapping() {
                warnings.add(format!(
                    "{method} of '{}' describes nothing and is left out",
                    short(&path)
                ));
                continue;
            }
            let endpoint = Endpoint { method: method.to_ascii_uppercase(), path: path.clone() };
            if !seen.insert(endpoint.clone()) {
                warnings.add(format!("{endpoint} is there more than once"));
            } else if found.len() == MAX_ENDPOINTS {
                return Err(DescriptionError::TooMuch("endpoints", MAX_ENDPOINTS));
            } else {
                found.push(endpoint);
            }
        }
    }
    Ok(found)
}

/// A path with `*` in place of each parameter, as X-Road writes it: from a `{` to the last `}`
/// of the same segment.
fn without_parameters(path: &str) -> String {
    let segments = path.split('/').map(|segment| match (segment.find('{'), segment.rfind('}')) {
        (Some(open), Some(close)) if open < close => {
            format!("{}*{}", &segment[..open], &segment[close + 1..])
        }
        _ => segment.to_owned(),
    });
    segments.collect::<Vec<_>>().join("/")
}

/// Collects warnings, as many as somebody might read.
#[derive(Default)]
struct Warnings(Vec<String>);

impl Warnings {
    fn add(&mut self, warning: String) {
        match self.0.len() {
            few if few < MAX_WARNINGS => self.0.push(warning),
            MAX_WARNINGS => self.0.push("there is more that is doubtful".to_owned()),
            _ => {}
        }
    }
}

/// At most 200 characters, on one line.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::without_parameters;

    #[test]
    fn parameters_become_asterisks() {
        for (path, expected) in [
            ("/pets/{id}", "/pets/*"),
            ("/{a}/x/{b}", "/*/x/*"),
            ("/{a}-{b}/c", "/*/c"),
            ("/file.{format}", "/file.*"),
            ("/{a}:check", "/*:check"),
            ("/}{", "/}{"),
            ("/{a/b}", "/{a/b}"),
            ("/{}", "/*"),
            ("/", "/"),
        ] {
            assert_eq!(without_parameters(path), expected);
        }
    }
}
