//! The nodes of a Redis Cluster: each command goes to the one that has its slot.
//!
//! Apart from the redis crate's own cluster client, which sends a command again when its connection broke: a claim
//! that was carried out and not answered would take twice as many tasks. Here a command is sent again only where
//! the node says that it did not carry it out (`MOVED`, `ASK`, `TRYAGAIN`).

use std::{collections::HashMap, io, sync::Arc, time::Duration};

use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::{sync::Mutex, task::JoinSet, time::Instant};

use super::{
    Node, Template, Timing, is_broken,
    slots::{self, SlotMap},
};
use crate::config::ServerAddress;

const NODE_PORT: u16 = 6_379;

/// How often a command follows `MOVED` before it is given up.
const REDIRECTIONS_MAX: u32 = 8;

/// Between two looks at who has which slot.
const LOOK_EVERY_MIN: Duration = Duration::from_millis(100);

/// Before a command is tried again whose slot is being moved.
const MIGRATION_PAUSE: Duration = Duration::from_millis(20);

pub struct Cluster {
    seeds: Vec<ServerAddress>,
    template: Template,
    timing: Timing,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    slots: SlotMap,
    nodes: HashMap<ServerAddress, Arc<Node>>,
    looked_at: Option<Instant>,
    outdated: bool,
}

/// What to do with a command that was not carried out.
enum Next {
    Again,
    AtOnce(RedisResult<Value>),
}

impl Cluster {
    pub fn new(seeds: &[String], template: Template, timing: Timing) -> RedisResult<Self> {
        let seeds = seeds.iter().map(|text| {
            let address: ServerAddress = text.parse().map_err(io::Error::other)?;
            Ok(ServerAddress { port: address.port.or(Some(NODE_PORT)), ..address })
        });
        let seeds: Vec<ServerAddress> = seeds.collect::<RedisResult<_>>()?;
        // Says at once when a certificate cannot be used.
        seeds.first().map(|seed| template.at(seed, NODE_PORT)).transpose()?;
        Ok(Self { seeds, template, timing, state: Mutex::default() })
    }

    /// The master that has the slot, as far as is known.
    pub async fn owner(&self, slot: u16) -> RedisResult<Arc<Node>> {
        Ok(self.owner_at(slot).await?.1)
    }

    /// All masters that have slots.
    pub async fn masters(&self) -> RedisResult<Vec<Arc<Node>>> {
        let mut state = self.state.lock().await;
        self.look(&mut state).await?;
        let masters = state.slots.masters().to_vec();
        masters.iter().map(|address| self.node(&mut state, address)).collect()
    }

    /// The next command asks first who has which slot.
    pub async fn ask_anew(&self) {
        self.state.lock().await.outdated = true;
    }

    /// Sends one command to the node of its slot; a script that is loaded goes to all masters.
    pub async fn send(&self, command: &Cmd) -> RedisResult<Value> {
        let Some(slot) = slots::slot_of(command) else { return self.send_to_all(command).await };
        let deadline = Instant::now() + self.timing.response_timeout;
        for _ in 0..REDIRECTIONS_MAX {
            let (address, node) = self.owner_at(slot).await?;
            let error = loop {
                match node.send(command).await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => match self.next(command, &address, error, deadline).await {
                        Next::Again => {}
                        Next::AtOnce(Err(error)) if is_moved(&error) => break error,
                        Next::AtOnce(answer) => return answer,
                    },
                }
            };
            self.moved(&error, &address).await;
        }
        Err((ErrorKind::Server(ServerErrorKind::TryAgain), "the cluster sends from node to node").into())
    }

    /// Sends several commands, together where they go to one node. Their answers come in their order; one may be
    /// an error.
    pub async fn send_all(self: &Arc<Self>, pipeline: &Pipeline) -> RedisResult<Vec<Value>> {
        if pipeline.is_transaction() {
            return Err((ErrorKind::Client, "a cluster has no transactions over several slots").into());
        }
        let commands: Vec<&Cmd> = pipeline.cmd_iter().collect();
        let mut groups: HashMap<ServerAddress, (Arc<Node>, Vec<usize>)> = HashMap::new();
        for (place, command) in commands.iter().enumerate() {
            let (address, node) = self.owner_at(slots::slot_of(command).unwrap_or(0)).await?;
            groups.entry(address).or_insert_with(|| (node, Vec::new())).1.push(place);
        }
        let mut sent = JoinSet::new();
        for (node, places) in groups.into_values() {
            let mut part = Pipeline::with_capacity(places.len());
            for place in &places {
                part.add_command(commands[*place].clone());
            }
            let cluster = Arc::clone(self);
            sent.spawn(async move { (cluster.send_part(&node, &part).await, places) });
        }
        let mut answers = vec![Value::Nil; commands.len()];
        while let Some(part) = sent.join_next().await {
            let (part, places) = part.map_err(io::Error::other)?;
            for (place, answer) in places.into_iter().zip(part?) {
                answers[place] = answer;
            }
        }
        Ok(answers)
    }

    /// Commands for one node. What has moved away from it is sent on one by one, in its order.
    async fn send_part(&self, node: &Node, part: &Pipeline) -> RedisResult<Vec<Value>> {
        let answers = node.send_all(part).await;
        if answers.as_ref().is_err_and(is_broken) {
            self.ask_anew().await;
        }
        let mut answers = answers?;
        for (answer, command) in answers.iter_mut().zip(part.cmd_iter()) {
            let Value::ServerError(error) = &*answer else { continue };
            if matches!(
                error.kind(),
                Some(ServerErrorKind::Moved | ServerErrorKind::Ask | ServerErrorKind::TryAgain)
            ) {
                *answer = match self.send(command).await {
                    Ok(value) => value,
                    Err(again) => again.clone().into_server_errors().map_or(Err(again), |errors| {
                        Ok(errors.first().map_or(Value::Nil, |(_, error)| Value::ServerError(error.clone())))
                    })?,
                };
            }
        }
        Ok(answers)
    }

    async fn send_to_all(&self, command: &Cmd) -> RedisResult<Value> {
        let mut answer = Value::Nil;
        for master in self.masters().await? {
            answer = master.send(command).await?;
        }
        Ok(answer)
    }

    async fn next(&self, command: &Cmd, asked: &ServerAddress, error: RedisError, deadline: Instant) -> Next {
        let in_time = Instant::now() < deadline;
        match error.kind() {
            // A script names one key, so that the new node would run it with a part of the others. While the slot
            // is being moved it waits, as it would for any server that is away.
            ErrorKind::Server(ServerErrorKind::Ask) if slots::is_script(command) && in_time => {
                tokio::time::sleep(MIGRATION_PAUSE).await;
                Next::Again
            }
            ErrorKind::Server(ServerErrorKind::Ask) if !slots::is_script(command) => {
                Next::AtOnce(self.ask(command, &error, asked).await)
            }
            ErrorKind::Server(ServerErrorKind::TryAgain) if in_time => {
                tokio::time::sleep(MIGRATION_PAUSE).await;
                Next::Again
            }
            _ => {
                if is_broken(&error) || error.is_cluster_error() {
                    self.ask_anew().await;
                }
                Next::AtOnce(Err(error))
            }
        }
    }

    /// Asks the node that a slot is being moved to, where the key has been moved already or is new.
    async fn ask(&self, command: &Cmd, error: &RedisError, asked: &ServerAddress) -> RedisResult<Value> {
        let Some((_, address)) = error.detail().and_then(|detail| slots::redirection(detail, asked)) else {
            return Err(error.clone());
        };
        let node = self.node(&mut *self.state.lock().await, &address)?;
        let mut both = Pipeline::with_capacity(2);
        both.cmd("ASKING").add_command(command.clone());
        let answer = node.send_all(&both).await?.pop();
        answer.map_or_else(|| Err(error.clone()), Value::extract_error)
    }

    async fn moved(&self, error: &RedisError, asked: &ServerAddress) {
        let mut state = self.state.lock().await;
        // The other slots may have moved as well.
        state.outdated = true;
        if let Some((slot, address)) = error.detail().and_then(|detail| slots::redirection(detail, asked)) {
            state.slots.set(slot, &address);
        }
    }

    async fn owner_at(&self, slot: u16) -> RedisResult<(ServerAddress, Arc<Node>)> {
        let mut state = self.state.lock().await;
        let looked = self.look(&mut state).await;
        let Some(address) = state.slots.owner(slot).cloned() else {
            looked?;
            let down = ErrorKind::Server(ServerErrorKind::ClusterDown);
            return Err((down, "no node of the cluster has the slot", slot.to_string()).into());
        };
        let node = self.node(&mut state, &address)?;
        Ok((address, node))
    }

    fn node(&self, state: &mut State, address: &ServerAddress) -> RedisResult<Arc<Node>> {
        if let Some(node) = state.nodes.get(address) {
            return Ok(Arc::clone(node));
        }
        let node = Arc::new(Node::new(self.template.at(address, NODE_PORT)?, self.timing)?);
        state.nodes.insert(address.clone(), Arc::clone(&node));
        Ok(node)
    }

    /// Learns who has which slot, where that is not known or doubted.
    async fn look(&self, state: &mut State) -> RedisResult<()> {
        let known = !state.slots.masters().is_empty();
        let just_now = state.looked_at.is_some_and(|at| at.elapsed() < LOOK_EVERY_MIN);
        if known && (!state.outdated || just_now) {
            return Ok(());
        }
        let mut asked = JoinSet::new();
        let mut addresses = state.slots.masters().to_vec();
        addresses.extend(self.seeds.iter().filter(|seed| !state.slots.masters().contains(seed)).cloned());
        for address in addresses {
            let node = self.node(state, &address)?;
            asked.spawn(async move { slots_of(&node, &address).await });
        }
        let mut failure: RedisError =
            (ErrorKind::ClusterConnectionNotFound, "no node of the cluster answers").into();
        while let Some(answer) = asked.join_next().await {
            match answer.map_err(io::Error::other).map_err(RedisError::from).flatten() {
                Ok(slots) => {
                    state.nodes.retain(|address, _| {
                        slots.masters().contains(address) || self.seeds.contains(address)
                    });
                    state.slots = slots;
                    state.outdated = false;
                    state.looked_at = Some(Instant::now());
                    return Ok(());
                }
                Err(error) => failure = error,
            }
        }
        state.looked_at = Some(Instant::now());
        Err(failure)
    }
}

/// What the node knows of the slots. A node that is cut off from most of the others knows nothing that counts.
async fn slots_of(node: &Node, address: &ServerAddress) -> RedisResult<SlotMap> {
    let mut both = Pipeline::with_capacity(2);
    both.cmd("CLUSTER").arg("INFO").cmd("CLUSTER").arg("SLOTS");
    let answers = node.send_all(&both).await?;
    let [info, slots] =
        <[Value; 2]>::try_from(answers).map_err(|_| io::Error::other("two answers were asked for"))?;
    let info: String = redis::from_redis_value(info.extract_error()?)?;
    if !info.contains("cluster_state:ok") {
        let down = ErrorKind::Server(ServerErrorKind::ClusterDown);
        return Err((down, "the node sees the cluster down", address.to_string()).into());
    }
    Ok(SlotMap::read(&slots.extract_error()?, address))
}

fn is_moved(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::Moved)
}
