//! A storage on the network: Azure Blob Storage, S3 and what speaks its language, WebDAV.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::Signer;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt as _};
use reqwest::Method;

use super::error::Error;
use super::fault::{self, Secrets};
use super::settings::Verify;
use super::{deadline, name};

/// A name that we never give to an object: asking for it tells whether the container is there.
const PROBE: &str = "hindsight-check";

/// What `object_store` says of an answer that tells no length.
const NO_LENGTH: &str = "Content-Length Header missing";

/// What S3 and a user delegation key of Azure allow.
const LONGEST_LINK: Duration = Duration::from_secs(7 * 24 * 3600);

/// What is spoken to a storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Azure,
    S3,
    Http,
}

impl Dialect {
    /// Its word in the configuration.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Azure => "azure",
            Self::S3 => "s3",
            Self::Http => "http",
        }
    }
}

/// One named container or bucket.
pub(super) struct Remote {
    pub(super) storage: String,
    pub(super) dialect: Dialect,
    pub(super) objects: Arc<dyn ObjectStore>,
    /// Takes an upload in parts that outlives the process; absent where there is no such thing.
    pub(super) parts: Option<Arc<dyn MultipartStore>>,
    /// Signs links; absent where the credential cannot.
    pub(super) signer: Option<Arc<dyn Signer>>,
    /// The address of the container, without a slash at its end and without a credential.
    pub(super) base: String,
    /// It takes the condition that nothing stands under a name.
    pub(super) conditional: bool,
    pub(super) verify: Verify,
    pub(super) secrets: Secrets,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("dialect", &self.dialect).field("base", &self.base).finish()
    }
}

/// What is known of an object before it is sent.
pub(super) enum Standing {
    There,
    Absent,
    /// The credential may not ask. S3 answers so for absent objects, too, where it may not list.
    NotTold(Error),
}

impl Remote {
    pub(super) fn objects(&self) -> &dyn ObjectStore {
        self.objects.as_ref()
    }

    /// A URL that lets anybody read the object for some time.
    pub(super) async fn link(
        &self,
        object: &str,
        valid: Duration,
    ) -> Result<Option<String>, Error> {
        let path = self.path(object)?;
        let Some(signer) = &self.signer else { return Ok(None) };
        let signed = signer.signed_url(Method::GET, &path, valid.min(LONGEST_LINK));
        self.step("signing a link", 0, signed).await.map(|url| Some(url.to_string()))
    }

    /// An object's bytes from `offset` on. A server that goes silent ends the stream with an error.
    pub(super) async fn read(
        &self,
        object: &str,
        offset: u64,
    ) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
        let doing = "reading an object";
        let path = self.path(object)?;
        let range = (offset > 0).then_some(GetRange::Offset(offset));
        let options = GetOptions { range, ..GetOptions::default() };
        let found = self.step(doing, 0, self.objects.get_opts(&path, options)).await?;
        let (storage, base, secrets) =
            (self.storage.clone(), self.base.clone(), self.secrets.clone());
        let failed = move |error| fault::sort(&storage, &base, doing, &error, &secrets);
        Ok(found.into_stream().map_err(failed).boxed())
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

    pub(super) async fn standing(&self, path: &Path) -> Result<Standing, Error> {
        let ask = async {
            match self.objects.head(path).await {
                Ok(_meta) => Ok(Standing::There),
                Err(object_store::Error::NotFound { .. }) => Ok(Standing::Absent),
                // So does Apache answer for an empty file.
                Err(error) if error.to_string().contains(NO_LENGTH) => Ok(Standing::There),
                Err(error) => Err(error),
            }
        };
        match self.step("asking for an object", 0, ask).await {
            Err(error @ Error::Denied { .. }) => Ok(Standing::NotTold(error)),
            result => result,
        }
    }

    pub(super) fn path(&self, object: &str) -> Result<Path, Error> {
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
