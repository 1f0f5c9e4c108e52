//! Room on the disk that only the journal's last batches get.
//!
//! SQLite in WAL mode needs room even for a DELETE, so a full disk would take from the worker the
//! very batch that says how its captures ended. A file beside the journal holds that room: a commit
//! that meets a full disk removes it and is tried again. A write that found no room has changed
//! nothing, so that this is the one failure after which trying again is sound.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::durable;

const FILE: &str = "reserve";

/// A few batches at the end of a worker, with the pages that they change, in bytes.
const BYTES: u64 = 1024 * 1024;

/// No zeros: some file systems keep none of them.
const FILLING: u8 = 0xa5;

/// SQLite's word where the index of the log cannot grow. Source: sqlite3.h, SQLITE_IOERR_SHMSIZE.
const SHM_SIZE: i32 = 4_874;

/// The room that is held back, if it is.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    held: bool,
}

impl Reserve {
    /// Makes it in `directory`, unless it is there already. A disk without room for it is reported,
    /// and the worker starts without it: work that waits may make room.
    pub(super) fn hold(directory: &Path) -> Self {
        let path = directory.join(FILE);
        let is_whole = fs::metadata(&path).is_ok_and(|found| found.len() == BYTES);
        let made = if is_whole { Ok(()) } else { make(&path) };
        if let Err(error) = &made {
            let path = path.display();
            tracing::warn!(%path, %error, "no room is held back for the last words of the journal");
        }
        Self { path, held: made.is_ok() }
    }

    /// Gives the room up; false where there is none.
    pub(super) fn release(&mut self) -> bool {
        if !std::mem::take(&mut self.held) {
            return false;
        }
        durable::remove(&self.path)
            .inspect_err(|error| {
                let path = self.path.display();
                tracing::error!(%path, %error, "the room that was held back cannot be given up");
            })
            .is_ok()
    }
}

/// Whether this is a write for which there was no room.
pub(super) fn is_full(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error();
    code.is_some_and(|code| {
        code.code == rusqlite::ErrorCode::DiskFull || code.extended_code == SHM_SIZE
    })
}

fn make(path: &Path) -> io::Result<()> {
    let filling = vec![FILLING; usize::try_from(BYTES).unwrap_or(0)];
    let made = durable::write(path, &filling);
    if made.is_err() {
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        // What was written of it is room that somebody else needs.
        drop(fs::remove_file(part));
    }
    made
}
