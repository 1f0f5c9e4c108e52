//! Events by HTTP POST. Framework-free: `control` owns the server and calls this.

use std::path::PathBuf;

use super::format::Format;

/// Settings of one webhook source.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The path it answers on, as in `/hooks/alertmanager`.
    pub path: String,
    pub format: Format,
    /// A file that holds the token senders show as `Authorization: Bearer`; absent: anybody who
    /// reaches the address may send.
    pub bearer_file: Option<PathBuf>,
}
