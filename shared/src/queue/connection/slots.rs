//! Which slot of a cluster a key or a command belongs to, and which node has it.

use redis::{Arg, Cmd, Value};

use crate::config::ServerAddress;

pub const SLOTS: usize = 16_384;

/// The slot of a key: of what stands in its first braces, where something does.
pub fn slot_of_key(key: &[u8]) -> u16 {
    let tag = key.iter().position(|b| *b == b'{').and_then(|open| {
        let length = key[open + 1..].iter().position(|b| *b == b'}')?;
        Some(&key[open + 1..open + 1 + length]).filter(|tag| !tag.is_empty())
    });
    crc16(tag.unwrap_or(key)) % SLOTS as u16
}

/// CRC-16/XMODEM, as the cluster specification has it.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc: u16, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

/// The slot that a command of the queue belongs to; `None` for one without a key.
pub fn slot_of(command: &Cmd) -> Option<u16> {
    let mut words = command.args_iter().map(|word| match word {
        Arg::Simple(bytes) => bytes,
        _ => &[],
    });
    let name = words.next()?.to_ascii_uppercase();
    let key = match name.as_slice() {
        b"SCRIPT" | b"PING" | b"INFO" | b"TIME" => None,
        // Hash or text, number of keys, key.
        b"EVALSHA" | b"EVAL" => words.nth(2),
        _ => words.next(),
    };
    key.map(slot_of_key)
}

/// Whether a script is run, which may touch more keys of the slot than the command names.
pub fn is_script(command: &Cmd) -> bool {
    let name = command.args_iter().next();
    matches!(name, Some(Arg::Simple(name)) if name.eq_ignore_ascii_case(b"EVALSHA") || name.eq_ignore_ascii_case(b"EVAL"))
}

/// Who has which slot.
pub struct SlotMap {
    /// Place in `masters`, for each slot.
    owners: Vec<Option<u16>>,
    masters: Vec<ServerAddress>,
}

impl Default for SlotMap {
    fn default() -> Self {
        Self { owners: vec![None; SLOTS], masters: Vec::new() }
    }
}

impl SlotMap {
    /// The answer to `CLUSTER SLOTS` of the node at `asked`, which leaves its own host out where it does not know it.
    pub fn read(answer: &Value, asked: &ServerAddress) -> Self {
        let mut map = Self::default();
        for range in items(answer) {
            let [first, last, master, ..] = items(range) else { continue };
            let [host, port, ..] = items(master) else { continue };
            let host: String = redis::from_redis_value_ref(host).unwrap_or_default();
            let address = ServerAddress { host: known_host(&host, asked), port: number(port) };
            let (Some(first), Some(last)) = (number(first), number(last)) else { continue };
            for slot in first..=last {
                map.set(slot, &address);
            }
        }
        map
    }

    pub fn set(&mut self, slot: u16, address: &ServerAddress) {
        let place = self.masters.iter().position(|known| known == address).unwrap_or_else(|| {
            self.masters.push(address.clone());
            self.masters.len() - 1
        });
        if let Some(owner) = self.owners.get_mut(usize::from(slot)) {
            *owner = Some(place as u16);
        }
    }

    pub fn owner(&self, slot: u16) -> Option<&ServerAddress> {
        self.masters.get(usize::from((*self.owners.get(usize::from(slot))?)?))
    }

    pub fn masters(&self) -> &[ServerAddress] {
        &self.masters
    }
}

/// `MOVED` and `ASK` name a slot and `host:port`; the host may be missing.
pub fn redirection(detail: &str, asked: &ServerAddress) -> Option<(u16, ServerAddress)> {
    let (slot, address) = detail.split_once(' ')?;
    let (host, port) = address.rsplit_once(':')?;
    let host = known_host(host.trim_matches(['[', ']']), asked);
    Some((slot.parse().ok()?, ServerAddress { host, port: Some(port.parse().ok()?) }))
}

fn known_host(host: &str, asked: &ServerAddress) -> String {
    if host.is_empty() || host == "?" { asked.host.clone() } else { host.to_owned() }
}

fn items(value: &Value) -> &[Value] {
    if let Value::Array(items) = value { items } else { &[] }
}

fn number(value: &Value) -> Option<u16> {
    redis::from_redis_value_ref(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_cluster_specification() {
        // CLUSTER KEYSLOT of a real server.
        assert_eq!(slot_of_key(b"123456789"), 12_739);
        assert_eq!(slot_of_key(b"foo"), 12_182);
        assert_eq!(slot_of_key(b"ccc:{foo}:tasks:high"), 12_182);
        assert_eq!(slot_of_key(b"a{}b"), crc16(b"a{}b") % 16_384);
    }

    #[test]
    fn a_command_belongs_to_the_slot_of_its_key() {
        let slot = |words: &[&str]| {
            let mut command = redis::cmd(words[0]);
            command.arg(&words[1..]);
            slot_of(&command)
        };
        assert_eq!(slot(&["GET", "foo"]), Some(12_182));
        assert_eq!(slot(&["EVALSHA", "sha", "1", "x:{foo}:", "argument"]), Some(12_182));
        assert_eq!(slot(&["SCRIPT", "LOAD", "return 1"]), None);
    }

    #[test]
    fn a_redirection_without_a_host_means_the_node_that_was_asked() {
        let asked = ServerAddress { host: "10.0.0.1".to_owned(), port: Some(7000) };
        let (slot, address) = redirection("12182 :7001", &asked).unwrap();
        assert_eq!((slot, address.to_string().as_str()), (12_182, "10.0.0.1:7001"));
        assert_eq!(redirection("1 fd00::1:7001", &asked).unwrap().1.to_string(), "[fd00::1]:7001");
        assert_eq!(redirection("nonsense", &asked), None);
    }
}
