//! How a file says what of a disk stays free.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::session::FreeDisk;
use crate::units::Bytes;

/// How much of a file system stays free: `5%`, or a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String", extend("type" = ["string", "integer"], "pattern" = "^([0-9]+%|[0-9]+(B|KiB|MiB|GiB|TiB|KB|MB|GB)?)$"))]
pub(in crate::config) struct Free(pub(in crate::config) FreeDisk);

impl TryFrom<String> for Free {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let Some(number) = text.strip_suffix('%') else {
            let wrong = |_| {
                let text: String = text.chars().take(32).collect();
                format!("'{text}' is neither a share nor a size; write one as in 5% or 2GiB")
            };
            return text.parse::<Bytes>().map(|size| Self(FreeDisk::Bytes(size.0))).map_err(wrong);
        };
        match number.parse::<u8>() {
            Ok(percent @ 0..=90) if !number.starts_with('+') => {
                Ok(Self(FreeDisk::Percent(percent)))
            }
            Ok(_) | Err(_) => {
                let text: String = text.chars().take(32).collect();
                Err(format!("'{text}' is no share to keep free; write 0% to 90%"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_disk_is_a_share_or_a_size() {
        let free = |text: &str| Free::try_from(text.to_owned()).map(|free| free.0);
        assert_eq!(free("5%"), Ok(FreeDisk::Percent(5)));
        assert_eq!(free("0%"), Ok(FreeDisk::Percent(0)));
        assert_eq!(free("2GiB"), Ok(FreeDisk::Bytes(2 << 30)));
        assert_eq!(free("0"), Ok(FreeDisk::Bytes(0)));
        for wrong in ["91%", "-1%", "+5%", "5.5%", "%", "much", ""] {
            assert!(free(wrong).is_err(), "{wrong}");
        }
    }
}
