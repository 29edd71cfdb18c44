//! The branch that a task's work goes to: the same one for every run of the task.

use shared::TaskSpec;

use crate::mirror::Branches;

/// Longest slug, in bytes.
const SLUG_BYTES_MAX: usize = 40;

/// `claude/issue-<n>-<slug>`, or what the remote already has for the issue: a retitled issue keeps its branch.
///
/// Never the base itself, whatever that is called: work does not go where nobody has looked at it.
pub(crate) fn branch_for(spec: &TaskSpec, remote: &Branches, base: &str) -> String {
    let branch = of_task(spec, remote, base);
    if branch == base { format!("{branch}-work") } else { branch }
}

fn of_task(spec: &TaskSpec, remote: &Branches, base: &str) -> String {
    let Some(number) = spec.issue else { return format!("claude/task-{}", ref_safe(spec.id.as_str())) };
    let plain = format!("claude/issue-{number}");
    let slug = slug(&spec.title);
    let wanted = if slug.is_empty() { plain.clone() } else { format!("{plain}-{slug}") };
    if remote.contains_key(&wanted) {
        return wanted;
    }
    let of_issue =
        |name: &str| name == plain || name.strip_prefix(&plain).is_some_and(|rest| rest.starts_with('-'));
    remote.keys().find(|name| of_issue(name) && *name != base).cloned().unwrap_or(wanted)
}

/// Letters and digits of the title's ASCII words; empty where it has none.
fn slug(title: &str) -> String {
    let mut slug = String::new();
    for word in title.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        let joint = usize::from(!slug.is_empty());
        if slug.len() + joint + word.len() > SLUG_BYTES_MAX {
            break;
        }
        if joint == 1 {
            slug.push('-');
        }
        slug.push_str(&word.to_ascii_lowercase());
    }
    slug
}

/// Git refuses two dots in a row, and a dot or `.lock` at the end.
fn ref_safe(id: &str) -> String {
    let refused = id.contains("..") || id.rsplit_once('.').is_some_and(|(_, end)| matches!(end, "" | "lock"));
    if refused { id.replace('.', "-") } else { id.to_owned() }
}

#[cfg(test)]
mod tests {
    use shared::TaskId;

    use super::*;

    fn spec(issue: Option<u64>, title: &str) -> TaskSpec {
        TaskSpec { issue, ..TaskSpec::new("t-1".parse::<TaskId>().unwrap(), "o/n".parse().unwrap(), title) }
    }

    fn remote(names: &[&str]) -> Branches {
        names.iter().map(|name| ((*name).to_owned(), "0".repeat(40))).collect()
    }

    #[test]
    fn a_title_gives_a_short_ascii_slug_where_it_can() {
        let none = remote(&[]);
        assert_eq!(
            branch_for(&spec(Some(7), "Fix: `add()` is wrong!"), &none, "main"),
            "claude/issue-7-fix-add-is-wrong"
        );
        assert_eq!(branch_for(&spec(Some(7), "日本語の題名"), &none, "main"), "claude/issue-7");
        assert_eq!(branch_for(&spec(None, "x"), &none, "main"), "claude/task-t-1");
        assert!(branch_for(&spec(Some(7), &"word ".repeat(50)), &none, "main").len() < 60);
    }

    #[test]
    fn a_retitled_issue_keeps_its_branch_and_no_other_issues() {
        let has = remote(&["claude/issue-70-other", "claude/issue-7-old-title", "main"]);
        assert_eq!(branch_for(&spec(Some(7), "new title"), &has, "main"), "claude/issue-7-old-title");
        assert_eq!(branch_for(&spec(Some(77), "new"), &has, "main"), "claude/issue-77-new");
    }

    #[test]
    fn the_base_is_never_the_branch_that_is_pushed() {
        let has = remote(&["claude/issue-7-fix"]);
        assert_eq!(branch_for(&spec(Some(7), "fix"), &has, "claude/issue-7-fix"), "claude/issue-7-fix-work");
    }

    #[test]
    fn ids_that_git_would_refuse_in_a_ref_are_changed() {
        assert_eq!(ref_safe("a..b"), "a--b");
        assert_eq!(ref_safe("x.lock"), "x-lock");
        assert_eq!(ref_safe("v1.2"), "v1.2");
    }
}
