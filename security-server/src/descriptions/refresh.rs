//! Comparing the descriptions in use with what their providers publish now, and taking them over.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use causeway_identifiers::ClientId;
use causeway_metadata::Difference;
use time::OffsetDateTime;

use super::{Copies, FetchError, Kept, fetch};
use crate::service_call::ServiceCaller;
use crate::settings::{Client, DescriptionSource, Settings, SettingsErrors};

/// What a provider publishes now, beside what is in use.
#[derive(Debug)]
pub struct Compared {
    /// Whose description it is.
    pub client: ClientId,
    /// The description, with the copy in use.
    pub source: DescriptionSource,
    /// What is published now; or why that cannot be told or used.
    pub now: Result<News, String>,
}

/// A description as it is published now.
#[derive(Debug)]
pub struct News {
    /// The document.
    pub kept: Arc<Kept>,
    /// What it changes in services, endpoints and addresses.
    pub difference: Difference,
    /// Whether its text, or the content type, is another one.
    pub is_other_text: bool,
}

impl Compared {
    /// The document, when it is another one than the copy in use.
    pub fn newer(&self) -> Option<&Arc<Kept>> {
        self.now.as_ref().ok().filter(|news| news.is_other_text).map(|news| &news.kept)
    }

    fn name(&self) -> String {
        Copies::name(&self.client, self.source.kind, &self.source.location)
    }
}

/// Fetches the descriptions that `wanted` picks, one after another, in the order of clients.
pub async fn compare(
    settings: &Settings,
    caller: &ServiceCaller,
    wanted: impl Fn(&ClientId, &DescriptionSource) -> bool,
) -> Vec<Compared> {
    let mut clients: Vec<&Client> = settings.clients.iter().collect();
    clients.sort_by(|a, b| a.id.cmp(&b.id));
    let mut compared = Vec::new();
    for client in clients {
        for source in client.descriptions.iter().filter(|source| wanted(&client.id, source)) {
            let now = look(client, source, caller).await;
            compared.push(Compared { client: client.id.clone(), source: source.clone(), now });
        }
    }
    compared
}

async fn look(
    client: &Client,
    source: &DescriptionSource,
    caller: &ServiceCaller,
) -> Result<News, String> {
    let certificates = source.verify_tls.then_some(client.certificates.as_slice());
    let fetched = fetch(&source.location, caller, certificates, source.timeout);
    let fetched = fetched.await.map_err(|e: FetchError| e.to_string())?;
    let kept = Kept::read(source.kind, fetched).map_err(|e| e.to_string())?;
    let used = source.kept.as_deref();
    Ok(News {
        difference: Difference::between(used.map(|used| &used.reading), &kept.reading),
        is_other_text: used != Some(&kept),
        kept: Arc::new(kept),
    })
}

/// What would be wrong with the configuration once the newer descriptions were in use.
///
/// # Errors
/// Everything that is wrong, with lines.
pub fn judge(config: &Path, compared: &[Compared]) -> Result<Settings, SettingsErrors> {
    let newer: HashMap<String, Arc<Kept>> =
        compared.iter().filter_map(|c| Some((c.name(), Arc::clone(c.newer()?)))).collect();
    Settings::load_with_descriptions(config, newer)
}

/// Takes the newer descriptions over; they take effect when the server reads its clients again.
/// Gives how many there were.
///
/// # Errors
/// What the operating system says; those before the one that failed have been taken over.
pub fn take_over(
    settings: &Settings,
    compared: &[Compared],
    now: OffsetDateTime,
) -> io::Result<usize> {
    let copies = Copies::of(&settings.data_dir);
    let mut taken = 0;
    for one in compared {
        if let Some(kept) = one.newer() {
            copies.put(&one.client, one.source.kind, &one.source.location, kept, now)?;
            taken += 1;
        }
    }
    Ok(taken)
}
