//! A local directory as a storage: whole files only, each durable before it counts.
//!
//! Done by hand because `object_store`'s local file system syncs nothing: after a power cut its
//! files are empty or gone. Only what the record says of a file lets it be removed again.

use std::fs::{self, File};
use std::io::{self, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use nix::unistd::{AccessFlags, access};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::sync::Mutex;

use super::error::{Content, Error};
use super::place::{CHUNK_BYTES, Place, ended, sorted};
use super::verify::Digest;
use super::{deadline, name};
use crate::durable;
use crate::model::Segment;
use crate::spawn;

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
            root: Some(self.root.clone()),
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
            ended(&self.storage, work.await)
        };
        deadline::within(&self.storage, "copying a file", segment.file.size_bytes, copy).await
    }

    /// Whether files can be put there; where it is not there yet, whether it can be made.
    pub(super) async fn check(&self) -> Result<(), Error> {
        let doing = "looking at the directory";
        let (storage, root) = (self.storage.clone(), self.root.clone());
        let work = move || look(&root).map_err(|error| sorted(&storage, doing, &root, error));
        let look = async { ended(&self.storage, spawn::blocking(work).await) };
        deadline::within(&self.storage, doing, 0, look).await
    }

    /// A file's bytes from `offset` on.
    pub(super) async fn read(
        &self,
        object: &str,
        offset: u64,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        name::check(object)?;
        let target = self.root.join(object);
        let storage = self.storage.clone();
        let failed = move |target: &Path, error| sorted(&storage, "reading a file", target, error);
        let open = async {
            let mut file = tokio::fs::File::open(&target).await?;
            file.seek(SeekFrom::Start(offset)).await?;
            Ok(file)
        };
        let opened = async { open.await.map_err(|error| failed(&target, error)) };
        let file = deadline::within(&self.storage, "reading a file", 0, opened).await?;
        let chunks = stream::try_unfold((file, target), move |(mut file, target)| {
            let failed = failed.clone();
            async move {
                let mut chunk = vec![0; CHUNK_BYTES];
                match file.read(&mut chunk).await {
                    Ok(0) => Ok(None),
                    Ok(length) => {
                        chunk.truncate(length);
                        Ok(Some((Bytes::from(chunk), (file, target))))
                    }
                    Err(error) => Err(failed(&target, error)),
                }
            }
        });
        Ok(chunks.boxed())
    }

    /// Removes a file that is the one recorded; whether it was there.
    pub(super) async fn remove_own(&self, object: &str, recorded: Content) -> Result<bool, Error> {
        name::check(object)?;
        let own = Own {
            storage: self.storage.clone(),
            root: self.root.clone(),
            object: object.to_owned(),
            recorded,
        };
        let turn = Arc::clone(&self.turn);
        let bytes = own.recorded.size_bytes;
        let removal = async {
            let turn = turn.lock_owned().await;
            let work = spawn::blocking(move || {
                let _turn = turn;
                own.remove()
            });
            ended(&self.storage, work.await)
        };
        deadline::within(&self.storage, "removing a file", bytes, removal).await
    }
}

/// A file to be removed if it is what the record says. All of it blocks.
struct Own {
    storage: String,
    root: PathBuf,
    object: String,
    recorded: Content,
}

impl Own {
    fn remove(self) -> Result<bool, Error> {
        let target = self.root.join(&self.object);
        let failed = |error| sorted(&self.storage, "removing a file", &target, error);
        let Some(found) = self.found(&target).map_err(failed)? else { return Ok(false) };
        if found != self.recorded {
            return Err(Error::NotOurs {
                storage: self.storage,
                object: self.object,
                recorded: self.recorded,
                found,
            });
        }
        durable::remove(&target).map_err(failed)?;
        let folders = target.ancestors().skip(1).take_while(|folder| *folder != self.root);
        for folder in folders {
            // The first that holds something else ends it.
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
        Ok(true)
    }

    /// The file's content, read only where its length is the right one. A link that leads out of
    /// the storage counts as no file of ours.
    fn found(&self, target: &Path) -> io::Result<Option<Content>> {
        let place = match fs::canonicalize(target) {
            Ok(place) => place,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        if place != fs::canonicalize(&self.root)?.join(&self.object) {
            return Err(io::Error::other("a link stands in its way"));
        }
        let file = File::open(&place)?;
        let size_bytes = file.metadata()?.len();
        if size_bytes != self.recorded.size_bytes {
            return Ok(Some(Content { size_bytes, sha256: None }));
        }
        Digest::of(file).map(Some)
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

#[cfg(test)]
mod tests;
