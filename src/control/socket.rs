//! The Unix socket file: made with its mode before anybody can see it, never taken from a worker
//! that lives.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

use super::Error;

/// Owner and group may connect; connecting needs the permission to write.
const MODE: u32 = 0o660;

/// The longest path that a socket address holds, in bytes. Source: unix(7), `sun_path[108]` with
/// its final zero.
const MAX_PATH_BYTES: usize = 107;

/// What the socket is called until it has its mode.
const NEW_SUFFIX: &str = ".new";

/// The socket file of this worker.
#[derive(Debug)]
pub(super) struct Socket {
    path: PathBuf,
    /// Device and inode, to know our own file again.
    identity: (u64, u64),
}

impl Socket {
    /// Binds the socket. A file that a dead worker left is replaced.
    ///
    /// # Errors
    /// A worker answers there, something that is no socket is there, or the file cannot be made.
    pub(super) fn bind(path: &Path) -> Result<(UnixListener, Self), Error> {
        let failed = |source| Error::Socket { path: path.to_owned(), source };
        let mut new_path = path.as_os_str().to_owned();
        new_path.push(NEW_SUFFIX);
        let new_path = PathBuf::from(new_path);
        if new_path.as_os_str().len() > MAX_PATH_BYTES {
            let limit = MAX_PATH_BYTES - NEW_SUFFIX.len();
            return Err(Error::SocketPath { path: path.to_owned(), limit });
        }
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        nobody_answers(path)?;
        remove(&new_path).map_err(failed)?;
        let listener = UnixListener::bind(&new_path).map_err(failed)?;
        let published = fs::set_permissions(&new_path, Permissions::from_mode(MODE))
            .and_then(|()| fs::symlink_metadata(&new_path))
            .and_then(|metadata| {
                fs::rename(&new_path, path).map(|()| (metadata.dev(), metadata.ino()))
            });
        match published {
            Ok(identity) => Ok((listener, Self { path: path.to_owned(), identity })),
            Err(source) => {
                remove(&new_path).map_err(failed)?;
                Err(failed(source))
            }
        }
    }

    /// Removes the file, unless another worker has put its own there.
    pub(super) fn remove(self) -> io::Result<()> {
        match fs::symlink_metadata(&self.path) {
            Ok(found) if (found.dev(), found.ino()) == self.identity => remove(&self.path),
            Ok(_of_another) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Whether the path is free, or holds a socket that nobody listens on.
fn nobody_answers(path: &Path) -> Result<(), Error> {
    let failed = |source| Error::Socket { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(Error::NotASocket { path: path.to_owned() });
        }
        Ok(_socket) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    }
    match UnixStream::connect(path) {
        Ok(_answered) => Err(Error::AnotherWorker { path: path.to_owned() }),
        Err(error)
            if matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound) =>
        {
            Ok(())
        }
        // Its queue is full: somebody listens, and is busy.
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            Err(Error::AnotherWorker { path: path.to_owned() })
        }
        Err(error) => Err(failed(error)),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn owner_and_group_may_connect_and_nobody_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run/control.sock");
        let (_listener, socket) = Socket::bind(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, MODE);
        UnixStream::connect(&path).unwrap();
        socket.remove().unwrap();
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_socket_that_answers_is_left_to_its_worker() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let (_listener, _socket) = Socket::bind(&path).unwrap();
        let error = Socket::bind(&path).unwrap_err();
        assert!(matches!(error, Error::AnotherWorker { .. }), "{error}");
        UnixStream::connect(&path).unwrap();
    }

    #[tokio::test]
    async fn what_a_dead_worker_left_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        drop(Socket::bind(&path).unwrap());
        assert!(path.exists());
        let (_listener, _socket) = Socket::bind(&path).unwrap();
        UnixStream::connect(&path).unwrap();
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_never_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(Socket::bind(&path).unwrap_err(), Error::NotASocket { .. }));
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[tokio::test]
    async fn the_file_of_a_successor_is_not_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control.sock");
        let (listener, socket) = Socket::bind(&path).unwrap();
        // While the first file has its inode, the second one cannot get the same.
        fs::rename(&path, directory.path().join("kept")).unwrap();
        drop(listener);
        let (_listener, _successor) = Socket::bind(&path).unwrap();
        socket.remove().unwrap();
        UnixStream::connect(&path).unwrap();
    }

    #[tokio::test]
    async fn a_path_that_no_socket_address_holds_is_named_with_the_limit() {
        let path = PathBuf::from(format!("/tmp/{}", "x".repeat(120)));
        let error = Socket::bind(&path).unwrap_err();
        assert!(error.to_string().contains("103 bytes"), "{error}");
    }
}
