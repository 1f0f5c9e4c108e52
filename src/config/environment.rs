//! The only reader of the process's environment and of the host's own name.

use std::path::PathBuf;

/// Where Linux tells the host's name. Source: proc(5).
const HOST_NAME_FILE: &str = "/proc/sys/kernel/hostname";

/// What the environment says. All of it gives way to the configuration file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// `HINDSIGHT_CONFIG`: the configuration file, where the command line names none.
    pub config: Option<PathBuf>,
    /// `STATE_DIRECTORY`, from systemd's `StateDirectory=`: the default of `state`.
    pub state: Option<PathBuf>,
    /// `RUNTIME_DIRECTORY`, from systemd's `RuntimeDirectory=`: where the control socket is by
    /// default.
    pub runtime: Option<PathBuf>,
    /// The name of the host.
    pub host: Option<String>,
}

impl Environment {
    pub fn read() -> Self {
        Self {
            config: variable("HINDSIGHT_CONFIG"),
            state: variable("STATE_DIRECTORY").and_then(first_of_list),
            runtime: variable("RUNTIME_DIRECTORY").and_then(first_of_list),
            host: std::fs::read_to_string(HOST_NAME_FILE).ok(),
        }
    }
}

fn variable(name: &str) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "the one place")]
    let value = std::env::var_os(name)?;
    (!value.is_empty()).then(|| value.into())
}

/// systemd writes several directories with `:` between them. Source: systemd.exec(5).
fn first_of_list(list: PathBuf) -> Option<PathBuf> {
    let Some(text) = list.to_str() else {
        return Some(list);
    };
    text.split(':').next().filter(|first| !first.is_empty()).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_directories_the_first_counts() {
        let first = |list: &str| first_of_list(list.into());
        assert_eq!(first("/var/lib/hindsight"), Some("/var/lib/hindsight".into()));
        assert_eq!(first("/var/lib/a:/var/lib/b"), Some("/var/lib/a".into()));
        assert_eq!(first(":/var/lib/b"), None);
    }
}
