//! Azure Blob Storage.

use std::path::Path;
use std::sync::Arc;

use object_store::azure::{AzureAccessKey, AzureCredential, MicrosoftAzureBuilder, split_sas};

use super::super::fault::Secrets;
use super::super::remote::{Dialect, Remote};
use super::super::settings::{AzureSettings, ManagedIdentity, Verify};
use super::super::wire::{Key, Wire};
use super::{Error, address, client, plain, retry, secret};

/// How the account lets us in.
enum Right {
    Key(String),
    Signature(Vec<(String, String)>),
    Identity(ManagedIdentity),
}

pub(in crate::upload) fn azure(storage: &str, settings: &AzureSettings) -> Result<Remote, Error> {
    let AzureSettings { account, container, endpoint, .. } = settings;
    let problem = |problem: String| Error::Settings { storage: storage.to_owned(), problem };
    plain("account", account).and_then(|()| plain("container", container)).map_err(problem)?;
    let endpoint = endpoint.as_deref().map(address).transpose().map_err(problem)?;
    let mut secrets = Secrets::default();
    let right = right(storage, settings, &mut secrets)?;
    let options = client(storage, endpoint, settings.ca_file.as_deref())?;
    let mut wire = Wire::default();
    let mut builder = MicrosoftAzureBuilder::new()
        .with_account(account)
        .with_container_name(container)
        .with_retry(retry())
        .with_client_options(options);
    let signs = !matches!(right, Right::Signature(_));
    builder = match right {
        Right::Key(key) => {
            let key_of_it = AzureAccessKey::try_new(&key)
                .map_err(|error| problem(secrets.scrub(&error.to_string())))?;
            let credential = AzureCredential::AccessKey(key_of_it);
            let credential = Arc::new(credential);
            wire.key = Some(Key { account: account.clone(), credential });
            builder.with_access_key(key)
        }
        Right::Signature(pairs) => builder.with_sas_authorization(pairs),
        Right::Identity(ManagedIdentity { client_id, endpoint }) => {
            builder = builder.with_credential_type("managed_identity");
            if let Some(id) = client_id {
                builder = builder.with_client_id(id);
            }
            match endpoint {
                Some(endpoint) => builder.with_msi_endpoint(endpoint),
                None => builder,
            }
        }
    };
    let base = match endpoint {
        Some(endpoint) => {
            builder = builder.with_endpoint(endpoint.to_owned());
            format!("{endpoint}/{container}")
        }
        None => format!("https://{account}.blob.core.windows.net/{container}"),
    };
    let objects = builder
        .with_http_connector(wire)
        .build()
        .map_err(|error| problem(secrets.scrub(&error.to_string())))?;
    let objects = Arc::new(objects);
    let own = if endpoint.is_some() { Verify::ReadBack } else { Verify::Checksum };
    Ok(Remote {
        storage: storage.to_owned(),
        dialect: Dialect::Azure,
        parts: Some(Arc::clone(&objects) as _),
        // A shared access signature cannot sign another one.
        signer: signs.then(|| Arc::clone(&objects) as _),
        objects,
        base,
        conditional: true,
        verify: settings.verify.unwrap_or(own),
        secrets,
    })
}

fn right(storage: &str, settings: &AzureSettings, secrets: &mut Secrets) -> Result<Right, Error> {
    let AzureSettings { account_key_file, sas_file, managed_identity, .. } = settings;
    match (account_key_file, sas_file, managed_identity) {
        (Some(path), None, None) => {
            let key = secret(storage, "account_key_file", path)?;
            secrets.keep(&key);
            Ok(Right::Key(key))
        }
        (None, Some(path), None) => signature(storage, path, secrets).map(Right::Signature),
        (None, None, Some(identity)) => Ok(Right::Identity(identity.clone())),
        _ => Err(Error::Settings {
            storage: storage.to_owned(),
            problem: "give one of account_key_file, sas_file and managed_identity".to_owned(),
        }),
    }
}

fn signature(
    storage: &str,
    path: &Path,
    secrets: &mut Secrets,
) -> Result<Vec<(String, String)>, Error> {
    let problem = |problem: String| Error::Settings { storage: storage.to_owned(), problem };
    let text = secret(storage, "sas_file", path)?;
    // People paste the whole URL as often as the token.
    let token = text.split_once('?').map_or(text.as_str(), |(_url, token)| token);
    let pairs = split_sas(token).map_err(|_may_quote_it| {
        problem(format!("{} holds no SAS as in sv=..&sig=..", path.display()))
    })?;
    secrets.keep(token);
    let signatures = || pairs.iter().filter(|(key, _)| key == "sig");
    signatures().for_each(|(_, signature)| secrets.keep(signature));
    if signatures().count() == 0 {
        return Err(problem(format!("the SAS in {} has no sig=", path.display())));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::super::tests::file;
    use super::*;

    fn settings() -> AzureSettings {
        AzureSettings {
            account: "net".to_owned(),
            container: "captures".to_owned(),
            ..AzureSettings::default()
        }
    }

    #[test]
    fn exactly_one_azure_credential_is_given() {
        let two = AzureSettings {
            sas_file: Some("sas".into()),
            managed_identity: Some(ManagedIdentity::default()),
            ..settings()
        };
        for settings in [settings(), two] {
            let text = azure("archive", &settings).unwrap_err().to_string();
            assert!(text.contains("give one of account_key_file, sas_file"), "{text}");
        }
    }

    #[test]
    fn a_wrong_secret_is_never_repeated() {
        for text in ["k3y-that-is-not-base64!", "", "\u{0}"] {
            let (_folder, path) = file(text);
            let key = AzureSettings { account_key_file: Some(path.clone()), ..settings() };
            let sas = AzureSettings { sas_file: Some(path), ..settings() };
            for settings in [key, sas] {
                let error = azure("archive", &settings).unwrap_err();
                assert!(!format!("{error} {error:?}").contains("k3y-that"), "{error:?}");
            }
        }
    }

    #[test]
    fn an_endpoint_with_a_credential_in_it_is_refused_and_not_repeated() {
        for endpoint in ["https://u:s3cr3t@h", "https://h?sig=s3cr3t", "ftp://s3cr3t", "http://"] {
            let settings = AzureSettings { endpoint: Some(endpoint.to_owned()), ..settings() };
            let text = azure("archive", &settings).unwrap_err().to_string();
            assert!(text.contains("endpoint has to") && !text.contains("s3cr3t"), "{text}");
        }
    }

    #[test]
    fn a_secret_file_that_is_missing_is_named_with_its_key() {
        let settings =
            AzureSettings { account_key_file: Some("/nonexistent/k".into()), ..settings() };
        let text = azure("archive", &settings).unwrap_err().to_string();
        assert!(text.contains("reading account_key_file /nonexistent/k"), "{text}");
    }
}
