//! What a repository holds besides its own files: submodules, and LFS files.

use shared::{config::RepositoryConfig, task_log::LogStream};
use testkit::GitRemote;

use crate::{
    github_stage::GitHubStage,
    stage::{Run, Stage},
};

/// Tells what it sees of the submodule, and leaves something behind in it.
const SCRIPT: &str = "cat > prompt; cat lib/file > seen; git -C lib log --oneline | wc -l > history; \
                      git status --porcelain > status; echo changed > lib/file; echo new > lib/new; \
                      echo 42 > answer";

/// `octo/cat` with the submodule `lib` at the first of two commits of `octo/lib`.
async fn with_library(public: bool) -> (GitHubStage, GitRemote, String) {
    let on = GitHubStage::new(SCRIPT).await;
    let library = GitRemote::with_files(&[("file", "first\n"), ("dir/other", "x\n")]).unwrap();
    let commit = library.git(&["rev-parse", "main"]).unwrap();
    library.commit("main", &[("file", "second\n")]).unwrap();
    on.github.serve_also("octo/lib", &library, public);
    on.github.remote().add_submodule("main", "lib", "../lib.git", &commit).unwrap();
    (on, library, commit)
}

fn told(run: &Run, text: &str) -> bool {
    run.lines(LogStream::Engine).iter().any(|line| line.contains(text))
}

#[tokio::test]
async fn a_public_submodule_is_there_to_be_read_and_nothing_of_it_is_published() {
    let (mut on, _library, commit) = with_library(true).await;
    // It must not be relied on by what judges the change either.
    on.stage.config.test.command = "grep -qx first lib/file && test ! -e lib/new".to_owned();
    let run = on.run().await;
    let (_, branch) = run.pull_request();
    let published = |file| on.github.remote().read(branch, file).unwrap();
    assert_eq!((published("seen").as_str(), published("history").trim()), ("first\n", "1"));
    assert!(!published("status").contains("lib"), "the tree is clean: {}", published("status"));
    let gitlink = on.github.remote().git(&["rev-parse", &format!("{branch}:lib")]).unwrap();
    assert_eq!(gitlink, commit);
    let word = "submodule lib can be read, and changes in it are not published";
    assert!(told(&run, word) && published("prompt").contains(word), "{run:#?}");
}

#[tokio::test]
async fn a_submodule_is_there_without_bubblewrap_too_and_one_that_an_agent_moves_is_refused() {
    let (mut on, library, commit) = with_library(true).await;
    on.stage = on.stage.in_process_mode();
    let run = on.run().await;
    let (_, branch) = run.pull_request();
    assert_eq!(on.github.remote().read(branch, "seen").unwrap(), "first\n");
    let gitlink = on.github.remote().git(&["rev-parse", &format!("{branch}:lib")]).unwrap();
    assert_eq!(gitlink, commit);

    // A commit that nobody else has.
    on.stage =
        on.stage.agent("cat >/dev/null; echo 42 > answer; cd lib; echo x > x; git add x; git commit -qm x");
    let failure = on.run().await.failure().message.clone();
    assert!(failure.contains("makes lib a submodule"), "{failure}");
    assert_eq!(library.branches().unwrap(), ["main"]);
}

#[tokio::test]
async fn a_private_submodule_is_fetched_with_the_token_only_where_an_entry_names_it() {
    let (mut on, _library, _) = with_library(false).await;
    let entry =
        |pattern: &str| RepositoryConfig { pattern: pattern.to_owned(), ..RepositoryConfig::default() };
    on.stage.config.repository = vec![entry("octo/cat"), entry("octo/lib")];
    let run = on.run().await;
    let seen = |run: &Run| on.github.remote().read(run.pull_request().1, "seen").unwrap();
    assert_eq!(seen(&run), "first\n");
    // The mirror has it now; that lets nobody in.
    on.stage.config.repository = vec![entry("octo/cat")];
    let run = on.run().await;
    assert_eq!(seen(&run), "", "{run:#?}");
    assert!(told(&run, "submodule lib is not fetched: cannot read"), "{run:#?}");
}

#[tokio::test]
async fn lfs_pointers_and_submodules_that_are_not_there_are_told_to_people_and_to_the_agent() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n";
    let files = [
        ("art/.gitattributes", "*.png filter=lfs diff=lfs merge=lfs -text\n"),
        ("art/one.png", pointer),
        ("art/two words.png", pointer),
        ("art/real.png", "a file that was committed as it is\n"),
        ("other.png", pointer),
        ("Makefile", "test:\n\ttest -e prompt\n"),
    ];
    let stage = Stage::with_files(&files).agent("cat > prompt");
    let commit = "1".repeat(40);
    stage.remote.add_submodule("main", "lib", "https://example.org/lib.git", &commit).unwrap();
    let run = stage.run(stage.task("x")).await;
    let notices = [
        "LFS files are not fetched: 2 files hold pointers instead of their content",
        "submodule lib is not fetched: the repository itself is not on a server",
    ];
    let prompt = stage.remote.read(run.branch(), "prompt").unwrap();
    for notice in notices {
        assert!(told(&run, notice), "{run:#?}");
        assert!(prompt.contains(&format!("- Here, {notice}. Leave them as they are.")), "{prompt}");
    }
    let gitlink = stage.remote.git(&["rev-parse", &format!("{}:lib", run.branch())]).unwrap();
    assert_eq!(gitlink, commit, "it is published as it was");
}
