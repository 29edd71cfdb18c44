//! A large repository, always the same.

use std::{
    io::{BufWriter, Write},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

pub const FILES: usize = 50_000;
pub const COMMITS: usize = 5_000;

/// Files that each commit after the first changes.
const CHANGED: usize = 10;

/// Files in one directory.
const DIRECTORY: usize = 50;

/// Makes a bare one at `path`.
pub fn make(path: &Path) -> Result<()> {
    let made = Command::new("git").args(["init", "--quiet", "--bare", "-b", "main"]).arg(path).status()?;
    ensure!(made.success(), "git init");
    let mut import = Command::new("git")
        .arg("--git-dir")
        .arg(path)
        .args(["fast-import", "--quiet", "--done"])
        .stdin(Stdio::piped())
        .spawn()?;
    let mut input = BufWriter::new(import.stdin.take().context("it has a standard input")?);
    for commit in 0..COMMITS {
        let time = 1_700_000_000 + commit;
        writeln!(input, "commit refs/heads/main\ncommitter Test <test@localhost> {time} +0000")?;
        write_data(&mut input, &format!("change {commit}"))?;
        let changed = if commit == 0 { 0..FILES } else { 0..CHANGED };
        for index in changed {
            // Spread over the tree.
            let file = if commit == 0 { index } else { (commit * 7_919 + index * 4_999) % FILES };
            writeln!(input, "M 100644 inline src/{:03}/{:02}.txt", file / DIRECTORY, file % DIRECTORY)?;
            write_data(&mut input, &content(file, commit))?;
        }
    }
    input.write_all(b"done\n")?;
    drop(input);
    ensure!(import.wait()?.success(), "git fast-import");
    Ok(())
}

fn write_data(input: &mut impl Write, text: &str) -> Result<()> {
    Ok(write!(input, "data {}\n{text}\n", text.len())?)
}

/// About two kilobytes that no other file has.
fn content(file: usize, commit: usize) -> String {
    let lines =
        (0..40).map(|line| format!("file {file}, line {line}, as of commit {commit}: {}", file * line));
    lines.collect::<Vec<_>>().join("\n")
}
