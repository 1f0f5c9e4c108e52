//! The webhooks that answer now: the server looks them up at each request, so that others can take
//! their place while it serves.

use std::sync::{Arc, PoisonError, RwLock};

use super::webhook::Receiver;

/// A set of webhooks, each with a path of its own; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Receivers(Arc<RwLock<Vec<Arc<Receiver>>>>);

impl Receivers {
    pub fn new(receivers: Vec<Receiver>) -> Self {
        let all = Self::default();
        all.replace(receivers);
        all
    }

    /// Puts others in their place. Requests under way end at the one that took them.
    pub fn replace(&self, receivers: Vec<Receiver>) {
        let receivers = receivers.into_iter().map(Arc::new).collect();
        // The list is put in whole.
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = receivers;
    }

    /// The one that answers on a path.
    pub fn at(&self, path: &str) -> Option<Arc<Receiver>> {
        self.list().into_iter().find(|receiver| receiver.path() == path)
    }

    /// The path of each.
    pub fn paths(&self) -> Vec<String> {
        self.list().iter().map(|receiver| receiver.path().to_owned()).collect()
    }

    fn list(&self) -> Vec<Arc<Receiver>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
