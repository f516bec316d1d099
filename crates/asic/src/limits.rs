/// How much an archive may ask of its reader. All of it is checked against what the archive
/// declares before anything is inflated, and inflating stops where the declaration ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most entries, directories among them.
    pub max_entries: usize,
    /// The largest entry, inflated, in bytes.
    pub max_entry_bytes: u64,
    /// All entries together, inflated, in bytes.
    pub max_total_bytes: u64,
    /// An entry that is compressed better than this is dense.
    pub max_ratio: u64,
    /// All dense entries together, inflated, in bytes. Honest bodies may be dense (three megabytes of
    /// zeros); what makes a bomb is that much comes of little.
    pub max_dense_bytes: u64,
    /// The largest message, signature, hash chain, timestamp or manifest, in bytes; these are kept in memory.
    pub max_document_bytes: u64,
    /// The largest attachment whose bytes are kept beside its digest, in bytes. All that are
    /// kept together stay below eight times this.
    pub max_kept_bytes: u64,
}

/// Three times the largest body that servers log by default; inflated and digested in no time.
const DENSE: u64 = 32 << 20;

impl Limits {
    /// For containers whose attachments are larger, or more repetitive, than the default allows:
    /// whatever a ZIP archive without 64-bit extensions can hold. Attachments are digested as
    /// they stream by, so that memory stays bounded.
    pub fn large() -> Self {
        Self {
            max_entry_bytes: u64::from(u32::MAX),
            max_total_bytes: 64 << 30,
            max_ratio: 1100,
            ..Self::default()
        }
    }

    /// For an archive of containers: whatever a ZIP archive without 64-bit extensions can hold. Containers
    /// are compressed already, so what is dense in an archive of them is no container.
    pub fn for_message_log_archive() -> Self {
        Self { max_entries: 65_534, ..Self::large() }
    }

    /// For a global configuration that was zipped: files of up to 256 MiB.
    pub fn for_global_configuration() -> Self {
        Self {
            max_entries: 10_000,
            max_entry_bytes: 256 << 20,
            max_total_bytes: 1 << 30,
            max_ratio: 200,
            max_dense_bytes: DENSE,
            max_document_bytes: 256 << 20,
            max_kept_bytes: 0,
        }
    }
}

impl Default for Limits {
    /// 10,100 entries, 1 GiB an entry (the largest body that X-Road logs), 4 GiB together, of it 32 MiB
    /// compressed better than 200:1, 16 MiB a document, attachments of up to 10 MiB kept.
    fn default() -> Self {
        Self {
            max_entries: 10_100,
            max_entry_bytes: 1 << 30,
            max_total_bytes: 4 << 30,
            max_ratio: 200,
            max_dense_bytes: DENSE,
            max_document_bytes: 16 << 20,
            max_kept_bytes: 10 << 20,
        }
    }
}
