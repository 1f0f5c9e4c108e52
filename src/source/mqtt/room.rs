//! The bound of what was received and waits for the worker.
//!
//! The broker cannot be trusted with it: mosquitto 2.0.11 was seen with 4,500 unacknowledged messages
//! at a receive maximum of 10.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What a message costs beside its bytes, in units of 1 KiB: its parsed form and its channels.
const COST_OF_A_MESSAGE: u32 = 32;

/// All the room, in units of 1 KiB: 32 MiB, so that a hostile backlog stays far from the memory that
/// the recorders need.
const ROOM: u32 = 32 * 1024;

/// The most messages that find room at once.
pub(super) const MAX_MESSAGES: usize = 1024;

const _: () =
    assert!(MAX_MESSAGES == 1024 && ROOM / COST_OF_A_MESSAGE == 1024, "they are one bound");

/// Room for what waits; given back when a permit is dropped.
pub(super) struct Room(Arc<Semaphore>);

impl Room {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(usize::try_from(ROOM).unwrap_or(Semaphore::MAX_PERMITS))))
    }

    /// Waits for the room that a message of this many bytes takes. Messages wait in their order.
    pub(super) async fn take(&self, bytes: usize) -> OwnedSemaphorePermit {
        let cost = u32::try_from(bytes / 1024).unwrap_or(ROOM).saturating_add(COST_OF_A_MESSAGE);
        Arc::clone(&self.0)
            .acquire_many_owned(cost.min(ROOM))
            .await
            .expect("this semaphore is never closed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    #[test]
    fn room_is_bounded_by_messages_and_by_bytes_and_comes_back() {
        let room = Room::new();
        let take = |bytes| room.take(bytes).now_or_never();
        let held: Vec<_> = std::iter::from_fn(|| take(100)).collect();
        assert_eq!(held.len(), MAX_MESSAGES);
        drop(held);
        let held: Vec<_> = std::iter::from_fn(|| take(1 << 20)).collect();
        assert_eq!(held.len(), 31);
        drop(held);
        assert!(take(usize::MAX).is_some(), "no message is too large for all the room");
    }
}
