//! Acknowledgements in the order of arrival, each after the worker's answer.

use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::model::Outcome;

use super::Error;
use super::client::{Client, PacketId};
use super::room::MAX_MESSAGES;

/// A message that was handed to the worker.
pub(super) struct Waiting {
    /// Absent for QoS 0, which nobody waits for.
    pub(super) id: Option<PacketId>,
    pub(super) done: oneshot::Receiver<Vec<Outcome>>,
    pub(super) room: OwnedSemaphorePermit,
}

/// The messages of one connection that wait for the worker's answer, oldest first.
pub(super) struct Acks {
    client: Client,
    waiting: mpsc::Receiver<Waiting>,
    /// The oldest one.
    front: Option<Waiting>,
}

impl Acks {
    /// The queue holds as many as can have room, so that adding to it never waits.
    pub(super) fn new(client: Client) -> (mpsc::Sender<Waiting>, Self) {
        let (sender, waiting) = mpsc::channel(MAX_MESSAGES);
        (sender, Self { client, waiting, front: None })
    }

    /// Acknowledges as answers come, until one says that its message was not recorded.
    pub(super) async fn run(&mut self) -> Error {
        loop {
            let Some(front) = self.front().await else {
                // Nothing more is handed over; the end comes from elsewhere.
                return std::future::pending().await;
            };
            if (&mut front.done).await.is_err() {
                // It stays in front, so that nothing behind it is acknowledged before it.
                return Error::NotRecorded;
            }
            if let Err(error) = self.acknowledge_front() {
                return error;
            }
        }
    }

    /// Acknowledges what is recorded, up to the first that is not, or not yet.
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        loop {
            if self.front.is_none() {
                self.front = self.waiting.try_recv().ok();
            }
            match self.front.as_mut().map(|front| front.done.try_recv()) {
                Some(Ok(_outcomes)) => self.acknowledge_front()?,
                Some(Err(TryRecvError::Empty | TryRecvError::Closed)) | None => return Ok(()),
            }
        }
    }

    /// Waits until the worker has answered or dropped all that it was handed; acknowledges nothing.
    pub(super) async fn settle(&mut self) {
        self.waiting.close();
        while let Some(front) = self.front().await {
            // Dropped or answered, it is the worker's no more, and the broker sends it again.
            if !front.done.is_terminated() {
                let _answer = (&mut front.done).await;
            }
            self.front = None;
        }
    }

    async fn front(&mut self) -> Option<&mut Waiting> {
        if self.front.is_none() {
            self.front = self.waiting.recv().await;
        }
        self.front.as_mut()
    }

    fn acknowledge_front(&mut self) -> Result<(), Error> {
        let Some(Waiting { id, room, .. }) = self.front.take() else {
            return Ok(());
        };
        if let Some(id) = id {
            self.client.acknowledge(id).map_err(Error::Client)?;
        }
        // Only now may the next message come in: the client's queue is as bounded as the room.
        drop(room);
        Ok(())
    }
}
