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
                raw::Storage::Http(raw) => upload::Settings::Http(http(notes, storage, raw)),
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
    let identity = raw.managed_identity.as_ref();
    let places = [
        raw.account_key_file.as_ref().map(|file| file.place),
        raw.sas_file.as_ref().map(|file| file.place),
        identity.map(|identity| identity.place),
    ];
    let given: Vec<_> = places.into_iter().flatten().collect();
    if let [_, second, ..] = given[..] {
        let hint = "keep one of account_key_file, sas_file and managed_identity";
        notes.note(second, "there are two credentials", hint);
    } else if given.is_empty() && storage.whole {
        let hint = "add account_key_file, sas_file or managed_identity";
        notes.note(storage.place, "there is no credential for the account", hint);
    }
    check_endpoint(notes, identity.and_then(|identity| identity.value.0.endpoint.as_ref()));
    upload::AzureSettings {
        account: raw.account.clone(),
        container: raw.container.clone(),
        endpoint: raw.endpoint.as_ref().map(|endpoint| endpoint.value.clone()),
        account_key_file: notes.secret(raw.account_key_file.as_ref()),
        sas_file: notes.secret(raw.sas_file.as_ref()),
        managed_identity: identity.map(|identity| upload::ManagedIdentity {
            client_id: identity.value.0.client_id.clone(),
            endpoint: identity.value.0.endpoint.as_ref().map(|endpoint| endpoint.value.clone()),
        }),
        verify: raw.verify.map(verify),
        ca_file: notes.secret(raw.ca_file.as_ref()),
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
        path_style: raw.path_style,
        conditional: raw.conditional.unwrap_or(true),
        verify: raw.verify.map(verify),
        ca_file: notes.secret(raw.ca_file.as_ref()),
    }
}

fn http(
    notes: &mut Notes,
    storage: &Placed<raw::Storage>,
    raw: &raw::Http,
) -> upload::HttpSettings {
    check_endpoint(notes, Some(&raw.url));
    match (&raw.username, &raw.password_file) {
        (Some(name), None) if storage.whole => {
            notes.note(name.place, "the user has no password", "add password_file");
        }
        (None, Some(password)) if storage.whole => {
            notes.note(password.place, "the password has no user", "add username");
        }
        _ => {}
    }
    if let (Some(_), Some(name)) = (&raw.bearer_file, &raw.username) {
        let hint = "keep bearer_file, or username and password_file";
        notes.note(name.place, "there are two credentials", hint);
    }
    upload::HttpSettings {
        url: raw.url.value.clone(),
        bearer_file: notes.secret(raw.bearer_file.as_ref()),
        username: raw.username.as_ref().map(|name| name.value.clone()),
        password_file: notes.secret(raw.password_file.as_ref()),
        conditional: raw.conditional.unwrap_or(true),
        ca_file: notes.secret(raw.ca_file.as_ref()),
    }
}

const fn verify(raw: raw::Verify) -> upload::Verify {
    match raw {
        raw::Verify::Checksum => upload::Verify::Checksum,
        raw::Verify::ReadBack => upload::Verify::ReadBack,
    }
}

fn check_endpoint(notes: &mut Notes, endpoint: Option<&Placed<String>>) {
    if let Some(endpoint) = endpoint {
        notes.refuse(endpoint.place, check::url(&endpoint.value, &HTTP_SCHEMES));
    }
}
