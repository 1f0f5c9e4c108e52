//! A local directory as a storage: whole files only, each durable before it counts.
//!
//! A file is copied under a hidden name, synced, given its name without replacing another one, and
//! its directories are synced. Done by hand because `object_store`'s local file system syncs
//! nothing: after a power cut its files are empty or gone.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::unistd::{AccessFlags, access};
use tokio::sync::Mutex;

use super::error::{Conflict, Content, Error};
use super::verify::{Digest, sealed};
use super::{deadline, name};
use crate::durable;
use crate::model::Segment;
use crate::spawn;

/// Readable for the group, so that people need not be root to open a capture.
const FILE_MODE: u32 = 0o640;
const DIRECTORY_MODE: u32 = 0o750;

/// How much is copied at a time, in bytes.
const CHUNK_BYTES: usize = 1024 * 1024;

/// One directory.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) storage: String,
    pub(super) root: PathBuf,
    /// One copy at a time, kept by the copying thread itself: where a mount hangs, at most one
    /// thread hangs with it, and no second one writes the same part file.
    turn: Arc<Mutex<()>>,
}

impl Directory {
    pub(super) fn new(storage: String, root: PathBuf) -> Self {
        Self { storage, root, turn: Arc::default() }
    }

    /// One verified copy; gives back its path.
    pub(super) async fn store(&self, segment: &Segment) -> Result<String, Error> {
        name::check(&segment.object)?;
        let place = Place {
            storage: self.storage.clone(),
            root: self.root.clone(),
            target: self.root.join(&segment.object),
            segment: segment.clone(),
        };
        let turn = Arc::clone(&self.turn);
        let copy = async {
            let turn = turn.lock_owned().await;
            let work = spawn::blocking(move || {
                let _turn = turn;
                place.fill()
            });
            work.await.unwrap_or_else(|_ended| {
                Err(Error::Unavailable {
                    storage: self.storage.clone(),
                    doing: "copying a file",
                    reason: "the worker is stopping".to_owned(),
                })
            })
        };
        deadline::within(&self.storage, "copying a file", segment.file.size_bytes, copy).await
    }

    /// Whether files can be put there; where it is not there yet, whether it can be made.
    pub(super) async fn check(&self) -> Result<(), Error> {
        let (storage, root) = (self.storage.clone(), self.root.clone());
        let look = async {
            let found = spawn::blocking(move || look(&root).map_err(|error| (root, error))).await;
            match found {
                Ok(Ok(())) => Ok(()),
                Ok(Err((root, error))) => {
                    Err(sorted(&storage, "looking at the directory", &root, error))
                }
                Err(_ended) => Err(Error::Unavailable {
                    storage,
                    doing: "looking at the directory",
                    reason: "the worker is stopping".to_owned(),
                }),
            }
        };
        deadline::within(&self.storage, "looking at the directory", 0, look).await
    }
}

fn look(root: &Path) -> io::Result<()> {
    for place in root.ancestors().filter(|place| !place.as_os_str().is_empty()) {
        match fs::metadata(place) {
            Ok(found) if !found.is_dir() => return Err(io::ErrorKind::NotADirectory.into()),
            Ok(_) => return Ok(access(place, AccessFlags::W_OK | AccessFlags::X_OK)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    // A relative path of one part, whose parent is the current directory.
    Ok(access(".", AccessFlags::W_OK | AccessFlags::X_OK)?)
}

/// One file on its way to its place. All of it blocks.
struct Place {
    storage: String,
    root: PathBuf,
    target: PathBuf,
    segment: Segment,
}

impl Place {
    fn fill(self) -> Result<String, Error> {
        if self.stored()?.is_none() {
            self.copy()?;
        }
        let sealed = sealed(&self.segment.file);
        let found = self.stored()?.ok_or_else(|| Error::Unavailable {
            storage: self.storage.clone(),
            doing: "reading a file back",
            reason: format!("{} is gone again", self.target.display()),
        })?;
        if found != sealed {
            return Err(Error::Conflict(Box::new(Conflict {
                storage: self.storage.clone(),
                object: self.segment.object.clone(),
                path: self.segment.file.path.clone(),
                sealed,
                found,
            })));
        }
        self.make_durable().map_err(|error| self.failed("syncing a file", error))?;
        Ok(self.target.display().to_string())
    }

    /// What stands under the name; read only where its length is the right one.
    fn stored(&self) -> Result<Option<Content>, Error> {
        let read = || {
            let file = match File::open(&self.target) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
            let size_bytes = file.metadata()?.len();
            if size_bytes != self.segment.file.size_bytes {
                return Ok(Some(Content { size_bytes, sha256: None }));
            }
            Digest::of(file).map(Some)
        };
        read().map_err(|error| self.failed("reading a file back", error))
    }

    fn copy(&self) -> Result<(), Error> {
        let record = &self.segment.file;
        let local = |source| Error::Local { path: record.path.clone(), source };
        let source = match File::open(&record.path) {
            Ok(source) => source,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::LocalMissing {
                    storage: self.storage.clone(),
                    object: self.segment.object.clone(),
                    path: record.path.clone(),
                });
            }
            Err(error) => return Err(local(error)),
        };
        let writing = |error| self.failed("copying a file", error);
        let folder = self.target.parent().unwrap_or(&self.root);
        make_directories(folder).map_err(writing)?;
        let file_name = self.target.file_name().unwrap_or_default().to_string_lossy();
        let part = folder.join(format!(".{file_name}.part"));
        let found = self.write_part(source, &part)?;
        let sealed = sealed(record);
        if found != sealed {
            durable::remove(&part).map_err(writing)?;
            return Err(Error::LocalChanged { path: record.path.clone(), sealed, found });
        }
        publish_new(&part, &self.target).map_err(writing)
    }

    /// Copies into the part file and syncs it; gives back what was read.
    fn write_part(&self, mut source: File, part: &Path) -> Result<Content, Error> {
        let writing = |error| self.failed("copying a file", error);
        let mut target = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(FILE_MODE)
            .open(part)
            .map_err(writing)?;
        let mut digest = Digest::default();
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let length = match source.read(&mut chunk) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(source) => {
                    let path = self.segment.file.path.clone();
                    return Err(Error::Local { path, source });
                }
            };
            digest.take(&chunk[..length]);
            target.write_all(&chunk[..length]).map_err(writing)?;
        }
        // The mode of open(2) is cut by the umask of the service.
        target.set_permissions(Permissions::from_mode(FILE_MODE)).map_err(writing)?;
        target.sync_all().map_err(writing)?;
        Ok(digest.finish())
    }

    /// An earlier attempt may have died between giving the name and syncing it, so this runs also
    /// for a file that was there already.
    fn make_durable(&self) -> io::Result<()> {
        File::open(&self.target)?.sync_all()?;
        for place in self.target.ancestors().take_while(|place| *place != self.root) {
            durable::sync_directory_of(place)?;
        }
        durable::sync_directory_of(&self.root)
    }

    fn failed(&self, doing: &'static str, error: io::Error) -> Error {
        sorted(&self.storage, doing, &self.target, error)
    }
}

fn make_directories(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(folder)
}

/// Gives the part its name. A file that has the name already stays and the part goes; the caller
/// compares afterwards.
fn publish_new(part: &Path, whole: &Path) -> io::Result<()> {
    match fs::hard_link(part, whole) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        // A file system without hard links (FAT, some network mounts) has only the rename, which
        // replaces; nobody else gives files our names, so looking first is enough.
        Err(_) if !fs::exists(whole)? => return durable::publish(part, whole),
        Err(error) => return Err(error),
    }
    durable::remove(part)
}

fn sorted(storage: &str, doing: &'static str, path: &Path, error: io::Error) -> Error {
    let (storage, reason) = (storage.to_owned(), format!("{}: {error}", path.display()));
    let needs_a_hand = [
        io::ErrorKind::PermissionDenied,
        io::ErrorKind::NotADirectory,
        io::ErrorKind::IsADirectory,
    ];
    if needs_a_hand.contains(&error.kind()) {
        Error::Denied { storage, doing, reason }
    } else {
        Error::Unavailable { storage, doing, reason }
    }
}

#[cfg(test)]
mod tests;
