//! A real server that speaks WebDAV (Apache), with a folder for one user and one for a token.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::TempDir;

use super::place::Place;
use super::process::Process;

/// A running Apache. Dropped, it ends, and its files with it.
#[derive(Debug)]
pub(crate) struct WebDav {
    pub(crate) port: u16,
    process: Process,
    folder: TempDir,
}

impl WebDav {
    pub(crate) const USER: &str = "hindsight";
    pub(crate) const PASSWORD: &str = "password";
    /// The two above, as HTTP has them.
    pub(crate) const BASIC: (&str, &str) = ("authorization", "Basic aGluZHNpZ2h0OnBhc3N3b3Jk");
    pub(crate) const TOKEN: &str = "t0ken";

    pub(crate) fn start(place: &Place) -> Self {
        let folder = tempfile::tempdir().expect("the temporary folder can be written");
        let port = place.free_port();
        prepare(folder.path(), port);
        let program = "/usr/sbin/apache2";
        assert!(Path::new(program).exists(), "no Apache yet; run: tests/tools");
        // One process, in the foreground, so that it ends when it is killed.
        let mut command = place.command(program);
        command.arg("-X").arg("-f").arg(folder.path().join("apache.conf"));
        let mut process = Process::start("apache2", &mut command, &folder.path().join("log"));
        place.wait_for_port(&mut process, port);
        Self { port, process, folder }
    }

    /// The folder that the user may write to.
    pub(crate) fn base(&self) -> String {
        format!("http://127.0.0.1:{}/dav", self.port)
    }

    /// The folder that whoever has the token may write to.
    pub(crate) fn token_base(&self) -> String {
        format!("http://127.0.0.1:{}/token", self.port)
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }
}

fn prepare(folder: &Path, port: u16) {
    // A server that root starts serves as nobody.
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(folder, open).expect("a folder of this test");
    for name in ["files", "files/dav", "files/token", "locks"] {
        let path = folder.join(name);
        fs::create_dir(&path).expect("a folder of this test");
        let everybody = fs::Permissions::from_mode(0o777);
        fs::set_permissions(&path, everybody).expect("a folder of this test");
    }
    // The SHA-1 of the password in base64.
    let user = format!("{}:{{SHA}}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n", WebDav::USER);
    fs::write(folder.join("users"), user).expect("a folder of this test");
    let modules = [
        "mpm_event",
        "authn_core",
        "authn_file",
        "authz_core",
        "authz_user",
        "auth_basic",
        "dav",
        "dav_fs",
    ];
    let mut text: String = modules
        .iter()
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
        .collect();
    text.push_str(&format!(
        "ServerName localhost
         Listen 127.0.0.1:{port}
         User nobody
         Group nogroup
         PidFile {0}/pid
         ErrorLog {0}/errors
         DocumentRoot {0}/files
         DavLockDB {0}/locks/db
         <Location /dav>
           Dav On
           AuthType Basic
           AuthName captures
           AuthUserFile {0}/users
           Require valid-user
         </Location>
         <Location /token>
           Dav On
           Require expr %{{HTTP:Authorization}} == 'Bearer {1}'
         </Location>\n",
        folder.display(),
        WebDav::TOKEN,
    ));
    fs::write(folder.join("apache.conf"), text).expect("a folder of this test");
}
