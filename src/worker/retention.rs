//! How long what was stored is kept.
//!
//! Only files of storages of the kind `directory` that the journal has a receipt for are looked at,
//! the longest stored first. [`Storages::remove_own`] compares each with its record before it goes:
//! a file that somebody has changed or replaced stays, and is named once. What is not verified has no
//! record, and is never touched.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::clock;
use crate::config::{Config, Retention};
use crate::journal::{self, Journal, Kept, Stored};
use crate::model::{CaptureId, Change, StoredFile};
use crate::upload::{self, Storages};

/// Files that one sweep looks at in a storage: bounds its time; the rest has its turn in the next.
const FILES_A_SWEEP: usize = 1_000;

/// What the journal has to remember for it.
pub(super) fn kept(config: &Config) -> Kept {
    let is_directory = |settings: &upload::Settings| match settings {
        upload::Settings::Directory { .. } => true,
        upload::Settings::Azure(_) | upload::Settings::S3(_) | upload::Settings::Http(_) => false,
    };
    let directories: BTreeSet<String> = config
        .storages
        .iter()
        .filter(|(_, settings)| is_directory(settings))
        .map(|(name, _)| name.clone())
        .collect();
    Kept { age: config.retention.age, directories, ..Kept::default() }
}

/// What a sweep has done.
#[derive(Debug, Default)]
pub(super) struct Swept {
    /// To be kept.
    pub(super) changes: Vec<Change>,
    /// Captures that are kept no more.
    pub(super) freed: Vec<CaptureId>,
}

/// One sweep over history and files.
pub(super) async fn sweep(
    journal: Journal,
    storages: Arc<Storages>,
    kept: Kept,
    retention: Retention,
) -> Swept {
    let directories = kept.directories.clone();
    let mut swept = Swept::default();
    match forget(&journal, kept).await {
        Ok(freed) => swept.freed = freed,
        // The journal is closed now, and the next commit of the loop says why.
        Err(error) => {
            tracing::error!(%error, "old history cannot be removed");
            return swept;
        }
    }
    let changes = &mut swept.changes;
    let mut left = Vec::new();
    for storage in directories {
        match journal.stored_files(&storage, FILES_A_SWEEP).await {
            Ok(stored) => left.push(stored),
            Err(error) => {
                tracing::warn!(%storage, %error, "what is stored cannot be looked up");
                return swept;
            }
        }
    }
    for file in excess(left, retention, clock::wall_time()) {
        let StoredFile { storage, object, size_bytes, sha256, .. } = file;
        match storages.remove_own(&storage, &object, size_bytes, &sha256).await {
            Ok(removed) => {
                tracing::info!(%storage, %object, removed, "kept long enough");
                changes.push(Change::FileGone { storage, object });
            }
            // It is no longer ours: nothing will ever remove it, and nobody is told again.
            Err(error @ upload::Error::NotOurs { .. }) => {
                tracing::warn!(%storage, %object, %error, "a file that was changed is kept");
                changes.push(Change::FileGone { storage, object });
            }
            Err(error) => tracing::warn!(%storage, %object, %error, "an old file stays for now"),
        }
    }
    swept
}

/// Removes what is too old of the journal's history; gives the captures that are gone.
async fn forget(journal: &Journal, kept: Kept) -> Result<Vec<CaptureId>, journal::Error> {
    journal.keep(kept).await?;
    Ok(journal.expire().await?.freed)
}

/// The files that are kept too long, or are too much, the longest stored first.
fn excess(stored: Vec<Stored>, retention: Retention, now: clock::WallTime) -> Vec<StoredFile> {
    let mut bytes: u64 = stored.iter().map(|storage| storage.bytes).sum();
    let mut files: Vec<StoredFile> =
        stored.into_iter().flat_map(|storage| storage.oldest).collect();
    files.sort_by_key(|file| file.stored_at);
    let mut going = Vec::new();
    for file in files {
        let is_old = retention.age.is_some_and(|age| now.since(file.stored_at) > age);
        let is_much = retention.size_bytes.is_some_and(|size| bytes > size);
        if is_old || is_much {
            bytes = bytes.saturating_sub(file.size_bytes);
            going.push(file);
        }
    }
    going
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock::WallTime;
    use crate::model::CaptureId;

    fn at(day: u64) -> WallTime {
        WallTime::from_nanos(0) + Duration::from_secs(86_400 * day)
    }

    fn file(storage: &str, day: u64, size_bytes: u64) -> StoredFile {
        StoredFile {
            storage: storage.to_owned(),
            object: format!("{storage}-{day}"),
            capture: CaptureId::from_text("c"),
            index: 0,
            size_bytes,
            sha256: String::new(),
            stored_at: at(day),
        }
    }

    fn going(age_days: Option<u64>, size_bytes: Option<u64>) -> Vec<String> {
        let a = vec![file("a", 1, 10), file("a", 3, 10), file("a", 5, 10)];
        let b = vec![file("b", 2, 100), file("b", 9, 100)];
        // One of `b` is not among the oldest that were asked for, but counts.
        let stored = vec![
            Stored { bytes: 30, files: 3, oldest: a },
            Stored { bytes: 300, files: 3, oldest: b },
        ];
        let age = age_days.map(|days| Duration::from_secs(86_400 * days));
        let going = excess(stored, Retention { age, size_bytes }, at(10));
        going.into_iter().map(|file| file.object).collect()
    }

    #[test]
    fn the_longest_stored_go_first_until_all_are_young_and_few_enough() {
        assert_eq!(going(None, None), Vec::<String>::new());
        assert_eq!(going(Some(7), None), ["a-1", "b-2"]);
        assert_eq!(going(Some(8), None), ["a-1"]);
        assert_eq!(going(None, Some(330)), Vec::<String>::new());
        assert_eq!(going(None, Some(329)), ["a-1"]);
        assert_eq!(going(None, Some(319)), ["a-1", "b-2"]);
        assert_eq!(going(Some(6), Some(200)), ["a-1", "b-2", "a-3", "a-5"]);
    }
}
