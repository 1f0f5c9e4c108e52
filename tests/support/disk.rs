//! Disks that fail as disks do: full, or hanging. They are mounted for the calling thread and those
//! that it starts, and are gone with them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sched::{CloneFlags, unshare};
use tempfile::TempDir;

use super::process::run;

/// Of the disk that can hang, in bytes.
const BYTES: u64 = 256 << 20;

/// Mounts a disk of this size over the folder.
pub(crate) fn mount_small(folder: &Path, size: &str) {
    own_mounts();
    let size = format!("size={size}");
    run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder));
}

/// A file system on a file. Dropped while it hangs, it goes on first.
#[derive(Debug)]
pub(crate) struct Hanging {
    mounted: PathBuf,
    _image: TempDir,
}

impl Hanging {
    /// Mounts it over the folder. `None`, said on stderr, where there are no loop devices.
    pub(crate) fn mount(folder: &Path) -> Option<Self> {
        own_mounts();
        let image = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder of its own");
        let path = image.path().join("disk");
        File::create(&path).and_then(|file| file.set_len(BYTES)).expect("a sparse file");
        run(Command::new("mkfs.ext4").arg("-q").arg(&path));
        let outcome = Command::new("mount").args(["-o", "loop"]).arg(&path).arg(folder).output();
        let outcome = outcome.expect("mount(8) is there");
        if !outcome.status.success() {
            eprintln!("skipped: no loop device: {}", String::from_utf8_lossy(&outcome.stderr));
            return None;
        }
        let mounted = fs::canonicalize(folder).expect("it is mounted");
        Some(Self { mounted, _image: image })
    }

    /// From here on whoever writes waits.
    pub(crate) fn freeze(&self) {
        run(Command::new("fsfreeze").arg("-f").arg(&self.mounted));
    }

    pub(crate) fn thaw(&self) {
        run(Command::new("fsfreeze").arg("-u").arg(&self.mounted));
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // An error says that it does not hang.
            drop(Command::new("fsfreeze").arg("-u").arg(&self.mounted).output());
        }
    }
}

/// What is mounted from here on, nobody else sees.
fn own_mounts() {
    unshare(CloneFlags::CLONE_NEWNS).expect("root may make mount namespaces");
    run(Command::new("mount").args(["--make-rprivate", "/"]));
}
