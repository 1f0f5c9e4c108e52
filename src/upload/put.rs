//! A file out of the spool into an object store, in pieces of bounded size.

use std::io;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{
    Attribute, AttributeValue, Attributes, MultipartUpload, PutMode, PutMultipartOptions,
    PutOptions, PutPayload,
};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;

use super::Error;
use super::remote::Remote;
use super::verify::{Digest, sealed};
use crate::model::{SealedFile, Segment};

/// The most of a file that is in memory at a time, in bytes. S3 takes 10,000 parts of at least
/// 5 MiB, so a segment may be 80 GiB.
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

    /// The next at most [`PART_BYTES`] bytes; empty at the end.
    async fn next(&mut self) -> Result<Bytes, Error> {
        let length = usize::try_from(self.left.min(PART_BYTES))
            .expect("8 MiB fit into every address space that this runs in");
        let mut part = vec![0; length];
        self.file
            .read_exact(&mut part)
            .await
            .map_err(|source| Error::Local { path: self.record.path.clone(), source })?;
        self.read.take(&part);
        self.left = self.left.saturating_sub(PART_BYTES);
        Ok(part.into())
    }

    /// Whether all that was read is what was sealed.
    fn finish(self) -> Result<(), Error> {
        let (sealed, found) = (sealed(self.record), self.read.finish());
        if sealed == found {
            Ok(())
        } else {
            Err(Error::LocalChanged { path: self.record.path.clone(), sealed, found })
        }
    }
}

/// Sends the file. That the object is there already is left to the comparison that follows: it may
/// be our own from an attempt whose answer was lost.
///
/// # Errors
/// The file is not what was sealed, or the storage did not take it; then nothing stands under the
/// name that was not there before.
pub(super) async fn send(
    remote: &Remote,
    path: &Path,
    segment: &Segment,
    mut file: Spooled<'_>,
) -> Result<(), Error> {
    let attributes = attributes(&segment.file);
    if segment.file.size_bytes <= PART_BYTES {
        let content = file.next().await?;
        file.finish()?;
        return create(remote, path, content, attributes).await;
    }
    let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
    let mut upload = remote
        .step("beginning an upload in parts", 0, remote.objects().put_multipart_opts(path, options))
        .await?;
    match send_parts(remote, upload.as_mut(), file).await {
        Ok(()) => {
            let bytes = segment.file.size_bytes;
            remote.step("completing an upload in parts", bytes, upload.complete()).await.map(drop)
        }
        Err(error) => {
            // Parts that stay behind cost money until the storage's own rule removes them. That
            // tidying up fails as well changes nothing for the caller.
            if let Err(error) = remote.step("giving up an upload", 0, upload.abort()).await {
                tracing::debug!(%error, "the parts of a failed upload stay behind");
            }
            Err(error)
        }
    }
}

async fn create(
    remote: &Remote,
    path: &Path,
    content: Bytes,
    attributes: Attributes,
) -> Result<(), Error> {
    let bytes = PART_BYTES;
    let options = PutOptions { mode: PutMode::Create, attributes, ..PutOptions::default() };
    let put = async {
        match remote.objects().put_opts(path, PutPayload::from_bytes(content), options).await {
            Err(object_store::Error::AlreadyExists { .. }) => Ok(()),
            result => result.map(drop),
        }
    };
    remote.step("writing an object", bytes, put).await
}

async fn send_parts(
    remote: &Remote,
    upload: &mut dyn MultipartUpload,
    mut file: Spooled<'_>,
) -> Result<(), Error> {
    while file.left > 0 {
        let part = PutPayload::from_bytes(file.next().await?);
        remote.step("writing a part of an object", PART_BYTES, upload.put_part(part)).await?;
    }
    file.finish()
}

fn attributes(file: &SealedFile) -> Attributes {
    let sha256 = AttributeValue::from(file.sha256.clone());
    Attributes::from_iter([(Attribute::Metadata("sha256".into()), sha256)])
}
