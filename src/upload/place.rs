//! One verified, durable copy of a sealed file under a path of this host.
//!
//! A file is copied under a hidden name, synced, given its name without replacing another one, and
//! its directories are synced. It must not know whose path it is: a storage's or a person's.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

use super::deadline;
use super::error::{Conflict, Content, Error};
use super::verify::{Digest, sealed};
use crate::durable;
use crate::model::Segment;
use crate::spawn;

/// Readable for the group, so that people need not be root to open a capture.
const FILE_MODE: u32 = 0o640;
const DIRECTORY_MODE: u32 = 0o750;

/// How much is copied at a time, in bytes.
pub(super) const CHUNK_BYTES: usize = 1024 * 1024;

/// What messages call the place of a copy that belongs to no storage.
const LOCAL_FILE: &str = "local_file";

/// A copy at a path that a person has named.
pub(super) async fn beside(path: &Path, segment: &Segment) -> Result<(), Error> {
    let mut segment = segment.clone();
    segment.object = path.display().to_string();
    let bytes = segment.file.size_bytes;
    let place =
        Place { storage: LOCAL_FILE.to_owned(), root: None, target: path.to_owned(), segment };
    let copy = async { ended(LOCAL_FILE, spawn::blocking(move || place.fill()).await) };
    deadline::within(LOCAL_FILE, "copying a file", bytes, copy).await.map(drop)
}

/// The result of blocking work, which only a runtime that shuts down takes away.
pub(super) fn ended<T, E>(storage: &str, work: Result<Result<T, Error>, E>) -> Result<T, Error> {
    work.unwrap_or_else(|_ended| {
        Err(Error::Unavailable {
            storage: storage.to_owned(),
            doing: "working on a file",
            reason: "the worker is stopping".to_owned(),
        })
    })
}

/// One file on its way to its place. All of it blocks.
pub(super) struct Place {
    pub(super) storage: String,
    /// Up to where folders are made and synced; none for a path whose folder has to be there.
    pub(super) root: Option<PathBuf>,
    pub(super) target: PathBuf,
    pub(super) segment: Segment,
}

impl Place {
    /// Makes and verifies the copy; gives back its path.
    pub(super) fn fill(self) -> Result<String, Error> {
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
        let folder = self.target.parent().unwrap_or_else(|| Path::new("/"));
        if self.root.is_some() {
            make_directories(folder).map_err(writing)?;
        }
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
            // In a folder that everybody may write to, a link of this name leads elsewhere.
            .custom_flags(OFlag::O_NOFOLLOW.bits())
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
        let Some(root) = &self.root else {
            return durable::sync_directory_of(&self.target);
        };
        for place in self.target.ancestors().take_while(|place| place != root) {
            durable::sync_directory_of(place)?;
        }
        durable::sync_directory_of(root)
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

/// An error of the file system as ours.
pub(super) fn sorted(storage: &str, doing: &'static str, path: &Path, error: io::Error) -> Error {
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
