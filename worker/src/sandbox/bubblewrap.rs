//! Bubblewrap: namespaces of its own, a read-only system, nothing of the user's home but the tools.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use nix::unistd::geteuid;

use super::{
    Confined, through_shell,
    toolbox::{SYSTEM_DIRS, Toolbox},
};
use crate::{
    child::{self, Captured, Ending, Ends, Job, Nursery},
    host::SYSTEM_PATH,
};

/// Where the workspace's `tmp` is found inside.
pub(super) const TMP: &str = "/tmp";

/// What `/dev/shm` may hold, in bytes: it is memory.
const SHM_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// How long a trial may take.
const PROBE_MAX: Duration = Duration::from_secs(20);

/// What of `/etc` programs need. An allow-list, because the rest may hold credentials, our own configuration
/// among them.
const ETC: [&str; 33] = [
    "alternatives",
    "bash.bashrc",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "debian_version",
    "default/locale",
    "fonts",
    "gai.conf",
    "group",
    "host.conf",
    "hosts",
    "inputrc",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "locale.alias",
    "locale.conf",
    "localtime",
    "lsb-release",
    "magic",
    "mime.types",
    "nsswitch.conf",
    "os-release",
    "passwd",
    "pki",
    "profile",
    "profile.d",
    "protocols",
    "resolv.conf",
    "services",
    "ssl",
    "timezone",
];

/// Further entries of `/etc` by the beginning of their names: settings of language runtimes.
const ETC_PREFIXES: [&str; 3] = ["java", "perl", "python"];

/// Private keys of servers live beside the certificates that everybody needs.
const HIDDEN: [&str; 2] = ["/etc/ssl/private", "/etc/pki/tls/private"];

/// A bubblewrap that was seen to work.
#[derive(Clone)]
pub(super) struct Bubblewrap {
    program: PathBuf,
    version: String,
    network: bool,
}

impl Bubblewrap {
    /// Runs a real one. `Err` says why it does not work and how to mend it.
    pub(super) async fn probe(toolbox: &Toolbox, network: bool, nursery: &Nursery) -> Result<Self, String> {
        let found =
            SYSTEM_PATH.iter().find_map(|dir| super::toolbox::executable(&Path::new(dir).join("bwrap")));
        let Some(program) = found else {
            return Err(
                "bubblewrap is not installed; on Debian and Ubuntu: apt-get install bubblewrap".to_owned()
            );
        };
        let mut command = Command::new(&program);
        command.env_clear().arg("--version");
        let version = trial(command, Ends::Group, nursery).await?.stdout;
        let bubblewrap = Self { program, version: version.trim().to_owned(), network };
        let mut command = bubblewrap.command(toolbox, None);
        command.env_clear().args(["--", "/bin/sh", "-c", "exit 0"]);
        let trial = trial(command, Ends::Namespace, nursery).await?;
        match trial.ending {
            Ending::Exited(0) => Ok(bubblewrap),
            _ => Err(explain(trial.stderr.last().unwrap_or("it said nothing"), apparmor_restricts())),
        }
    }

    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// `socket`: one of the machine's that the program reaches.
    pub(super) fn job(&self, toolbox: &Toolbox, socket: Option<&Path>, confined: &Confined<'_>) -> Job {
        let workspace = confined.workspace;
        let mut command = self.command(toolbox, Some(&workspace.tmp()));
        if self.network && !confined.network {
            command.arg("--unshare-net");
        }
        for dir in [workspace.tree(), workspace.home()] {
            bind(&mut command, "--bind", &dir, &dir);
        }
        if confined.out {
            bind(&mut command, "--bind", &workspace.out(), &workspace.out());
        }
        for path in confined.mirror.into_iter().chain(confined.files.iter().map(PathBuf::as_path)) {
            bind(&mut command, "--ro-bind", path, path);
        }
        if let Some(path) = socket {
            bind(&mut command, "--bind", path, path);
        }
        // All that is left of the root is memory: nobody is to fill it.
        command.args(["--remount-ro", "/"]);
        command.arg("--chdir").arg(workspace.tree());
        command.arg("--").args(through_shell(&confined.argv));
        Job { command, ends: Ends::Namespace }
    }

    /// Namespaces and the read-only system; the environment passes through, so that no value of it shows in
    /// the arguments.
    fn command(&self, toolbox: &Toolbox, tmp: Option<&Path>) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["--die-with-parent", "--new-session", "--cap-drop", "ALL"]);
        command.args(["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--hostname", "sandbox"]);
        if !geteuid().is_root() {
            command.arg("--unshare-user");
        }
        if !self.network {
            command.arg("--unshare-net");
        }
        for dir in SYSTEM_DIRS.map(Path::new) {
            match fs::read_link(dir) {
                Ok(target) => {
                    command.arg("--symlink").arg(target).arg(dir);
                }
                Err(_) => bind(&mut command, "--ro-bind-try", dir, dir),
            }
        }
        for path in etc() {
            // resolv.conf and its like often point into /run, which stays hidden: bind what they mean.
            let Ok(target) = path.canonicalize() else { continue };
            bind(&mut command, "--ro-bind", &target, &path);
        }
        for dir in HIDDEN.into_iter().filter(|dir| Path::new(dir).is_dir()) {
            command.args(["--tmpfs", dir, "--remount-ro", dir]);
        }
        command.args(["--proc", "/proc", "--dev", "/dev"]);
        command.args(["--perms", "1777", "--size", &SHM_BYTES_MAX.to_string(), "--tmpfs", "/dev/shm"]);
        command.args(["--remount-ro", "/dev"]);
        // Before all that may lie below it: tools, workspace, mirror.
        match tmp {
            Some(dir) => bind(&mut command, "--bind", dir, Path::new(TMP)),
            None => {
                command.args(["--tmpfs", TMP]);
            }
        }
        for path in toolbox.dirs().iter().map(PathBuf::as_path).chain(toolbox.certificates()) {
            bind(&mut command, "--ro-bind", path, path);
        }
        command
    }
}

fn etc() -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = ETC.iter().map(|name| Path::new("/etc").join(name)).collect();
    let runtimes = fs::read_dir("/etc").into_iter().flatten().flatten().map(|entry| entry.path());
    paths.extend(runtimes.filter(|path| {
        let name = path.file_name().and_then(OsStr::to_str);
        name.is_some_and(|name| ETC_PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
    }));
    paths
}

fn bind(command: &mut Command, how: &str, source: &Path, target: &Path) {
    command.args([OsStr::new(how), source.as_os_str(), target.as_os_str()]);
}

async fn trial(command: Command, ends: Ends, nursery: &Nursery) -> Result<Captured, String> {
    let trial = child::capture(nursery, Job { command, ends }, &[], PROBE_MAX).await;
    trial.map_err(|error| format!("bubblewrap cannot be started: {error}"))
}

/// Since Ubuntu 23.10: whether AppArmor keeps ordinary programs from making user namespaces.
fn apparmor_restricts() -> bool {
    fs::read_to_string("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
        .is_ok_and(|text| text.trim() == "1")
}

fn explain(said: &str, apparmor_restricts: bool) -> String {
    let remedy = if said.contains("Unknown option") {
        "it is too old: 0.5 or newer is needed"
    } else if apparmor_restricts {
        "AppArmor keeps it from making user namespaces: allow it with a profile for /usr/bin/bwrap that says \
         `userns,` in /etc/apparmor.d/bwrap (docs/agents.md has it), then `sudo systemctl reload apparmor`"
    } else if Path::new("/.dockerenv").exists() || Path::new("/run/.containerenv").exists() {
        "containers usually forbid it; sandbox.mode = \"process\" is meant for them"
    } else {
        "check that the kernel allows user namespaces (sysctl kernel.unprivileged_userns_clone, \
         user.max_user_namespaces)"
    };
    format!("bubblewrap does not run here ({said}); {remedy}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_by_apparmor_says_how_to_allow_it() {
        let text = explain("bwrap: setting up uid map: Permission denied", true);
        assert!(text.contains("Permission denied") && text.contains("/etc/apparmor.d/bwrap"));
        assert!(explain("bwrap: Unknown option --size", true).contains("0.5 or newer"));
    }
}
