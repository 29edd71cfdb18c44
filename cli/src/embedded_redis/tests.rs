//! With the real redis-server. Two shares within one process exclude each other as two processes do: the lock
//! belongs to the open file.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use super::{EmbeddedRedis, EmbeddedRedisError, Need, left_over::servers_in};

const PATIENCE: Duration = Duration::from_secs(20);

fn path() -> Option<String> {
    std::env::var("PATH").ok()
}

fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::Builder::new().prefix("ccc-").tempdir_in("/tmp").unwrap();
    let place = dir.path().join("redis");
    (dir, place)
}

fn open(place: &Path, need: Need) -> EmbeddedRedis {
    EmbeddedRedis::open(place, need, path()).unwrap_or_else(|error| panic!("{error}"))
}

fn refusal(place: &Path, need: Need, path: Option<String>) -> EmbeddedRedisError {
    EmbeddedRedis::open(place, need, path).err().expect("this must be refused")
}

/// Sends one command and returns the last line of its answer; `None` while nobody listens.
fn ask(share: &EmbeddedRedis, command: &str) -> Option<String> {
    let socket = share.url().strip_prefix("unix://").unwrap().to_owned();
    let mut stream = UnixStream::connect(socket).ok()?;
    stream.write_all(format!("{command}\r\n").as_bytes()).ok()?;
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    if first.starts_with('$') && first != "$-1" { lines.next()?.ok() } else { Some(first) }
}

fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !check() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn canonical(place: &Path) -> PathBuf {
    place.canonicalize().unwrap()
}

#[test]
fn the_first_starts_the_server_others_join_it_and_the_data_outlives_both() {
    let (_dir, place) = place();
    let owner = open(&place, Need::Serve);
    let guest = open(&place, Need::Use);
    assert_eq!(ask(&owner, "SET a 1").unwrap(), "+OK");
    assert_eq!(ask(&guest, "GET a").unwrap(), "1");
    assert_eq!(servers_in(&canonical(&place)).len(), 1);
    guest.close();
    assert_eq!(ask(&owner, "GET a").unwrap(), "1", "a guest that goes leaves the server alone");
    owner.close();
    assert!(servers_in(&canonical(&place)).is_empty(), "the server ends with its owner");
    let reader = open(&place, Need::Read);
    assert_eq!(ask(&reader, "GET a").unwrap(), "1");
    reader.close();
}

#[test]
fn the_server_keeps_an_append_only_file_evicts_nothing_and_is_its_users_alone() {
    let (_dir, place) = place();
    let owner = open(&place, Need::Use);
    let info = |section: &str, field: &str| {
        let socket = owner.url().strip_prefix("unix://").unwrap();
        let mut stream = UnixStream::connect(socket).unwrap();
        stream.write_all(format!("INFO {section}\r\nQUIT\r\n").as_bytes()).unwrap();
        let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
        let value = lines.find_map(|l| l.strip_prefix(field).map(str::to_owned));
        value.unwrap_or_else(|| panic!("no {field}"))
    };
    assert_eq!(info("persistence", "aof_enabled:"), "1");
    assert_eq!(info("memory", "maxmemory_policy:"), "noeviction");
    assert_eq!(info("server", "tcp_port:"), "0");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&place), mode(&place.join("redis.sock"))), (0o700, 0o600));
    owner.close();
}

#[test]
fn a_guest_that_serves_takes_over_when_the_owner_goes() {
    let (_dir, place) = place();
    let owner = open(&place, Need::Serve);
    let heir = open(&place, Need::Serve);
    assert_eq!(ask(&owner, "SET a 1").unwrap(), "+OK");
    owner.close();
    eventually("the heir serves", || ask(&heir, "GET a").as_deref() == Some("1"));
    heir.close();
    assert!(servers_in(&canonical(&place)).is_empty());
}

#[test]
fn an_owner_that_runs_one_command_is_followed_and_not_joined() {
    let (_dir, place) = place();
    let passing = open(&place, Need::Use);
    assert_eq!(ask(&passing, "SET a 1").unwrap(), "+OK");
    let first = servers_in(&canonical(&place));
    let ends = thread::spawn(move || {
        thread::sleep(Duration::from_millis(300));
        passing.close();
    });
    let follower = open(&place, Need::Use);
    assert_ne!(servers_in(&canonical(&place)), first, "it has a server of its own");
    assert_eq!(ask(&follower, "GET a").unwrap(), "1", "from the first moment on");
    ends.join().unwrap();
    follower.close();
}

#[test]
fn a_server_that_is_killed_is_started_again_on_the_same_files() {
    let (_dir, place) = place();
    let owner = open(&place, Need::Serve);
    assert_eq!(ask(&owner, "SET a 1").unwrap(), "+OK");
    // With everysec, what was written a second ago is on disk; a killed process loses nothing it wrote.
    let pid = servers_in(&canonical(&place))[0];
    kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    eventually("another server serves", || {
        servers_in(&canonical(&place)).iter().any(|other| *other != pid)
            && ask(&owner, "GET a").as_deref() == Some("1")
    });
    owner.close();
}

#[test]
fn directories_that_no_socket_address_or_url_could_hold_are_fine() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["x".repeat(150), "with space % and ü".to_owned()] {
        let place = dir.path().join(name).join("redis");
        let owner = open(&place, Need::Serve);
        let guest = open(&place, Need::Use);
        assert_eq!(ask(&owner, "SET a 1").unwrap(), "+OK");
        assert_eq!(ask(&guest, "GET a").unwrap(), "1");
        guest.close();
        owner.close();
    }
}

#[test]
fn a_redis_server_that_is_missing_or_too_old_is_said_with_what_to_do() {
    let (dir, place) = place();
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let only = |dir: &Path| Some(dir.to_str().unwrap().to_owned());
    let error = refusal(&place, Need::Use, only(&empty));
    assert!(matches!(error, EmbeddedRedisError::Missing), "{error}");
    assert!(error.to_string().contains("apt-get install redis-server"), "{error}");
    let old = empty.join("redis-server");
    fs::write(&old, "#!/bin/sh\necho 'Redis server v=6.0.16 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64'\n")
        .unwrap();
    fs::set_permissions(&old, fs::Permissions::from_mode(0o755)).unwrap();
    let error = refusal(&place, Need::Use, only(&empty));
    assert!(matches!(error, EmbeddedRedisError::TooOld { .. }), "{error}");
    assert!(error.to_string().contains("6.0.16") && error.to_string().contains("7.0"), "{error}");
}

#[test]
fn where_no_server_ever_ran_there_is_nothing_to_read_and_none_is_started() {
    let (_dir, place) = place();
    assert!(matches!(refusal(&place, Need::Read, path()), EmbeddedRedisError::NeverRan));
    assert!(!place.join("appendonlydir").exists());
}

#[test]
fn a_left_over_server_is_ended_before_another_starts_on_its_files() {
    let (_dir, place) = place();
    open(&place, Need::Use).close();
    let mut left_over = stray_server(&place);
    let pid = i32::try_from(left_over.id()).unwrap();
    eventually("the stray server runs", || servers_in(&canonical(&place)).contains(&pid));
    // Nobody waits for it here, so it must be reaped for its working directory to vanish.
    let reaper = thread::spawn(move || left_over.wait());
    let owner = open(&place, Need::Use);
    reaper.join().unwrap().unwrap();
    assert!(!servers_in(&canonical(&place)).contains(&pid));
    assert_eq!(ask(&owner, "PING").unwrap(), "+PONG");
    owner.close();
}

fn stray_server(place: &Path) -> Child {
    Command::new("redis-server")
        .args(["--port", "0", "--unixsocket", "redis.sock", "--appendonly", "yes", "--save", ""])
        .current_dir(place)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_stale_socket_and_a_file_cut_in_the_middle_of_a_command_are_no_obstacle() {
    let (_dir, place) = place();
    let owner = open(&place, Need::Use);
    assert_eq!(ask(&owner, "SET a 1").unwrap(), "+OK");
    owner.close();
    let _ = fs::remove_file(place.join("redis.sock"));
    drop(UnixListener::bind(place.join("redis.sock")).unwrap());
    let incremental = fs::read_dir(place.join("appendonlydir")).unwrap().map(|entry| entry.unwrap().path());
    let incremental = incremental.filter(|path| path.to_string_lossy().ends_with(".incr.aof")).max().unwrap();
    let mut file = fs::OpenOptions::new().append(true).open(incremental).unwrap();
    file.write_all(b"*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$10\r\n12").unwrap();
    drop(file);
    let owner = open(&place, Need::Use);
    assert_eq!(ask(&owner, "GET a").unwrap(), "1");
    assert_eq!(ask(&owner, "GET b").unwrap(), "$-1");
    owner.close();
}

#[test]
fn a_file_damaged_in_the_middle_is_refused_with_the_servers_own_words() {
    let (_dir, place) = place();
    let owner = open(&place, Need::Use);
    assert_eq!(ask(&owner, "SET a 1").unwrap(), "+OK");
    owner.close();
    let files = fs::read_dir(place.join("appendonlydir")).unwrap().map(|entry| entry.unwrap().path());
    let incremental = files.filter(|path| path.to_string_lossy().ends_with(".incr.aof")).max().unwrap();
    fs::write(&incremental, b"*2\r\nnonsense\r\n*1\r\n$4\r\nPING\r\n").unwrap();
    let error = refusal(&place, Need::Use, path());
    assert!(matches!(error, EmbeddedRedisError::DidNotStart { .. }), "{error}");
    assert!(error.to_string().contains("redis-check-aof"), "{error}");
}
