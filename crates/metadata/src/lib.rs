//! Service descriptions, and what consumers are told of services: WSDL 1.1 and OpenAPI 3
//! documents read within bounds, the metadata services' requests and answers (X-Road 7.8:
//! `pr-meta`, `pr-mrest`, the add-on `metaservice`, `WsdlParser`, `OpenApiParser`).
//!
//! A description is read once into the services or endpoints that it promises ([`wsdl`],
//! [`openapi`], or either as a [`Description`]); [`Difference`] tells two readings apart, for an
//! operator who takes a newer one over. Before a description goes to a consumer, the addresses of
//! the information systems in it are hidden ([`wsdl::hide_addresses`], [`openapi::hide_servers`]);
//! all its other bytes stay. The answers of `listClients`, `listMethods`, `allowedMethods` and
//! `getWsdl` are made in [`clients`], [`methods`] and [`soap`]. Nothing here does I/O.

pub mod clients;
mod description;
mod difference;
pub mod methods;
pub mod openapi;
pub mod soap;
pub mod wsdl;

pub use description::{
    Description, DescriptionError, DescriptionType, Endpoint, MAX_DESCRIPTION_BYTES,
};
pub use difference::Difference;

/// Codes of the services that each security server answers itself, which no provider may use
/// (X-Road `reserved-service-codes`).
pub const RESERVED_SERVICE_CODES: [&str; 8] = [
    "listClients",
    "listMethods",
    "allowedMethods",
    "getWsdl",
    "getOpenAPI",
    "getSecurityServerMetrics",
    "getSecurityServerOperationalData",
    "getSecurityServerHealthData",
];

/// The services of the provider that list all services (`listMethods`).
pub const LIST_METHODS: &str = "listMethods";
/// The service that lists the services that the client may call.
pub const ALLOWED_METHODS: &str = "allowedMethods";
/// The service that gives a WSDL.
pub const GET_WSDL: &str = "getWsdl";
/// The service that gives an OpenAPI description.
pub const GET_OPENAPI: &str = "getOpenAPI";
