//! One attempt at an upload to a storage on the network.
//!
//! One attempt asks first, sends only where nothing stands under the name, on the condition that
//! this is still so, and has it proved in any case. A server that knows no such condition has only
//! the question before to keep another object from being replaced.

use object_store::path::Path;

use super::error::Error;
use super::parts::{Ending, Progress, Upload};
use super::proof::Claim;
use super::put::{self, PART_BYTES, Spooled};
use super::remote::{Remote, Standing};
use crate::model::{Segment, Transfer};

impl Remote {
    /// One verified upload; gives back where people find the object.
    pub(super) async fn store(
        &self,
        segment: &Segment,
        transfer: Option<Transfer>,
        progress: Progress<'_>,
    ) -> Result<String, Error> {
        let path = self.path(&segment.object)?;
        let claim = match (self.standing(&path).await?, transfer) {
            (Standing::There, None) => None,
            (Standing::There, Some(left)) => {
                if let Some(store) = &self.parts {
                    let store = store.as_ref();
                    Upload { remote: self, store, path: &path, segment }.give_up(&left).await;
                }
                None
            }
            (standing, transfer) => {
                let Some(file) = Spooled::open(&segment.file).await? else {
                    return Err(self.missing(standing, segment));
                };
                self.send(&path, segment, file, transfer, progress).await?
            }
        };
        self.prove(&path, segment, claim).await?;
        Ok(format!("{}/{}", self.base, segment.object))
    }

    fn missing(&self, standing: Standing, segment: &Segment) -> Error {
        match standing {
            Standing::NotTold(error) => error,
            Standing::There | Standing::Absent => Error::LocalMissing {
                storage: self.storage.clone(),
                object: segment.object.clone(),
                path: segment.file.path.clone(),
            },
        }
    }

    /// Gives back what the object's metadata has to say afterwards; nothing where something stands
    /// under the name that this attempt has not put there.
    async fn send(
        &self,
        path: &Path,
        segment: &Segment,
        file: Spooled<'_>,
        transfer: Option<Transfer>,
        progress: Progress<'_>,
    ) -> Result<Option<Claim>, Error> {
        let record = &segment.file;
        if record.size_bytes <= PART_BYTES {
            return put::whole(self, path, record, file).await;
        }
        let Some(store) = &self.parts else {
            return put::streamed(self, path, record, file).await.map(|()| None);
        };
        let upload = Upload { remote: self, store: store.as_ref(), path, segment };
        let resumed = transfer.is_some();
        let mut ending = upload.send(file, transfer, progress).await?;
        if ending == Ending::Forgotten {
            // The answer to the completion may have been lost: then the upload is over, not gone.
            if matches!(self.standing(path).await?, Standing::There) {
                return Ok(None);
            }
            if let (true, Some(file)) = (resumed, Spooled::open(record).await?) {
                ending = upload.send(file, None, progress).await?;
            }
        }
        match ending {
            Ending::Completed(claim) => Ok(claim),
            Ending::Taken => Ok(None),
            Ending::Forgotten => Err(Error::Unavailable {
                storage: self.storage.clone(),
                doing: "writing an object in parts",
                reason: "the storage does not know the upload that it has begun".to_owned(),
            }),
        }
    }
}
