//! Signed directories, anchors and parameters: reading never panics.
#![no_main]

use causeway_globalconf::directory::SignedDirectory;
use causeway_globalconf::{Anchor, PartMetadata, PrivateParameters, SharedParameters, Version};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = SignedDirectory::parse(bytes);
    let _ = Anchor::parse(bytes);
    let _ = PartMetadata::parse(bytes);
    let _ = PrivateParameters::parse(bytes);
    for version in Version::ALL {
        let _ = SharedParameters::parse(bytes, version);
    }
});
