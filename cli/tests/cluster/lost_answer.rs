//! A network that lets a claim through and loses its answer.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// How a request shows that it is a claim: nothing else names a nonce, which has 32 characters.
const CLAIM: [&[u8]; 2] = [b"EVALSHA", b"$32\r\n"];

/// Forwards TCP to the server's socket; ends with the test process.
pub struct LostAnswer {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    armed: AtomicBool,
    lost: AtomicBool,
}

impl LostAnswer {
    pub fn start(server: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (state, server) = (Arc::<State>::default(), server.to_owned());
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (server, state) = (server.clone(), Arc::clone(&shared));
                thread::spawn(move || forward(client, server, &state));
            }
        });
        Self { address, state }
    }

    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// The next claim is carried out, and its connection breaks before the answer is through.
    pub fn lose_next_claim(&self) {
        self.state.armed.store(true, Ordering::SeqCst);
    }

    pub fn has_lost(&self) -> bool {
        self.state.lost.load(Ordering::SeqCst)
    }
}

/// One connection: requests here, answers in a thread of their own.
fn forward(mut client: TcpStream, server: PathBuf, state: &State) {
    let Ok(mut upstream) = UnixStream::connect(server) else { return };
    let _ = client.set_nodelay(true);
    let cut = Arc::new(AtomicBool::new(false));
    let (Ok(mut answers), Ok(mut back)) = (upstream.try_clone(), client.try_clone()) else { return };
    let cutting = Arc::clone(&cut);
    let answering = thread::spawn(move || {
        copy(&mut answers, |bytes| !cutting.load(Ordering::SeqCst) && back.write_all(bytes).is_ok());
        let _ = back.shutdown(Shutdown::Both);
    });
    copy(&mut client, |bytes| {
        if is_claim(bytes) && state.armed.swap(false, Ordering::SeqCst) {
            cut.store(true, Ordering::SeqCst);
        }
        upstream.write_all(bytes).is_ok()
    });
    let _ = upstream.shutdown(Shutdown::Both);
    let _ = answering.join();
    if cut.load(Ordering::SeqCst) {
        state.lost.store(true, Ordering::SeqCst);
    }
}

/// Hands over what comes until one side ends.
fn copy(from: &mut impl Read, mut hand_over: impl FnMut(&[u8]) -> bool) {
    let mut bytes = vec![0; 65_536];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        if !hand_over(&bytes[..length]) {
            return;
        }
    }
}

fn is_claim(request: &[u8]) -> bool {
    CLAIM.iter().all(|part| request.windows(part.len()).any(|window| window == *part))
}
