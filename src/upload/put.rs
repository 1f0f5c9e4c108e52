//! A file out of the spool into an object store, in pieces of bounded size.

use std::io;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Attribute, AttributeValue, Attributes, PutMode, PutOptions, PutPayload};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use super::Error;
use super::remote::Remote;
use super::verify::{Digest, sealed};
use crate::model::SealedFile;

/// A sealed file that is open for reading, and what was read of it so far.
#[derive(Debug)]
pub(super) struct Spooled<'a> {
    record: &'a SealedFile,
    file: File,
    read: Digest,
    left: u64,
}

impl<'a> Spooled<'a> {
    /// Opens the file; `None` where there is none.
    ///
    /// # Errors
    /// The file cannot be read, or has another length than the record says.
    pub(super) async fn open(record: &'a SealedFile) -> Result<Option<Self>, Error> {
        let failed = |source| Error::Local { path: record.path.clone(), source };
        let file = match File::open(&record.path).await {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let size_bytes = file.metadata().await.map_err(failed)?.len();
        if size_bytes != record.size_bytes {
            return Err(Error::LocalChanged {
                path: record.path.clone(),
                sealed: sealed(record),
                found: super::Content { size_bytes, sha256: None },
            });
        }
        Ok(Some(Self { record, file, read: Digest::default(), left: size_bytes }))
    }

    /// How many bytes are still to be read.
    pub(super) const fn left(&self) -> u64 {
        self.left
    }

    /// The next at most `most` bytes; empty at the end.
    pub(super) async fn next(&mut self, most: u64) -> Result<Bytes, Error> {
        let length = self.left.min(most);
        let mut part = vec![0; usize::try_from(length).expect("a part fits into the memory")];
        self.file
            .read_exact(&mut part)
            .await
            .map_err(|source| Error::Local { path: self.record.path.clone(), source })?;
        self.read.take(&part);
        self.left -= length;
        Ok(part.into())
    }

    /// Whether all that was read is what was sealed.
    pub(super) fn finish(self) -> Result<(), Error> {
        let (sealed, found) = (sealed(self.record), self.read.finish());
        if sealed == found {
            Ok(())
        } else {
            Err(Error::LocalChanged { path: self.record.path.clone(), sealed, found })
        }
    }
}

/// Sends a small file in one request that replaces nothing. That the object is there already is left
/// to the comparison that follows: it may be our own from an attempt whose answer was lost.
///
/// # Errors
/// The file is not what was sealed, or the storage did not take it; then nothing stands under the
/// name that was not there before.
pub(super) async fn whole(
    remote: &Remote,
    path: &Path,
    record: &SealedFile,
    mut file: Spooled<'_>,
) -> Result<(), Error> {
    let content = file.next(record.size_bytes).await?;
    file.finish()?;
    let attributes = attributes(record);
    let options = PutOptions { mode: PutMode::Create, attributes, ..PutOptions::default() };
    let put = async {
        match remote.objects().put_opts(path, PutPayload::from_bytes(content), options).await {
            Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
            result => result.map(drop),
        }
    };
    remote.step("writing an object", record.size_bytes, put).await
}

pub(super) fn attributes(file: &SealedFile) -> Attributes {
    let sha256 = AttributeValue::from(file.sha256.clone());
    Attributes::from_iter([(Attribute::Metadata("sha256".into()), sha256)])
}
