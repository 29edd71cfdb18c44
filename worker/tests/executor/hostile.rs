//! An agent that tries everything. What it can see and write, and what it plants in git for others to run, is in
//! `confinement`; what it hides in its commits in `inspection`; whom it leaves behind in `interrupts` and
//! `process_mode`.

use std::{fs, time::Duration};

use nix::unistd::geteuid;
use shared::{FailureClass, task_log::LogStream};

use crate::{
    github_stage::GitHubStage,
    stage::{Run, Stage, Started},
};

/// Each way in which agents are confined here.
fn modes() -> [fn(Stage) -> Stage; 2] {
    [|stage| stage, Stage::in_process_mode]
}

/// Nothing but what was asked for has come to the remote.
fn only_its_own_branch_was_touched(stage: &Stage, before: &str, run: &Run) {
    let ours = match &run.end {
        worker::run::RunEnd::Finished(_) => vec![format!("refs/heads/{}", run.branch())],
        _ => Vec::new(),
    };
    let refs = stage.remote.git(&["for-each-ref", "--format=%(refname)"]).unwrap();
    let mut expected = ours;
    expected.push("refs/heads/main".to_owned());
    expected.sort();
    assert_eq!(refs.lines().collect::<Vec<_>>(), expected, "{run:#?}");
    assert_eq!(stage.remote.git(&["rev-parse", "main"]).unwrap(), before);
}

#[tokio::test]
async fn references_of_its_own_making_go_nowhere() {
    let script = "cat >/dev/null; echo 42 > answer; git commit -qam 'a commit of its own'\n\
                  git tag v9; git branch evil; git update-ref refs/heads/main HEAD\n\
                  git update-ref refs/claude-cluster/result HEAD; git update-ref refs/remotes/origin/main HEAD\n\
                  git replace --graft HEAD 2>/dev/null; git notes add -m note\n\
                  git symbolic-ref HEAD refs/heads/evil\n\
                  git config remote.origin.push '+refs/*:refs/*'; git config push.followTags true";
    for mode in modes() {
        let stage = mode(Stage::new()).agent(script);
        let before = stage.remote.git(&["rev-parse", "main"]).unwrap();
        let run = stage.run(stage.task("x")).await;
        assert_eq!(stage.remote.read(run.branch(), "answer").unwrap(), "42\n");
        let base = format!("main..{}", run.branch());
        assert_eq!(
            stage.remote.git(&["rev-list", "--count", &base]).unwrap(),
            "1",
            "grafts count for nothing"
        );
        only_its_own_branch_was_touched(&stage, &before, &run);
    }
}

#[tokio::test]
async fn objects_of_another_repository_are_not_lent_to_it_nor_published_by_name() {
    // The agent knows the name of a secret blob and where it lies.
    let stage = Stage::new();
    let private = stage.dir().join("private.git");
    let git = |args: &[&str]| {
        let output = std::process::Command::new("git").args(args).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let at = private.to_str().unwrap();
    git(&["init", "-q", "--bare", at]);
    let secret = stage.dir().join("secret");
    fs::write(&secret, "private-content").unwrap();
    let blob = git(&["-C", at, "hash-object", "-w", secret.to_str().unwrap()]);
    let script = format!(
        "cat >/dev/null; echo 42 > answer\n\
         echo {at}/objects >> .git/objects/info/alternates\n\
         git cat-file -p {blob} > loot 2>/dev/null\n\
         git update-index --add --cacheinfo 100644,{blob},stolen\n\
         tree=$(git write-tree --missing-ok); git update-ref HEAD $(echo x | git commit-tree $tree -p HEAD)\n\
         true"
    );
    let stage = stage.agent(&script);
    let before = stage.remote.git(&["rev-parse", "main"]).unwrap();
    let run = stage.run(stage.task("x")).await;
    only_its_own_branch_was_touched(&stage, &before, &run);
    assert!(stage.remote.git(&["cat-file", "-e", &blob]).is_err(), "{run:#?}");
}

#[tokio::test]
async fn a_repository_that_was_turned_into_something_else_publishes_nothing_foreign() {
    let elsewhere = [
        "rm -rf .git; echo \"gitdir: $mirror\" > .git",
        "rm -rf .git; ln -s \"$mirror\" .git",
        "rm -rf .git; mkfifo .git",
        "echo \"$mirror\" > .git/commondir",
        "rm -rf .git/objects; ln -s \"$mirror/objects\" .git/objects",
        "rm -rf .git; git init -q .; git commit -q --allow-empty -m orphan",
        "git config core.worktree /; git config core.bare true",
        "printf '[include]\\n\\tpath = /proc/self/environ\\n' >> .git/config",
        "cd ..; mv tree elsewhere; ln -s / tree",
    ];
    for damage in elsewhere {
        let script = format!(
            "cat >/dev/null; echo 42 > answer\nmirror=$(sed 's,/objects$,,' .git/objects/info/alternates)\n{damage}\ntrue"
        );
        let stage = Stage::new().agent(&script);
        let before = stage.remote.git(&["rev-parse", "main"]).unwrap();
        let run = stage.run(stage.task("x")).await;
        only_its_own_branch_was_touched(&stage, &before, &run);
        let mirror = stage.mirror();
        for trace in ["index", "commondir", "MERGE_HEAD", "refs/heads/evil"] {
            assert!(!mirror.join(trace).exists(), "{damage}: {trace}");
        }
        assert!(stage.workspaces().is_empty(), "{damage}");
    }
}

#[tokio::test]
async fn another_run_can_be_neither_seen_nor_written_nor_ended() {
    // The first waits; the second does what it can to it.
    let script = |state: &str| {
        format!(
            "case $(cat) in *'the first'*) echo first-secret > notes; echo begun; while ! test -e go; do sleep 0.05; done; rm go notes;;\n\
             *) {{ ls -la {state} {state}/workspaces .. ../..; cat {state}/workspaces/*/tree/notes; ls /proc | grep -c '^[0-9]'; }} > loot 2>&1\n\
               for tree in {state}/workspaces/*/tree; do echo evil > \"$tree/evil\"; done 2>/dev/null\n\
               kill -9 -1 2>/dev/null & wait;;\n\
             esac\necho 42 > answer"
        )
    };
    let stage = Stage::new();
    let script = script(&stage.state().display().to_string());
    let stage = stage.agent(&script);
    let executor = stage.executor().await;
    let mut first = Started::new(&executor, stage.task("the first"));
    first.line("begun").await;
    let second = Started::new(&executor, stage.task("the second")).end().await;
    // It has ended itself, perhaps, and nobody else.
    if let worker::run::RunEnd::Finished(_) = &second.end {
        let loot = stage.remote.read(second.branch(), "loot").unwrap();
        assert!(!loot.contains("first-secret"), "{loot}");
    }
    let workspaces = stage.state().join("workspaces");
    let trees: Vec<_> =
        fs::read_dir(&workspaces).unwrap().flatten().map(|entry| entry.path().join("tree")).collect();
    let tree = trees.iter().find(|tree| tree.join("notes").exists()).expect("the first goes on");
    fs::write(tree.join("go"), "").unwrap();
    let first = first.end().await;
    assert!(stage.remote.read(first.branch(), "evil").is_err(), "{first:#?}");
}

#[tokio::test]
async fn output_without_end_is_bounded_in_time_and_in_the_log() {
    for mode in modes() {
        for endless in ["yes", "tr '\\0' x < /dev/zero", "while :; do echo y >&2; done"] {
            let mut stage = mode(Stage::new()).agent(&format!("cat >/dev/null; {endless}"));
            stage.config.agent.wall_clock_ms = 1_500;
            let run = stage.run(stage.task("x")).await;
            assert!(run.failure().message.contains("agent.wall_clock_ms"), "{:?}", run.end);
            assert!(run.reports.len() < 20_100, "{}", run.reports.len());
            let longest = run.lines(LogStream::Agent).into_iter().map(str::len).max();
            assert!(longest.unwrap_or(0) <= 4_096);
        }
    }
}

/// Clears the screen, sets the title, answers on the terminal's behalf, writes from right to left.
const ESCAPES: &str = r"printf '\033[2J\033]0;title\007\033[6n\302\233\342\200\256evil\r\n'";

fn acts_on_a_terminal(text: &str) -> bool {
    text.chars().any(|c| c.is_control() && c != '\n' || c == '\u{202e}')
}

#[tokio::test]
async fn nothing_that_acts_on_a_terminal_reaches_log_issue_or_result() {
    // In the answer of a task that changes nothing, in the words of one that fails, in a red test's output.
    let red = format!("{ESCAPES}; {ESCAPES} > noise; echo 43 > answer");
    for script in
        [ESCAPES.to_owned(), format!("{ESCAPES}; exit 3"), red, format!("{ESCAPES}; echo 42 > answer")]
    {
        let mut on = GitHubStage::new(&format!("cat >/dev/null; {script}")).await;
        on.stage.config.test.rounds_max = 1;
        on.stage.config.test.command = "cat noise 2>/dev/null; grep -qx 42 answer".to_owned();
        let run = on.run().await;
        let mut texts: Vec<String> = run.reports.iter().map(|report| format!("{report:?}")).collect();
        texts.push(match &run.end {
            worker::run::RunEnd::Finished(shared::Outcome::NoChange { answer }) => answer.clone(),
            worker::run::RunEnd::Failed(failure) => failure.message.clone(),
            _ => String::new(),
        });
        texts.push(on.status());
        texts.extend(on.github.state().pulls.iter().map(|pull| format!("{}{}", pull.title, pull.body)));
        for text in texts {
            assert!(!acts_on_a_terminal(&text), "{text:?} of {script}");
        }
    }
}

#[tokio::test]
async fn a_run_that_fills_the_disk_is_ended_and_says_so() {
    let fill = [
        // One file, many files, in the home, in the directory for temporary files.
        "head -c 64m /dev/zero > big; sleep 60",
        "mkdir d; i=0; while [ $i -lt 12000 ]; do : > d/$i; i=$((i+1)); done; sleep 60",
        "head -c 64m /dev/zero > \"$HOME/big\"; sleep 60",
        "head -c 64m /dev/zero > \"$TMPDIR/big\"; sleep 60",
    ];
    for mode in modes() {
        for how in fill {
            let mut stage = mode(Stage::new()).agent(&format!("cat >/dev/null; {how}"));
            stage.config.sandbox.disk_bytes_max = 32 << 20;
            let run = stage.run(stage.task("x")).await;
            let failure = run.failure();
            assert_eq!(failure.class, FailureClass::Task, "{how}");
            assert!(failure.message.contains("sandbox.disk_bytes_max is 32.0 MiB"), "{how}: {failure}");
            assert!(stage.workspaces().is_empty(), "{how}");
        }
    }
}

#[tokio::test]
async fn tests_that_fill_the_disk_are_ended_too() {
    let mut stage = Stage::with_files(&[("Makefile", "test:\n\t@head -c 64m /dev/zero > big; sleep 60\n")])
        .agent("cat >/dev/null; echo x > y");
    stage.config.sandbox.disk_bytes_max = 32 << 20;
    let run = stage.run(stage.task("x")).await;
    assert!(run.failure().message.contains("sandbox.disk_bytes_max"), "{run:#?}");
}

#[tokio::test]
async fn what_lies_in_memory_and_not_on_the_disk_is_bounded_where_namespaces_are() {
    let script = "cat >/dev/null; echo 42 > answer\n\
                  head -c 400m /dev/zero > /dev/shm/big 2>/dev/null; wc -c < /dev/shm/big > shm; rm /dev/shm/big\n\
                  for place in / /dev /etc /etc/ssl/private /run /var /root /opt /mnt; do\n\
                    (echo x > $place/evil) 2>/dev/null && echo $place >> written\n\
                  done\n\
                  echo x > /dev/null && echo y > /dev/shm/small && cat /dev/shm/small > usual";
    let stage = Stage::new().agent(script);
    let run = stage.run(stage.task("x")).await;
    let shm: u64 = stage.remote.read(run.branch(), "shm").unwrap().trim().parse().unwrap();
    assert_eq!(shm, 256 << 20);
    assert_eq!(stage.remote.read(run.branch(), "written").ok(), None);
    assert_eq!(stage.remote.read(run.branch(), "usual").unwrap(), "y\n");
}

#[tokio::test]
async fn as_another_user_an_agent_ends_neither_worker_nor_supervisor() {
    if !geteuid().is_root() {
        return;
    }
    let script = format!(
        "cat >/dev/null; echo 42 > answer\n\
         for pid in {worker} $PPID $(cut -d ' ' -f 4 /proc/$PPID/stat); do kill -9 $pid && echo $pid >> killed; done 2>/dev/null\n\
         true",
        worker = std::process::id()
    );
    let stage = Stage::new().in_process_mode().agent(&script);
    let run = stage.run(stage.task("x")).await;
    let killed = stage.remote.read(run.branch(), "killed").unwrap_or_default();
    assert_eq!(killed, "", "it may end itself alone");
}

#[tokio::test]
async fn files_that_are_none_hold_up_nobody_who_reads_the_tree() {
    // What the engine looks at outside of the sandbox: pipes that never end, links to what the worker may read.
    let names =
        ["Makefile", "package.json", "pyproject.toml", "Cargo.toml", ".gitattributes", "CLAUDE.md", ".rspec"];
    for make in [
        "rm -f \"$name\"; mkfifo \"$name\"",
        "ln -sf /etc/shadow \"$name\"",
        "rm -f \"$name\"; mkdir \"$name\"",
    ] {
        let all = names.join(" ");
        let mut stage = Stage::with_files(&[("answer", "41\n")])
            .agent(&format!("cat >/dev/null; for name in {all}; do {make}; done; echo 42 > answer"));
        // Git itself waits for a pipe by that name, in the sandbox and no longer than this.
        stage.config.git.timeout_ms = 5_000;
        let run = tokio::time::timeout(Duration::from_secs(50), stage.run(stage.task("x"))).await.unwrap();
        assert!(!format!("{run:?}").contains("root:"), "{run:#?}");
    }
}
