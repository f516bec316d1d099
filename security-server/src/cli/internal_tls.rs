//! `internal-tls`: the certificate that information systems see.

use std::path::PathBuf;

use serde_json::json;

use super::Refusal;
use super::console::{Console, day, timestamp};
use crate::settings::Settings;
use crate::settings::tls::make_internal_certificate;

#[derive(Debug, clap::Args)]
pub(super) struct InternalTlsArguments {
    /// The server's configuration, which names the two files.
    #[arg(long, short, env = "CAUSEWAY_CONFIG", value_name = "FILE")]
    config: PathBuf,
    /// A host name or IP address of this server, as information systems call it; may be repeated.
    /// Without: the host's own name and localhost.
    #[arg(long = "name", value_name = "NAME")]
    names: Vec<String>,
    /// Replace the certificate and key that are there.
    #[arg(long)]
    renew: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(
    arguments: &InternalTlsArguments,
    console: &mut Console<'_>,
) -> Result<(), Refusal> {
    let tls = Settings::load(&arguments.config)?.tls;
    let made = make_internal_certificate(&tls, &arguments.names, arguments.renew)
        .map_err(Refusal::because)?
        .certificate;
    let fingerprint = hex::encode(made.sha256());
    let value = json!({
        "certificate": tls.internal_certificate,
        "key": tls.internal_key,
        "names": made.dns_names(),
        "sha256": fingerprint,
        "notAfter": timestamp(made.not_after()),
    });
    let text = format!(
        "Made {} and its key {}\nNames: {}\nValid until {}\nSHA-256 {fingerprint}",
        tls.internal_certificate.display(),
        tls.internal_key.display(),
        made.dns_names().join(", "),
        day(made.not_after()),
    );
    let next = "give the certificate to your information systems, to trust on the HTTPS port, and restart the server";
    console.done(arguments.json, value, text, next)
}
