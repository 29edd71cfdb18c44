//! What a check-out of the base alone does not bring: submodules; and a word for whatever stays away.

use shared::Failure;

use super::attempt::Attempt;
use crate::{
    git::Access,
    mirror::{Base, Mirror},
    submodules::{self, Submodule},
    worktree::{Absent, Worktree},
};

impl Attempt<'_> {
    /// Fetches the submodules that may be fetched. Returns what the agent has to know, a sentence each; the log has
    /// it too.
    pub(super) async fn complete(
        &self,
        absent: Absent,
        worktree: &mut Worktree<'_>,
        mirror: &Mirror<'_>,
        access: Option<&Access>,
        base: &Base,
    ) -> Result<Vec<String>, Failure> {
        let mut notices = Vec::new();
        if absent.lfs > 0 {
            let files = absent.lfs;
            notices.push(format!(
                "LFS files are not fetched: {files} files hold pointers instead of their content"
            ));
        }
        if absent.submodules > 0 {
            self.submodules(absent.submodules, worktree, mirror, access, base, &mut notices).await?;
        }
        for notice in &notices {
            self.reporter.engine(notice).await;
        }
        Ok(notices)
    }

    async fn submodules(
        &self,
        count: u32,
        worktree: &mut Worktree<'_>,
        mirror: &Mirror<'_>,
        access: Option<&Access>,
        base: &Base,
        notices: &mut Vec<String>,
    ) -> Result<(), Failure> {
        let named = submodules::named(self.git, mirror.path(), base).await?;
        let unnamed = (count as usize).saturating_sub(named.len());
        if unnamed > 0 {
            notices
                .push(format!("{unnamed} submodules are not fetched: .gitmodules does not say from where"));
        }
        for submodule in named {
            let path = &submodule.path;
            match self.submodule(&submodule, worktree, mirror.url(), access).await {
                Ok(()) => {
                    notices
                        .push(format!("submodule {path} can be read, and changes in it are not published"));
                    worktree.submodules.push(submodule.path);
                }
                Err(why) => notices.push(format!("submodule {path} is not fetched: {why}")),
            }
        }
        Ok(())
    }

    /// `Err` says why it is not there.
    async fn submodule(
        &self,
        submodule: &Submodule,
        worktree: &Worktree<'_>,
        parent: &str,
        access: Option<&Access>,
    ) -> Result<(), String> {
        let source = submodule.source(parent, access, self.config)?;
        let mirror = Mirror::new(self.git, self.nursery, source.access, self.mirrors, &source.url);
        let fetched = async {
            let used = mirror.begin_use().await?;
            mirror.fetch_commit(&submodule.commit).await?;
            Ok(used)
        };
        let _used = fetched.await.map_err(|failure: Failure| failure.message)?;
        worktree.check_out_submodule(submodule, mirror.path()).await
    }
}
