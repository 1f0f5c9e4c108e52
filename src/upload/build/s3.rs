//! S3 and what speaks its language.

use std::sync::Arc;

use object_store::HeaderMap;
use object_store::aws::{AmazonS3Builder, Checksum, S3ConditionalPut};

use super::super::fault::Secrets;
use super::super::remote::{Dialect, Remote};
use super::super::settings::{S3Settings, Verify};
use super::super::wire::Wire;
use super::{Error, address, client, plain, retry, secret};

pub(in crate::upload) fn s3(storage: &str, settings: &S3Settings) -> Result<Remote, Error> {
    let S3Settings { bucket, region, endpoint, .. } = settings;
    let problem = |problem: String| Error::Settings { storage: storage.to_owned(), problem };
    plain("bucket", bucket).and_then(|()| plain("region", region)).map_err(problem)?;
    let endpoint = endpoint.as_deref().map(address).transpose().map_err(problem)?;
    let own = if endpoint.is_some() { Verify::ReadBack } else { Verify::Checksum };
    let verify = settings.verify.unwrap_or(own);
    let path_style = settings.path_style.unwrap_or_else(|| endpoint.is_some());
    let mut options = client(storage, endpoint, settings.ca_file.as_deref())?;
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(region)
        .with_retry(retry())
        .with_virtual_hosted_style_request(!path_style);
    if verify == Verify::Checksum {
        // Some servers refuse what they do not know, so these are not sent to everybody.
        builder = builder.with_checksum_algorithm(Checksum::SHA256);
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-checksum-mode", "ENABLED".parse().expect("it is ASCII"));
        options = options.with_default_headers(headers);
    }
    if !settings.conditional {
        builder = builder.with_conditional_put(S3ConditionalPut::Disabled);
    }
    let mut secrets = Secrets::default();
    builder = credential(storage, settings, builder, &mut secrets)?;
    let base = match endpoint {
        Some(endpoint) if path_style => {
            builder = builder.with_endpoint(endpoint);
            format!("{endpoint}/{bucket}")
        }
        Some(endpoint) => {
            let base = endpoint.replacen("://", &format!("://{bucket}."), 1);
            builder = builder.with_endpoint(&base);
            base
        }
        None if path_style => format!("https://s3.{region}.amazonaws.com/{bucket}"),
        None => format!("https://{bucket}.s3.{region}.amazonaws.com"),
    };
    let objects = builder
        .with_client_options(options)
        .with_http_connector(Wire::default())
        .build()
        .map_err(|error| problem(secrets.scrub(&error.to_string())))?;
    let objects = Arc::new(objects);
    Ok(Remote {
        storage: storage.to_owned(),
        dialect: Dialect::S3,
        parts: Some(Arc::clone(&objects) as _),
        signer: Some(Arc::clone(&objects) as _),
        objects,
        base,
        conditional: settings.conditional,
        verify,
        secrets,
    })
}

fn credential(
    storage: &str,
    settings: &S3Settings,
    builder: AmazonS3Builder,
    secrets: &mut Secrets,
) -> Result<AmazonS3Builder, Error> {
    match (&settings.access_key_id, &settings.secret_access_key_file) {
        (Some(id), Some(path)) => {
            let key = secret(storage, "secret_access_key_file", path)?;
            secrets.keep(&key);
            Ok(builder.with_access_key_id(id).with_secret_access_key(key))
        }
        // The role of the machine, from its instance metadata.
        (None, None) => Ok(builder),
        (Some(_), None) | (None, Some(_)) => Err(Error::Settings {
            storage: storage.to_owned(),
            problem: "give both access_key_id and secret_access_key_file, or neither to use the \
                      role of the machine"
                .to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> S3Settings {
        S3Settings {
            bucket: "captures".to_owned(),
            region: "eu-central-1".to_owned(),
            endpoint: None,
            access_key_id: None,
            secret_access_key_file: None,
            path_style: None,
            conditional: true,
            verify: None,
            ca_file: None,
        }
    }

    #[test]
    fn half_of_an_s3_credential_is_refused() {
        let settings = S3Settings { access_key_id: Some("k".to_owned()), ..settings() };
        let text = s3("bucket", &settings).unwrap_err().to_string();
        assert!(text.contains("give both access_key_id"), "{text}");
    }

    #[test]
    fn the_bucket_goes_into_the_path_or_into_the_host() {
        drop(rustls::crypto::ring::default_provider().install_default());
        let own = || Some("http://minio:9000/".to_owned());
        for (endpoint, path_style, expected) in [
            (None, None, "https://captures.s3.eu-central-1.amazonaws.com"),
            (None, Some(true), "https://s3.eu-central-1.amazonaws.com/captures"),
            (own(), None, "http://minio:9000/captures"),
            (own(), Some(false), "http://captures.minio:9000"),
        ] {
            let made = s3("b", &S3Settings { endpoint, path_style, ..settings() }).unwrap();
            assert_eq!(made.base, expected);
        }
    }
}
