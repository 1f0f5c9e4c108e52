//! A file out of the spool into an object store, in pieces of bounded size.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Attribute, AttributeValue, Attributes, PutMode, PutOptions, PutPayload};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use super::Error;
use super::proof::{Claim, S3_SHA256, SHA256};
use super::remote::{Dialect, Remote};
use super::verify::{Digest, base64, md5, sealed, sha256};
use super::wire::Aside;
use crate::model::SealedFile;

/// The size of a part as long as that makes few enough of them, in bytes. S3 wants at least 5 MiB.
pub(super) const PART_BYTES: u64 = 8 * 1024 * 1024;

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
) -> Result<Option<Claim>, Error> {
    let content = file.next(record.size_bytes).await?;
    file.finish()?;
    let mut aside = Aside::of("PUT", path.as_ref());
    let claim = match remote.dialect {
        Dialect::Azure => {
            let value = md5(&content);
            aside = aside.saying("content-md5", value.clone());
            Some(Claim::Checksum { header: "content-md5", value })
        }
        Dialect::S3 => {
            let value = base64(&sha256(&content));
            Some(Claim::Checksum { header: S3_SHA256, value })
        }
        Dialect::Http => None,
    };
    let taken = put(remote, path, record, aside, PutPayload::from_bytes(content)).await?;
    Ok(claim.filter(|_| !taken))
}

/// Sends a file of any size in one request that replaces nothing, never more than a little of it in
/// memory: for servers that know no parts.
///
/// # Errors
/// As for [`whole`].
pub(super) async fn streamed(
    remote: &Remote,
    path: &Path,
    record: &SealedFile,
    mut file: Spooled<'_>,
) -> Result<(), Error> {
    while file.left() > 0 {
        file.next(PART_BYTES).await?;
    }
    file.finish()?;
    let aside = Aside::of("PUT", path.as_ref()).with_file(record.path.clone());
    put(remote, path, record, aside, PutPayload::new()).await.map(drop)
}

/// Whether something stands under the name already.
async fn put(
    remote: &Remote,
    path: &Path,
    record: &SealedFile,
    mut aside: Aside,
    payload: PutPayload,
) -> Result<bool, Error> {
    let mode = match remote.dialect {
        Dialect::Azure | Dialect::S3 if remote.conditional => PutMode::Create,
        Dialect::Azure | Dialect::S3 => PutMode::Overwrite,
        Dialect::Http => {
            if remote.conditional {
                aside = aside.saying_new();
            }
            PutMode::Overwrite
        }
    };
    let options = PutOptions { mode, attributes: attributes(record), ..PutOptions::default() };
    let aside = Arc::new(aside);
    let put = async {
        match aside.around(remote.objects().put_opts(path, payload, options)).await {
            Ok(_) => Ok(false),
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. },
            ) => Ok(true),
            Err(error) => Err(error),
        }
    };
    remote.step("writing an object", record.size_bytes, put).await
}

pub(super) fn attributes(file: &SealedFile) -> Attributes {
    let sha256 = AttributeValue::from(file.sha256.clone());
    Attributes::from_iter([(Attribute::Metadata(SHA256.into()), sha256)])
}
