//! What a file may say of storages.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use crate::yaml::Placed;

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Storage {
    Directory(Directory),
    Azure(Azure),
    S3(S3),
    Http(Http),
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Directory {
    pub(in crate::config) path: Placed<PathBuf>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Azure {
    pub(in crate::config) account: String,
    pub(in crate::config) container: String,
    pub(in crate::config) endpoint: Option<Placed<String>>,
    pub(in crate::config) account_key_file: Option<Placed<PathBuf>>,
    pub(in crate::config) sas_file: Option<Placed<PathBuf>>,
    pub(in crate::config) managed_identity: Option<Placed<ManagedIdentity>>,
    pub(in crate::config) verify: Option<Verify>,
    pub(in crate::config) ca_file: Option<Placed<PathBuf>>,
}

/// `true`, or a mapping that says which one.
#[derive(Clone, Debug, Default)]
pub(in crate::config) struct ManagedIdentity(pub(in crate::config) Identity);

impl JsonSchema for ManagedIdentity {
    fn schema_name() -> Cow<'static, str> {
        "ManagedIdentity".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "const": true }, generator.subschema_for::<Identity>()] })
    }
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Identity {
    pub(in crate::config) client_id: Option<String>,
    pub(in crate::config) endpoint: Option<Placed<String>>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum Verify {
    Checksum,
    ReadBack,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct S3 {
    pub(in crate::config) bucket: String,
    pub(in crate::config) region: String,
    pub(in crate::config) endpoint: Option<Placed<String>>,
    pub(in crate::config) access_key_id: Option<Placed<String>>,
    pub(in crate::config) secret_access_key_file: Option<Placed<PathBuf>>,
    pub(in crate::config) path_style: Option<bool>,
    pub(in crate::config) conditional: Option<bool>,
    pub(in crate::config) verify: Option<Verify>,
    pub(in crate::config) ca_file: Option<Placed<PathBuf>>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct Http {
    pub(in crate::config) url: Placed<String>,
    pub(in crate::config) bearer_file: Option<Placed<PathBuf>>,
    pub(in crate::config) username: Option<Placed<String>>,
    pub(in crate::config) password_file: Option<Placed<PathBuf>>,
    pub(in crate::config) conditional: Option<bool>,
    pub(in crate::config) ca_file: Option<Placed<PathBuf>>,
}

impl<'de> Deserialize<'de> for ManagedIdentity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;

        impl<'de> Visitor<'de> for Forms {
            type Value = ManagedIdentity;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`true`, or a mapping that says which identity")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<ManagedIdentity, E> {
                if text == "true" {
                    return Ok(ManagedIdentity::default());
                }
                Err(E::custom(
                    "expected `true` or { client_id: ... }; without it leave the key out",
                ))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ManagedIdentity, A::Error> {
                Identity::deserialize(MapAccessDeserializer::new(map)).map(ManagedIdentity)
            }
        }

        deserializer.deserialize_any(Forms)
    }
}
