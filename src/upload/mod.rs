//! Storages: a sealed segment goes out under one name, and comes back as a receipt once verified.

use std::path::PathBuf;

/// Settings of one named storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settings {
    Directory { path: PathBuf },
    Azure(AzureSettings),
    S3(S3Settings),
}

/// Azure Blob Storage. Exactly one of the secrets is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AzureSettings {
    pub account: String,
    pub container: String,
    /// Another address than `https://<account>.blob.core.windows.net`, as for Azurite.
    pub endpoint: Option<String>,
    pub account_key_file: Option<PathBuf>,
    pub sas_file: Option<PathBuf>,
}

/// S3 and what speaks its language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Settings {
    pub bucket: String,
    pub region: String,
    /// Another address than AWS's, as for MinIO; bucket names then go into the path.
    pub endpoint: Option<String>,
    pub access_key_id: Option<String>,
    pub secret_access_key_file: Option<PathBuf>,
}
