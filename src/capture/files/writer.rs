//! A thread that writes to a file while the capture fills and hashes the next buffer: neither the
//! processor waits for the disk nor the disk for the processor.
//!
//! There are two buffers, which change places; nothing is allocated on the way. It knows nothing of
//! what is in them. Invariant: at most one write is under way, so that what is on the disk never has
//! a hole, and none outlives the writer.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::capture::Error;
use crate::capture::files::aligned::AlignedBuffer;
use crate::spawn;

/// Orders and answers that may wait: there is one buffer to give.
const UNDER_WAY: usize = 1;

/// What the thread is called.
const NAME: &str = "write";

/// Writes all of the buffer's bytes at this offset.
#[derive(Debug)]
struct Order {
    file: Arc<File>,
    offset: u64,
    buffer: AlignedBuffer,
}

/// What became of an order, and its buffer.
type Answer = (AlignedBuffer, io::Result<()>);

/// The thread, and the buffer that it writes from.
#[derive(Debug)]
pub(in crate::capture) struct Writer {
    /// None once the thread is to end.
    orders: Option<SyncSender<Order>>,
    answers: Receiver<Answer>,
    thread: Option<JoinHandle<()>>,
    /// The second buffer. Away while its bytes are written.
    spare: Option<AlignedBuffer>,
}

impl Writer {
    /// Starts the thread, with this as the second buffer.
    pub(in crate::capture) fn start(spare: AlignedBuffer) -> Result<Self, Error> {
        let (orders, ordered) = sync_channel::<Order>(UNDER_WAY);
        let (answer, answers) = sync_channel(UNDER_WAY);
        let body = move || {
            while let Ok(Order { file, offset, buffer }) = ordered.recv() {
                let outcome = write_at(&file, buffer.bytes(), offset);
                // Before the answer: who has it is the only one who has the file.
                drop(file);
                if answer.send((buffer, outcome)).is_err() {
                    break;
                }
            }
        };
        let thread = spawn::thread(NAME, body)
            .map_err(|source| Error::Thread { name: NAME.to_owned(), source })?;
        let (orders, thread) = (Some(orders), Some(thread));
        Ok(Self { orders, answers, thread, spare: Some(spare) })
    }

    /// Has the whole pages of `buffer` written, which holds only the rest afterwards. Waits for the
    /// write before this one.
    ///
    /// # Errors
    /// That of the write before. `buffer` is as it was.
    pub(in crate::capture) fn write_pages(
        &mut self,
        file: &Arc<File>,
        offset: u64,
        buffer: &mut AlignedBuffer,
    ) -> io::Result<()> {
        self.settle()?;
        let (Some(orders), Some(mut next)) = (&self.orders, self.spare.take()) else {
            return Err(ended());
        };
        next.clear();
        let pages = buffer.whole_pages();
        let rest = &buffer.bytes()[pages..];
        next.slot(rest.len()).copy_from_slice(rest);
        buffer.truncate(pages);
        let buffer = std::mem::replace(buffer, next);
        let order = Order { file: Arc::clone(file), offset, buffer };
        orders.send(order).map_err(|_unsent| ended())
    }

    /// Waits until nothing is under way.
    ///
    /// # Errors
    /// That of the last write; told once.
    pub(in crate::capture) fn settle(&mut self) -> io::Result<()> {
        if self.spare.is_some() {
            return Ok(());
        }
        let (buffer, outcome) = self.answers.recv().map_err(|_gone| ended())?;
        self.spare = Some(buffer);
        outcome
    }
}

/// Ends the thread after the write that is under way, and waits for it.
impl Drop for Writer {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the thread that writes had stopped unexpectedly");
        }
    }
}

fn ended() -> io::Error {
    io::Error::other("the thread that writes has failed inside; the log says where")
}

/// Writes at an offset. Some file systems take the flag for direct I/O and refuse the write.
pub(in crate::capture) fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    match file.write_all_at(bytes, offset) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            let flags = OFlag::from_bits_truncate(fcntl(file, FcntlArg::F_GETFL)?);
            fcntl(file, FcntlArg::F_SETFL(flags - OFlag::O_DIRECT))?;
            file.write_all_at(bytes, offset)
        }
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::files::aligned::ALIGNMENT;

    fn buffer_of(bytes: &[u8]) -> AlignedBuffer {
        let mut buffer = AlignedBuffer::small(4 * ALIGNMENT);
        buffer.slot(bytes.len()).copy_from_slice(bytes);
        buffer
    }

    #[test]
    fn whole_pages_are_written_and_the_rest_goes_on_in_the_other_buffer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let file = Arc::new(File::create(&path).unwrap());
        let mut writer = Writer::start(buffer_of(&[9; 100])).unwrap();
        let mut buffer = buffer_of(&[[1; ALIGNMENT], [2; ALIGNMENT]].concat());
        buffer.slot(3).copy_from_slice(&[3; 3]);
        writer.write_pages(&file, 0, &mut buffer).unwrap();
        assert_eq!(buffer.bytes(), [3; 3]);
        writer.settle().unwrap();
        let written = [[1; ALIGNMENT], [2; ALIGNMENT]].concat();
        assert_eq!(std::fs::read(&path).unwrap(), written);
    }

    #[test]
    fn the_error_of_a_write_is_that_of_the_next_one_and_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "").unwrap();
        let only_to_read = Arc::new(File::open(&path).unwrap());
        let mut writer = Writer::start(buffer_of(&[])).unwrap();
        let mut buffer = buffer_of(&[1; ALIGNMENT]);
        writer.write_pages(&only_to_read, 0, &mut buffer).unwrap();
        buffer.slot(ALIGNMENT).fill(2);
        let error = writer.write_pages(&only_to_read, 0, &mut buffer).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EBADF));
        assert_eq!(buffer.bytes(), [2; ALIGNMENT]);
        writer.settle().unwrap();
    }

    #[test]
    fn a_writer_that_is_dropped_has_written_what_it_was_given() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let file = Arc::new(File::create(&path).unwrap());
        let mut writer = Writer::start(AlignedBuffer::large(64 << 20)).unwrap();
        let mut buffer = AlignedBuffer::large(64 << 20);
        buffer.slot(64 << 20).fill(7);
        writer.write_pages(&file, 0, &mut buffer).unwrap();
        drop(writer);
        assert_eq!(path.metadata().unwrap().len(), 64 << 20);
    }
}
