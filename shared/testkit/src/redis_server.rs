//! A redis-server of a test's own, on a unix socket in a directory of its own.

use std::{
    fs,
    io::Write,
    net::TcpListener,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How long a server may take to start or to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// Ends the server and removes its directory when the test process is gone, however it went: a server kept in
/// a static is never dropped. Reads the server's id whenever it changes; the end of the input is the end of the
/// test.
const GUARD: &str =
    "while read -r pid; do last=$pid; done; [ -n \"$last\" ] && kill -9 \"$last\"; rm -rf \"$0\"";

/// A running redis-server with AOF (`always`) and `noeviction`; killed when dropped.
pub struct RedisServer {
    dir: PathBuf,
    child: Option<Child>,
    extra_args: Vec<String>,
    port: u16,
    role: Role,
    /// The port speaks TLS alone.
    tls: bool,
    guard: Child,
}

enum Role {
    Server,
    /// Its configuration file holds what it learns.
    Sentinel,
}

impl RedisServer {
    /// Starts a server and waits until it answers.
    pub fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// Starts a server with further arguments, such as `["--maxmemory", "10mb"]`.
    pub fn start_with(extra_args: &[&str]) -> Result<Self> {
        Self::start_as(Role::Server, false, 0, extra_args)
    }

    /// Starts a server that listens on a port of loopback as well.
    pub fn start_on_port(extra_args: &[&str]) -> Result<Self> {
        Self::on_free_port(|port| Self::start_as(Role::Server, false, port, extra_args))
    }

    /// Starts a sentinel with these lines of configuration; `tls`: its port speaks that alone.
    pub fn start_sentinel(lines: &str, tls: bool) -> Result<Self> {
        Self::on_free_port(|port| Self::start_as(Role::Sentinel, tls, port, &[lines]))
    }

    /// Starts a server that speaks TLS alone, on the returned server's port.
    pub fn start_with_tls(extra_args: &[&str]) -> Result<Self> {
        Self::on_free_port(|port| Self::start_as(Role::Server, true, port, extra_args))
    }

    /// Between finding a free port and using it, another may take it.
    fn on_free_port(start: impl Fn(u16) -> Result<Self>) -> Result<Self> {
        for _ in 0..10 {
            if let Ok(started) = start(free_port()?) {
                return Ok(started);
            }
        }
        start(free_port()?)
    }

    fn start_as(role: Role, tls: bool, port: u16, extra_args: &[&str]) -> Result<Self> {
        // Short: a unix socket's path holds 107 bytes at most.
        let dir = tempfile::Builder::new().prefix("ccc-").tempdir_in("/tmp")?.keep();
        let extra_args = extra_args.iter().map(ToString::to_string).collect();
        // A group of its own: an interrupt from the terminal ends the tests first, then this.
        let guard = Command::new("sh")
            .args(["-c", GUARD])
            .arg(&dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let mut server = Self { dir, child: None, extra_args, port, role, tls, guard };
        server.spawn()?;
        Ok(server)
    }

    /// `unix:///...` for the `[redis] url` of a configuration.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.join("redis.sock")
    }

    /// `127.0.0.1:PORT`, where it listens on one.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// A plain blocking connection, for looking at what is really there.
    pub fn connection(&self) -> Result<redis::Connection> {
        Ok(redis::Client::open(self.url())?.get_connection()?)
    }

    /// Runs one command given as words and returns its raw answer.
    pub fn command<T: redis::FromRedisValue>(&self, words: &[&str]) -> Result<T> {
        let (name, args) = words.split_first().context("a command has a name")?;
        let mut command = redis::cmd(name);
        for arg in args {
            command.arg(*arg);
        }
        command.query(&mut self.connection()?).with_context(|| words.join(" "))
    }

    /// Kills the server with SIGKILL, as a crash would. Its files stay.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
            self.tell_guard("")?;
        }
        Ok(())
    }

    /// Starts the server again on the same files and socket.
    pub fn restart(&mut self) -> Result<()> {
        self.kill()?;
        self.spawn()
    }

    /// Freezes the server (SIGSTOP): connections stay open and nothing answers.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.pid().context("the server does not run")?;
        kill(Pid::from_raw(i32::try_from(pid)?), signal)?;
        Ok(())
    }

    fn spawn(&mut self) -> Result<()> {
        let log = fs::File::create(self.dir.join("redis.log"))?;
        let mut child = self
            .program()?
            .env_clear()
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("redis-server does not start; on Debian: apt-get install redis-server")?;
        let deadline = Instant::now() + PATIENCE;
        while self.connection().and_then(|mut c| Ok(redis::cmd("PING").query::<String>(&mut c)?)).is_err() {
            if child.try_wait()?.is_some() || Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                bail!("{}", fs::read_to_string(self.dir.join("redis.log"))?);
            }
            thread::sleep(Duration::from_millis(5));
        }
        self.tell_guard(&child.id().to_string())?;
        self.child = Some(child);
        Ok(())
    }

    fn program(&self) -> Result<Command> {
        let mut command = Command::new("redis-server");
        let (socket, port) = (self.socket(), self.port.to_string());
        let (plain, tls) = if self.tls { ("0", port.as_str()) } else { (port.as_str(), "0") };
        match self.role {
            Role::Server => {
                command
                    .args(["--port", plain, "--tls-port", tls])
                    .args(["--bind", "127.0.0.1"])
                    .args(["--save", "", "--appendonly", "yes", "--appendfsync", "always"])
                    .args([
                        "--maxmemory-policy",
                        "noeviction",
                        "--unixsocketperm",
                        "600",
                        "--daemonize",
                        "no",
                    ])
                    .arg("--unixsocket")
                    .arg(&socket)
                    .arg("--dir")
                    .arg(&self.dir)
                    .args(&self.extra_args);
            }
            Role::Sentinel => {
                let file = self.dir.join("sentinel.conf");
                if !file.exists() {
                    let (dir, socket) = (self.dir.display(), socket.display());
                    let own = format!(
                        "port {plain}\ntls-port {tls}\nbind 127.0.0.1\ndir {dir}\nunixsocket {socket}\n"
                    );
                    fs::write(&file, own + &self.extra_args.join("\n"))?;
                }
                command.arg(file).arg("--sentinel");
            }
        }
        Ok(command)
    }

    fn tell_guard(&mut self, pid: &str) -> Result<()> {
        let input = self.guard.stdin.as_mut().context("the guard has an input")?;
        Ok(writeln!(input, "{pid}")?)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.kill();
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

/// A port that nobody uses now, low enough for what a cluster's nodes add to it.
fn free_port() -> Result<u16> {
    loop {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        if port < 55_000 && TcpListener::bind(("127.0.0.1", port + 10_000)).is_ok() {
            return Ok(port);
        }
    }
}
