//! Why a notice does not go out.

use std::path::PathBuf;

use crate::broker;

use super::PATIENCE;

/// Why a notifier cannot be set up, or why a notice was not delivered. Holds no credential and no
/// address that came from a file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no notifier is called '{0}'; the configuration names the notifiers")]
    Unknown(String),
    #[error("notifier {name}: {problem}")]
    Setup { name: String, problem: String },
    #[error(transparent)]
    Broker(#[from] broker::Error),
    #[error("the broker cannot be reached: {0}")]
    NoBroker(String),
    #[error("not confirmed within {} s", PATIENCE.as_secs())]
    Unconfirmed,
    #[error("the connection ended before the notice was confirmed: {0}")]
    Interrupted(String),
    /// The broker's answer; `for_good` where it will be the same the next time.
    #[error("the broker refuses the notice: {reason}")]
    Refused { reason: String, for_good: bool },
    /// The mail server's answer; `for_good` as above.
    #[error("the mail server refuses the notice: {reason}")]
    MailRefused { reason: String, for_good: bool },
    /// The template was right for the samples that it was tried on.
    #[error("the template makes nothing of this notice: {0}")]
    Template(String),
    #[error("cannot read {what} from {}: {reason}", path.display())]
    Secret { what: &'static str, path: PathBuf, reason: String },
    #[error("the receiver cannot be reached: {0}")]
    Unreachable(String),
    #[error("the receiver answers {status}{}{text}", if text.is_empty() { "" } else { ": " })]
    Status { status: u16, text: String },
}

impl Error {
    /// Whether the same notice may be delivered later without anybody changing anything. Files can be
    /// put right while we run, so they count as passing.
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Broker(_)
            | Self::NoBroker(_)
            | Self::Unconfirmed
            | Self::Interrupted(_)
            | Self::Secret { .. }
            | Self::Unreachable(_) => true,
            Self::Unknown(_) | Self::Setup { .. } | Self::Template(_) => false,
            Self::Refused { for_good, .. } | Self::MailRefused { for_good, .. } => !*for_good,
            // What is wrong with this very notice stays so. A path, a token or a right is put right at
            // the receiver, and whatever is 5xx is the receiver's own trouble.
            Self::Status { status, .. } => {
                !matches!(*status, 400 | 405 | 410 | 411 | 413..=415 | 422)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_by_itself_is_tried_again() {
        let status = |status| Error::Status { status, text: String::new() }.is_transient();
        assert!([302, 401, 403, 404, 408, 429, 500, 502, 503, 504].into_iter().all(status));
        assert!(![400, 405, 410, 413, 415, 422].into_iter().any(status));
        assert!(!Error::Unknown("x".into()).is_transient());
        assert!(Error::Unconfirmed.is_transient());
    }
}
