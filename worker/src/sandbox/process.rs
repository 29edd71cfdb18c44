//! Without namespaces: another user where the worker may switch, and a supervisor that lets no process escape.

use std::{path::PathBuf, process::Command};

use nix::unistd::{Uid, User, geteuid};
use shared::{Failure, config::SandboxConfig};

use super::{Confined, through_shell};
use crate::{
    child::{Ends, Job},
    host::Host,
    workspace::Owner,
};

const DEFAULT_USER: &str = "nobody";

/// Supervised processes, as another user or, where that is allowed, as the worker's own.
#[derive(Clone)]
pub(super) struct ProcessSandbox {
    supervisor: PathBuf,
    user: AgentUser,
}

#[derive(Clone)]
enum AgentUser {
    Other { name: String, owner: Owner },
    Same,
}

impl ProcessSandbox {
    pub(super) fn new(config: &SandboxConfig, host: &Host) -> Result<Self, Failure> {
        Ok(Self { supervisor: host.supervisor().to_owned(), user: agent_user(config, geteuid())? })
    }

    /// For people: whom agents run as.
    pub(super) fn user(&self) -> String {
        match &self.user {
            AgentUser::Other { name, .. } => format!("user {name}"),
            AgentUser::Same => "the worker's own user, who can read what the worker can".to_owned(),
        }
    }

    pub(super) fn owner(&self) -> Option<Owner> {
        match self.user {
            AgentUser::Other { owner, .. } => Some(owner),
            AgentUser::Same => None,
        }
    }

    pub(super) fn job(&self, confined: &Confined<'_>) -> Job {
        let mut command = Command::new(&self.supervisor);
        command.args(["supervise", "--"]);
        if let Some(Owner { uid, gid }) = self.owner() {
            command.args(["--as", &format!("{uid}:{gid}"), "--"]);
        }
        command.args(through_shell(&confined.argv)).current_dir(confined.workspace.tree());
        Job { command, ends: Ends::Supervised }
    }
}

fn agent_user(config: &SandboxConfig, worker: Uid) -> Result<AgentUser, Failure> {
    if worker.is_root() {
        let name = if config.user.is_empty() { DEFAULT_USER } else { &config.user };
        let user = User::from_name(name).ok().flatten().ok_or_else(|| {
            Failure::configuration(format!("sandbox.user: there is no user {name}; make one or name another"))
        })?;
        if !user.uid.is_root() {
            let owner = Owner { uid: user.uid, gid: user.gid };
            return Ok(AgentUser::Other { name: name.to_owned(), owner });
        }
    }
    if config.allow_same_user {
        return Ok(AgentUser::Same);
    }
    Err(Failure::configuration(
        "without bubblewrap an agent would run as the worker's own user and could read its secrets: make \
         bubblewrap work, run the worker as root with sandbox.user, or accept it with \
         sandbox.allow_same_user = true",
    ))
}

#[cfg(test)]
mod tests {
    use shared::config::Config;

    use super::*;

    #[test]
    fn the_workers_own_user_is_taken_only_when_that_is_allowed() {
        let mut config = Config::defaults().unwrap().sandbox;
        let ordinary = Uid::from_raw(1_000);
        assert!(agent_user(&config, ordinary).is_err());
        config.allow_same_user = true;
        assert!(matches!(agent_user(&config, ordinary), Ok(AgentUser::Same)));
    }

    #[test]
    fn root_switches_to_another_user_who_must_exist() {
        let mut config = Config::defaults().unwrap().sandbox;
        assert!(matches!(agent_user(&config, Uid::from_raw(0)), Ok(AgentUser::Other { .. })));
        config.user = "no-such-user-here".to_owned();
        assert!(agent_user(&config, Uid::from_raw(0)).is_err());
        config.user = "root".to_owned();
        assert!(agent_user(&config, Uid::from_raw(0)).is_err());
    }
}
