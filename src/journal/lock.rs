//! One worker per state directory.
//!
//! flock(2) on a file beside the database: the kernel lets go of it however the process ends, so
//! there is no stale lock to remove. The file stays; it holds the owner's process id for messages.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::Error;

const FILE: &str = "journal.lock";

/// More than a process id ever needs, in bytes.
const MAX_OWNER_BYTES: u64 = 32;

/// Held while this process owns the directory.
#[derive(Debug)]
pub(super) struct Lock {
    _held: File,
}

impl Lock {
    /// Takes the directory, or says who has it.
    pub(super) fn take(directory: &Path) -> Result<Self, Error> {
        let path = directory.join(FILE);
        let failed = |doing| {
            let path = path.clone();
            move |source| Error::Directory { doing, path, source }
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed("opening the lock file"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Owned {
                    directory: directory.to_owned(),
                    owner: owner(&mut file),
                });
            }
            Err(TryLockError::Error(source)) => {
                return Err(failed("locking")(source));
            }
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(std::process::id().to_string().as_bytes()))
            .map_err(failed("writing the lock file"))?;
        Ok(Self { _held: file })
    }
}

/// Best effort: the owner may be about to write its id.
fn owner(file: &mut File) -> String {
    let mut text = String::new();
    match file.take(MAX_OWNER_BYTES).read_to_string(&mut text) {
        Ok(_) => {
            text.trim().parse::<u32>().map(|id| format!(" (process {id})")).unwrap_or_default()
        }
        Err(_unreadable) => String::new(),
    }
}
