/// What a peer may make us hold in memory.
///
/// REST bodies and SOAP attachments have no limit here: they are handed on as
/// they come, and whoever stores them counts them. Header limits are those of
/// X-Road's own parser, so that what we accept a peer can receive too.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of the REST header block or SOAP envelope; default 10 MiB.
    pub message: usize,
    /// Bytes of the signature; default 1 MiB.
    pub signature: usize,
    /// Bytes of the hash chain result; default 64 KiB.
    pub hash_chain_result: usize,
    /// Bytes of the hash chain; default 2 MiB (some 6,000 parts or batch levels).
    pub hash_chain: usize,
    /// Bytes of a fault, as a whole response or in place of the signature; default 1 MiB.
    pub fault: usize,
    /// Bytes of one OCSP response; default 64 KiB.
    pub ocsp_response: usize,
    /// OCSP responses in one message; default 16.
    pub ocsp_responses: usize,
    /// Attachments in one message; default 1,000.
    pub attachments: usize,
    /// Bytes of one header line with its line end; default 1,000.
    pub header_line: usize,
    /// Bytes of all headers of a part; default 10,000.
    pub header_block: usize,
    /// Headers of a part; default 1,000.
    pub header_count: usize,
    /// Bytes before the first and after the last boundary of a multipart; default 64 KiB.
    pub filler: usize,
}

impl Limits {
    /// For REST messages, whose header block is at most so many bytes.
    pub fn for_rest(block: usize) -> Self {
        Self { message: block, ..Self::default() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: 10 << 20,
            signature: 1 << 20,
            hash_chain_result: 64 << 10,
            hash_chain: 2 << 20,
            fault: 1 << 20,
            ocsp_response: 64 << 10,
            ocsp_responses: 16,
            attachments: 1_000,
            header_line: 1_000,
            header_block: 10_000,
            header_count: 1_000,
            filler: 64 << 10,
        }
    }
}
