//! `pkcs11.json`: what is told of the keys in a module. The private key of a record is `CKA_ID`, in hexadecimal.

use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::record::{self, KeyRecord};
use crate::{KeysError, store};

const NAME: &str = "pkcs11.json";
/// The version of the format that is written and read.
const FORMAT: u32 = 1;
/// The longest `CKA_ID`, in bytes.
const LONGEST_ID: usize = 255;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ModuleFile {
    format: u32,
    /// Grows with every change: two processes that both change the file notice.
    generation: u64,
    pub(super) keys: Vec<KeyRecord<String>>,
}

impl ModuleFile {
    /// Reads the folder's file; a folder without one has no keys yet.
    pub(super) fn open(folder: &Path) -> Result<Self, KeysError> {
        let path = folder.join(NAME);
        match store::read(&path, record::LONGEST_FILE) {
            Ok(bytes) => Self::parse(&bytes).map_err(|why| KeysError::damaged(&path, why)),
            Err(KeysError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                Ok(Self { format: FORMAT, generation: 0, keys: Vec::new() })
            }
            Err(error) => Err(error),
        }
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let file: Self = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        if file.format != FORMAT {
            return Err(format!("format {} is unknown, only {FORMAT} is read", file.format));
        }
        record::check_keys(&file.keys)?;
        let odd = |key: &&KeyRecord<String>| {
            hex::decode(&key.private_key).map_or(true, |id| id.len() > LONGEST_ID)
        };
        match file.keys.iter().find(odd) {
            Some(key) => Err(format!("key {} has no CKA_ID", key.id)),
            None => Ok(file),
        }
    }

    /// Writes the file, if it is still the one that was read, and gives it as it is then.
    pub(super) fn save(mut self, folder: &Path) -> Result<Self, KeysError> {
        let path = folder.join(NAME);
        if Self::open(folder)?.generation != self.generation {
            return Err(KeysError::ChangedOnDisk(path));
        }
        self.generation = self.generation.saturating_add(1);
        store::create_folder(folder)?;
        let bytes = serde_json::to_vec_pretty(&self)
            .map_err(|e| KeysError::io("encode", &path, std::io::Error::other(e)))?;
        store::replace(&path, &bytes)?;
        Ok(self)
    }
}
