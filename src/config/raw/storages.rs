//! What a file may say of storages.

use std::path::PathBuf;

use serde::Deserialize;

use crate::yaml::Placed;

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Storage {
    Directory(Directory),
    Azure(Azure),
    S3(S3),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Directory {
    pub(in crate::config) path: Placed<PathBuf>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Azure {
    pub(in crate::config) account: String,
    pub(in crate::config) container: String,
    pub(in crate::config) endpoint: Option<Placed<String>>,
    pub(in crate::config) account_key_file: Option<Placed<PathBuf>>,
    pub(in crate::config) sas_file: Option<Placed<PathBuf>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct S3 {
    pub(in crate::config) bucket: String,
    pub(in crate::config) region: String,
    pub(in crate::config) endpoint: Option<Placed<String>>,
    pub(in crate::config) access_key_id: Option<Placed<String>>,
    pub(in crate::config) secret_access_key_file: Option<Placed<PathBuf>>,
}
