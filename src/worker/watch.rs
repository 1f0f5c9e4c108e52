//! What is looked at again and again beside the loop: the disk, and the files of the configuration.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::statvfs::statvfs;
use tokio::sync::{mpsc, watch};

use crate::config::{Stamps, Watched};
use crate::session::{Input, Space};
use crate::spawn;

use super::handle::Handle;

/// Between two looks at the disk: a capture on a fast line writes a few hundred MiB in it, which the
/// forecast of admission has room for.
const SPACE_EVERY: Duration = Duration::from_secs(2);

/// Between two looks at the files of the configuration. A change acts once it was seen twice alike.
const FILES_EVERY: Duration = Duration::from_secs(2);

/// The spool and its file system as they are now. Blocking.
///
/// # Errors
/// One of them cannot be looked at.
pub(super) fn space(spool: &Path) -> io::Result<Space> {
    let disk = statvfs(spool)?;
    let unit = disk.fragment_size();
    let mut spool_bytes = 0_u64;
    for entry in fs::read_dir(spool)? {
        // A file may go between the two calls.
        if let Ok(file) = entry?.metadata()
            && file.is_file()
        {
            spool_bytes = spool_bytes.saturating_add(file.len());
        }
    }
    Ok(Space {
        free_bytes: unit.saturating_mul(disk.blocks_available()),
        total_bytes: unit.saturating_mul(disk.blocks()),
        spool_bytes,
    })
}

/// Samples the disk until the loop is gone.
pub(super) async fn sample_space(spool: PathBuf, results: mpsc::Sender<Input>) {
    let mut failed = false;
    loop {
        tokio::time::sleep(SPACE_EVERY).await;
        let folder = spool.clone();
        match spawn::blocking(move || space(&folder)).await {
            Ok(Ok(space)) => {
                failed = false;
                if results.send(Input::Space(space)).await.is_err() {
                    return;
                }
            }
            // Told once, and again when it has worked meanwhile.
            Ok(Err(error)) if !failed => {
                failed = true;
                tracing::warn!(spool = %spool.display(), %error, "the disk cannot be looked at");
            }
            Ok(Err(_)) => {}
            Err(ended) => tracing::error!(%ended, "looking at the disk failed inside"),
        }
    }
}

/// Asks for a reload when a file of the configuration has changed, until the loop is gone. `acting`
/// is what the configuration that acts was read from.
pub(super) async fn watch_files(mut acting: watch::Receiver<(Watched, Stamps)>, handle: Handle) {
    let mut tried = acting.borrow_and_update().1.clone();
    let mut last = tried.clone();
    loop {
        tokio::time::sleep(FILES_EVERY).await;
        match acting.has_changed() {
            Ok(true) => tried = acting.borrow_and_update().1.clone(),
            Ok(false) => {}
            Err(_loop_is_gone) => return,
        }
        let watched = acting.borrow().0.clone();
        let Ok(now) = spawn::blocking(move || watched.stamps()).await else { return };
        // An editor that is still writing is waited for; what was tried is not tried again.
        if now == last && now != tried {
            tried = now.clone();
            tracing::info!("a file of the configuration has changed");
            if handle.reload().await.is_err() {
                tracing::debug!("nobody answers to a reload");
            }
        }
        last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spool_counts_the_bytes_of_its_files() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("c1-0.pcapng"), [0; 1_000]).unwrap();
        fs::write(folder.path().join("c1-1.pcapng.part"), [0; 500]).unwrap();
        fs::create_dir(folder.path().join("lost+found")).unwrap();
        let space = space(folder.path()).unwrap();
        assert_eq!(space.spool_bytes, 1_500);
        assert!(space.free_bytes <= space.total_bytes && space.total_bytes > 0);
        assert!(super::space(&folder.path().join("nowhere")).is_err());
    }
}
