//! A server that takes files by PUT.

use std::sync::Arc;

use object_store::http::HttpBuilder;
use object_store::{ClientOptions, HeaderMap, HeaderValue};

use super::super::fault::Secrets;
use super::super::remote::{Dialect, Remote};
use super::super::settings::{HttpSettings, Verify};
use super::super::verify::base64;
use super::super::wire::Wire;
use super::{CONNECT, Error, SILENCE, address, certificates, retry, secret};

pub(in crate::upload) fn http(storage: &str, settings: &HttpSettings) -> Result<Remote, Error> {
    let problem = |problem: String| Error::Settings { storage: storage.to_owned(), problem };
    let base = address(&settings.url).map_err(|text| problem(text.replace("endpoint", "url")))?;
    let mut secrets = Secrets::default();
    let mut headers = HeaderMap::new();
    if let Some(mut value) = authorization(storage, settings, &mut secrets)? {
        value.set_sensitive(true);
        headers.insert("authorization", value);
    }
    let mut client = reqwest::Client::builder()
        .default_headers(headers)
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE)
        // A file that is streamed cannot be sent a second time to somewhere else.
        .redirect(reqwest::redirect::Policy::none());
    if let Some(path) = &settings.ca_file {
        let pem = certificates(storage, path)?;
        let trusted = reqwest::Certificate::from_pem_bundle(&pem).map_err(|_unhelpful| {
            problem(format!("ca_file {} holds no certificate in PEM", path.display()))
        })?;
        client = client.tls_certs_only(trusted);
    }
    let client = client.build().map_err(|error| problem(secrets.scrub(&error.to_string())))?;
    let objects = HttpBuilder::new()
        .with_url(base)
        .with_retry(retry())
        .with_client_options(ClientOptions::new())
        .with_http_connector(Wire { key: None, client: Some(client) })
        .build()
        .map_err(|error| problem(secrets.scrub(&error.to_string())))?;
    Ok(Remote {
        storage: storage.to_owned(),
        dialect: Dialect::Http,
        objects: Arc::new(objects),
        parts: None,
        signer: None,
        base: base.to_owned(),
        conditional: settings.conditional,
        verify: Verify::ReadBack,
        secrets,
    })
}

/// The value of the header that lets us in.
fn authorization(
    storage: &str,
    settings: &HttpSettings,
    secrets: &mut Secrets,
) -> Result<Option<HeaderValue>, Error> {
    let problem = |problem: &str| Error::Settings {
        storage: storage.to_owned(),
        problem: problem.to_owned(),
    };
    let HttpSettings { bearer_file, username, password_file, .. } = settings;
    let text = match (bearer_file, username, password_file) {
        (None, None, None) => return Ok(None),
        (Some(path), None, None) => {
            let token = secret(storage, "bearer_file", path)?;
            secrets.keep(&token);
            format!("Bearer {token}")
        }
        (None, Some(username), Some(path)) => {
            let password = secret(storage, "password_file", path)?;
            let pair = base64(format!("{username}:{password}").as_bytes());
            secrets.keep(&password);
            secrets.keep(&pair);
            format!("Basic {pair}")
        }
        _ => {
            return Err(problem(
                "give bearer_file, or username with password_file, or none of them",
            ));
        }
    };
    let value = HeaderValue::from_str(&text);
    value.map(Some).map_err(|_may_quote_it| problem("a secret has characters that no header holds"))
}
