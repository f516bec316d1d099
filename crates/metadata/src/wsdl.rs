//! WSDL 1.1: the SOAP services that a document describes (X-Road `WsdlParser`), and the document as
//! consumers get it (`getWsdl`: `OverwriteAttributeFilter`).
//!
//! Documents that a WSDL imports are not fetched, and need not be for this: services, ports and
//! bindings must be in the document itself.

mod hide;

use std::collections::{HashMap, HashSet};

use causeway_identifiers::{MAX_PART_BYTES, has_illegal_characters};
use causeway_xml::{Document, Element, Limits};

use crate::description::{DescriptionError, MAX_DESCRIPTION_BYTES};

pub use hide::{HIDDEN_ADDRESS, hide_addresses};

/// The most services of one document.
const MAX_OPERATIONS: usize = 10_000;
/// Namespace of WSDL 1.1.
const WSDL_NS: &str = "http://schemas.xmlsoap.org/wsdl/";
/// Namespace of the binding to SOAP 1.1.
const SOAP_NS: &str = "http://schemas.xmlsoap.org/wsdl/soap/";
/// Namespace of the binding to SOAP 1.2.
const SOAP12_NS: &str = "http://schemas.xmlsoap.org/wsdl/soap12/";
/// The transport that a binding must name.
const HTTP_TRANSPORT: &str = "http://schemas.xmlsoap.org/soap/http";

/// What a WSDL describes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wsdl {
    /// The services, in the document's order; code and version together are unique.
    pub operations: Vec<Operation>,
    /// What is doubtful, each in a sentence.
    pub warnings: Vec<String>,
}

/// A SOAP service: an operation of a binding to SOAP over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// The service code.
    pub code: String,
    /// The service version (`xrd:version` in the binding's operation).
    pub version: Option<String>,
    /// The title for people (`xrd:title` in the documentation of the port type's operation).
    pub title: Option<String>,
    /// Where the information system listens, `http` or `https`; `None` when the port has no address.
    pub address: Option<String>,
}

impl Operation {
    /// The service as people write it: `code.version`, or the code alone.
    pub fn name(&self) -> String {
        match &self.version {
            Some(version) => format!("{}.{version}", self.code),
            None => self.code.clone(),
        }
    }
}

/// The bounds for a WSDL: 10 MiB, 128 levels, 500,000 elements.
fn limits() -> Limits {
    Limits {
        max_bytes: MAX_DESCRIPTION_BYTES,
        max_depth: 128,
        max_elements: 500_000,
        max_scope: 10_000_000,
        ..Limits::default()
    }
}

/// Parses a WSDL as XML; its root is `definitions`.
fn parse(bytes: &[u8]) -> Result<Document<'_>, DescriptionError> {
    if bytes.len() > MAX_DESCRIPTION_BYTES {
        return Err(DescriptionError::TooLong);
    }
    let document = Document::parse(bytes, &limits())?;
    if !document.root().is(WSDL_NS, "definitions") {
        let name = document.root().qualified_name().chars().take(80).collect();
        return Err(DescriptionError::NotWsdl(name));
    }
    Ok(document)
}

impl Wsdl {
    /// Reads a WSDL: the operations of every port whose binding is SOAP over HTTP. Of two ports
    /// that offer the same service, the one with SOAP 1.1 counts, then the first.
    ///
    /// # Errors
    /// What is no WSDL 1.1, or exceeds the bounds; a port without binding, a binding without port
    /// type or an operation without name; operations that cannot be told apart; names that cannot
    /// be service codes or versions, or are built-in services'; addresses other than http.
    pub fn read(bytes: &[u8]) -> Result<Self, DescriptionError> {
        let document = parse(bytes)?;
        let definitions = Definitions::of(document.root());
        let mut found: Vec<Operation> = Vec::new();
        let mut places: HashMap<(String, Option<String>), (usize, bool)> = HashMap::new();
        let mut warnings = Vec::new();
        for port in definitions.ports() {
            let binding = definitions.binding_of(port)?;
            let Some((binding, soap11)) = binding.and_then(|b| Some((b, soap_over_http(b)?)))
            else {
                let name = port.attribute("name").unwrap_or_default();
                warnings.push(format!("the port '{name}' is not SOAP over HTTP and is left out"));
                continue;
            };
            let address = address(port)?;
            for operation in definitions.operations(binding, address)? {
                let key = (operation.code.clone(), operation.version.clone());
                match places.get(&key) {
                    Some((_, true)) => {}
                    Some((_, false)) if !soap11 => {}
                    Some((at, false)) => {
                        found[*at] = operation;
                        places.insert(key, (*at, true));
                    }
                    None if found.len() == MAX_OPERATIONS => {
                        return Err(DescriptionError::TooMuch("services", MAX_OPERATIONS));
                    }
                    None => {
                        places.insert(key, (found.len(), soap11));
                        found.push(operation);
                    }
                }
            }
        }
        for operation in found.iter().filter(|o| o.address.is_none()) {
            warnings.push(format!("{} has no address", operation.name()));
        }
        if found.is_empty() {
            warnings.push("the WSDL describes no service".to_owned());
        }
        Ok(Self { operations: found, warnings })
    }
}

/// The named parts of a document.
struct Definitions<'d> {
    root: Element<'d>,
    target: &'d str,
    bindings: HashMap<&'d str, Element<'d>>,
    port_types: HashMap<&'d str, Element<'d>>,
}

impl<'d> Definitions<'d> {
    fn of(root: Element<'d>) -> Self {
        let named = |kind: &str| {
            // Of two with the same name the later one counts, as in X-Road.
            root.children()
                .filter(|e| e.is(WSDL_NS, kind))
                .filter_map(|e| Some((e.attribute("name")?, e)))
                .collect()
        };
        Self {
            root,
            target: root.attribute("targetNamespace").unwrap_or_default(),
            bindings: named("binding"),
            port_types: named("portType"),
        }
    }

    fn ports(&self) -> impl Iterator<Item = Element<'d>> + use<'d> {
        let services = self.root.children().filter(|e| e.is(WSDL_NS, "service"));
        services.flat_map(|service| service.children().filter(|e| e.is(WSDL_NS, "port")))
    }

    /// The binding of a port; `None` when it is in another document.
    fn binding_of(&self, port: Element<'d>) -> Result<Option<Element<'d>>, DescriptionError> {
        let name = port.attribute("binding").ok_or_else(|| {
            let port = port.attribute("name").unwrap_or_default();
            DescriptionError::InvalidWsdl(format!("the port '{port}' names no binding"))
        })?;
        Ok(self.local(port, name)?.and_then(|name| self.bindings.get(name).copied()))
    }

    /// The local part of a qualified name that means something in this document.
    fn local<'n>(
        &self,
        at: Element<'_>,
        name: &'n str,
    ) -> Result<Option<&'n str>, DescriptionError> {
        let name = name.trim();
        let (prefix, local) = name.split_once(':').unwrap_or(("", name));
        let namespace = match at.namespace_of_prefix(prefix) {
            Some(namespace) => namespace,
            None if prefix.is_empty() => "",
            None => {
                let text = format!("the prefix of '{name}' is not declared");
                return Err(DescriptionError::InvalidWsdl(text));
            }
        };
        Ok((namespace == self.target).then_some(local))
    }

    fn operations(
        &self,
        binding: Element<'d>,
        address: Option<&str>,
    ) -> Result<Vec<Operation>, DescriptionError> {
        let name = binding.attribute("name").unwrap_or_default();
        let port_type = binding.attribute("type").ok_or_else(|| {
            DescriptionError::InvalidWsdl(format!("the binding '{name}' names no port type"))
        })?;
        let port_type =
            self.local(binding, port_type)?.and_then(|n| self.port_types.get(n).copied());
        let mut seen = HashSet::new();
        let mut operations = Vec::new();
        for operation in binding.children().filter(|e| e.is(WSDL_NS, "operation")) {
            let code = operation.attribute("name").ok_or_else(|| {
                let text = format!("the binding '{name}' has an operation without a name");
                DescriptionError::InvalidWsdl(text)
            })?;
            let version = version(operation);
            legal(code)?;
            version.as_deref().map_or(Ok(()), legal)?;
            if crate::RESERVED_SERVICE_CODES.iter().any(|r| r.eq_ignore_ascii_case(code)) {
                return Err(DescriptionError::Reserved(code.to_owned()));
            }
            if !seen.insert((code, version.clone())) {
                let text =
                    format!("the binding '{name}' has the operation '{code}' more than once");
                return Err(DescriptionError::InvalidWsdl(text));
            }
            let described = port_type.map(|t| described(t, operation, code)).transpose()?.flatten();
            operations.push(Operation {
                code: code.to_owned(),
                title: described.and_then(title),
                version,
                address: address.map(str::to_owned),
            });
        }
        Ok(operations)
    }
}

/// The operation of the port type that an operation of a binding is about.
fn described<'d>(
    port_type: Element<'d>,
    operation: Element<'_>,
    code: &str,
) -> Result<Option<Element<'d>>, DescriptionError> {
    let is_wsdl = |e: &Element<'_>, name: &str| e.is(WSDL_NS, name);
    let named = port_type
        .children()
        .filter(|e| is_wsdl(e, "operation") && e.attribute("name") == Some(code));
    let mut candidates: Vec<Element<'d>> = named.collect();
    // Operations of the same name are told apart by the names of their messages.
    for message in ["input", "output"] {
        let name_in = |e: Element<'_>| {
            e.children()
                .find(|c| is_wsdl(c, message))
                .and_then(|c| c.attribute("name"))
                .map(str::to_owned)
        };
        let wanted = name_in(operation);
        if candidates.len() > 1 && wanted.is_some() {
            candidates.retain(|candidate| name_in(*candidate) == wanted);
        }
    }
    if candidates.len() > 1 {
        let text = format!("the operation '{code}' is there more than once in its port type");
        return Err(DescriptionError::InvalidWsdl(text));
    }
    Ok(candidates.pop())
}

/// Whether a binding is to SOAP over HTTP: `Some(true)` for SOAP 1.1, `Some(false)` for 1.2.
fn soap_over_http(binding: Element<'_>) -> Option<bool> {
    let kind = |e: Element<'_>| {
        let soap11 = e.is(SOAP_NS, "binding");
        (soap11 || e.is(SOAP12_NS, "binding"))
            .then(|| (soap11, e.attribute("transport") == Some(HTTP_TRANSPORT)))
    };
    binding.children().find_map(kind).and_then(|(soap11, http)| http.then_some(soap11))
}

fn address(port: Element<'_>) -> Result<Option<&str>, DescriptionError> {
    let found = port.children().find(is_address);
    let Some(address) = found.and_then(|e| e.attribute("location")).map(str::trim) else {
        return Ok(None);
    };
    let scheme = address.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    if address.len() > 2048 || !matches!(scheme.as_deref(), Some("http" | "https")) {
        return Err(DescriptionError::Address(address.chars().take(200).collect()));
    }
    Ok(Some(address))
}

/// Whether an element is the address of a port bound to SOAP.
fn is_address(element: &Element<'_>) -> bool {
    element.is(SOAP_NS, "address") || element.is(SOAP12_NS, "address")
}

/// The version: the first element called so, in whatever namespace; blank is none.
fn version(operation: Element<'_>) -> Option<String> {
    let version =
        operation.children().find(|e| e.namespace() != Some(WSDL_NS) && e.name() == "version")?;
    Some(version.text().trim().to_owned()).filter(|text| !text.is_empty())
}

fn title(operation: Element<'_>) -> Option<String> {
    let title = operation.child_ns(WSDL_NS, "documentation")?.child("title")?;
    let text: String = title.text().split_whitespace().collect::<Vec<_>>().join(" ");
    (!text.is_empty()).then(|| text.chars().take(255).collect())
}

fn legal(text: &str) -> Result<(), DescriptionError> {
    if text.trim().is_empty() || text.len() > MAX_PART_BYTES || has_illegal_characters(text) {
        return Err(DescriptionError::IllegalIdentifier(text.chars().take(80).collect()));
    }
    Ok(())
}
