//! Plain JSON with a field mapping.

/// Which fields of the object say what: dotted paths, as in `alert.name`. Defaults take the event's
/// own words (`name`, `status`, ...), and every scalar at the top as a label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    pub name: Option<String>,
    pub status: Option<String>,
    pub severity: Option<String>,
    pub value: Option<String>,
    pub starts_at: Option<String>,
    pub fingerprint: Option<String>,
    /// The path of an object whose scalars become labels.
    pub labels: Option<String>,
    pub annotations: Option<String>,
}
