//! Storages: where the files of captures go.

use std::path::Path;

use super::check;
use super::notes::Notes;
use super::parts::{HTTP_SCHEMES, Parts, check_name};
use super::raw;
use crate::upload;
use crate::yaml::{Named, Placed};

impl Parts {
    /// `folder` is where relative paths start, if not at the file's folder.
    pub(super) fn add_storages(
        &mut self,
        notes: &mut Notes,
        named: &Named<Placed<raw::Storage>>,
        folder: Option<&Path>,
    ) {
        for (name, storage) in &named.0 {
            check_name(notes, name);
            let settings = match &storage.value {
                raw::Storage::Directory(raw) => upload::Settings::Directory {
                    path: match folder {
                        Some(folder) => folder.join(&raw.path.value),
                        None => notes.path(&raw.path.value),
                    },
                },
                raw::Storage::Azure(raw) => upload::Settings::Azure(azure(notes, storage, raw)),
                raw::Storage::S3(raw) => upload::Settings::S3(s3(notes, storage, raw)),
            };
            self.storages.insert(name.value.clone(), settings);
        }
    }
}

fn azure(
    notes: &mut Notes,
    storage: &Placed<raw::Storage>,
    raw: &raw::Azure,
) -> upload::AzureSettings {
    check_endpoint(notes, raw.endpoint.as_ref());
    match (&raw.account_key_file, &raw.sas_file) {
        (Some(_), Some(second)) => {
            notes.note(second.place, "there are two secrets", "keep account_key_file or sas_file");
        }
        (None, None) if storage.whole => {
            let hint = "add account_key_file or sas_file";
            notes.note(storage.place, "there is no secret for the account", hint);
        }
        _ => {}
    }
    upload::AzureSettings {
        account: raw.account.clone(),
        container: raw.container.clone(),
        endpoint: raw.endpoint.as_ref().map(|endpoint| endpoint.value.clone()),
        account_key_file: notes.secret(raw.account_key_file.as_ref()),
        sas_file: notes.secret(raw.sas_file.as_ref()),
    }
}

fn s3(notes: &mut Notes, storage: &Placed<raw::Storage>, raw: &raw::S3) -> upload::S3Settings {
    check_endpoint(notes, raw.endpoint.as_ref());
    match (&raw.access_key_id, &raw.secret_access_key_file) {
        (Some(id), None) if storage.whole => {
            notes.note(id.place, "the key has no secret", "add secret_access_key_file");
        }
        (None, Some(secret)) if storage.whole => {
            notes.note(secret.place, "the secret has no key", "add access_key_id");
        }
        _ => {}
    }
    upload::S3Settings {
        bucket: raw.bucket.clone(),
        region: raw.region.clone(),
        endpoint: raw.endpoint.as_ref().map(|endpoint| endpoint.value.clone()),
        access_key_id: raw.access_key_id.as_ref().map(|id| id.value.clone()),
        secret_access_key_file: notes.secret(raw.secret_access_key_file.as_ref()),
    }
}

fn check_endpoint(notes: &mut Notes, endpoint: Option<&Placed<String>>) {
    if let Some(endpoint) = endpoint {
        notes.refuse(endpoint.place, check::url(&endpoint.value, &HTTP_SCHEMES));
    }
}
