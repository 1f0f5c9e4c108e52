//! One file of a capture, found where it is now and read from there.

use std::fs::Metadata;
use std::io::{self, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream, Stream, StreamExt as _, TryStreamExt as _};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use crate::model::Capture;
use crate::session::local_file_of;
use crate::upload::Storages;

/// How much of a file is read at one time, in bytes.
const PIECE: usize = 64 * 1024;

/// The bytes of a file, piece by piece; an error ends them.
pub type Pieces = BoxStream<'static, Result<Bytes, String>>;

/// One file of a capture, whole and sealed.
#[derive(Debug)]
pub struct StoredFile {
    /// What a copy of it is called: the last part of its object's name.
    pub name: String,
    pub size_bytes: u64,
    /// In hexadecimal.
    pub sha256: String,
    pub(super) place: Place,
}

/// Where the bytes are.
#[derive(Debug)]
pub(super) enum Place {
    /// In the spool, or as the local file that somebody asked for.
    Local(PathBuf),
    /// Under this name in this storage.
    Stored { storages: Arc<Storages>, storage: String, object: String },
}

/// The file of a capture with this index; none where the capture has none. A copy on this host is
/// taken before the storage is asked.
pub(super) async fn find(
    capture: &Capture,
    index: u32,
    storages: Arc<Storages>,
) -> Option<StoredFile> {
    let segment = capture.segments.iter().find(|segment| segment.file.index == index)?;
    let size_bytes = segment.file.size_bytes;
    let local = local_file_of(capture, &segment.file);
    let mut place = None;
    for path in [Some(segment.file.path.clone()), local].into_iter().flatten() {
        let is_it = |file: Metadata| file.is_file() && file.len() == size_bytes;
        if tokio::fs::metadata(&path).await.is_ok_and(is_it) {
            place = Some(Place::Local(path));
            break;
        }
    }
    let stored = || {
        let receipt = segment.receipt.as_ref().filter(|receipt| !receipt.storage.is_empty())?;
        let (storage, object) = (receipt.storage.clone(), receipt.object.clone());
        Some(Place::Stored { storages, storage, object })
    };
    Some(StoredFile {
        name: segment.object.rsplit('/').next().unwrap_or_default().to_owned(),
        size_bytes,
        sha256: segment.file.sha256.clone(),
        // One that is nowhere says so when it is read.
        place: place.or_else(stored).unwrap_or_else(|| Place::Local(segment.file.path.clone())),
    })
}

impl StoredFile {
    /// The bytes from `offset` on; none from its end on. Whoever has all of them compares the SHA-256.
    pub fn read(&self, offset: u64) -> Pieces {
        if offset >= self.size_bytes {
            return stream::empty().boxed();
        }
        match &self.place {
            Place::Local(path) => local(path.clone(), offset).boxed(),
            Place::Stored { storages, storage, object } => {
                let (storages, storage, object) =
                    (Arc::clone(storages), storage.clone(), object.clone());
                let read = async move { storages.read(&storage, &object, offset).await };
                stream::once(read).try_flatten().map_err(|error| error.to_string()).boxed()
            }
        }
    }
}

/// A local file from `offset` on; opened with the first piece.
fn local(path: PathBuf, offset: u64) -> impl Stream<Item = Result<Bytes, String>> + Send {
    let failed = {
        let shown = path.display().to_string();
        move |error: io::Error| format!("reading {shown}: {error}")
    };
    let open = async move {
        let mut file = File::open(path).await?;
        file.seek(SeekFrom::Start(offset)).await?;
        Ok::<_, io::Error>(pieces(file))
    };
    stream::once(open).try_flatten().map_err(failed)
}

fn pieces(file: File) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::try_unfold(file, |mut file| async {
        let mut piece = BytesMut::with_capacity(PIECE);
        let read = file.read_buf(&mut piece).await?;
        Ok((read > 0).then(|| (piece.freeze(), file)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_is_read_from_any_offset_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c-0.pcapng");
        let content: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        std::fs::write(&path, &content).unwrap();
        let file = StoredFile {
            name: "c-0.pcapng".to_owned(),
            size_bytes: 800_000,
            sha256: String::new(),
            place: Place::Local(path.clone()),
        };
        for offset in [0, 1, 65_536, 799_999, 800_000, 900_000] {
            let mut read = Vec::new();
            let mut pieces = file.read(offset);
            while let Some(piece) = pieces.next().await {
                read.extend_from_slice(&piece.unwrap());
            }
            let from = usize::try_from(offset).unwrap().min(content.len());
            assert!(read == content[from..], "from {offset}: {} bytes", read.len());
        }
        std::fs::remove_file(&path).unwrap();
        assert!(file.read(800_000).next().await.is_none(), "there is nothing to read");
        let error = file.read(0).next().await.unwrap().unwrap_err();
        assert!(error.starts_with("reading ") && error.contains("c-0.pcapng"), "{error}");
    }
}
