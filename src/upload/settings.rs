//! What a named storage is told: where it is, with which right, and how far it is trusted.

use std::path::PathBuf;

/// Settings of one named storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settings {
    Directory { path: PathBuf },
    Azure(AzureSettings),
    S3(S3Settings),
    Http(HttpSettings),
}

/// How it is made sure that a storage holds what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// By checksums that the storage compares with what arrives, and by the object's metadata. Where
    /// these do not tell enough, the object is read back.
    Checksum,
    /// By reading every object back.
    ReadBack,
}

/// Azure Blob Storage. Exactly one of the secrets or the managed identity is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AzureSettings {
    pub account: String,
    pub container: String,
    /// Another address than `https://<account>.blob.core.windows.net`, as for Azurite.
    pub endpoint: Option<String>,
    pub account_key_file: Option<PathBuf>,
    pub sas_file: Option<PathBuf>,
    pub managed_identity: Option<ManagedIdentity>,
    /// Absent: checksums, but with an endpoint of your own reading back.
    pub verify: Option<Verify>,
    /// Certificates in PEM to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// The identity that Azure gives to the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManagedIdentity {
    /// Which one, where the machine has several.
    pub client_id: Option<String>,
    /// Where tokens are asked for, if not at the address that virtual machines have.
    pub endpoint: Option<String>,
}

/// S3 and what speaks its language. Key and secret are given together; without both, the role of
/// the machine is asked for a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Settings {
    pub bucket: String,
    pub region: String,
    /// Another address than AWS's, as for MinIO.
    pub endpoint: Option<String>,
    pub access_key_id: Option<String>,
    pub secret_access_key_file: Option<PathBuf>,
    /// The bucket's name goes into the path instead of the host. Absent: with an endpoint only.
    pub path_style: Option<bool>,
    /// The storage knows `If-None-Match`. Without it the question before is what keeps another
    /// object from being replaced.
    pub conditional: bool,
    /// Absent: checksums, but with an endpoint of your own reading back.
    pub verify: Option<Verify>,
    /// Certificates in PEM to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// A server that takes files by PUT, as WebDAV does. It has to take a file whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSettings {
    /// The folder that objects go into.
    pub url: String,
    pub bearer_file: Option<PathBuf>,
    /// Given together with the file of its password.
    pub username: Option<String>,
    pub password_file: Option<PathBuf>,
    /// As for S3.
    pub conditional: bool,
    /// Certificates in PEM to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
}
