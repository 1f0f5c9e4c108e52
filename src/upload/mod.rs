//! Storages: a sealed segment goes out under one name, and comes back as a receipt once verified.
//!
//! [`Storages::store`] is one attempt. It knows nothing of captures, of other attempts or of what
//! happens to the local file; when to try again is the session's decision. **Invariant: a
//! [`Receipt`] exists only after it was proved that the storage holds the sealed bytes, and nothing
//! that stood under the name before was replaced.** So an attempt may be repeated at any time, also
//! when the answer to an earlier one was lost:
//!
//! | under the name stands | in the spool stands | the attempt |
//! |---|---|---|
//! | nothing | the sealed file | sends it, has it proved |
//! | the same bytes | anything | succeeds |
//! | other bytes | anything | [`Error::Conflict`], for good |
//! | nothing | nothing | [`Error::LocalMissing`], for good |
//! | nothing | something else | [`Error::LocalChanged`], for good |
//!
//! What the proof is depends on the storage: [`Verify`], and decision 16. The condition that nothing
//! stands under the name goes with the request that makes the object, where the server knows such
//! conditions; where not, the question before is the guard, and nobody else may write the same names.
//!
//! A file of at most 8 MiB goes out in one request. A larger one goes to Azure and S3 in parts, of
//! which a later attempt, also of another process, sends only what is missing; to a server that knows
//! no parts it is streamed.
//!
//! Memory: one part of a file at a time for each attempt, which is 8 MiB for files of up to 80 GB.
//! Every step has a deadline that grows with the bytes that it moves, never slower than 128 KiB/s.

mod attempt;
mod build;
mod deadline;
mod directory;
mod error;
mod fault;
mod name;
mod parts;
mod place;
mod proof;
mod put;
mod remote;
mod settings;
mod verify;
mod wire;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;

pub use error::{Conflict, Content, Error};
pub use settings::{AzureSettings, HttpSettings, ManagedIdentity, S3Settings, Settings, Verify};

use crate::clock;
use crate::model::{Receipt, Segment, Transfer};
use directory::Directory;
use remote::Remote;

#[derive(Debug)]
enum Storage {
    Directory(Directory),
    Remote(Remote),
}

/// All configured storages, by name; clones share them.
#[derive(Clone, Debug)]
pub struct Storages {
    by_name: Arc<BTreeMap<String, Storage>>,
}

impl Storages {
    /// Makes clients of the settings and reads their secrets; asks nothing of the network. The
    /// process needs a TLS provider before (`rustls::crypto::ring`).
    ///
    /// # Errors
    /// A setting has no meaning, or a secret cannot be read.
    pub fn build(settings: &BTreeMap<String, Settings>) -> Result<Self, Error> {
        let storage = |(name, settings): (&String, &Settings)| {
            let storage = match settings {
                Settings::Directory { path } => {
                    Storage::Directory(Directory::new(name.clone(), path.clone()))
                }
                Settings::Azure(azure) => Storage::Remote(build::azure(name, azure)?),
                Settings::S3(s3) => Storage::Remote(build::s3(name, s3)?),
                Settings::Http(http) => Storage::Remote(build::http(name, http)?),
            };
            Ok((name.clone(), storage))
        };
        let by_name = settings.iter().map(storage).collect::<Result<_, Error>>()?;
        Ok(Self { by_name: Arc::new(by_name) })
    }

    /// The name of every storage, and its kind: `directory`, `azure`, `s3` or `http`.
    pub fn kinds(&self) -> impl Iterator<Item = (&str, &'static str)> {
        self.by_name.iter().map(|(name, storage)| match storage {
            Storage::Directory(_) => (name.as_str(), "directory"),
            Storage::Remote(remote) => (name.as_str(), remote.dialect.word()),
        })
    }

    /// Whether the storage can be reached and its container, bucket or directory seen. Writes
    /// nothing.
    ///
    /// # Errors
    /// It cannot, and the message says why.
    pub async fn check(&self, name: &str) -> Result<(), Error> {
        match self.get(name)? {
            Storage::Directory(directory) => directory.check().await,
            Storage::Remote(remote) => remote.check().await,
        }
    }

    /// One attempt to store a segment under its object name, verified.
    ///
    /// A large segment goes out in parts. `progress` is told after each one how far the upload is;
    /// with the last of these as `transfer`, a later attempt, also of another process, sends only
    /// the parts that are missing. One of another storage, object or size is ignored.
    ///
    /// # Errors
    /// [`Error::is_transient`] says whether another attempt is worth it; the state of the storage is
    /// as in the table above either way.
    pub async fn store(
        &self,
        storage: &str,
        segment: &Segment,
        transfer: Option<Transfer>,
        progress: impl Fn(Transfer) + Send + Sync,
    ) -> Result<Receipt, Error> {
        let location = match self.get(storage)? {
            Storage::Directory(directory) => directory.store(segment).await?,
            Storage::Remote(remote) => remote.store(segment, transfer, &progress).await?,
        };
        Ok(Receipt {
            storage: storage.to_owned(),
            object: segment.object.clone(),
            location,
            size_bytes: segment.file.size_bytes,
            sha256: segment.file.sha256.clone(),
            verified_at: clock::wall_time(),
        })
    }

    /// Puts a verified, durable copy of a segment at a path of this host, beside its way to the
    /// storage. The folder has to be there. A second time is fine.
    ///
    /// # Errors
    /// [`Error::Conflict`] where another file has the name, which stays; else as for
    /// [`store`](Self::store).
    pub async fn place(path: &Path, segment: &Segment) -> Result<(), Error> {
        place::beside(path, segment).await
    }

    /// A URL with which anybody may read the object for at most `valid` (7 days at most); `None`
    /// for a storage that has no such thing. Whoever knows the URL may read: it is a secret.
    ///
    /// # Errors
    /// There is no such storage, or the credential for the signature could not be had.
    pub async fn link(
        &self,
        storage: &str,
        object: &str,
        valid: Duration,
    ) -> Result<Option<String>, Error> {
        match self.get(storage)? {
            Storage::Directory(_) => Ok(None),
            Storage::Remote(remote) => remote.link(object, valid).await,
        }
    }

    /// An object's bytes from `offset` on, which has to be below its length unless both are 0. What
    /// they hash to is the caller's to check.
    ///
    /// # Errors
    /// It is not there or cannot be read; later ones come through the stream.
    pub async fn read(
        &self,
        storage: &str,
        object: &str,
        offset: u64,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        match self.get(storage)? {
            Storage::Directory(directory) => directory.read(object, offset).await,
            Storage::Remote(remote) => remote.read(object, offset).await,
        }
    }

    /// Removes a file that this worker put into a storage of kind `directory`, for good, and the
    /// folders that it leaves empty; gives back whether it was there. Object stores have rules of
    /// their own for that.
    ///
    /// # Errors
    /// [`Error::NotOurs`] where the file is not the one recorded, and [`Error::Unsupported`] for
    /// another kind of storage: nothing was touched.
    pub async fn remove_own(
        &self,
        storage: &str,
        object: &str,
        size_bytes: u64,
        sha256: &str,
    ) -> Result<bool, Error> {
        let recorded = Content { size_bytes, sha256: Some(sha256.to_ascii_lowercase()) };
        match self.get(storage)? {
            Storage::Directory(directory) => directory.remove_own(object, recorded).await,
            Storage::Remote(remote) => Err(Error::Unsupported {
                storage: storage.to_owned(),
                doing: "removing an object",
                reason: format!(
                    "only a directory is cleared by the worker, and this is {}",
                    remote.dialect.word()
                ),
            }),
        }
    }

    fn get(&self, name: &str) -> Result<&Storage, Error> {
        self.by_name.get(name).ok_or_else(|| Error::Unknown(name.to_owned()))
    }
}
