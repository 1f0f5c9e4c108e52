//! A large file in parts, each of which is sent once: also when the process dies in between.
//!
//! How far it is stands in a [`Transfer`], with the storage's own name of the upload, and of each part
//! the storage's name and the SHA-256 of what was sent. What failed leaves its parts at the storage for the next attempt; only a file that is not
//! what was sealed, and an object that stands already, end an upload. So a bucket should have a rule
//! that removes parts of uploads that nobody completes; Azure does so by itself after a week.

use std::sync::Arc;

use bytes::Bytes;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{Attributes, PutMultipartOptions, PutPayload};

use super::Error;
use super::proof::{Claim, S3_SHA256};
use super::put::{PART_BYTES, Spooled, attributes};
use super::remote::{Dialect, Remote};
use super::verify::{base64, hexadecimal, md5, sha256};
use super::wire::Aside;
use crate::model::{Segment, Transfer};

const MIB: u64 = 1024 * 1024;

/// The most parts that S3 takes; Azure takes 50,000.
const MAX_PARTS: u64 = 10_000;

/// How the storages say that they do not know the upload, or not all of its parts any more: S3
/// after an abort or a rule of the bucket, Azure a week after the last part.
const FORGOTTEN: [&str; 4] = ["NoSuchUpload", "InvalidPart", "InvalidBlockList", "InvalidBlockId"];

/// Told after each part.
pub(super) type Progress<'a> = &'a (dyn Fn(Transfer) + Send + Sync);

/// How sending ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The storage has put the parts together; what the object's metadata has to say now.
    Completed(Option<Claim>),
    /// Something stands under the name, be it our own from an attempt whose answer was lost.
    Taken,
    /// The storage does not know what the transfer names.
    Forgotten,
}

/// The size of each part but the last of a file.
pub(super) const fn part_bytes(size_bytes: u64) -> u64 {
    let least = size_bytes.div_ceil(MAX_PARTS).next_multiple_of(MIB);
    if least > PART_BYTES { least } else { PART_BYTES }
}

/// One file on its way in parts.
pub(super) struct Upload<'a> {
    pub(super) remote: &'a Remote,
    pub(super) store: &'a dyn MultipartStore,
    pub(super) path: &'a Path,
    pub(super) segment: &'a Segment,
}

impl Upload<'_> {
    /// Whether what is told of an earlier attempt is about this upload.
    fn fits(&self, transfer: &Transfer) -> bool {
        let part_bytes = part_bytes(self.segment.file.size_bytes);
        let parts = self.segment.file.size_bytes.div_ceil(part_bytes);
        transfer.capture == self.segment.capture
            && transfer.index == self.segment.file.index
            && transfer.storage == self.remote.storage
            && transfer.object == self.segment.object
            && transfer.part_bytes == part_bytes
            && u64::try_from(transfer.parts.len()).is_ok_and(|sent| sent <= parts)
    }

    /// Goes on where `transfer` ends, or begins.
    ///
    /// # Errors
    /// The file is not what was sealed, or the storage did not take it; then nothing stands under
    /// the name that was not there before.
    pub(super) async fn send(
        &self,
        file: Spooled<'_>,
        transfer: Option<Transfer>,
        progress: Progress<'_>,
    ) -> Result<Ending, Error> {
        let transfer = match transfer.filter(|transfer| self.fits(transfer)) {
            Some(transfer) => transfer,
            None => {
                let transfer = self.begin().await?;
                progress(transfer.clone());
                transfer
            }
        };
        self.go_on(file, transfer, progress).await
    }

    async fn begin(&self) -> Result<Transfer, Error> {
        let attributes = match self.remote.dialect {
            Dialect::S3 => attributes(&self.segment.file),
            // It takes them where the parts are put together.
            Dialect::Azure | Dialect::Http => Attributes::new(),
        };
        let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
        let begin = self.store.create_multipart_opts(self.path, options);
        let upload = self.remote.step("beginning an upload in parts", 0, begin).await?;
        Ok(Transfer {
            capture: self.segment.capture.clone(),
            index: self.segment.file.index,
            storage: self.remote.storage.clone(),
            object: self.segment.object.clone(),
            upload,
            part_bytes: part_bytes(self.segment.file.size_bytes),
            parts: Vec::new(),
        })
    }

    async fn go_on(
        &self,
        mut file: Spooled<'_>,
        mut transfer: Transfer,
        progress: Progress<'_>,
    ) -> Result<Ending, Error> {
        let mut hashes = Vec::new();
        for at in 0.. {
            if file.left() == 0 {
                break;
            }
            let content = file.next(transfer.part_bytes).await?;
            let hash = sha256(&content);
            hashes.extend(hash);
            // A part that was read wrongly from the spool before is not what the file holds now.
            if transfer.parts.get(at).is_some_and(|part| part.ends_with(&hexadecimal(&hash))) {
                continue;
            }
            transfer.parts.truncate(at);
            let Some(part) = self.put(at, &transfer, content).await? else {
                return Ok(Ending::Forgotten);
            };
            transfer.parts.push(format!("{} {}", part.content_id, hexadecimal(&hash)));
            progress(transfer.clone());
        }
        if let Err(error) = file.finish() {
            self.give_up(&transfer).await;
            return Err(error);
        }
        let ending = self.complete(&transfer, &hashes).await?;
        if ending == Ending::Taken {
            self.give_up(&transfer).await;
        }
        Ok(ending)
    }

    async fn put(
        &self,
        at: usize,
        transfer: &Transfer,
        content: Bytes,
    ) -> Result<Option<PartId>, Error> {
        let mut aside = Aside::of("PUT", self.path.as_ref());
        if self.remote.dialect == Dialect::Azure {
            aside = aside.saying("content-md5", md5(&content));
        }
        let (aside, payload) = (Arc::new(aside), PutPayload::from_bytes(content));
        let put = self.store.put_part(self.path, &transfer.upload, at, payload);
        let sent = known(aside.around(put));
        self.remote.step("writing a part of an object", transfer.part_bytes, sent).await
    }

    async fn complete(&self, transfer: &Transfer, hashes: &[u8]) -> Result<Ending, Error> {
        let content_id = |part: &String| part.rsplit_once(' ').map_or("", |(id, _)| id).to_owned();
        let parts: Vec<_> =
            transfer.parts.iter().map(|part| PartId { content_id: content_id(part) }).collect();
        let azure = self.remote.dialect == Dialect::Azure;
        let mut aside = Aside::of(if azure { "PUT" } else { "POST" }, self.path.as_ref());
        if self.remote.conditional {
            aside = aside.saying_new();
        }
        if azure {
            aside = aside.saying("x-ms-meta-sha256", &self.segment.file.sha256);
        }
        let aside = Arc::new(aside);
        let complete = self.store.complete_multipart(self.path, &transfer.upload, parts);
        let complete = async {
            match known(aside.around(complete)).await {
                Ok(Some(put)) if azure => Ok(Ending::Completed(put.e_tag.map(Claim::Version))),
                Ok(Some(_)) => {
                    let value = base64(&sha256(hashes));
                    Ok(Ending::Completed(Some(Claim::Checksum { header: S3_SHA256, value })))
                }
                Ok(None) => Ok(Ending::Forgotten),
                Err(
                    object_store::Error::AlreadyExists { .. }
                    | object_store::Error::Precondition { .. },
                ) => Ok(Ending::Taken),
                Err(error) => Err(error),
            }
        };
        let bytes = self.segment.file.size_bytes;
        self.remote.step("completing an upload in parts", bytes, complete).await
    }

    /// Has the storage drop the parts, which cost money. That this fails as well changes nothing
    /// for the caller.
    pub(super) async fn give_up(&self, transfer: &Transfer) {
        let abort = self.store.abort_multipart(self.path, &transfer.upload);
        if let Err(error) = self.remote.step("giving up an upload in parts", 0, abort).await {
            tracing::debug!(%error, "the parts of an upload that is given up stay behind");
        }
    }
}

/// `None` where the storage does not know the upload.
async fn known<T>(
    request: impl Future<Output = object_store::Result<T>>,
) -> object_store::Result<Option<T>> {
    match request.await {
        Ok(answer) => Ok(Some(answer)),
        Err(error) => {
            let text = error.to_string();
            if FORGOTTEN.iter().any(|code| text.contains(code)) { Ok(None) } else { Err(error) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_large_enough_and_few_enough_for_s3() {
        for size in [1, PART_BYTES, PART_BYTES + 1, 80_000 * MIB, 80_000 * MIB + 1, 5 << 40] {
            let part = part_bytes(size);
            assert!(part >= 5 * MIB && part.is_multiple_of(MIB), "{size}: {part}");
            assert!(size.div_ceil(part) <= MAX_PARTS, "{size}: {part}");
        }
        assert_eq!(part_bytes(80_000 * MIB), PART_BYTES);
    }
}
