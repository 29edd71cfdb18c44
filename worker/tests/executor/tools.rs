//! What one specialty is given besides what all have.

use std::{
    fs,
    io::Write,
    os::unix::{fs::PermissionsExt, net::UnixListener},
    sync::Arc,
    thread,
};

use shared::{TaskSpec, config::SpecialtyAgent, state_dir::StateDir, task_log::LogStream};
use worker::{executor::Executor, host::Host};

use crate::stage::{Stage, Started, supervisor};

fn with_devops(mut stage: Stage, section: SpecialtyAgent) -> Stage {
    stage.config.agent.specialty.insert("devops".to_owned(), section);
    stage
}

fn task(stage: &Stage, specialty: &str) -> TaskSpec {
    TaskSpec { specialty: specialty.parse().unwrap(), ..stage.task(specialty) }
}

/// Says what a socket answers, and leaves a file behind so that there is a result.
const CALLING: &str = r#"cat >/dev/null; echo 42 > answer
echo "host=$DOCKER_HOST"
python3 - "${DOCKER_HOST#unix://}" "$1" <<'X' 2>/dev/null || echo unreachable
import socket, sys
for path in sys.argv[1:]:
    if path:
        s = socket.socket(socket.AF_UNIX); s.connect(path); print(s.recv(100).decode())
        break
X"#;

#[tokio::test]
async fn docker_is_reached_by_the_specialty_that_is_given_its_socket_and_by_no_other() {
    for mode in [|stage| stage, Stage::in_process_mode as fn(Stage) -> Stage] {
        let mut stage = mode(Stage::new()).agent(CALLING);
        let path = stage.dir().join("docker.sock");
        let listener = UnixListener::bind(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = stream.and_then(|mut stream| stream.write_all(b"this is docker"));
            }
        });
        stage.config.agent.command.push(path.display().to_string());
        let socket = Some(path.display().to_string());
        let stage = with_devops(stage, SpecialtyAgent { docker_socket: socket, ..SpecialtyAgent::default() });
        let executor = stage.executor().await;
        let confined = executor.sandbox() == "bubblewrap";
        let given = Started::new(&executor, task(&stage, "devops")).end().await;
        let said = given.lines(LogStream::Agent);
        assert!(said.contains(&"this is docker"), "{said:?}");
        assert!(given.lines(LogStream::Engine).iter().any(|line| line.contains("reach docker by")));
        let other = Started::new(&executor, task(&stage, "backend")).end().await;
        let said = other.lines(LogStream::Agent);
        assert!(said.contains(&"host="), "{said:?}");
        // Without namespaces the rights of the socket decide, which are everybody's here.
        assert_eq!(said.contains(&"unreachable"), confined, "{said:?}");
    }
}

#[tokio::test]
async fn a_socket_that_is_not_there_is_told_before_any_task() {
    let stage = Stage::new().agent("true");
    let file = stage.dir().join("file");
    fs::write(&file, "").unwrap();
    for (path, why) in [(stage.dir().join("none"), "cannot be used"), (file, "is no socket")] {
        let socket = Some(path.display().to_string());
        let stage = with_devops(
            Stage::new().agent("true"),
            SpecialtyAgent { docker_socket: socket, ..SpecialtyAgent::default() },
        );
        let message = stage.try_executor().await.err().unwrap().message;
        assert!(message.contains("agent.specialty.devops") && message.contains(why), "{message}");
    }
}

#[tokio::test]
async fn tools_and_variables_of_a_specialty_are_its_own() {
    let stage = Stage::new().agent("cat >/dev/null; special; echo \"value=$SPECIAL\"; true");
    let tools = stage.dir().join("tools/bin");
    fs::create_dir_all(&tools).unwrap();
    fs::write(tools.join("special"), "#!/bin/sh\necho special-tool\n").unwrap();
    fs::set_permissions(tools.join("special"), fs::Permissions::from_mode(0o755)).unwrap();
    let section = SpecialtyAgent {
        tool_paths: Some(vec![tools.display().to_string()]),
        env_pass: Some(vec!["SPECIAL".to_owned()]),
        ..SpecialtyAgent::default()
    };
    let stage = with_devops(stage, section);
    let host = Host::new(supervisor(), [("SPECIAL".into(), "given".into())]);
    let state_dir = StateDir::create(&stage.state()).unwrap();
    let executor = Arc::new(Executor::prepare(&stage.config, &state_dir, host).await.unwrap());
    for (specialty, has) in [("devops", true), ("backend", false)] {
        let run = Started::new(&executor, task(&stage, specialty)).end().await;
        let said = run.lines(LogStream::Agent);
        assert_eq!(said.contains(&"special-tool"), has, "{said:?}");
        assert_eq!(said.contains(&"value=given"), has, "{said:?}");
    }
}
