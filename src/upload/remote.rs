//! An object store on the network: Azure Blob Storage, S3 and what speaks its language.
//!
//! One attempt asks first, sends only where nothing stands under the name, and reads back in any
//! case. Object stores offer a conditional create for one request, not for an upload in parts; for
//! those the question before is what keeps another object from being replaced.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};

use super::error::{Conflict, Content, Error};
use super::fault::{self, Secrets};
use super::put::{self, Spooled};
use super::verify::{Digest, sealed};
use super::{deadline, name};
use crate::model::Segment;

/// A name that we never give to an object: asking for it tells whether the container is there.
const PROBE: &str = "hindsight-check";

/// One named container or bucket.
pub(super) struct Remote {
    pub(super) storage: String,
    pub(super) kind: &'static str,
    pub(super) objects: Arc<dyn ObjectStore>,
    /// The address of the container, without a slash at its end and without a credential.
    pub(super) base: String,
    pub(super) secrets: Secrets,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("kind", &self.kind).field("base", &self.base).finish()
    }
}

/// What is known of an object before it is sent.
enum Standing {
    There,
    Absent,
    /// The credential may not ask. S3 answers so for absent objects, too, where it may not list.
    NotTold(Error),
}

impl Remote {
    pub(super) fn objects(&self) -> &dyn ObjectStore {
        self.objects.as_ref()
    }

    /// One verified upload; gives back where people find the object.
    pub(super) async fn store(&self, segment: &Segment) -> Result<String, Error> {
        let path = self.path(&segment.object)?;
        let standing = self.standing(&path).await?;
        if !matches!(standing, Standing::There) {
            match (Spooled::open(&segment.file).await?, standing) {
                (Some(file), _) => put::send(self, &path, segment, file).await?,
                (None, Standing::NotTold(error)) => return Err(error),
                (None, _) => {
                    return Err(Error::LocalMissing {
                        storage: self.storage.clone(),
                        object: segment.object.clone(),
                        path: segment.file.path.clone(),
                    });
                }
            }
        }
        self.compare(&path, segment).await?;
        Ok(format!("{}/{}", self.base, segment.object))
    }

    /// Whether the container is there and may be read.
    pub(super) async fn check(&self) -> Result<(), Error> {
        let path = self.path(PROBE)?;
        let doing = "looking for the container or bucket";
        let ask = async {
            match self.objects.get(&path).await {
                // The answer says what is missing; where it is not the container, it is the object.
                Err(object_store::Error::NotFound { source, .. })
                    if !names_the_container(&source.to_string()) =>
                {
                    Ok(())
                }
                result => result.map(drop),
            }
        };
        self.step(doing, 0, ask).await
    }

    /// One step within its deadline, its error sorted and scrubbed.
    pub(super) async fn step<T>(
        &self,
        doing: &'static str,
        bytes: u64,
        work: impl Future<Output = Result<T, object_store::Error>>,
    ) -> Result<T, Error> {
        let sorted = async {
            work.await.map_err(|error| {
                fault::sort(&self.storage, &self.base, doing, &error, &self.secrets)
            })
        };
        deadline::within(&self.storage, doing, bytes, sorted).await
    }

    async fn standing(&self, path: &Path) -> Result<Standing, Error> {
        let ask = async {
            match self.objects.head(path).await {
                Ok(_meta) => Ok(Standing::There),
                Err(object_store::Error::NotFound { .. }) => Ok(Standing::Absent),
                Err(error) => Err(error),
            }
        };
        match self.step("asking for an object", 0, ask).await {
            Err(error @ Error::Denied { .. }) => Ok(Standing::NotTold(error)),
            result => result,
        }
    }

    /// Reads the object back.
    async fn compare(&self, path: &Path, segment: &Segment) -> Result<(), Error> {
        let sealed = sealed(&segment.file);
        let read = async {
            let object = self.objects.get(path).await?;
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

    fn path(&self, object: &str) -> Result<Path, Error> {
        name::check(object)?;
        Path::parse(object).map_err(|_unhelpful| Error::Name {
            object: object.to_owned(),
            problem: "the storage does not take it",
        })
    }
}

/// The codes of Azure and of S3.
fn names_the_container(answer: &str) -> bool {
    ["ContainerNotFound", "NoSuchBucket"].iter().any(|code| answer.contains(code))
}
