//! The proof: that what a storage holds is what was sealed.
//!
//! Either the storage has compared checksums with what arrived, and says of the object that it is
//! that one, or the object is read back.

use std::sync::Arc;

use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{Attribute, GetOptions, ObjectStoreExt as _};

use super::error::{Conflict, Content, Error};
use super::remote::Remote;
use super::settings::Verify;
use super::verify::{Digest, sealed};
use super::wire::Aside;
use crate::model::Segment;

/// The user's metadata of an object that holds the SHA-256 of the whole file, in hexadecimal.
pub(super) const SHA256: &str = "sha256";

/// Where S3 says what it has compared. Of an object in parts it is the hash of their hashes.
pub(super) const S3_SHA256: &str = "x-amz-checksum-sha256";

/// What a storage has to say of an object that holds what was sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// In this header the checksum that it has compared with what arrived.
    Checksum { header: &'static str, value: String },
    /// That the object is still the one that it has put together of parts, of which it has compared
    /// each with a checksum: the version that its answer named.
    Version(String),
}

impl Remote {
    /// Makes sure that the object is what was sealed.
    ///
    /// # Errors
    /// [`Error::Conflict`] where it is not.
    pub(super) async fn prove(
        &self,
        path: &Path,
        segment: &Segment,
        claim: Option<Claim>,
    ) -> Result<(), Error> {
        if let (Verify::Checksum, Some(claim)) = (self.verify, claim)
            && self.bears_out(path, segment, &claim).await?
        {
            return Ok(());
        }
        self.compare(path, segment).await
    }

    /// Whether the object's metadata says all that it has to.
    async fn bears_out(
        &self,
        path: &Path,
        segment: &Segment,
        claim: &Claim,
    ) -> Result<bool, Error> {
        let aside = Arc::new(Aside::of("HEAD", path.as_ref()));
        let options = GetOptions { head: true, ..GetOptions::default() };
        let ask = aside.around(self.objects().get_opts(path, options));
        let found = self.step("asking for an object's checksum", 0, ask).await?;
        let named = found.attributes.get(&Attribute::Metadata(SHA256.into()));
        let ours = named.is_some_and(|named| named.as_ref() == segment.file.sha256);
        let said = match claim {
            // S3 adds the number of parts: `hash-6`. Base64 has no such sign.
            Claim::Checksum { header, value } => {
                aside.heard(header).is_some_and(|heard| heard.split('-').next() == Some(value))
            }
            Claim::Version(version) => found.meta.e_tag.as_ref() == Some(version),
        };
        Ok(ours && said && found.meta.size == segment.file.size_bytes)
    }

    /// Reads the object back.
    async fn compare(&self, path: &Path, segment: &Segment) -> Result<(), Error> {
        let sealed = sealed(&segment.file);
        let read = async {
            let object = self.objects().get(path).await?;
            let size_bytes = object.meta.size;
            if size_bytes != sealed.size_bytes {
                return Ok(Content { size_bytes, sha256: None });
            }
            let mut digest = Digest::default();
            let mut stream = object.into_stream();
            while let Some(chunk) = stream.try_next().await? {
                digest.take(&chunk);
            }
            Ok(digest.finish())
        };
        let found = self.step("reading an object back", sealed.size_bytes, read).await?;
        if found == sealed {
            return Ok(());
        }
        Err(Error::Conflict(Box::new(Conflict {
            storage: self.storage.clone(),
            object: segment.object.clone(),
            path: segment.file.path.clone(),
            sealed,
            found,
        })))
    }
}
